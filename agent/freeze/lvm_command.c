/* SPDX-License-Identifier: Apache-2.0
 * LVM's commands. What they are told is given as arguments, and names come from LVM's own reports
 * or are ours. Nothing of ours is monitored: dmeventd would make a snapshot larger, and one that is
 * started here would end with this container. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "agent/freeze/command.h"
#include "agent/freeze/lvm_node.h"

#define SETTINGS "activation{monitoring=0}"

enum {
    SAID_BYTES = 300,
    ARGUMENTS_MAX = 24,
    NUMBER_BYTES = 24,
    PATH_OF_BYTES = 260,
    CLEARED_MAX = 16
};

static const char *const lvm[] = {"/usr/sbin/lvm", "/sbin/lvm", NULL};
static const char *const dmsetup[] = {"/usr/sbin/dmsetup", "/sbin/dmsetup", NULL};

/* Two would wait for each other's lock, watched all the while. */
static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER;

static bool is_warning(const char *line, size_t len)
{
    return len == 0 || (len >= 8 && memcmp(line, "WARNING:", 8) == 0);
}

/* The lines of an error, without warnings, in one. */
static void join_lines(const struct xb_exec_output *output, char ret[SAID_BYTES])
{
    size_t at = 0;
    ret[0] = '\0';
    for (const char *line = output->bytes.data ? output->bytes.data : ""; *line;) {
        line += strspn(line, " \t\n");
        size_t len = strcspn(line, "\n");
        if (!is_warning(line, len) && at + 3 < SAID_BYTES) {
            int added =
                snprintf(ret + at, SAID_BYTES - at, "%s%.*s", at ? " " : "", (int)len, line);
            at += added > 0 ? (size_t)added : 0;
            at = at < SAID_BYTES ? at : SAID_BYTES - 1;
        }
        line += len;
    }
    for (char *c = ret; *c; c++) {
        *c = isprint((unsigned char)*c) ? *c : '?';
    }
}

static int run(const char *const *programs, struct xb_exec_command exec, struct xb_exec_result *ret,
               struct xb_error *err)
{
    const char *const *argv = exec.argv;
    struct xb_command command = {.programs = programs, .beside = 1, .exec = exec};
    struct xb_exec_result said = {.exit_code = -1};
    char why[SAID_BYTES];
    command.exec.timeout_ms = XB_LVM_COMMAND_MS;
    int r = xb_command_run(&command, &said, err);
    if (r < 0) {
        return r;
    }
    join_lines(&said.err, why);
    if (said.timed_out) {
        r = xb_error_set(err, XB_ERR_RETRY, -ETIMEDOUT, "%s had not ended after %d s%s%s", argv[1],
                         XB_LVM_COMMAND_MS / 1000, why[0] ? ": " : "", why);
    } else if (said.exit_code != 0) {
        r = xb_error_set(err, XB_ERR_IO, -EIO, "%s: %s (%d)", argv[1],
                         why[0] ? why : "it does not say why", said.exit_code);
    } else if (said.out.truncated) {
        r = xb_error_set(err, XB_ERR_FULL, -E2BIG, "%s says too much", argv[1]);
    }
    if (r < 0) {
        xb_exec_result_free(&said);
        return r;
    }
    *ret = said;
    return 0;
}

int xb_lvm_look(const char *select, const atomic_bool *cancel, struct xb_lvm_report *ret,
                struct xb_error *err)
{
    static const char settings[] = XB_LVM_REPORT_SETTINGS;
    static const char columns[] = XB_LVM_REPORT_COLUMNS;
    const char *const argv[] = {"lvm",   "lvs",        "--reportformat", "json",   "--units",
                                "b",     "--nosuffix", "--config",       settings, "-o",
                                columns, "--select",   select,           NULL};
    struct xb_exec_result said = {.exit_code = -1};
    int r = run(lvm,
                (struct xb_exec_command){
                    .argv = argv, .output_bytes_max = XB_EXEC_OUTPUT_BYTES_MAX, .cancel = cancel},
                &said, err);
    if (r == 0) {
        r = xb_lvm_report_parse(said.out.bytes.data ? said.out.bytes.data : "", said.out.bytes.len,
                                ret, err);
        xb_exec_result_free(&said);
    }
    return r;
}

static int watch_begin(const struct xb_lvm_watch *watch, struct xb_error *err)
{
    const struct xb_freeze_holder *holder = watch->holder;
    return holder && holder->watch && holder->unwatch
               ? holder->watch(holder->context, watch->major, watch->minor, XB_LVM_LIMIT_MS, err)
               : xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                              "there is no bracket guard, which would resume its device if this "
                              "process were killed");
}

static int watch_end(struct xb_lvm_watch *watch, struct xb_error *err)
{
    return watch->holder->unwatch(watch->holder->context, &watch->suspended_us, err);
}

