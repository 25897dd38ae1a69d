/* Runs a function on a stack in the arena. The switch keeps the frame pointer chain and says so in its unwind
 * information, so that backtraces pass through it to the thread's own stack. The thread's own stack stays where the
 * C library put it: the kernel needs to reach it when the thread ends. */
#include "secret/arena.h"

#include <sys/mman.h>

enum {
    STACK_LEAST = 64 << 10,
    GAP = 16 << 10,      /* so much zero below what calls left behind is taken for their end, ... */
    GAP_DEEP = 64 << 10, /* ... and each DEEP_EVERY times so much below the deepest end that was ever seen */
    DEEP_EVERY = 64,
    LOOK = 256,
    WARM = 32 << 10, /* that is touched at once; the rest of a thread's stack may never cost a page */
};

#if !defined(HF_SANITIZE) && (defined(__x86_64__) || defined(__aarch64__))
#define OWN_STACK 1
#else
#define OWN_STACK 0
#endif

#if OWN_STACK

/* Calls fn(arg) with the stack pointer at `top`. */
void hf_stack_switch(void *top, void (*fn)(void *arg), void *arg);
/* Overwrites from `low` up to the caller's stack pointer, and the registers that calls may leave anything in. */
void hf_stack_clear_below(void *low);
/* What registers there are to clear: 0 base, 1 with AVX, 2 with AVX-512VL. */
extern uint8_t hf_stack_vectors;
uint8_t hf_stack_vectors;

#if defined(__x86_64__)
__asm__(".text\n"
        ".p2align 4\n"
        ".globl hf_stack_switch\n"
        ".hidden hf_stack_switch\n"
        ".type hf_stack_switch, @function\n"
        "hf_stack_switch:\n"
        ".cfi_startproc\n"
        "endbr64\n"
        "push %rbp\n"
        ".cfi_def_cfa_offset 16\n"
        ".cfi_offset %rbp, -16\n"
        "mov %rsp, %rbp\n"
        ".cfi_def_cfa_register %rbp\n"
        "mov %rdi, %rsp\n"
        "mov %rdx, %rdi\n"
        "call *%rsi\n"
        "mov %rbp, %rsp\n"
        "pop %rbp\n"
        ".cfi_def_cfa %rsp, 8\n"
        "ret\n"
        ".cfi_endproc\n"
        ".size hf_stack_switch, .-hf_stack_switch\n"

        ".p2align 4\n"
        ".globl hf_stack_clear_below\n"
        ".hidden hf_stack_clear_below\n"
        ".hidden hf_stack_vectors\n"
        ".type hf_stack_clear_below, @function\n"
        "hf_stack_clear_below:\n"
        ".cfi_startproc\n"
        "endbr64\n"
        "mov %rsp, %rcx\n"
        "sub %rdi, %rcx\n"
        "shr $3, %rcx\n"
        "xor %eax, %eax\n"
        "rep stosq\n"
        "cmpb $1, hf_stack_vectors(%rip)\n"
        "jb 1f\n"
        "vzeroall\n"
        "je 2f\n"
        "vpxorq %xmm16, %xmm16, %xmm16\n"
        "vpxorq %xmm17, %xmm17, %xmm17\n"
        "vpxorq %xmm18, %xmm18, %xmm18\n"
        "vpxorq %xmm19, %xmm19, %xmm19\n"
        "vpxorq %xmm20, %xmm20, %xmm20\n"
        "vpxorq %xmm21, %xmm21, %xmm21\n"
        "vpxorq %xmm22, %xmm22, %xmm22\n"
        "vpxorq %xmm23, %xmm23, %xmm23\n"
        "vpxorq %xmm24, %xmm24, %xmm24\n"
        "vpxorq %xmm25, %xmm25, %xmm25\n"
        "vpxorq %xmm26, %xmm26, %xmm26\n"
        "vpxorq %xmm27, %xmm27, %xmm27\n"
        "vpxorq %xmm28, %xmm28, %xmm28\n"
        "vpxorq %xmm29, %xmm29, %xmm29\n"
        "vpxorq %xmm30, %xmm30, %xmm30\n"
        "vpxorq %xmm31, %xmm31, %xmm31\n"
        "jmp 2f\n"
        "1:\n"
        "pxor %xmm0, %xmm0\n"
        "pxor %xmm1, %xmm1\n"
        "pxor %xmm2, %xmm2\n"
        "pxor %xmm3, %xmm3\n"
        "pxor %xmm4, %xmm4\n"
        "pxor %xmm5, %xmm5\n"
        "pxor %xmm6, %xmm6\n"
        "pxor %xmm7, %xmm7\n"
        "pxor %xmm8, %xmm8\n"
        "pxor %xmm9, %xmm9\n"
        "pxor %xmm10, %xmm10\n"
        "pxor %xmm11, %xmm11\n"
        "pxor %xmm12, %xmm12\n"
        "pxor %xmm13, %xmm13\n"
        "pxor %xmm14, %xmm14\n"
        "pxor %xmm15, %xmm15\n"
        "2:\n"
        "xor %edx, %edx\n"
        "xor %esi, %esi\n"
        "xor %r8d, %r8d\n"
        "xor %r9d, %r9d\n"
        "xor %r10d, %r10d\n"
        "xor %r11d, %r11d\n"
        "ret\n"
        ".cfi_endproc\n"
        ".size hf_stack_clear_below, .-hf_stack_clear_below\n");

