/* SPDX-License-Identifier: Apache-2.0
 *
 * Patterns: Go's regular expressions mean what they mean there, what only PCRE2 has is refused,
 * globs are Velero's, and no pattern takes long.
 */
#include <time.h>

#include "coordinator/modify/pattern.h"
#include "tests/harness/probe.h"

static bool regex(const char *pattern, const char *text)
{
    XB_CLEANUP(xb_pattern_freep) struct xb_pattern *made = NULL;
    bool holds = false;
    PROBE_OK(xb_pattern_regex(pattern, &made, &err));
    PROBE_OK(xb_pattern_match(made, text, &holds, &err));
    return holds;
}

static bool glob(const char *pattern, const char *text)
{
    XB_CLEANUP(xb_pattern_freep) struct xb_pattern *made = NULL;
    bool holds = false;
    PROBE_OK(xb_pattern_glob(pattern, '.', &made, &err));
    PROBE_OK(xb_pattern_match(made, text, &holds, &err));
    return holds;
}

static void regular_expressions_are_searched_for(void **state)
{
    (void)state;
    assert_true(regex("b", "abc"));
    assert_false(regex("^b", "abc"));
    assert_true(regex("^(web|db)-[0-9]+$", "web-12"));
    assert_false(regex("^(web|db)-[0-9]+$", "web-12a"));
    assert_true(regex("^a{2,3}$", "aaa"));
    assert_false(regex("^a{2,3}$", "aaaa"));
    assert_true(regex("^a{2}?b*?$", "aab"));
    assert_true(regex("(?i)WEB", "the-web"));
    assert_true(regex("^(?i:WEB)-x$", "web-x"));
    assert_false(regex("^(?i:WEB)-x$", "web-X"));
    assert_true(regex("(?P<kind>web)-(?<no>\\d)", "web-1"));
    assert_true(regex("^[[:alpha:]][^[:digit:]]\\.$", "ab."));
    assert_true(regex("^[]a-]+$", "]-a"));
    assert_true(regex("^[^]a]$", "b"));
    assert_true(regex("\\Aweb\\z", "web"));
    assert_true(regex("\\bweb\\b", "my-web-1"));
    assert_true(regex("^\\x77\\x{65}b$", "web"));
    assert_true(regex("\\Qa.b\\E", "a.b"));
    assert_false(regex("\\Qa.b\\E", "axb"));
    assert_true(regex("^\\p{Greek}+$", "\xce\xb1\xce\xb2"));
    assert_true(regex("^.$", "\xce\xb1")); /* a character, not a byte */
    assert_true(regex("\\Qa.b", "xa.b"));
    assert_true(regex("a|b", "xb"));
    assert_true(regex("a{", "a{"));
    assert_true(regex("web|", "db"));
    /* '$' is the end, not a line end before it. */
    assert_false(regex("web$", "web\n"));
    assert_false(regex("x", "\xff"));
}

static void what_go_does_not_have_is_refused(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "(?=a)",  "(?!a)", "(?<=a)", "(?<!a)",   "(?>a)", "(a)\\1",  "\\k<a>", "(?P=a)", "a++",
        "a*+",    "a??+",  "a**",    "a{2}{3}",  "(?R)",  "(?1)",    "(?|a)",  "(?#a)",  "(?x)a",
        "(*UTF)", "\\K",   "\\G",    "\\R",      "\\X",   "\\h",     "\\Z",    "\\C",    "\\cA",
        "\\o{7}", "\\07",  "\\e",    "\\N",      "[\\b]", "a{1001}", "a{,5}",  "\\xZ",   "\\x1",
        "(a",     "a)(b",  "a)",     "[a",       "*a",    "a{3,2}",  "[z-a]",  "\\",     "(?",
        "(?P<a",  "\\v",   "(?i",    "\\Qa\\E*+"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct xb_pattern *made = NULL;
        struct xb_error err = XB_ERROR_INIT;
        int r = xb_pattern_regex(refused[i], &made, &err);
        if (r == 0) {
            fail_msg("'%s' is taken", refused[i]);
        }
        assert_int_equal(err.kind, XB_ERR_INVALID);
        assert_null(made);
    }
}

