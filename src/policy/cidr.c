#include "policy/cidr.h"

#include <arpa/inet.h>

static const uint8_t v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* ret_width: 32 or 128, what a prefix length after the address counts in. */
static hf_result parse_address(struct hf_cursor text, uint8_t ret_ip[16], unsigned *ret_width)
{
    char copy[INET6_ADDRSTRLEN];
    if (text.left == 0 || text.left >= sizeof(copy) || memchr(text.at, 0, text.left) != NULL)
        return HF_FAIL(BAD_ARGUMENT);
    memcpy(copy, text.at, text.left);
    copy[text.left] = '\0';
    uint8_t v4[4];
    if (inet_pton(AF_INET, copy, v4) == 1) {
        memcpy(ret_ip, v4_mapped, sizeof(v4_mapped));
        memcpy(ret_ip + 12, v4, 4);
        *ret_width = 32;
        return HF_DONE;
    }
    uint8_t v6[16];
    if (inet_pton(AF_INET6, copy, v6) != 1)
        return HF_FAIL(BAD_ARGUMENT);
    memcpy(ret_ip, v6, 16);
    *ret_width = 128;
    return HF_DONE;
}

hf_result hf_ip_parse(struct hf_cursor text, uint8_t ret_ip[16])
{
    unsigned width;
    return parse_address(text, ret_ip, &width);
}

static hf_result parse_length(struct hf_cursor text, unsigned width, unsigned *ret_bits)
{
    unsigned bits = 0;
    if (text.left == 0 || text.left > 3)
        return HF_FAIL(BAD_ARGUMENT);
    for (size_t i = 0; i < text.left; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return HF_FAIL(BAD_ARGUMENT);
        bits = bits * 10 + (unsigned)(text.at[i] - '0');
    }
    if (bits > width)
        return HF_FAIL(BAD_ARGUMENT);
    *ret_bits = bits + (128 - width);
    return HF_DONE;
}

hf_result hf_cidr_parse(struct hf_cursor text, struct hf_cidr *ret_cidr)
{
    struct hf_cidr cidr = {0};
    const uint8_t *slash = text.left == 0 ? NULL : memchr(text.at, '/', text.left);
    struct hf_cursor address = slash == NULL ? text : hf_cursor(text.at, (size_t)(slash - text.at));
    unsigned width, bits = 128;
    TRY(parse_address(address, cidr.ip, &width));
    if (slash != NULL)
        TRY(parse_length(hf_cursor(slash + 1, text.left - address.left - 1), width, &bits));
    for (unsigned i = 0; i < 16; i++) {
        unsigned kept = bits <= i * 8 ? 0 : HF_MIN(bits - i * 8, 8u);
        cidr.ip[i] &= (uint8_t)(0xff00u >> kept);
    }
    cidr.bits = (uint8_t)bits;
    *ret_cidr = cidr;
    return HF_DONE;
}

bool hf_cidr_has(const struct hf_cidr *cidr, const uint8_t ip[16])
{
    for (unsigned i = 0; i < 16; i++) {
        unsigned kept = cidr->bits <= i * 8 ? 0 : HF_MIN(cidr->bits - i * 8u, 8u);
        if ((ip[i] & (uint8_t)(0xff00u >> kept)) != cidr->ip[i])
            return false;
    }
    return true;
}
