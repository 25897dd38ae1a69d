/* Client certificates of an issuer that the test makes, with classical and ML-DSA keys: who is let in and who is not. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "crypto/crypto.h"
#include "crypto/x509_verify.h"

static const time_t now_s = 1800000000;

struct party {
    EVP_PKEY *key;
    X509 *cert;
};

struct profile {
    const char *key; /* "EC", "ML-DSA-65", "RSA1024" */
    const char *name;
    const char *alternatives; /* NULL: none */
    const char *usage;        /* extended key usage, NULL: none */
    bool ca;
    long from, till; /* seconds from now */
};

static EVP_PKEY *key_of(const char *kind)
{
    EVP_PKEY *key = strcmp(kind, "EC") == 0        ? EVP_EC_gen("P-256")
                    : strcmp(kind, "RSA1024") == 0 ? EVP_RSA_gen(1024)
                                                   : EVP_PKEY_Q_keygen(NULL, NULL, kind);
    assert_non_null(key);
    return key;
}

static void extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(cert, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static void add_name(X509_NAME *to, const char *field, const char *value)
{
    assert_int_equal(
        X509_NAME_add_entry_by_txt(to, field, MBSTRING_UTF8, (const unsigned char *)value, -1, -1, 0), 1);
}

static struct party make(const struct profile *p, const struct party *issuer)
{
    static long serial = 1000;
    struct party made = {key_of(p->key), X509_new()};
    X509 *signer = issuer == NULL ? made.cert : issuer->cert;
    time_t at = now_s;
    X509_set_version(made.cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made.cert), ++serial);
    X509_time_adj_ex(X509_getm_notBefore(made.cert), 0, p->from, &at);
    X509_time_adj_ex(X509_getm_notAfter(made.cert), 0, p->till, &at);
    X509_set_pubkey(made.cert, made.key);
    add_name(X509_get_subject_name(made.cert), "OU", "unit one");
    add_name(X509_get_subject_name(made.cert), "CN", p->name);
    X509_set_issuer_name(made.cert, X509_get_subject_name(signer));
    extend(made.cert, signer, NID_basic_constraints, p->ca ? "critical,CA:TRUE" : "CA:FALSE");
    extend(made.cert, signer, NID_subject_key_identifier, "hash");
    if (issuer != NULL)
        extend(made.cert, signer, NID_authority_key_identifier, "keyid:always");
    if (p->usage != NULL)
        extend(made.cert, signer, NID_ext_key_usage, p->usage);
    if (p->alternatives != NULL)
        extend(made.cert, signer, NID_subject_alt_name, p->alternatives);
    EVP_PKEY *with = issuer == NULL ? made.key : issuer->key;
    bool own_digest = EVP_PKEY_is_a(with, "EC") || EVP_PKEY_is_a(with, "RSA");
    assert_true(X509_sign(made.cert, with, own_digest ? EVP_sha256() : NULL) > 0);
    return made;
}

static void done(struct party *party)
{
    X509_free(party->cert);
    EVP_PKEY_free(party->key);
}

static size_t pem_of(const struct party *const *parties, size_t count, char *out, size_t room)
{
    BIO *bio = BIO_new(BIO_s_mem());
    for (size_t i = 0; i < count; i++)
        assert_int_equal(PEM_write_bio_X509(bio, parties[i]->cert), 1);
    int len = BIO_read(bio, out, (int)room);
    assert_true(len > 0 && (size_t)len < room);
    BIO_free(bio);
    return (size_t)len;
}

static enum hf_code verify(const struct party *holder, const struct party *between,
                           const struct party *trusted)
{
    static unsigned char der[32768];
    static char pem[32768];
    unsigned char *at = der;
    struct hf_x509 *cert = NULL;
    i2d_X509(holder->cert, &at);
    if (between != NULL)
        i2d_X509(between->cert, &at);
    assert_int_equal(hf_x509_parse(hf_cursor(der, (size_t)(at - der)), &cert).code, HF_OK);
    size_t len = pem_of(&trusted, 1, pem, sizeof(pem));
    enum hf_code code = hf_x509_verify(cert, hf_cursor(pem, len), (int64_t)now_s * HF_SECOND).code;
    hf_x509_free(cert);
    return code;
}

static const struct profile issuer_profile = {"EC", "issuer", NULL, NULL, true, -1000, 100000};
static const struct profile holder_profile = {
    "EC",  "holder", "DNS:a.example,DNS:b.example,email:x@example,URI:spiffe://e/x", "clientAuth", false,
    -1000, 1000};

static void check_family(const char *key)
{
    struct profile p = issuer_profile, h = holder_profile;
    p.key = h.key = key;
    struct party root = make(&p, NULL), other = make(&p, NULL), middle = make(&p, &root);
    struct party holder = make(&h, &root), below = make(&h, &middle);
    assert_int_equal(verify(&holder, NULL, &root), HF_OK);
    assert_int_equal(verify(&holder, NULL, &holder), HF_OK);    /* one holder, named himself */
    assert_int_equal(verify(&holder, NULL, &other), HF_DENIED); /* same name, other key */
    assert_int_equal(verify(&below, NULL, &root), HF_DENIED);
    assert_int_equal(verify(&below, &middle, &root), HF_OK);
    assert_int_equal(verify(&below, NULL, &middle), HF_OK); /* trust may begin in the middle */
    struct party by_holder = make(&h, &holder);
    assert_int_equal(verify(&by_holder, NULL, &holder), HF_DENIED); /* he may not issue */
    assert_int_equal(verify(&by_holder, &holder, &root), HF_DENIED);
    done(&by_holder);
    done(&below);
    done(&holder);
    done(&middle);
    done(&other);
    done(&root);
}

