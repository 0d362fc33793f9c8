/* SPDX-License-Identifier: Apache-2.0
 *
 * cli.h - the xebec command.
 *
 * What for:  the entrance from main, and what the commands share: options by table, opening the
 *            repository, progress, sizes and times for people.
 * Ownership: strings of parsed options belong to argv.
 * Threads:   the main thread; progress callbacks come from others.
 * Errors:    a command returns an exit status (below) after it has told the user why.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "shared/codec/json.h"
#include "shared/repository/snapshot.h"

/* Exit statuses; docs/xebec.md lists them. */
enum {
    XB_EXIT_OK = 0,
    XB_EXIT_FAILED = 1,
    XB_EXIT_USAGE = 2,
    XB_EXIT_DAMAGED = 3,
    XB_EXIT_PARTLY = 4,
    XB_EXIT_INTERRUPTED = 130
};

int xb_cli_main(int argc, char **argv);

/* ---- options ---- */

/* XB_CLI_RATE: bytes per second, with K, M or G for the powers of 1024; XB_CLI_SIZE: bytes, too. */
enum xb_cli_kind {
    XB_CLI_FLAG,
    XB_CLI_TEXT,
    XB_CLI_WORD, /* a text behind "=", or none: "" */
    XB_CLI_NUMBER,
    XB_CLI_RATE,
    XB_CLI_SIZE
};

struct xb_cli_option {
    const char *name; /* without the dashes */
    enum xb_cli_kind kind;
    void *value;          /* bool *, const char **, or int64_t * */
    const char *argument; /* for help: "FILE" */
    const char *help;
};

/* A user's wish about the budget of file data: of an option (0: none), or else of XEBEC_MEMORY. */
int xb_cli_memory(int64_t bytes, struct xb_error *err) XB_MUST_CHECK;

/* What every command that talks to a repository takes. */
struct xb_cli_common {
    const char *repository, *password_file;
    int64_t upload_limit, download_limit; /* bytes per second; 0: none */
    const char *cache_dir;                /* NULL: the user's; "": none */
    int64_t cache_limit, scratch_limit;   /* bytes; 0: the default */
    int64_t memory;                       /* bytes; 0: XEBEC_MEMORY, or the default */
    bool json, no_progress;
};

struct xb_cli_command {
    const char *name;      /* "repository create" */
    const char *arguments; /* "SNAPSHOT TARGET" */
    const char *help;      /* one sentence */
    int (*run)(int argc, char **argv);
};

struct xb_cli_parse {
    const struct xb_cli_command *command;
    const struct xb_cli_option *options; /* ended by a name of NULL; may be NULL */
    struct xb_cli_common *common;        /* NULL: no repository involved */
    const char **positionals;            /* filled */
    size_t positional_max, positional_count;
    size_t positional_min;
};

/* Parses argv (without program and command). Returns -1 to go on, else the exit status: help was
 * asked for, or the usage was wrong and has been explained. */
int xb_cli_parse(struct xb_cli_parse *parse, int argc, char **argv);

/* "500K": bytes per second; false when it is no rate above zero. */
bool xb_cli_rate(const char *text, int64_t *ret);

/* ---- commands ---- */

int xb_cli_repository_create(int argc, char **argv);
int xb_cli_repository_status(int argc, char **argv);
int xb_cli_repository_recover(int argc, char **argv);
int xb_cli_backup(int argc, char **argv);
int xb_cli_snapshots(int argc, char **argv);
int xb_cli_ls(int argc, char **argv);
int xb_cli_cat(int argc, char **argv);
int xb_cli_restore(int argc, char **argv);
int xb_cli_verify(int argc, char **argv);
int xb_cli_store_copy(int argc, char **argv);
int xb_cli_agent(int argc, char **argv);
int xb_cli_guard(int argc, char **argv);
int xb_cli_guard_stop(int argc, char **argv);

const struct xb_cli_command *xb_cli_command(const char *name);

/* ---- the repository ---- */

/* INSPECT: to read, also what is left of a damaged one. */
enum xb_cli_access { XB_CLI_READ, XB_CLI_INSPECT, XB_CLI_WRITE };

/* Opens what --repository or XEBEC_REPOSITORY names. */
int xb_cli_open(const struct xb_cli_common *common, enum xb_cli_access access,
                struct xb_repository **ret, struct xb_error *err) XB_MUST_CHECK;
int xb_cli_password(const struct xb_cli_common *common, bool twice, struct xb_secret **ret,
                    struct xb_error *err) XB_MUST_CHECK;
int xb_cli_store(const struct xb_cli_common *common, bool create, bool read_only,
                 struct xb_store **ret, struct xb_error *err) XB_MUST_CHECK;

/* How to open a store as the common options want it. The bandwidth limits are the process's: what
 * the first caller asked for. */
int xb_cli_store_options(const struct xb_cli_common *common, struct xb_store_open_options *options,
                         struct xb_error *err) XB_MUST_CHECK;

/* The snapshot that `text` names: "latest", or the beginning of an id that only one has. */
int xb_cli_find_snapshot(struct xb_repository *repository, const char *text,
                         struct xb_snapshot **ret, struct xb_error *err) XB_MUST_CHECK;

/* ---- output ---- */

/* Says what went wrong on stderr (as JSON on stdout if asked) and returns the exit status. */
int xb_cli_fail(const struct xb_cli_common *common, const struct xb_error *err);
void xb_cli_print_json(xb_json *json); /* takes it over */
void xb_cli_add_count(xb_json *json, const char *key, uint64_t value);
/* What a snapshot says of its device; NULL for a folder's. */
xb_json *xb_cli_device_json(const struct xb_snapshot_device *device);

enum { XB_CLI_TEXT_BYTES = 64 };
/* "1.4 GiB" */
const char *xb_cli_size(uint64_t bytes, char out[XB_CLI_TEXT_BYTES]);
/* "2026-11-23 21:35:33" in local time */
const char *xb_cli_time(int64_t ns, char out[XB_CLI_TEXT_BYTES]);
/* A name that cannot disturb the terminal: control bytes and bad UTF-8 as \xNN. */
void xb_cli_print_name(FILE *out, const char *name);
/* A line on stderr about one path. */
void xb_cli_print_message(const char *path, const char *text);
/* The exit status, once everything that was printed has arrived: a list that is cut short would
 * look whole. */
int xb_cli_finish(int status);

/* Progress on stderr: a line that is written over at a terminal, a plain one every ten seconds
 * elsewhere, nothing if it is not wanted. */
struct xb_cli_progress {
    bool wanted, terminal, shown;
    int64_t started_ns, said_ns;
    const char *verb; /* "backing up" */
};
void xb_cli_progress_begin(struct xb_cli_progress *progress, const struct xb_cli_common *common,
                           const char *verb);
struct xb_cli_amount {
    uint64_t bytes_done, bytes_total, files_done, files_total;
};
void xb_cli_progress_show(struct xb_cli_progress *progress, const struct xb_cli_amount *amount);
void xb_cli_progress_end(struct xb_cli_progress *progress);

/* Set by SIGINT and SIGTERM. */
extern atomic_bool xb_cli_cancel;
