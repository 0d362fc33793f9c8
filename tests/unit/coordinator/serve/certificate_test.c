/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates: what is made stands up to OpenSSL's own verification under the authority and only
 * there, is read back, and is called old in time. TLS itself: server_test.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "coordinator/serve/certificate.h"

#define NOW_S INT64_C(1800000000)

static const char *const all_names[] = {"velero.velero.svc", "localhost", "127.0.0.1", "::1",
                                        "fd00::12",          "10.96.0.7"};
static const struct xb_certificate_names names = {all_names, 6};

static struct xb_certificate *new_ca(void)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_certificate *ca = NULL;
    assert_int_equal(xb_certificate_make_ca("Xebec downloads", NOW_S, &ca, &err), 0);
    return ca;
}

static struct xb_certificate *new_server(const struct xb_certificate *ca, int64_t now_s)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_certificate *server = NULL;
    int r = xb_certificate_make_server(ca, &names, now_s, &server, &err);
    if (r < 0) {
        print_error("%s\n", err.text);
    }
    assert_int_equal(r, 0);
    return server;
}

static X509 *parse(const struct xb_certificate *certificate)
{
    BIO *bio = BIO_new_mem_buf(certificate->pem, -1);
    X509 *x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(x509);
    return x509;
}

/* As a TLS client does it: chain, purpose, name, time. Returns X509_V_OK or the reason. */
static int verify(const struct xb_certificate *ca, const struct xb_certificate *server,
                  const char *name, int64_t at_s)
{
    X509 *anchor = parse(ca), *leaf = parse(server);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    assert_int_equal(X509_STORE_add_cert(store, anchor), 1);
    assert_int_equal(X509_STORE_CTX_init(ctx, store, leaf, NULL), 1);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
    X509_VERIFY_PARAM_set_time(param, (time_t)at_s);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, name) != 1) {
        assert_int_equal(X509_VERIFY_PARAM_set1_host(param, name, 0), 1);
    }
    int result = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    X509_free(leaf);
    X509_free(anchor);
    return result;
}

/* Every name is good under this authority, in this time, and nothing else is. */
static void made(void **state)
{
    (void)state;
    struct xb_certificate *ca = new_ca(), *stranger = new_ca(), *server = new_server(ca, NOW_S);
    for (size_t i = 0; i < names.count; i++) {
        assert_int_equal(verify(ca, server, all_names[i], NOW_S), X509_V_OK);
        assert_int_not_equal(verify(stranger, server, all_names[i], NOW_S), X509_V_OK);
    }
    assert_int_equal(verify(ca, server, "other.svc", NOW_S), X509_V_ERR_HOSTNAME_MISMATCH);
    assert_int_equal(verify(ca, server, "xebec", NOW_S), X509_V_ERR_HOSTNAME_MISMATCH);
    assert_int_equal(verify(ca, server, "127.0.0.2", NOW_S), X509_V_ERR_IP_ADDRESS_MISMATCH);
    int64_t end_s = NOW_S + XB_CERTIFICATE_SERVER_S;
    assert_int_equal(verify(ca, server, "::1", end_s - 1), X509_V_OK);
    assert_int_equal(verify(ca, server, "::1", end_s + 1), X509_V_ERR_CERT_HAS_EXPIRED);
    assert_int_equal(verify(ca, server, "::1", NOW_S - 60), X509_V_OK);
    assert_int_not_equal(verify(ca, server, "::1", NOW_S - 86400), X509_V_OK);
    /* What the server's certificate signs is worth nothing. */
    struct xb_certificate *forged = new_server(server, NOW_S);
    assert_int_not_equal(verify(ca, forged, "::1", NOW_S), X509_V_OK);
    assert_int_not_equal(verify(server, forged, "::1", NOW_S), X509_V_OK);

    X509 *a = parse(ca), *b = parse(server), *c = parse(forged);
    assert_true(X509_check_ca(a) == 1 && X509_check_ca(b) == 0);
    assert_int_equal(X509_get_extension_flags(b) & EXFLAG_CA, 0);
    assert_int_equal(EVP_PKEY_get_bits(X509_get0_pubkey(b)), 256);
    assert_int_not_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(b), X509_get0_serialNumber(c)), 0);
    X509_free(a);
    X509_free(b);
    X509_free(c);
    xb_certificate_free(forged);
    xb_certificate_free(server);
    xb_certificate_free(stranger);
    xb_certificate_free(ca);
}

/* A last certificate never outlives its authority. */
static void never_longer_than_ca(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_certificate_state found;
    struct xb_certificate *ca = new_ca();
    int64_t late_s = NOW_S + XB_CERTIFICATE_CA_S - 1000;
    struct xb_certificate *server = new_server(ca, late_s);
    struct xb_certificate_wanted wanted = {.ca = ca, .names = &names, .now_s = late_s};
    assert_int_equal(xb_certificate_check_server(server, &wanted, &found, &err), 0);
    assert_int_equal(found.not_after_s, NOW_S + XB_CERTIFICATE_CA_S);
    xb_certificate_free(server);
    xb_certificate_free(ca);
}

