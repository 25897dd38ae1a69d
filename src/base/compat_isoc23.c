/* A static library built against glibc 2.38 or later calls strtol and its kin by their C23 names. This file
 * gives those names to an older glibc, and is compiled only where such a library is linked there. What the
 * C23 functions add is the prefix 0b with base 0 or 2; OpenSSL asks for neither.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

long __isoc23_strtol(const char *text, char **ret_end, int base);
unsigned long __isoc23_strtoul(const char *text, char **ret_end, int base);
long long __isoc23_strtoll(const char *text, char **ret_end, int base);
unsigned long long __isoc23_strtoull(const char *text, char **ret_end, int base);
int __isoc23_sscanf(const char *text, const char *format, ...) __attribute__((format(scanf, 2, 3)));

long __isoc23_strtol(const char *text, char **ret_end, int base)
{
    return strtol(text, ret_end, base);
}

unsigned long __isoc23_strtoul(const char *text, char **ret_end, int base)
{
    return strtoul(text, ret_end, base);
}

long long __isoc23_strtoll(const char *text, char **ret_end, int base)
{
    return strtoll(text, ret_end, base);
}

unsigned long long __isoc23_strtoull(const char *text, char **ret_end, int base)
{
    return strtoull(text, ret_end, base);
}

int __isoc23_sscanf(const char *text, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int got = vsscanf(text, format, values);
    va_end(values);
    return got;
}