static void find_vectors(void)
{
    __builtin_cpu_init();
    hf_stack_vectors = __builtin_cpu_supports("avx512vl") ? 2 : __builtin_cpu_supports("avx") ? 1 : 0;
}
#else
__asm__(".text\n"
        ".p2align 4\n"
        ".globl hf_stack_switch\n"
        ".hidden hf_stack_switch\n"
        ".type hf_stack_switch, %function\n"
        "hf_stack_switch:\n"
        ".cfi_startproc\n"
        "hint #34\n" /* bti c */
        "stp x29, x30, [sp, #-16]!\n"
        ".cfi_def_cfa_offset 16\n"
        ".cfi_offset x29, -16\n"
        ".cfi_offset x30, -8\n"
        "mov x29, sp\n"
        ".cfi_def_cfa_register x29\n"
        "mov sp, x0\n"
        "mov x0, x2\n"
        "blr x1\n"
        "mov sp, x29\n"
        ".cfi_def_cfa_register sp\n"
        "ldp x29, x30, [sp], #16\n"
        ".cfi_restore x30\n"
        ".cfi_restore x29\n"
        ".cfi_def_cfa_offset 0\n"
        "ret\n"
        ".cfi_endproc\n"
        ".size hf_stack_switch, .-hf_stack_switch\n"

        ".p2align 4\n"
        ".globl hf_stack_clear_below\n"
        ".hidden hf_stack_clear_below\n"
        ".type hf_stack_clear_below, %function\n"
        "hf_stack_clear_below:\n"
        ".cfi_startproc\n"
        "hint #34\n"
        "mov x1, sp\n"
        "1: cmp x0, x1\n"
        "b.hs 2f\n"
        "stp xzr, xzr, [x0], #16\n"
        "b 1b\n"
        "2:\n"
        "movi v0.2d, #0\n"
        "movi v1.2d, #0\n"
        "movi v2.2d, #0\n"
        "movi v3.2d, #0\n"
        "movi v4.2d, #0\n"
        "movi v5.2d, #0\n"
        "movi v6.2d, #0\n"
        "movi v7.2d, #0\n"
        "movi v16.2d, #0\n"
        "movi v17.2d, #0\n"
        "movi v18.2d, #0\n"
        "movi v19.2d, #0\n"
        "movi v20.2d, #0\n"
        "movi v21.2d, #0\n"
        "movi v22.2d, #0\n"
        "movi v23.2d, #0\n"
        "movi v24.2d, #0\n"
        "movi v25.2d, #0\n"
        "movi v26.2d, #0\n"
        "movi v27.2d, #0\n"
        "movi v28.2d, #0\n"
        "movi v29.2d, #0\n"
        "movi v30.2d, #0\n"
        "movi v31.2d, #0\n"
        "ret\n"
        ".cfi_endproc\n"
        ".size hf_stack_clear_below, .-hf_stack_clear_below\n");

