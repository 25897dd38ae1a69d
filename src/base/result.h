/* The error table of holdfast/result.h, and the few words of control flow and ownership that all of Holdfast uses. */
#ifndef HF_BASE_RESULT_H
#define HF_BASE_RESULT_H

#include "holdfast/result.h"

#define HF_DONE ((hf_result){HF_OK})
#define HF_FAIL(symbol) ((hf_result){HF_##symbol})
#define HF_IS_OK(result) ((result).code == HF_OK)

/* The only control-flow macro: hands a failure up. */
#define TRY(call)                                                                                            \
    do {                                                                                                     \
        hf_result try_result_ = (call);                                                                      \
        if (try_result_.code != HF_OK)                                                                       \
            return try_result_;                                                                              \
    } while (0)

/* A failure that is deliberately of no consequence, with the reason in words beside it. */
#define HF_IGNORE(call, reason) ((void)(call).code)

/* Cleanup by scope; transfer of ownership by name. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define TAKE(p)                                                                                              \
    ({                                                                                                       \
        __auto_type taken_ = (p);                                                                            \
        (p) = NULL;                                                                                          \
        taken_;                                                                                              \
    })

#define HF_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define HF_MIN(a, b) ((a) < (b) ? (a) : (b))
#define HF_MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
