/* SPDX-License-Identifier: Apache-2.0
 *
 * flags.h - command lines as Velero's manifests write them.
 *
 * What for:  both daemons start from manifests that were made for Velero: flags that mean something
 *            here are taken; Velero's others are accepted, with the reason why they change nothing;
 *            what Velero does not know either is accepted with a warning.
 * Ownership: values point into argv.    Threads: before threads.    Blocking: never.
 * Shapes:    --name=value, --name value (only for known flags), --name (value "true").
 * Source:    velero-contract section 5.
 */
#pragma once

struct xb_flag {
    const char *name; /* NULL ends the table */
    const char **value;
};

/* A flag of Velero's that changes nothing here. */
struct xb_flag_idle {
    const char *name; /* NULL ends the table */
    const char *why;
};
extern const struct xb_flag_idle xb_flags_idle_server[], xb_flags_idle_agent[];

void xb_flags_parse(const struct xb_flag *flags, int argc, char **argv);
/* Logs what is not in `flags`; apart, because the log's level is a flag itself. */
void xb_flags_report(const struct xb_flag *flags, const struct xb_flag_idle *idle, int argc,
                     char **argv);
