/* SPDX-License-Identifier: Apache-2.0
 *
 * flags.h - command lines as Velero's manifests write them.
 *
 * What for:  both daemons start from manifests that were made for Velero: flags that mean something
 *            here are taken, all others are accepted, with a warning, and change nothing.
 * Ownership: values point into argv.    Threads: before threads.    Blocking: never.
 * Shapes:    --name=value, --name value (only for known flags), --name (value "true").
 * Source:    velero-contract section 5.
 */
#pragma once

struct xb_flag {
    const char *name; /* NULL ends the table */
    const char **value;
};

void xb_flags_parse(const struct xb_flag *flags, int argc, char **argv);
/* Logs what was not understood; apart, because the log's level is a flag itself. */
void xb_flags_report(const struct xb_flag *flags, int argc, char **argv);
