/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/serve/certificate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "shared/base/random.h"

enum { SERIAL_BYTES = 16, COMMON_NAME_BYTES_MAX = 64, DNS_NAME_BYTES_MAX = 253 };

/* A client's clock may be a little behind. */
#define BACKDATE_S INT64_C(600)

XB_DEFINE_CLEANUP(x509_freep, X509, X509_free);
XB_DEFINE_CLEANUP(pkey_freep, EVP_PKEY, EVP_PKEY_free);
XB_DEFINE_CLEANUP(bio_freep, BIO, BIO_free_all);
XB_DEFINE_CLEANUP(names_freep, GENERAL_NAMES, GENERAL_NAMES_free);

/* OpenSSL's queue is emptied, so that nothing is found there by whoever looks next. */
static int failed(struct xb_error *err, enum xb_error_kind kind, int code, const char *what)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return xb_error_set(err, kind, code, "%s: %s", what, reason ? reason : "refused by OpenSSL");
}

static int corrupt(struct xb_error *err, const char *what)
{
    return failed(err, XB_ERR_CORRUPT, -EBADMSG, what);
}

static int broken(struct xb_error *err)
{
    return failed(err, XB_ERR_BUG, -EIO, "cannot make a certificate");
}

/* Without it OpenSSL would ask for a password at the terminal. */
static int no_password(char *out, int size, int writing, void *context)
{
    (void)out;
    (void)size;
    (void)writing;
    (void)context;
    return -1;
}

static int read_certificate(const char *pem, size_t len, X509 **ret, struct xb_error *err)
{
    if (len == 0 || len > XB_CERTIFICATE_PEM_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "a certificate of %zu bytes (1 to %d are taken)", len,
                            XB_CERTIFICATE_PEM_BYTES_MAX);
    }
    XB_CLEANUP(bio_freep) BIO *bio = BIO_new_mem_buf(pem, (int)len);
    X509 *x509 = bio ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;
    if (!x509) {
        return corrupt(err, "not a certificate in PEM form");
    }
    *ret = x509;
    return 0;
}

static int read_key(const struct xb_secret *key, EVP_PKEY **ret, struct xb_error *err)
{
    if (key->len == 0 || key->len > XB_CERTIFICATE_PEM_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "a private key of %zu bytes (1 to %d are taken)", key->len,
                            XB_CERTIFICATE_PEM_BYTES_MAX);
    }
    XB_CLEANUP(bio_freep) BIO *bio = BIO_new_mem_buf(key->data, (int)key->len);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    if (!pkey) {
        return corrupt(err, "not a private key in PEM form without a password");
    }
    *ret = pkey;
    return 0;
}

static int read_both(const struct xb_certificate *certificate, X509 **ret_x509, EVP_PKEY **ret_key,
                     struct xb_error *err)
{
    XB_CLEANUP(x509_freep) X509 *x509 = NULL;
    int r = read_certificate(certificate->pem, strlen(certificate->pem), &x509, err);
    if (r == 0) {
        r = read_key(certificate->key, ret_key, err);
    }
    if (r == 0) {
        *ret_x509 = XB_TAKE(x509);
    }
    return r;
}

static int certificate_new(const char *pem, size_t len, const struct xb_secret *key,
                           struct xb_certificate **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_certificate_freep) struct xb_certificate *made = calloc(1, sizeof *made);
    if (!made) {
        return xb_error_no_memory(err, "a certificate");
    }
    made->pem = strndup(pem, len);
    if (!made->pem) {
        return xb_error_no_memory(err, "a certificate");
    }
    int r = xb_secret_new(key->data, key->len, &made->key, err);
    if (r < 0) {
        return r;
    }
    *ret = XB_TAKE(made);
    return 0;
}

/* BIO in memory zeroes what it frees, so the key is left nowhere but in the secret. */
static int write_both(X509 *x509, EVP_PKEY *pkey, struct xb_certificate **ret, struct xb_error *err)
{
    XB_CLEANUP(bio_freep) BIO *text = BIO_new(BIO_s_mem());
    XB_CLEANUP(bio_freep) BIO *hidden = BIO_new(BIO_s_mem());
    XB_CLEANUP(xb_secret_freep) struct xb_secret *key = NULL;
    char *text_data = NULL, *hidden_data = NULL;
    if (!text || !hidden || PEM_write_bio_X509(text, x509) != 1 ||
        PEM_write_bio_PrivateKey(hidden, pkey, NULL, NULL, 0, NULL, NULL) != 1) {
        return broken(err);
    }
    long text_len = BIO_get_mem_data(text, &text_data);
    long hidden_len = BIO_get_mem_data(hidden, &hidden_data);
    if (text_len <= 0 || hidden_len <= 0) {
        return broken(err);
    }
    int r = xb_secret_new(hidden_data, (size_t)hidden_len, &key, err);
    return r < 0 ? r : certificate_new(text_data, (size_t)text_len, key, ret, err);
}

