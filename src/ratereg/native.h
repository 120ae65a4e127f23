/* What the kernels share. Each product that is added to something is written as fused(), so that a compiler has no
   choice left of where to round: an element comes out the same in a vector, in what is left over, on any thread. */

#include <stdint.h>
#include <string.h>

#if defined(__FP_FAST_FMAF) || defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define fused(a, b, c) __builtin_fmaf((a), (b), (c))
#else
#define fused(a, b, c) ((a) * (b) + (c))
#endif

static inline float from_bfloat16(uint16_t half) {
    const uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* To the nearest, ties to even; not a number stays so. */
static inline uint16_t to_bfloat16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)(value != value ? 0x7fc0 : rounded);
}

/* Take subnormal numbers for zero, and go back to what the thread did before. Processors are many times slower on them,
   and results must not depend on the habits of the thread. */
#if defined(__SSE2__)
#include <immintrin.h>
static inline unsigned flush_subnormals(void) {
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);
    return before;
}
static inline void restore_subnormals(unsigned before) { _mm_setcsr(before); }
#else
static inline unsigned flush_subnormals(void) { return 0; }
static inline void restore_subnormals(unsigned before) { (void)before; }
#endif

/* Return the first of the next `count` things to do, which no other thread gets. */
static inline int64_t take(int64_t *next, int64_t count) { return __atomic_fetch_add(next, count, __ATOMIC_RELAXED); }