static void globs_are_about_the_whole(void **state)
{
    (void)state;
    assert_true(glob("pods", "pods"));
    assert_false(glob("pods", "podsecurity"));
    assert_true(glob("*", "pods"));
    assert_false(glob("*", "deployments.apps")); /* a star stops at a dot */
    assert_true(glob("*.*", "deployments.apps"));
    assert_true(glob("**", "ingresses.networking.k8s.io"));
    assert_true(glob("**.k8s.io", "ingresses.networking.k8s.io"));
    assert_true(glob("*.apps", "deployments.apps"));
    assert_true(glob("{pods,*.apps}", "pods"));
    assert_true(glob("{pods,*.apps}", "statefulsets.apps"));
    assert_false(glob("{pods,*.apps}", "secrets"));
    assert_true(glob("pod?", "pods"));
    assert_false(glob("a?b", "a.b"));
    assert_true(glob("[ps]*", "secrets"));
    assert_false(glob("[!ps]*", "secrets"));
    assert_true(glob("[a-q]ods", "pods"));
    assert_true(glob("a\\*", "a*"));
    assert_false(glob("a\\*", "ab"));
    assert_true(glob("a,b}", "a,b}"));
    assert_false(glob("a.b", "axb"));
    assert_false(glob("", "a"));
    static const char *const refused[] = {"{a", "[a", "[]", "[!]", "[z-a]"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct xb_pattern *made = NULL;
        PROBE_REFUSED(xb_pattern_glob(refused[i], '.', &made, &err), XB_ERR_INVALID);
    }
}

/* Patterns that keep a backtracking matcher busy for years. */
static void no_pattern_takes_long(void **state)
{
    (void)state;
    /* Behind 250 'a's stands what each needs, and then something that spoils it. */
    static const char *const patterns[][2] = {{"^(a+)+$", "!"},
                                              {"^(a|aa)+$", "!"},
                                              {"^(a*)*b$", "b!"},
                                              {"(a+a+)+y$", "y!"},
                                              {"^(.*)*$b", "b"},
                                              {"(a?){64}a{64}b$", "b!"},
                                              {"^(([a-z])+.)+[A-Z]([a-z])+$", "A!"},
                                              {"((a{1,9}){1,9}){1,9}b$", "b!"},
                                              {"(.*.*.*.*.*.*a){9}b$", "b!"},
                                              {"(a?){300}a{300}b$", "b!"},
                                              {"(a|b|aa|ab){1,90}b$", "b!"}};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        XB_CLEANUP(xb_pattern_freep) struct xb_pattern *made = NULL;
        struct xb_error err = XB_ERROR_INIT;
        bool holds = false;
        char text[254];
        memset(text, 'a', 250);
        snprintf(text + 250, sizeof text - 250, "%s", patterns[i][1]);
        clock_t before = clock();
        if (xb_pattern_regex(patterns[i][0], &made, &err) == 0) {
            (void)!xb_pattern_match(made, text, &holds, &err);
        }
        double seconds = (double)(clock() - before) / CLOCKS_PER_SEC;
        print_message("%s: %.3f s, %s\n", patterns[i][0], seconds,
                      err.code ? err.text
                      : holds  ? "holds"
                               : "does not hold");
        assert_false(holds);
        assert_true(seconds < 1);
    }
    char *large = malloc(XB_PATTERN_BYTES_MAX + 2);
    assert_non_null(large);
    memset(large, 'a', XB_PATTERN_BYTES_MAX + 1);
    large[XB_PATTERN_BYTES_MAX + 1] = '\0';
    struct xb_pattern *made = NULL;
    PROBE_REFUSED(xb_pattern_regex(large, &made, &err), XB_ERR_INVALID);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regular_expressions_are_searched_for),
        cmocka_unit_test(what_go_does_not_have_is_refused),
        cmocka_unit_test(globs_are_about_the_whole),
        cmocka_unit_test(no_pattern_takes_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
