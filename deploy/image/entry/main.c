/* SPDX-License-Identifier: Apache-2.0
 *
 * velero-entry: the image's /velero. Velero's own manifests name this path and pass Velero's
 * argument words; this program turns the words into the right program of ours and becomes it. It
 * looks at no flag: the programs take all of Velero's flags themselves, obsolete ones with a
 * warning, so that manifests of any Velero release start.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/log.h"

/* Velero's command line compares major and minor with its own and warns when they differ. */
#define VELERO_CONTRACT "v1.18.3"

enum { EXIT_USAGE = 2, EXIT_CANNOT_RUN = 126, EXIT_NOT_THERE = 127 };

enum { WORDS_MAX = 2 };

/* Which words lead to which program. `insert` is the program's own word for the same thing. */
static const struct route {
    const char *words[WORDS_MAX];
    const char *program;
    const char *insert;
} routes[] = {
    {{"server", NULL}, "/usr/bin/xebec-coordinator", NULL},
    {{"node-agent", "server"}, "/usr/bin/xebec", "agent"},
};

/* Words of Velero's that its own parts pass to each other; here they have no counterpart. */
static const char *const internal_words[] = {"pod-volume", "data-mover", "repo-maintenance",
                                             "run-plugins"};

static void usage(FILE *out)
{
    fputs("Usage: velero server [flags]             run the coordinator\n"
          "       velero node-agent server [flags]  run the agent of a node\n"
          "       velero version                    print the version\n"
          "This is Xebec's image. The command line for people is Velero's own `velero`.\n",
          out);
}

static int route_words(const struct route *route)
{
    return route->words[1] ? 2 : 1;
}

static const struct route *route_find(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        int words = route_words(&routes[i]);
        if (argc - 1 < words) {
            continue;
        }
        int same = 0;
        while (same < words && strcmp(argv[1 + same], routes[i].words[same]) == 0) {
            same++;
        }
        if (same == words) {
            return &routes[i];
        }
    }
    return NULL;
}

/* Becomes the program. The new head of argv (program, inserted word) is never longer than the old
 * one (own name, the route's words), so it goes into the old one's slots. */
static int route_run(const struct route *route, char **argv)
{
    char program[64];
    char insert[16];
    char **first = argv + route_words(route);
    if (route->insert) {
        snprintf(insert, sizeof insert, "%s", route->insert);
        *first = insert;
        first--;
    }
    snprintf(program, sizeof program, "%s", route->program);
    *first = program;
    execv(route->program, first);
    int code = errno;
    xb_log(XB_LOG_ERROR, "cannot run the program", "path", route->program, "error", strerror(code),
           "hint", "the image is not whole, or of another architecture", (char *)NULL);
    return code == ENOENT ? EXIT_NOT_THERE : EXIT_CANNOT_RUN;
}

static int refuse(int argc, char **argv)
{
    if (argc < 2) {
        xb_log(XB_LOG_ERROR, "no argument words", (char *)NULL);
        usage(stderr);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < sizeof internal_words / sizeof internal_words[0]; i++) {
        if (strcmp(argv[1], internal_words[i]) == 0) {
            xb_log(XB_LOG_ERROR, "Velero's internal command has no counterpart here", "word",
                   argv[1], "hint", "a pod of stock Velero was started with Xebec's image",
                   (char *)NULL);
            return EXIT_USAGE;
        }
    }
    xb_log(XB_LOG_ERROR, "unknown argument words", "first", argv[1], "second",
           argc > 2 ? argv[2] : "", (char *)NULL);
    usage(stderr);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    xb_log_setup("velero-entry", XB_LOG_INFO, XB_LOG_TEXT);
    const struct route *route = route_find(argc, argv);
    if (route) {
        return route_run(route, argv);
    }
    if (argc >= 2 && strcmp(argv[1], "version") == 0) {
        printf("Version: %s (Xebec %s)\n", VELERO_CONTRACT, XB_VERSION);
        return 0;
    }
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
                      strcmp(argv[1], "help") == 0)) {
        usage(stdout);
        return 0;
    }
    return refuse(argc, argv);
}
