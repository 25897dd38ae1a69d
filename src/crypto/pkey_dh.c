#include "crypto/pkey_internal.h"
#include "secret/view.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

hf_result pkey_dh_agree(const struct hf_pkey *key, struct hf_cursor peer, struct hf_secret **ret_shared)
{
    CLEANUP(hf_pkey_freep) struct hf_pkey *other = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *shared = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    CLEANUP(pkey_ctx_freep) EVP_PKEY_CTX *ctx = NULL;

    hf_result read = hf_pkey_from_public(key->row->alg, peer, &other);
    if (!HF_IS_OK(read))
        return read.code == HF_NO_MEMORY ? read : HF_FAIL(BAD_PEER_KEY);
    ctx = pkey_ctx(key);
    if (ctx == NULL)
        return PKEY_FAILED(NO_MEMORY);
    size_t len = 0;
    /* Decoding has put the point on the curve; these groups have no other subgroup that would need a check. */
    if (EVP_PKEY_derive_init(ctx) != 1 || EVP_PKEY_derive_set_peer_ex(ctx, other->evp, 0) != 1 ||
        EVP_PKEY_derive(ctx, NULL, &len) != 1)
        return PKEY_FAILED(BAD_PEER_KEY);
    TRY(hf_secret_new(len, &shared));
    TRY(hf_secret_view_open(shared, &view));
    /* RFC 7748 section 6: the library refuses an all-zero X25519 result. */
    if (EVP_PKEY_derive(ctx, view.bytes, &len) != 1 || len != view.len)
        return PKEY_FAILED(BAD_PEER_KEY);
    *ret_shared = TAKE(shared);
    return HF_DONE;
}

/* RFC 9180 section 4.1; the library chooses the KDF by the curve. */
static const OSSL_PARAM *dhkem(void)
{
    static char operation[] = OSSL_KEM_PARAM_OPERATION_DHKEM;
    static const OSSL_PARAM params[] = {
        {OSSL_KEM_PARAM_OPERATION, OSSL_PARAM_UTF8_STRING, operation, sizeof(operation) - 1, 0},
        OSSL_PARAM_END,
    };
    return params;
}

hf_result pkey_dhkem_encapsulate(const struct hf_pkey *key, struct hf_buf *out, struct hf_secret **ret_shared)
{
    return pkey_evp_encapsulate(key, dhkem(), out, ret_shared);
}

hf_result pkey_dhkem_decapsulate(const struct hf_pkey *key, struct hf_cursor ct,
                                 struct hf_secret **ret_shared)
{
    return pkey_evp_decapsulate(key, dhkem(), ct, ret_shared);
}