static bool set_serial(X509 *x509)
{
    unsigned char bytes[SERIAL_BYTES];
    xb_random_bytes(bytes, sizeof bytes);
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, and never short */
    BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x509));
    BN_free(number);
    return ok;
}

static bool set_times(X509 *x509, int64_t from_s, int64_t until_s)
{
    time_t from = (time_t)from_s, until = (time_t)until_s;
    return X509_time_adj_ex(X509_getm_notBefore(x509), 0, 0, &from) &&
           X509_time_adj_ex(X509_getm_notAfter(x509), 0, 0, &until);
}

static bool set_common_name(X509 *x509, const char *text)
{
    return X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_UTF8,
                                      (const unsigned char *)text, -1, -1, 0) == 1;
}

/* `value` is always a constant of this file: OpenSSL reads it as a small language. */
static bool add_extension(X509 *x509, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, x509, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = extension && X509_add_ext(x509, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return ok;
}

static bool dns_name_valid(const char *name)
{
    size_t len = strnlen(name, DNS_NAME_BYTES_MAX + 1);
    if (len == 0 || len > DNS_NAME_BYTES_MAX || name[0] == '.' || name[0] == '-' ||
        name[len - 1] == '.' || strstr(name, "..")) {
        return false;
    }
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") == len;
}

/* 4 or 16 for an address, 0 for anything else. */
static int address_parse(const char *name, unsigned char out[16])
{
    if (inet_pton(AF_INET, name, out) == 1) {
        return 4;
    }
    return inet_pton(AF_INET6, name, out) == 1 ? 16 : 0;
}

bool xb_certificate_name_valid(const char *name)
{
    unsigned char address[16];
    return address_parse(name, address) != 0 || dns_name_valid(name);
}

static GENERAL_NAME *general_name(const char *name)
{
    unsigned char address[16];
    int address_len = address_parse(name, address);
    GENERAL_NAME *made = GENERAL_NAME_new();
    ASN1_STRING *text = ASN1_STRING_type_new(address_len ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
    bool ok = made && text &&
              (address_len ? ASN1_STRING_set(text, address, address_len)
                           : ASN1_STRING_set(text, name, (int)strlen(name))) == 1;
    if (!ok) {
        GENERAL_NAME_free(made);
        ASN1_STRING_free(text);
        return NULL;
    }
    GENERAL_NAME_set0_value(made, address_len ? GEN_IPADD : GEN_DNS, text);
    return made;
}

static int add_names(X509 *x509, const struct xb_certificate_names *names, struct xb_error *err)
{
    if (names->count == 0 || names->count > XB_CERTIFICATE_NAMES_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "a certificate for %zu names (1 to %d are possible)", names->count,
                            XB_CERTIFICATE_NAMES_MAX);
    }
    XB_CLEANUP(names_freep) GENERAL_NAMES *all = sk_GENERAL_NAME_new_null();
    for (size_t i = 0; all && i < names->count; i++) {
        const char *name = names->names[i];
        if (!xb_certificate_name_valid(name)) {
            return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                                "'%.100s' is neither a DNS name nor an IP address", name);
        }
        GENERAL_NAME *made = general_name(name);
        if (!made || sk_GENERAL_NAME_push(all, made) <= 0) {
            GENERAL_NAME_free(made);
            return broken(err);
        }
    }
    if (!all || X509_add1_ext_i2d(x509, NID_subject_alt_name, all, 0, X509V3_ADD_DEFAULT) != 1) {
        return broken(err);
    }
    return 0;
}