static int load(const char *pem, const void *key, size_t key_len, struct xb_certificate **ret,
                struct xb_error *err)
{
    XB_CLEANUP(xb_secret_freep) struct xb_secret *secret = NULL;
    int r = xb_secret_new(key, key_len, &secret, err);
    return r < 0 ? r : xb_certificate_load(pem, strlen(pem), secret, ret, err);
}

static void load_refused(const char *pem, const void *key, size_t key_len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_certificate *got = NULL;
    assert_true(load(pem, key, key_len, &got, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_CORRUPT);
    assert_null(got);
    assert_null(strstr(err.text, "BEGIN"));
}

static void encrypted_key(const struct xb_secret *key, char *out, size_t size)
{
    BIO *in = BIO_new_mem_buf(key->data, (int)key->len), *made_bio = BIO_new(BIO_s_mem());
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
    assert_non_null(pkey);
    unsigned char password[] = "secret";
    assert_int_equal(
        PEM_write_bio_PrivateKey(made_bio, pkey, EVP_aes_256_cbc(), password, 6, NULL, NULL), 1);
    int len = BIO_read(made_bio, out, (int)size - 1);
    assert_true(len > 0);
    out[len] = '\0';
    EVP_PKEY_free(pkey);
    BIO_free(in);
    BIO_free(made_bio);
}

/* PEM in and out; what is not a pair is refused, without asking anybody for a password. */
static void loaded(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_certificate *ca = new_ca(), *server = new_server(ca, NOW_S), *got = NULL;
    char chain[8192], locked[4096], broken[4096];
    static char huge[XB_CERTIFICATE_PEM_BYTES_MAX + 2];
    assert_int_equal(load(server->pem, server->key->data, server->key->len, &got, &err), 0);
    assert_string_equal(got->pem, server->pem);
    assert_int_equal(got->key->len, server->key->len);
    assert_memory_equal(got->key->data, server->key->data, got->key->len);
    xb_certificate_free(got);
    got = NULL;
    snprintf(chain, sizeof chain, "%s%s", server->pem, ca->pem);
    assert_int_equal(load(chain, server->key->data, server->key->len, &got, &err), 0);
    assert_string_equal(got->pem, chain);
    xb_certificate_free(got);

    load_refused(server->pem, ca->key->data, ca->key->len);
    load_refused(ca->pem, server->key->data, server->key->len);
    load_refused("", server->key->data, server->key->len);
    load_refused("no certificate", server->key->data, server->key->len);
    load_refused((const char *)server->key->data, server->key->data, server->key->len);
    load_refused(server->pem, server->pem, strlen(server->pem));
    load_refused(server->pem, server->key->data, server->key->len - 40);
    encrypted_key(server->key, locked, sizeof locked);
    assert_non_null(strstr(locked, "ENCRYPTED"));
    load_refused(server->pem, locked, strlen(locked));
    snprintf(broken, sizeof broken, "%s", server->pem);
    broken[strlen(broken) / 2] = '!';
    load_refused(broken, server->key->data, server->key->len);
    memset(huge, 'A', sizeof huge - 1);
    load_refused(huge, server->key->data, server->key->len);
    xb_certificate_free(server);
    xb_certificate_free(ca);
}

static enum xb_certificate_fault fault_at(const struct xb_certificate *server,
                                          const struct xb_certificate *ca,
                                          const struct xb_certificate_names *wanted_names,
                                          int64_t now_s)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_certificate_state found = {.renew_at_s = 0};
    struct xb_certificate_wanted wanted = {.ca = ca, .names = wanted_names, .now_s = now_s};
    assert_int_equal(xb_certificate_check_server(server, &wanted, &found, &err), 0);
    assert_true(found.not_before_s < found.renew_at_s && found.renew_at_s < found.not_after_s);
    return found.fault;
}

/* The same certificate with a wrong signature. */
static struct xb_certificate *badly_signed(const struct xb_certificate *certificate)
{
    unsigned char *der = NULL;
    struct xb_certificate *made = calloc(1, sizeof *made);
    X509 *x509 = parse(certificate);
    int len = i2d_X509(x509, &der);
    X509_free(x509);
    assert_true(len > 0);
    der[len - 1] ^= 1; /* in the signature */
    const unsigned char *start = der;
    x509 = d2i_X509(NULL, &start, len);
    BIO *bio = BIO_new(BIO_s_mem());
    made->pem = calloc(1, 4096);
    assert_int_equal(PEM_write_bio_X509(bio, x509), 1);
    assert_true(BIO_read(bio, made->pem, 4095) > 0);
    BIO_free(bio);
    X509_free(x509);
    OPENSSL_free(der);
    return made;
}

