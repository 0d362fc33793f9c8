/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/store/s3/credentials.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/file.h"
#include "shared/store/s3/s3.h"

struct span {
    const char *at;
    size_t len;
};

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct span trimmed(const char *at, size_t len)
{
    while (len > 0 && blank(*at)) {
        at++;
        len--;
    }
    while (len > 0 && blank(at[len - 1])) {
        len--;
    }
    return (struct span){at, len};
}

static bool is(struct span span, const char *text)
{
    return span.len == strlen(text) && memcmp(span.at, text, span.len) == 0;
}

/* "[x]", and in config files "[profile x]" ("[default]" stands alone in both). */
static bool is_section(struct span line, const char *profile, bool config)
{
    struct span name = trimmed(line.at + 1, line.len - 2);
    if (config && name.len > 8 && memcmp(name.at, "profile", 7) == 0 && blank(name.at[7])) {
        name = trimmed(name.at + 7, name.len - 7);
    } else if (config && !is(name, "default")) {
        return false;
    }
    return is(name, profile);
}

static int keep_text(char *to, size_t room, struct span value, const char *what,
                     struct xb_error *err)
{
    if (to[0]) {
        return 0;
    }
    for (size_t i = 0; i < value.len; i++) {
        if (value.len >= room || (unsigned char)value.at[i] <= ' ' || value.at[i] == 0x7f) {
            return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                                "%s in the AWS credentials is too long or holds blanks", what);
        }
    }
    memcpy(to, value.at, value.len);
    to[value.len] = '\0';
    return 0;
}

static int keep_secret(struct xb_secret **to, struct span value, const char *what,
                       struct xb_error *err)
{
    if (*to || value.len == 0) {
        return 0;
    }
    for (size_t i = 0; i < value.len; i++) {
        if ((unsigned char)value.at[i] <= ' ' || (unsigned char)value.at[i] >= 0x7f) {
            return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                                "%s in the AWS credentials holds blanks or other signs that no key "
                                "has",
                                what);
        }
    }
    return xb_secret_new(value.at, value.len, to, err);
}

/* `taken`: the keys are another place's, and a token of this one would not fit them. */
static int keep(struct span name, struct span value, bool taken, struct xb_s3_credentials *into,
                struct xb_error *err)
{
    if (is(name, "region")) {
        return keep_text(into->region, sizeof into->region, value, "region", err);
    }
    if (taken) {
        return 0;
    }
    if (is(name, "aws_access_key_id")) {
        return keep_text(into->id, sizeof into->id, value, "aws_access_key_id", err);
    }
    if (is(name, "aws_secret_access_key")) {
        return keep_secret(&into->secret, value, "aws_secret_access_key", err);
    }
    if (is(name, "aws_session_token")) {
        return keep_secret(&into->token, value, "aws_session_token", err);
    }
    return 0; /* a setting for others */
}

int xb_s3_credentials_parse(const char *text, const char *profile, bool config,
                            struct xb_s3_credentials *into, bool *ret_found, struct xb_error *err)
{
    bool inside = false;
    bool taken = into->id[0] || into->secret;
    int r = 0;
    for (const char *at = text; *at && r == 0;) {
        size_t len = strcspn(at, "\n");
        bool indented = blank(*at); /* belongs to the setting above, e.g. "s3 =" */
        struct span line = trimmed(at, len);
        const char *equals = line.len ? memchr(line.at, '=', line.len) : NULL;
        at += len + (at[len] == '\n');
        if (line.len == 0 || line.at[0] == '#' || line.at[0] == ';') {
            continue;
        }
        if (line.len >= 2 && line.at[0] == '[' && line.at[line.len - 1] == ']') {
            inside = is_section(line, profile, config);
            *ret_found = *ret_found || inside;
        } else if (inside && equals && !(config && indented)) {
            size_t name_len = (size_t)(equals - line.at);
            r = keep(trimmed(line.at, name_len), trimmed(equals + 1, line.len - name_len - 1),
                     taken, into, err);
        }
    }
    return r;
}

/* A missing file is one without profiles. */
static int parse_file(const char *path, const char *profile, bool config,
                      struct xb_s3_credentials *into, bool *ret_found, struct xb_error *err)
{
    struct xb_buf text = XB_BUF_INIT(XB_SECRET_BYTES_MAX);
    struct xb_error failure = XB_ERROR_INIT;
    int r = xb_file_read(path, &text, &failure);
    if (r < 0 && failure.kind != XB_ERR_NOT_FOUND) {
        *err = failure;
    } else {
        r = text.data && r == 0
                ? xb_s3_credentials_parse(text.data, profile, config, into, ret_found, err)
                : 0;
        r = r ? xb_error_wrap(err, "%s", path) : 0;
    }
    xb_buf_wipe(&text);
    return r;
}