int xb_certificate_make_ca(const char *common_name, int64_t now_s, struct xb_certificate **ret,
                           struct xb_error *err)
{
    size_t len = strnlen(common_name, COMMON_NAME_BYTES_MAX + 1);
    if (len == 0 || len > COMMON_NAME_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "an authority's name has 1 to %d bytes, not %zu", COMMON_NAME_BYTES_MAX,
                            len);
    }
    XB_CLEANUP(pkey_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
    XB_CLEANUP(x509_freep) X509 *x509 = X509_new();
    bool ok = key && x509 && X509_set_version(x509, X509_VERSION_3) == 1 && set_serial(x509) &&
              set_times(x509, now_s - BACKDATE_S, now_s + XB_CERTIFICATE_CA_S) &&
              set_common_name(x509, common_name) &&
              X509_set_issuer_name(x509, X509_get_subject_name(x509)) == 1 &&
              X509_set_pubkey(x509, key) == 1 &&
              add_extension(x509, x509, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
              add_extension(x509, x509, NID_key_usage, "critical,keyCertSign,cRLSign") &&
              add_extension(x509, x509, NID_subject_key_identifier, "hash") &&
              X509_sign(x509, key, EVP_sha256()) > 0;
    return ok ? write_both(x509, key, ret, err) : broken(err);
}

static bool not_after(const X509 *x509, int64_t *ret_s)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(X509_get0_notAfter(x509), &tm) != 1) {
        return false;
    }
    *ret_s = (int64_t)timegm(&tm);
    return true;
}

static bool not_before(const X509 *x509, int64_t *ret_s)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(X509_get0_notBefore(x509), &tm) != 1) {
        return false;
    }
    *ret_s = (int64_t)timegm(&tm);
    return true;
}

static bool fill_server(X509 *x509, X509 *issuer, EVP_PKEY *key, int64_t now_s)
{
    int64_t until_s = now_s + XB_CERTIFICATE_SERVER_S, limit_s = 0;
    if (!not_after(issuer, &limit_s)) {
        return false;
    }
    until_s = until_s < limit_s ? until_s : limit_s;
    return X509_set_version(x509, X509_VERSION_3) == 1 && set_serial(x509) &&
           set_times(x509, now_s - BACKDATE_S, until_s) && set_common_name(x509, "xebec") &&
           X509_set_issuer_name(x509, X509_get_subject_name(issuer)) == 1 &&
           X509_set_pubkey(x509, key) == 1 &&
           add_extension(x509, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(x509, issuer, NID_key_usage, "critical,digitalSignature") &&
           add_extension(x509, issuer, NID_ext_key_usage, "serverAuth") &&
           add_extension(x509, issuer, NID_subject_key_identifier, "hash") &&
           add_extension(x509, issuer, NID_authority_key_identifier, "keyid");
}

int xb_certificate_make_server(const struct xb_certificate *ca,
                               const struct xb_certificate_names *names, int64_t now_s,
                               struct xb_certificate **ret, struct xb_error *err)
{
    XB_CLEANUP(x509_freep) X509 *issuer = NULL;
    XB_CLEANUP(pkey_freep) EVP_PKEY *issuer_key = NULL;
    int r = read_both(ca, &issuer, &issuer_key, err);
    if (r < 0) {
        return xb_error_wrap(err, "the certificate authority");
    }
    XB_CLEANUP(pkey_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
    XB_CLEANUP(x509_freep) X509 *x509 = X509_new();
    if (!key || !x509 || !fill_server(x509, issuer, key, now_s)) {
        return broken(err);
    }
    r = add_names(x509, names, err);
    if (r < 0) {
        return r;
    }
    return X509_sign(x509, issuer_key, EVP_sha256()) > 0 ? write_both(x509, key, ret, err)
                                                         : broken(err);
}

int xb_certificate_load(const char *pem, size_t pem_len, const struct xb_secret *key,
                        struct xb_certificate **ret, struct xb_error *err)
{
    XB_CLEANUP(x509_freep) X509 *x509 = NULL;
    XB_CLEANUP(pkey_freep) EVP_PKEY *pkey = NULL;
    if (memchr(pem, '\0', pem_len)) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "a certificate with a NUL byte");
    }
    int r = read_certificate(pem, pem_len, &x509, err);
    if (r < 0 || (r = read_key(key, &pkey, err)) < 0) {
        return r;
    }
    if (X509_check_private_key(x509, pkey) != 1) {
        return corrupt(err, "the private key is not that of the certificate");
    }
    return certificate_new(pem, pem_len, key, ret, err);
}

static bool holds_name(X509 *x509, const char *name)
{
    unsigned char address[16];
    if (address_parse(name, address) > 0) {
        return X509_check_ip_asc(x509, name, 0) == 1;
    }
    return X509_check_host(x509, name, strlen(name), X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) ==
           1;
}

