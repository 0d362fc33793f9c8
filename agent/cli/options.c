/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/cli.h"

enum { OPTIONS_MAX = 32, COMMON_OPTIONS = 10 };

static size_t all_options(const struct xb_cli_parse *parse, struct xb_cli_option out[OPTIONS_MAX])
{
    size_t count = 0;
    for (const struct xb_cli_option *option = parse->options;
         option && option->name && count < OPTIONS_MAX - COMMON_OPTIONS; option++) {
        out[count++] = *option;
    }
    if (parse->common) {
        struct xb_cli_common *common = parse->common;
        out[count++] = (struct xb_cli_option){
            "repository", XB_CLI_TEXT, &common->repository, "URL",
            "where the repository is: file:///PATH or s3://BUCKET/PREFIX (or XEBEC_REPOSITORY)"};
        out[count++] =
            (struct xb_cli_option){"password-file", XB_CLI_TEXT, &common->password_file, "FILE",
                                   "file that holds the password (or XEBEC_PASSWORD, or a prompt)"};
        out[count++] =
            (struct xb_cli_option){"upload-limit", XB_CLI_RATE, &common->upload_limit, "RATE",
                                   "send at most so many bytes per second to "
                                   "an S3 store (500K, 2M)"};
        out[count++] =
            (struct xb_cli_option){"download-limit", XB_CLI_RATE, &common->download_limit, "RATE",
                                   "receive at most so many bytes per second"};
        out[count++] = (struct xb_cli_option){
            "cache-dir", XB_CLI_TEXT, &common->cache_dir, "DIR",
            "where merged indexes are kept for the next time (or XEBEC_CACHE_DIR); '' for nowhere"};
        out[count++] = (struct xb_cli_option){"cache-limit", XB_CLI_SIZE, &common->cache_limit,
                                              "SIZE", "how large that may become (4G)"};
        out[count++] =
            (struct xb_cli_option){"scratch-limit", XB_CLI_SIZE, &common->scratch_limit, "SIZE",
                                   "how much of TMPDIR uploads that wait for others may take (1G)"};
        out[count++] = (struct xb_cli_option){"memory", XB_CLI_SIZE, &common->memory, "SIZE",
                                              "how much file data may be in memory at the same "
                                              "time (40M; or XEBEC_MEMORY)"};
        out[count++] = (struct xb_cli_option){"json", XB_CLI_FLAG, &common->json, NULL,
                                              "answer in JSON, for programs"};
        out[count++] = (struct xb_cli_option){"no-progress", XB_CLI_FLAG, &common->no_progress,
                                              NULL, "show no progress"};
    }
    return count;
}

static void print_help(const struct xb_cli_parse *parse)
{
    struct xb_cli_option options[OPTIONS_MAX];
    size_t count = all_options(parse, options);
    printf("xebec %s [options] %s\n\n%s\n\nOptions:\n", parse->command->name,
           parse->command->arguments, parse->command->help);
    for (size_t i = 0; i < count; i++) {
        char left[40];
        bool word = options[i].kind == XB_CLI_WORD;
        snprintf(left, sizeof left, "--%s%s%s%s", options[i].name,
                 word                  ? "[="
                 : options[i].argument ? " "
                                       : "",
                 options[i].argument ? options[i].argument : "", word ? "]" : "");
        printf("  %-24s %s\n", left, options[i].help);
    }
}

static int usage(const struct xb_cli_parse *parse, const char *what, const char *which)
{
    fprintf(stderr, "xebec %s: %s%s\nUsage: xebec %s [options] %s   (--help lists the options)\n",
            parse->command->name, what, which, parse->command->name, parse->command->arguments);
    return XB_EXIT_USAGE;
}

bool xb_cli_rate(const char *text, int64_t *ret)
{
    static const char letters[] = "KMG";
    char *end = NULL;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    const char *letter = *end ? strchr(letters, toupper((unsigned char)*end)) : NULL;
    int shift = letter ? 10 * (int)(letter - letters + 1) : 0;
    end += letter != NULL;
    if (errno || end == text || *end || number <= 0 || number > INT64_MAX >> shift) {
        return false;
    }
    *ret = number << shift;
    return true;
}

static int set_value(const struct xb_cli_parse *parse, const struct xb_cli_option *option,
                     const char *text)
{
    if (option->kind == XB_CLI_TEXT || option->kind == XB_CLI_WORD) {
        *(const char **)option->value = text;
        return -1;
    }
    if (option->kind == XB_CLI_RATE || option->kind == XB_CLI_SIZE) {
        return xb_cli_rate(text, option->value) ? -1
               : option->kind == XB_CLI_RATE ? usage(parse, "not a rate, like 500K or 2M: ", text)
                                             : usage(parse, "not a size, like 500M or 2G: ", text);
    }
    char *end = NULL;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || end == text || *end || number < 0) {
        return usage(parse, "not a number: ", text);
    }
    *(int64_t *)option->value = number;
    return -1;
}

/* Handles argv[*at]; -1: go on. */
static int take_option(struct xb_cli_parse *parse, int argc, char **argv, int *at)
{
    struct xb_cli_option options[OPTIONS_MAX];
    size_t count = all_options(parse, options);
    const char *word = argv[*at] + 2;
    size_t len = strcspn(word, "=");
    for (size_t i = 0; i < count; i++) {
        const struct xb_cli_option *option = &options[i];
        if (strlen(option->name) != len || memcmp(option->name, word, len) != 0) {
            continue;
        }
        if (option->kind == XB_CLI_FLAG) {
            if (word[len]) {
                return usage(parse, "this option takes no value: ", argv[*at]);
            }
            *(bool *)option->value = true;
            return -1;
        }
        if (word[len]) {
            return set_value(parse, option, word + len + 1);
        }
        if (option->kind == XB_CLI_WORD) {
            return set_value(parse, option, "");
        }
        if (*at + 1 >= argc) {
            return usage(parse, "a value is missing after ", argv[*at]);
        }
        return set_value(parse, option, argv[++*at]);
    }
    return usage(parse, "unknown option ", argv[*at]);
}

int xb_cli_parse(struct xb_cli_parse *parse, int argc, char **argv)
{
    bool only_positionals = false;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (!only_positionals && strcmp(word, "--") == 0) {
            only_positionals = true;
        } else if (!only_positionals && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
            print_help(parse);
            return XB_EXIT_OK;
        } else if (!only_positionals && strncmp(word, "--", 2) == 0) {
            int r = take_option(parse, argc, argv, &i);
            if (r >= 0) {
                return r;
            }
        } else if (!only_positionals && word[0] == '-' && word[1]) {
            return usage(parse, "unknown option ", word);
        } else if (parse->positional_count == parse->positional_max) {
            return usage(parse, "one argument too many: ", word);
        } else {
            parse->positionals[parse->positional_count++] = word;
        }
    }
    if (parse->positional_count < parse->positional_min) {
        return usage(parse, "missing: ", parse->command->arguments);
    }
    return -1;
}
