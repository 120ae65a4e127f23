/* The Bernoulli distortion of rows of pixels, and its slope by the logits, in one pass.

   bernoulli.py compiles this for the machine it runs on and calls it on each of its threads, which share out the
   rows. With a = |l|, and t = x where l < 0 and 1 - x elsewhere, softplus(l) - x l = t a + log(1 + e^-a), and the slope
   is t - e^-a / (1 + e^-a) with the sign of l: no large numbers cancel. */

#include <math.h>
#include <stdint.h>

#include "native.h"

/* BLOCK pixels are summed in float32, and then, LANES at a time, in float64. ROWS are taken by a thread at a time. */
enum { BLOCK = 64, LANES = 16, ROWS = 4 };

/* e^-a for a >= 0 to a relative error of 2e-7. */
static inline float negative_exp(float a) {
    const float least = 87.3f, bounded = a < least ? a : least;
    /* Adding 1.5 * 2^23 rounds to an integer, which then sits in the lowest bits. */
    const float shifted = fused(bounded, -1.44269504f, 12582912.0f), integer = shifted - 12582912.0f;
    /* log 2 in two parts, of which the first has zeros enough that its multiples are exact. */
    const float rest = fused(integer, 2.12194440e-4f, fused(integer, -0.693359375f, -a));
    /* The minimax polynomial on +-log(2) / 2 with a double contact at 0. */
    float power = 1.38146131e-3f;
    power = fused(power, rest, 8.36870983e-3f);
    power = fused(power, rest, 4.16683874e-2f);
    power = fused(power, rest, 1.66665207e-1f);
    power = fused(power, rest, 4.99999935e-1f);
    power = fused(power, rest, 1.0f);
    power = fused(power, rest, 1.0f);
    uint32_t bits;
    float scale;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127) << 23;
    memcpy(&scale, &bits, sizeof scale);
    return a > least ? 0.0f : power * scale;
}

/* log(1 + e) for 0 <= e <= 1 to a relative error of 2e-7: e times a minimax polynomial that is 1 at 0. */
static inline float log_of_one_plus(float e) {
    float quotient = 5.36482433e-3f;
    quotient = fused(quotient, e, -3.00657923e-2f);
    quotient = fused(quotient, e, 7.92045356e-2f);
    quotient = fused(quotient, e, -1.37538023e-1f);
    quotient = fused(quotient, e, 1.91536549e-1f);
    quotient = fused(quotient, e, -2.48571637e-1f);
    quotient = fused(quotient, e, 3.33213226e-1f);
    quotient = fused(quotient, e, -4.99996480e-1f);
    quotient = fused(quotient, e, 1.0f);
    return e * quotient;
}

/* Turn `count` values of either type, the second halves of float32's bytes left out, to float32; and back. */
static inline void read(const void *from, int narrow, int64_t start, int count, float *to) {
    if (narrow)
        for (int i = 0; i < count; i++) to[i] = from_bfloat16(((const uint16_t *)from)[start + i]);
    else
        memcpy(to, (const float *)from + start, (size_t)count * sizeof *to);
}

static inline void write(const float *from, int narrow, int64_t start, int count, void *to) {
    if (narrow)
        for (int i = 0; i < count; i++) ((uint16_t *)to)[start + i] = to_bfloat16(from[i]);
    else
        memcpy((float *)to + start, from, (size_t)count * sizeof *from);
}

static inline __attribute__((always_inline)) float row(const void *logits, int narrow, const float *x, int64_t pixels,
                                                       void *slopes) {
    double sums[LANES] = {0};
    for (int64_t start = 0; start < pixels; start += BLOCK) {
        const int count = pixels - start < BLOCK ? (int)(pixels - start) : BLOCK;
        float logit[BLOCK], pixel[BLOCK], term[BLOCK], slope[BLOCK];
        if (count == BLOCK) {
            read(logits, narrow, start, BLOCK, logit);
            memcpy(pixel, x + start, sizeof pixel);
        } else {
            /* Of such a pixel the distortion is 0. */
            for (int i = 0; i < BLOCK; i++) logit[i] = -1000, pixel[i] = 0;
            read(logits, narrow, start, count, logit);
            memcpy(pixel, x + start, (size_t)count * sizeof *pixel);
        }
#pragma omp simd
        for (int i = 0; i < BLOCK; i++) {
            const float size = fabsf(logit[i]), target = logit[i] < 0 ? pixel[i] : 1 - pixel[i];
            const float e = negative_exp(size), difference = target - e / (1 + e);
            term[i] = fused(target, size, log_of_one_plus(e));
            slope[i] = logit[i] < 0 ? -difference : difference;
        }
#pragma omp simd
        for (int i = 0; i < LANES; i++)
            sums[i] += (term[i] + term[i + LANES]) + (term[i + 2 * LANES] + term[i + 3 * LANES]);
        if (!slopes) continue;
        if (count == BLOCK)
            write(slope, narrow, start, BLOCK, slopes);
        else
            write(slope, narrow, start, count, slopes);
    }
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) sums[i] += sums[i + half];
    return (float)sums[0];
}

/* The rows of a view: `axes` of them lead to it, of such sizes and strides, in elements. */
static inline int64_t offset(int64_t row, int64_t axes, const int64_t *sizes, const int64_t *strides) {
    int64_t at = 0;
    for (int64_t axis = axes - 1; axis >= 0; row /= sizes[axis--]) at += row % sizes[axis] * strides[axis];
    return at;
}

/* The logits are bfloat16 if `narrow`, else float32, and so are the slopes, unless NULL; `next`, 0 at first, counts the
   rows that the threads have taken. */
void bernoulli_distortion(const void *logits, int narrow, const float *x, int64_t axes, const int64_t *sizes,
                          const int64_t *logit_strides, const int64_t *x_strides, int64_t rows, int64_t pixels,
                          float *distortion, void *slopes, int64_t *next) {
    const unsigned before = flush_subnormals();
    const int64_t width = narrow ? sizeof(uint16_t) : sizeof(float);
    for (int64_t first; (first = take(next, ROWS)) < rows;)
        for (int64_t r = first; r < rows && r < first + ROWS; r++) {
            const char *from = (const char *)logits + width * offset(r, axes, sizes, logit_strides);
            const float *to = x + offset(r, axes, sizes, x_strides);
            void *slope = slopes ? (char *)slopes + width * r * pixels : NULL;
            if (slope)
                distortion[r] = narrow ? row(from, 1, to, pixels, slope) : row(from, 0, to, pixels, slope);
            else
                distortion[r] = narrow ? row(from, 1, to, pixels, NULL) : row(from, 0, to, pixels, NULL);
        }
    restore_subnormals(before);
}

/* Scale each row of slopes by a number of its own. */
void bernoulli_scale(const void *slopes, int narrow, const float *scale, int64_t rows, int64_t pixels, void *out,
                     int64_t *next) {
    const unsigned before = flush_subnormals();
    for (int64_t first; (first = take(next, ROWS)) < rows;)
        for (int64_t r = first; r < rows && r < first + ROWS; r++) {
            const float by = scale[r];
            if (narrow) {
                const uint16_t *restrict from = (const uint16_t *)slopes + r * pixels;
                uint16_t *restrict to = (uint16_t *)out + r * pixels;
                for (int64_t i = 0; i < pixels; i++) to[i] = to_bfloat16(from_bfloat16(from[i]) * by);
            } else {
                const float *restrict from = (const float *)slopes + r * pixels;
                float *restrict to = (float *)out + r * pixels;
                for (int64_t i = 0; i < pixels; i++) to[i] = from[i] * by;
            }
        }
    restore_subnormals(before);
}
