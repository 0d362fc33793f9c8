/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/cli.h"

#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "shared/base/log.h"

atomic_bool xb_cli_cancel;

static const struct xb_cli_command commands[] = {
    {"repository create", "", "Makes a new, empty repository.", xb_cli_repository_create},
    {"repository status", "", "Shows what a repository is and holds.", xb_cli_repository_status},
    {"repository recover", "", "Brings back what a lost index blob has named.",
     xb_cli_repository_recover},
    {"backup", "PATH", "Backs a folder, a device or an image up into the repository.",
     xb_cli_backup},
    {"snapshots", "", "Lists what was backed up.", xb_cli_snapshots},
    {"ls", "SNAPSHOT [PATH]", "Lists a folder of a snapshot.", xb_cli_ls},
    {"cat", "SNAPSHOT PATH", "Writes a file of a snapshot to standard output.", xb_cli_cat},
    {"restore", "SNAPSHOT TARGET",
     "Restores a snapshot, or a part of it, into a folder or onto a device.", xb_cli_restore},
    {"verify", "[SNAPSHOT]", "Proves that everything can be restored.", xb_cli_verify},
    {"store copy", "SRC DST", "Copies a whole store into another, and proves it.",
     xb_cli_store_copy},
    {"agent", "[flags]", "Runs the daemon of a Kubernetes node.", xb_cli_agent},
    {"guard stop", "", "Has a bracket guard thaw everything, and waits for it.", xb_cli_guard_stop},
    {"guard", "", "Thaws what the agent beside it cannot thaw any more.", xb_cli_guard},
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

const struct xb_cli_command *xb_cli_command(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static void print_commands(FILE *out)
{
    fprintf(out, "xebec: backup, restore and proof of folders, in kopia's repository format\n\n"
                 "Usage: xebec COMMAND [options] [arguments]\n\nCommands:\n");
    for (size_t i = 0; i < COMMANDS; i++) {
        char left[48];
        snprintf(left, sizeof left, "%s %s", commands[i].name, commands[i].arguments);
        fprintf(out, "  %-26s %s\n", left, commands[i].help);
    }
    fprintf(out, "  %-26s %s\n  %-26s %s\n", "version", "Shows the version.", "help",
            "Shows this.");
    fprintf(out,
            "\nSNAPSHOT is \"latest\" or the beginning of an id. xebec COMMAND --help explains.\n"
            "Exit status: 0 done, 1 failed, 2 wrong usage, 3 the repository is damaged, 4 done but "
            "not whole, 130 interrupted.\n");
}

static void on_signal(int signal)
{
    (void)signal;
    atomic_store(&xb_cli_cancel, true);
}

static void setup(void)
{
    struct rlimit files;
    struct sigaction action = {.sa_handler = on_signal};
    /* A second signal ends the program at once. */
    action.sa_flags = (int)(SA_RESETHAND | SA_RESTART);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    /* Deep trees hold a descriptor per level. */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    xb_log_setup("xebec", XB_LOG_WARNING, XB_LOG_TEXT);
}

/* How many words of argv the command's name has, or 0 if it is another one. */
static int match(const struct xb_cli_command *command, int argc, char **argv)
{
    const char *space = strchr(command->name, ' ');
    if (!space) {
        return argc >= 1 && strcmp(argv[0], command->name) == 0 ? 1 : 0;
    }
    size_t len = (size_t)(space - command->name);
    return argc >= 2 && strlen(argv[0]) == len && strncmp(argv[0], command->name, len) == 0 &&
                   strcmp(argv[1], space + 1) == 0
               ? 2
               : 0;
}

int xb_cli_main(int argc, char **argv)
{
    setup();
    if (argc < 2) {
        print_commands(stderr);
        return XB_EXIT_USAGE;
    }
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
        strcmp(argv[1], "-h") == 0) {
        print_commands(stdout);
        return XB_EXIT_OK;
    }
    if (strcmp(argv[1], "version") == 0 || strcmp(argv[1], "--version") == 0) {
        printf("xebec %s\n", XB_VERSION);
        return XB_EXIT_OK;
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        int words = match(&commands[i], argc - 1, argv + 1);
        if (words > 0) {
            return commands[i].run(argc - 1 - words, argv + 1 + words);
        }
    }
    fprintf(stderr, "xebec: unknown command '%s' (xebec help lists them)\n", argv[1]);
    return XB_EXIT_USAGE;
}
