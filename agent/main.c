/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/cli.h"

int main(int argc, char **argv)
{
    return xb_cli_finish(xb_cli_main(argc, argv));
}
