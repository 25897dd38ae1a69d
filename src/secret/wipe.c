#include <string.h>

#include "secret/secret.h"

void hf_wipe(void *memory, size_t len)
{
    if (len == 0)
        return;
    memset(memory, 0, len);
    __asm__ volatile("" : : "r"(memory) : "memory"); /* the bytes are read, as far as the compiler knows */
}
