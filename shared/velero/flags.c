/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/velero/flags.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/log.h"

static const struct xb_flag *find(const struct xb_flag *flags, const char *word, size_t len)
{
    for (; flags->name; flags++) {
        if (strlen(flags->name) == len && memcmp(flags->name, word, len) == 0) {
            return flags;
        }
    }
    return NULL;
}

void xb_flags_parse(const struct xb_flag *flags, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0) {
            continue;
        }
        const char *word = argv[i] + 2;
        size_t len = strcspn(word, "=");
        const struct xb_flag *flag = find(flags, word, len);
        if (!flag) {
            continue;
        }
        if (word[len]) {
            *flag->value = word + len + 1;
        } else if (i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0) {
            *flag->value = argv[++i];
        } else {
            *flag->value = "true";
        }
    }
}

void xb_flags_report(const struct xb_flag *flags, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0) {
            continue;
        }
        size_t len = strcspn(argv[i] + 2, "=");
        char name[128];
        if (!find(flags, argv[i] + 2, len)) {
            snprintf(name, sizeof name, "%.*s", (int)len, argv[i] + 2);
            xb_log_warning("a flag of Velero's has no meaning here and is ignored", "flag", name);
        }
    }
}