static void find_vectors(void)
{
}
#endif

static _Thread_local struct {
    uint8_t *low;     /* first byte above the guard page; NULL on an ordinary stack */
    uint8_t *deepest; /* lowest address that was ever seen used */
    unsigned wipes;
} current;

hf_result hf_secret_stack_run(size_t bytes, void (*fn)(void *arg), void *arg)
{
    if (bytes > SIZE_MAX / 2)
        return HF_FAIL(NO_MEMORY);
    size_t whole = HF_MAX(bytes, (size_t)STACK_LEAST) + HF_ARENA_PAGE;
    size_t blocks = (whole + HF_ARENA_BLOCK - 1) / HF_ARENA_BLOCK;
    uint8_t *run = (uint8_t *)hf_arena_run_take(blocks, true);
    if (run == NULL)
        return HF_FAIL(NO_MEMORY);
    if (mprotect(run, HF_ARENA_PAGE, PROT_NONE) != 0) {
        hf_arena_run_give(run, blocks);
        return HF_FAIL(NO_MEMORY);
    }
    uint8_t *low = run + HF_ARENA_PAGE;
    uint8_t *high = run + blocks * HF_ARENA_BLOCK;
    for (volatile uint8_t *page = high - HF_MIN(WARM, high - low); page < high; page += HF_ARENA_PAGE)
        *page = 0; /* the first touch of a secret page is dear: not in the midst of a request */
    find_vectors();

    __auto_type before = current;
    current.low = low;
    current.deepest = high;
    current.wipes = 0;
    hf_stack_switch(high, fn, arg);
    current = before;

    hf_wipe(low, (size_t)(high - low));
    if (mprotect(run, HF_ARENA_PAGE, PROT_READ | PROT_WRITE) == 0)
        hf_arena_run_give(run, blocks); /* else it stays taken: its guard page would fail another owner */
    return HF_DONE;
}

/* Lowest address below `from` that calls have written to, as far as a gap of zeros shows; in steps of LOOK bytes. */
static uint8_t *lowest_used(uint8_t *low, uint8_t *from, size_t gap)
{
    typedef uint64_t pair __attribute__((vector_size(16), may_alias));
    uint8_t *lowest = from;
    for (uint8_t *at = from - LOOK; at >= low && (size_t)(lowest - at) <= gap; at -= LOOK) {
        const pair *line = (const pair *)(const void *)at;
        pair a = line[0], b = line[1], c = line[2], d = line[3];
        for (size_t i = 4; i < LOOK / sizeof(pair); i += 4) {
            a |= line[i];
            b |= line[i + 1];
            c |= line[i + 2];
            d |= line[i + 3];
        }
        a |= b | c | d;
        if ((a[0] | a[1]) != 0)
            lowest = at;
    }
    return lowest;
}

void hf_secret_stack_wipe(void)
{
    if (current.low == NULL)
        return;
    uint8_t *from = (uint8_t *)((uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)(LOOK - 1));
    size_t gap = GAP;
    if (++current.wipes % DEEP_EVERY == 0)
        gap = (size_t)(from - HF_MIN(from, current.deepest)) + GAP_DEEP;
    uint8_t *end = lowest_used(current.low, from, gap);
    current.deepest = HF_MIN(current.deepest, end);
    hf_stack_clear_below(end);
}

#else

hf_result hf_secret_stack_run(size_t bytes, void (*fn)(void *arg), void *arg)
{
    (void)bytes;
    fn(arg);
    return HF_DONE;
}

void hf_secret_stack_wipe(void)
{
}

#endif