static void classical_chains(void **state)
{
    (void)state;
    check_family("EC");
}

static void post_quantum_chains(void **state)
{
    (void)state;
    check_family("ML-DSA-65");
}

static void time_use_and_strength_count(void **state)
{
    (void)state;
    struct party root = make(&issuer_profile, NULL);
    struct profile late = holder_profile, early = holder_profile, server = holder_profile,
                   weak = holder_profile;
    late.till = -1;
    early.from = 10;
    server.usage = "serverAuth";
    weak.key = "RSA1024";
    const struct profile *const refused[] = {&late, &early, &server, &weak};
    for (size_t i = 0; i < HF_ARRAY_LEN(refused); i++) {
        struct party holder = make(refused[i], &root);
        assert_int_equal(verify(&holder, NULL, &root), HF_DENIED);
        done(&holder);
    }
    struct profile plain = holder_profile;
    plain.usage = NULL;
    struct party holder = make(&plain, &root);
    assert_int_equal(verify(&holder, NULL, &root), HF_OK);
    done(&holder);
    done(&root);
}

struct seen {
    char names[256];
};

static bool join_name(void *arg, struct hf_cursor name)
{
    struct seen *seen = arg;
    strncat(seen->names, (const char *)name.at, name.left);
    strcat(seen->names, " ");
    return true;
}

static void it_says_its_names(void **state)
{
    (void)state;
    struct party root = make(&issuer_profile, NULL), holder = make(&holder_profile, &root);
    static unsigned char der[8192];
    unsigned char *at = der;
    i2d_X509(holder.cert, &at);
    struct hf_x509 *cert = NULL;
    assert_int_equal(hf_x509_parse(hf_cursor(der, (size_t)(at - der)), &cert).code, HF_OK);
    static const struct {
        enum hf_x509_name kind;
        const char *names;
    } rows[] = {{HF_X509_COMMON_NAME, "holder "},
                {HF_X509_UNIT, "unit one "},
                {HF_X509_DNS, "a.example b.example "},
                {HF_X509_EMAIL, "x@example "},
                {HF_X509_URI, "spiffe://e/x "}};
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct seen seen = {""};
        hf_x509_names(cert, rows[i].kind, join_name, &seen);
        assert_string_equal(seen.names, rows[i].names);
    }
    char text[256];
    struct hf_buf out = hf_buf(text, sizeof(text));
    hf_x509_serial(cert, &out);
    assert_true(out.len == 4 && text[0] == '1');
    out.len = 0;
    hf_x509_subject_key_id(cert, &out);
    assert_int_equal(out.len, 59); /* twenty bytes with colons */
    out.len = 0;
    hf_x509_authority_key_id(cert, &out);
    assert_int_equal(out.len, 59);
    hf_x509_free(cert);
    done(&holder);
    done(&root);
}

static void what_is_no_certificate_is_refused(void **state)
{
    (void)state;
    struct party root = make(&issuer_profile, NULL);
    const struct party *one = &root;
    static unsigned char der[8192];
    static char pem[8192];
    unsigned char *at = der;
    struct hf_x509 *cert = NULL;
    i2d_X509(root.cert, &at);
    size_t len = (size_t)(at - der);
    assert_int_equal(hf_x509_parse(hf_cursor(der, 0), &cert).code, HF_BAD_ARGUMENT);
    assert_int_equal(hf_x509_parse(hf_cursor(der, len - 1), &cert).code, HF_BAD_ARGUMENT);
    der[len] = 0;
    assert_int_equal(hf_x509_parse(hf_cursor(der, len + 1), &cert).code, HF_BAD_ARGUMENT);
    assert_null(cert);
    len = pem_of(&one, 1, pem, sizeof(pem));
    assert_int_equal(hf_x509_check_trusted(hf_cursor(pem, len)).code, HF_OK);
    assert_int_equal(hf_x509_check_trusted(hf_cursor(pem, 0)).code, HF_BAD_ARGUMENT);
    assert_int_equal(hf_x509_check_trusted(hf_cursor_text("certificate")).code, HF_BAD_ARGUMENT);
    pem[len / 2] = '!';
    assert_int_equal(hf_x509_check_trusted(hf_cursor(pem, len)).code, HF_BAD_ARGUMENT);
    done(&root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classical_chains),
        cmocka_unit_test(post_quantum_chains),
        cmocka_unit_test(time_use_and_strength_count),
        cmocka_unit_test(it_says_its_names),
        cmocka_unit_test(what_is_no_certificate_is_refused),
    };
    if (!HF_IS_OK(hf_crypto_start(HF_CRYPTO_HEAP_WIPE)))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
