/* SPDX-License-Identifier: Apache-2.0
 *
 * Command lines as `velero install` writes them: known flags in all shapes, unknown ones harmless.
 */
#include "tests/harness/probe.h"

#include "shared/velero/flags.h"

struct values {
    const char *level, *only, *qps;
};

static void parse(struct values *values, const char *const *words, int count)
{
    const struct xb_flag flags[] = {{"log-level", &values->level},
                                    {"restore-only", &values->only},
                                    {"client-qps", &values->qps},
                                    {NULL, NULL}};
    char *argv[16];
    for (int i = 0; i < count; i++) {
        argv[i] = strdup(words[i]);
        assert_non_null(argv[i]);
    }
    xb_flags_parse(flags, count, argv);
    xb_flags_report(flags, xb_flags_idle_server, count, argv);
    values->level = values->level ? strdup(values->level) : NULL;
    values->only = values->only ? strdup(values->only) : NULL;
    values->qps = values->qps ? strdup(values->qps) : NULL;
    for (int i = 0; i < count; i++) {
        free(argv[i]);
    }
}

static void check(const char *const *words, int count, const struct values *want)
{
    struct values got = {NULL, NULL, NULL};
    parse(&got, words, count);
    const char *const *have = &got.level;
    const char *const *need = &want->level;
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(have[i] ? have[i] : "(unset)", need[i] ? need[i] : "(unset)");
        XB_CLEANUP(xb_freep) void *owned = NULL;
        memcpy(&owned, &have[i], sizeof owned);
    }
}

#define CHECK(want_level, want_only, want_qps, ...)                                                \
    do {                                                                                           \
        static const char *const words_[] = {__VA_ARGS__};                                         \
        const struct values want_ = {want_level, want_only, want_qps};                             \
        check(words_, sizeof words_ / sizeof *words_, &want_);                                     \
    } while (0)

static void shapes(void **state)
{
    (void)state;
    CHECK("debug", NULL, NULL, "server", "--log-level=debug");
    CHECK("debug", NULL, NULL, "server", "--log-level", "debug");
    CHECK("", NULL, NULL, "--log-level=");
    CHECK("a=b", NULL, NULL, "--log-level=a=b");
    CHECK(NULL, "true", NULL, "server", "--restore-only");
    CHECK("info", "true", NULL, "--restore-only", "--log-level=info");
    CHECK(NULL, "false", NULL, "--restore-only=false");
    CHECK("two", NULL, NULL, "--log-level=one", "--log-level=two");
    CHECK(NULL, NULL, NULL, "server");
}

/* What velero install emits and we do not know neither fails nor swallows its neighbours. */
static void unknown(void **state)
{
    (void)state;
    CHECK("debug", NULL, "9", "server", "--features=", "--uploader-type=kopia",
          "--keep-latest-maintenance-jobs=3", "--log-level", "debug", "--client-qps=9");
    CHECK("info", NULL, NULL, "--unknown", "value", "--log-level=info");
    CHECK(NULL, NULL, NULL, "--log-levels=x", "--log-leve=x", "--log", "x", "-log-level=x", "--",
          "--=x", "log-level");
    CHECK("x", NULL, NULL, "--unknown", "--log-level=x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),
        cmocka_unit_test(unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