/* The path that the environment names, or ~/.aws/`name`. */
static int parse_named(const char *variable, const char *name, const char *profile,
                       struct xb_s3_credentials *into, bool *ret_found, struct xb_error *err)
{
    const char *set = getenv(variable);
    const char *home = getenv("HOME");
    bool config = strcmp(name, "config") == 0;
    XB_CLEANUP(xb_freep) char *path = NULL;
    if (set && set[0]) {
        return parse_file(set, profile, config, into, ret_found, err);
    }
    if (!home || !home[0]) {
        return 0;
    }
    if (asprintf(&path, "%s/.aws/%s", home, name) < 0) {
        path = NULL;
        return xb_error_no_memory(err, "credentials");
    }
    return parse_file(path, profile, config, into, ret_found, err);
}

static struct span env(const char *name)
{
    const char *value = getenv(name);
    return trimmed(value ? value : "", value ? strlen(value) : 0);
}

static int from_environment(struct xb_s3_credentials *into, struct xb_error *err)
{
    struct span id = env("AWS_ACCESS_KEY_ID");
    struct span secret = env("AWS_SECRET_ACCESS_KEY");
    if (id.len == 0 || secret.len == 0) {
        return 0;
    }
    int r = keep_text(into->id, sizeof into->id, id, "AWS_ACCESS_KEY_ID", err);
    r = r ? r : keep_secret(&into->secret, secret, "AWS_SECRET_ACCESS_KEY", err);
    return r ? r : keep_secret(&into->token, env("AWS_SESSION_TOKEN"), "AWS_SESSION_TOKEN", err);
}

static int choose_region(const char *wanted, struct xb_s3_credentials *into, struct xb_error *err)
{
    char profiles[sizeof into->region];
    memcpy(profiles, into->region, sizeof profiles);
    into->region[0] = '\0';
    int r = wanted ? keep_text(into->region, sizeof into->region, trimmed(wanted, strlen(wanted)),
                               "region", err)
                   : 0;
    r = r ? r : keep_text(into->region, sizeof into->region, env("AWS_REGION"), "AWS_REGION", err);
    r = r ? r
          : keep_text(into->region, sizeof into->region, env("AWS_DEFAULT_REGION"),
                      "AWS_DEFAULT_REGION", err);
    if (r == 0 && !into->region[0]) {
        snprintf(into->region, sizeof into->region, "%s", profiles[0] ? profiles : "us-east-1");
    }
    return r;
}

static int check(const struct xb_s3_credentials *credentials, const char *profile, bool found,
                 bool own, struct xb_error *err)
{
    if (credentials->id[0] && credentials->secret) {
        return 0;
    }
    if (credentials->id[0] || credentials->secret) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "the AWS credentials of profile '%.60s' are half there: both "
                            "aws_access_key_id and aws_secret_access_key are needed",
                            profile);
    }
    if (own) {
        return xb_error_set(err, XB_ERR_DENIED, -EACCES,
                            "the given AWS credentials hold no %s '%.60s'%s",
                            found ? "keys in profile" : "profile", profile,
                            found ? "" : ": a line [profile's name] begins one");
    }
    return xb_error_set(err, XB_ERR_DENIED, -EACCES,
                        "no S3 credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
                        "write them into profile '%.60s' of ~/.aws/credentials "
                        "(AWS_SHARED_CREDENTIALS_FILE)",
                        profile);
}

static int load(const struct xb_store_s3_options *options, struct xb_s3_credentials *into,
                struct xb_error *err)
{
    bool found = false;
    const char *named = getenv("AWS_PROFILE");
    const char *profile = options->profile && options->profile[0] ? options->profile
                          : named && named[0]                     ? named
                                                                  : "default";
    int r = 0;
    if (options->credentials) {
        r = xb_s3_credentials_parse(options->credentials, profile, false, into, &found, err);
    } else {
        /* A profile that was asked for wins over keys that happen to be set. */
        bool asked = options->profile && options->profile[0];
        r = asked ? 0 : from_environment(into, err);
        if (r == 0 && !into->id[0]) {
            r = parse_named("AWS_SHARED_CREDENTIALS_FILE", "credentials", profile, into, &found,
                            err);
        }
    }
    if (r == 0 && options->shared_config) {
        r = parse_named("AWS_CONFIG_FILE", "config", profile, into, &found, err);
    }
    r = r ? r : choose_region(options->region, into, err);
    return r ? r : check(into, profile, found, options->credentials != NULL, err);
}

int xb_s3_credentials_load(const struct xb_store_s3_options *options, struct xb_s3_credentials *ret,
                           struct xb_error *err)
{
    struct xb_s3_credentials made = {.id = ""};
    int r = load(options, &made, err);
    if (r < 0) {
        xb_s3_credentials_done(&made);
        return r;
    }
    *ret = made;
    return 0;
}

void xb_s3_credentials_done(struct xb_s3_credentials *credentials)
{
    xb_secret_free(credentials->secret);
    xb_secret_free(credentials->token);
    *credentials = (struct xb_s3_credentials){.id = ""};
}