int xb_lvm_watch_check(struct xb_lvm_watch *watch, struct xb_error *err)
{
    pthread_mutex_lock(&changing);
    int r = watch_begin(watch, err);
    r = r ? r : watch_end(watch, err);
    pthread_mutex_unlock(&changing);
    if (r < 0 && err->kind == XB_ERR_CONFLICT) { /* with somebody else's work, not with a copy */
        err->kind = XB_ERR_RETRY;
    }
    return r;
}

static int change(struct xb_lvm_watch *watch, const char *const *argv, struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    struct xb_exec_result said = {.exit_code = -1};
    int r = watch_begin(watch, err);
    if (r < 0) {
        return r;
    }
    watch->begun = true;
    /* Nobody's wish to end cuts it off: that is what would leave a device suspended. */
    r = run(lvm, (struct xb_exec_command){.argv = argv}, &said, err);
    if (r == 0) {
        xb_exec_result_free(&said);
    }
    int unwatched = watch_end(watch, &why);
    if (unwatched < 0) {
        if (r < 0) {
            (void)!xb_error_wrap(&why, "%.200s", err->text);
        }
        *err = why;
        return unwatched;
    }
    return r;
}

static int change_alone(struct xb_lvm_watch *watch, const char *const *argv, struct xb_error *err)
{
    pthread_mutex_lock(&changing);
    int r = change(watch, argv, err);
    pthread_mutex_unlock(&changing);
    return r;
}

int xb_lvm_create(struct xb_lvm_watch *watch, const struct xb_lvm_plan *plan, const char *name,
                  struct xb_error *err)
{
    struct xb_lvm_maker maker;
    char tag[XB_LVM_TAG_BYTES];
    char extents[NUMBER_BYTES];
    char origin[PATH_OF_BYTES];
    const char *argv[ARGUMENTS_MAX] = {"lvm",    "lvcreate", "-s",       "-y",       "--config",
                                       SETTINGS, "--addtag", XB_LVM_TAG, "--addtag", tag,
                                       "-n",     name,       origin};
    size_t count = 13;
    int r = xb_lvm_maker_self(&maker, err);
    if (r < 0) {
        return r;
    }
    xb_lvm_maker_tag(&maker, tag);
    snprintf(origin, sizeof origin, "%s/%s", plan->origin->group, plan->origin->name);
    snprintf(extents, sizeof extents, "%" PRIu64, plan->extents);
    if (plan->pool) {
        /* Otherwise it would be one that is not activated. */
        argv[count++] = "-kn";
        argv[count++] = "-ay";
    } else {
        argv[count++] = "-l";
        argv[count++] = extents;
    }
    return change_alone(watch, argv, err);
}

int xb_lvm_remove(struct xb_lvm_watch *watch, const char *group, const char *name,
                  struct xb_error *err)
{
    char path[PATH_OF_BYTES];
    const char *const argv[] = {"lvm", "lvremove", "-f", "-y", "--config", SETTINGS, path, NULL};
    snprintf(path, sizeof path, "%s/%s", group, name);
    return change_alone(watch, argv, err);
}

/* ---- what a command that was cut off has left ---- */

static int remove_device(const char *name)
{
    const char *const argv[] = {"dmsetup", "remove", name, NULL};
    struct xb_exec_result said = {.exit_code = -1};
    struct xb_error ignored = XB_ERROR_INIT;
    int r = run(dmsetup, (struct xb_exec_command){.argv = argv}, &said, &ignored);
    if (r == 0) {
        xb_exec_result_free(&said);
    }
    return r;
}

/* The device mapper removes none that is open. What lies below an origin that has a snapshot has
 * something upon it, or is open by it. */
void xb_lvm_clear(const struct xb_lvm_ids *ids, const char *group, const char *name)
{
    static const char *const parts[] = {"", "-cow"};
    char device[XB_LVM_DEVICE_NAME_BYTES];
    char prefix[XB_LVM_DEVICE_NAME_BYTES];
    struct xb_lvm_device found;
    struct xb_error ignored = XB_ERROR_INIT;
    xb_lvm_device_name(group, name, device);
    snprintf(prefix, sizeof prefix, "LVM-%s", ids->group);
    pthread_mutex_lock(&changing);
    size_t len = strlen(device);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(device + len, sizeof device - len, "%s", parts[i]);
        const struct xb_lvm_device_wanted wanted = {.id_begins = prefix, .name = device};
        if (xb_lvm_device_find(&wanted, &found, &ignored) == 0) {
            (void)remove_device(found.name);
        }
    }
    const struct xb_lvm_device_wanted below = {
        .id_begins = prefix, .id_ends = "-real", .unused = true};
    for (int i = 0; i < CLEARED_MAX && xb_lvm_device_find(&below, &found, &ignored) == 0 &&
                    remove_device(found.name) == 0;
         i++) {
    }
    pthread_mutex_unlock(&changing);
}