static bool holds_names(X509 *x509, const struct xb_certificate_names *names)
{
    for (size_t i = 0; names && i < names->count; i++) {
        if (!holds_name(x509, names->names[i])) {
            return false;
        }
    }
    return true;
}

static int read_state(const struct xb_certificate *certificate, X509 **ret_x509,
                      struct xb_certificate_state *state, struct xb_error *err)
{
    XB_CLEANUP(x509_freep) X509 *x509 = NULL;
    int r = read_certificate(certificate->pem, strlen(certificate->pem), &x509, err);
    if (r < 0) {
        return r;
    }
    if (!not_before(x509, &state->not_before_s) || !not_after(x509, &state->not_after_s)) {
        return corrupt(err, "a certificate without times");
    }
    *ret_x509 = XB_TAKE(x509);
    return 0;
}

static enum xb_certificate_fault time_fault(const struct xb_certificate_state *state, int64_t now_s)
{
    if (now_s < state->not_before_s) {
        return XB_CERTIFICATE_EARLY;
    }
    return now_s >= state->renew_at_s ? XB_CERTIFICATE_OLD : XB_CERTIFICATE_GOOD;
}

int xb_certificate_check_ca(const struct xb_certificate *ca, int64_t now_s,
                            struct xb_certificate_state *ret, struct xb_error *err)
{
    struct xb_certificate_state state = {.fault = XB_CERTIFICATE_GOOD};
    XB_CLEANUP(x509_freep) X509 *x509 = NULL;
    int r = read_state(ca, &x509, &state, err);
    if (r < 0) {
        return r;
    }
    state.renew_at_s = state.not_after_s - XB_CERTIFICATE_SERVER_S;
    state.fault = time_fault(&state, now_s);
    if (state.fault == XB_CERTIFICATE_GOOD && X509_check_ca(x509) != 1) {
        state.fault = XB_CERTIFICATE_PURPOSE;
    }
    ERR_clear_error();
    *ret = state;
    return 0;
}

/* The signature too: an authority made anew has the old one's name. */
static int signed_by(X509 *x509, const struct xb_certificate *ca, bool *ret, struct xb_error *err)
{
    XB_CLEANUP(x509_freep) X509 *issuer = NULL;
    int r = read_certificate(ca->pem, strlen(ca->pem), &issuer, err);
    if (r < 0) {
        return xb_error_wrap(err, "the certificate authority");
    }
    EVP_PKEY *key = X509_get0_pubkey(issuer);
    *ret = X509_check_issued(issuer, x509) == X509_V_OK && key && X509_verify(x509, key) == 1;
    ERR_clear_error();
    return 0;
}

int xb_certificate_check_server(const struct xb_certificate *certificate,
                                const struct xb_certificate_wanted *wanted,
                                struct xb_certificate_state *ret, struct xb_error *err)
{
    struct xb_certificate_state state = {.fault = XB_CERTIFICATE_GOOD};
    XB_CLEANUP(x509_freep) X509 *x509 = NULL;
    bool ours = true;
    int r = read_state(certificate, &x509, &state, err);
    if (r == 0 && wanted->ca) {
        r = signed_by(x509, wanted->ca, &ours, err);
    }
    if (r < 0) {
        return r;
    }
    state.renew_at_s = state.not_after_s - (state.not_after_s - state.not_before_s) / 3;
    state.fault = time_fault(&state, wanted->now_s);
    if (state.fault == XB_CERTIFICATE_GOOD) {
        if (X509_check_purpose(x509, X509_PURPOSE_SSL_SERVER, 0) != 1) {
            state.fault = XB_CERTIFICATE_PURPOSE;
        } else if (!ours) {
            state.fault = XB_CERTIFICATE_ISSUER;
        } else if (!holds_names(x509, wanted->names)) {
            state.fault = XB_CERTIFICATE_NAMES;
        }
    }
    ERR_clear_error();
    *ret = state;
    return 0;
}

const char *xb_certificate_fault_name(enum xb_certificate_fault fault)
{
    static const char *const names[] = {"good", "old", "early", "purpose", "issuer", "names"};
    return (size_t)fault < sizeof names / sizeof *names ? names[fault] : "unknown";
}

void xb_certificate_free(struct xb_certificate *certificate)
{
    if (!certificate) {
        return;
    }
    free(certificate->pem);
    xb_secret_free(certificate->key);
    free(certificate);
}
