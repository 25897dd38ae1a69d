/* HPKE's parts that vectors need beside the one suite in use (pkey.h: hf_hpke_seal, hf_hpke_open). */
#ifndef HF_CRYPTO_HPKE_H
#define HF_CRYPTO_HPKE_H

#include "crypto/pkey.h"

enum hf_hpke_aead { HF_HPKE_AES256_GCM = 0x0002, HF_HPKE_CHACHA20_POLY1305 = 0x0003 };

/* As hf_hpke_seal and hf_hpke_open, with the AEAD named. */
hf_result hf_hpke_seal_suite(const struct hf_pkey *recipient, enum hf_hpke_aead aead, struct hf_cursor info,
                             struct hf_cursor ad, const struct hf_secret *plain, struct hf_buf *out);
hf_result hf_hpke_open_suite(const struct hf_pkey *recipient, enum hf_hpke_aead aead, struct hf_cursor info,
                             struct hf_cursor ad, struct hf_cursor sealed, struct hf_secret **ret_plain);

#endif
