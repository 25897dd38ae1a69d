/* Address ranges: "10.0.0.0/8", "2001:db8::/32", or one address. Addresses are 16 bytes, IPv4 v4-mapped. Pure. */
#ifndef HF_POLICY_CIDR_H
#define HF_POLICY_CIDR_H

#include "base/cursor.h"
#include "base/result.h"

struct hf_cidr {
    uint8_t ip[16];
    uint8_t bits; /* 0..128 */
};
/* Bits beyond the length are cleared. Fails: BAD_ARGUMENT. */
hf_result hf_cidr_parse(struct hf_cursor text, struct hf_cidr *ret_cidr);
bool hf_cidr_has(const struct hf_cidr *cidr, const uint8_t ip[16]);
/* "::ffff:10.0.0.1" as 10.0.0.1, fails where it is no address. */
hf_result hf_ip_parse(struct hf_cursor text, uint8_t ret_ip[16]);

#endif