/* When a certificate must be replaced, and why. */
static void renewal(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_certificate_state found;
    static const char *const more[] = {"::1", "new.example"}, *const fewer[] = {"0:0::0:1"};
    struct xb_certificate_names more_names = {more, 2}, fewer_names = {fewer, 1};
    struct xb_certificate *ca = new_ca(), *same_name = new_ca(), *server = new_server(ca, NOW_S);
    int64_t day = XB_CERTIFICATE_DAY_S;
    assert_int_equal(fault_at(server, ca, &names, NOW_S), XB_CERTIFICATE_GOOD);
    assert_int_equal(fault_at(server, NULL, NULL, NOW_S), XB_CERTIFICATE_GOOD);
    assert_int_equal(fault_at(server, ca, &fewer_names, NOW_S), XB_CERTIFICATE_GOOD);
    assert_int_equal(fault_at(server, ca, &more_names, NOW_S), XB_CERTIFICATE_NAMES);
    assert_int_equal(fault_at(server, same_name, &names, NOW_S), XB_CERTIFICATE_ISSUER);
    assert_int_equal(fault_at(ca, ca, NULL, NOW_S), XB_CERTIFICATE_PURPOSE);
    struct xb_certificate *forged = badly_signed(server);
    assert_int_equal(fault_at(forged, ca, &names, NOW_S), XB_CERTIFICATE_ISSUER);
    xb_certificate_free(forged);
    assert_int_equal(fault_at(server, ca, &names, NOW_S - day), XB_CERTIFICATE_EARLY);
    assert_int_equal(fault_at(server, ca, &names, NOW_S + 240 * day), XB_CERTIFICATE_GOOD);
    assert_int_equal(fault_at(server, ca, &names, NOW_S + 245 * day), XB_CERTIFICATE_OLD);
    assert_int_equal(fault_at(server, ca, &names, NOW_S + 400 * day), XB_CERTIFICATE_OLD);

    assert_int_equal(xb_certificate_check_ca(ca, NOW_S, &found, &err), 0);
    assert_int_equal(found.fault, XB_CERTIFICATE_GOOD);
    assert_int_equal(found.not_after_s, NOW_S + 3650 * day);
    assert_int_equal(found.renew_at_s, NOW_S + (3650 - 365) * day);
    assert_int_equal(xb_certificate_check_ca(ca, found.renew_at_s - 1, &found, &err), 0);
    assert_int_equal(found.fault, XB_CERTIFICATE_GOOD);
    assert_int_equal(xb_certificate_check_ca(ca, found.renew_at_s, &found, &err), 0);
    assert_int_equal(found.fault, XB_CERTIFICATE_OLD);
    assert_int_equal(xb_certificate_check_ca(ca, NOW_S - day, &found, &err), 0);
    assert_int_equal(found.fault, XB_CERTIFICATE_EARLY);
    assert_string_equal(xb_certificate_fault_name(found.fault), "early");
    xb_certificate_free(server);
    xb_certificate_free(same_name);
    xb_certificate_free(ca);
}

static void make_refused(const char *const *list, size_t count)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_certificate *ca = new_ca(), *got = NULL;
    struct xb_certificate_names wanted = {list, count};
    assert_true(xb_certificate_make_server(ca, &wanted, NOW_S, &got, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_INVALID);
    assert_null(got);
    xb_certificate_free(ca);
}

static void bad_names(void **state)
{
    (void)state;
    static const char *const bad[] = {"",           ".a",      "a.",    "a..b", "a b",
                                      "DNS:a,IP:1", "a\nb",    "-a",    "*.a",  "http://a",
                                      "\xc3\xa4",   "a,DNS:b", "[::1]", "::g",  "a:8443"};
    const char *many[XB_CERTIFICATE_NAMES_MAX + 1];
    char text[300];
    struct xb_error err = XB_ERROR_INIT;
    struct xb_certificate *got = NULL;
    assert_true(xb_certificate_name_valid("a.b-c"));
    assert_true(xb_certificate_name_valid("fd00::1"));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(xb_certificate_name_valid(bad[i]));
        make_refused(&bad[i], 1);
    }
    for (size_t i = 0; i < sizeof many / sizeof *many; i++) {
        many[i] = "a.b";
    }
    make_refused(many, sizeof many / sizeof *many);
    make_refused(many, 0);
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    many[0] = text;
    make_refused(many, 1);
    assert_true(xb_certificate_make_ca(text, NOW_S, &got, &err) < 0);
    assert_true(xb_certificate_make_ca("", NOW_S, &got, &err) < 0);
    assert_null(got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made),      cmocka_unit_test(never_longer_than_ca),
        cmocka_unit_test(loaded),    cmocka_unit_test(renewal),
        cmocka_unit_test(bad_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
