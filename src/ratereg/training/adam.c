/* One step of Adam over all parameters of an ensemble, and the rounded working copy of the weights, in one pass.

   adam.py compiles this for the machine it runs on and calls it on each of its threads, which share out the work. */

#include <math.h>
#include <stdint.h>

#include "native.h"

/* Elements of one member that a thread takes at a time. */
enum { PIECE = 1 << 14 };

/* Of (members, size). The gradient is bfloat16 where there is a working copy, and float32 where there is none. */
typedef struct {
    float *weight, *mean, *square;
    uint16_t *working;
    const void *gradient;
    int64_t size;
} parameter;

typedef struct {
    float rate, root_correction, mean_share, square_decay, square_share, epsilon;
} settings;

/* By value throughout, since what is written through a pointer could be a setting. */
static inline float update(float weight, float *mean, float *square, float gradient, settings s) {
    const float new_mean = fused(gradient - *mean, s.mean_share, *mean);
    const float new_square = fused(*square, s.square_decay, gradient * gradient * s.square_share);
    *mean = new_mean;
    *square = new_square;
    return fused(-s.rate, new_mean / fused(sqrtf(new_square), s.root_correction, s.epsilon), weight);
}

static void update_wide(const parameter *p, int64_t start, int64_t count, settings s) {
    float *restrict weight = p->weight + start, *restrict mean = p->mean + start, *restrict square = p->square + start;
    const float *restrict gradient = (const float *)p->gradient + start;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) weight[i] = update(weight[i], mean + i, square + i, gradient[i], s);
}

static void update_narrow(const parameter *p, int64_t start, int64_t count, settings s) {
    float *restrict weight = p->weight + start, *restrict mean = p->mean + start, *restrict square = p->square + start;
    const uint16_t *restrict gradient = (const uint16_t *)p->gradient + start;
    uint16_t *restrict working = p->working + start;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        const float moved = update(weight[i], mean + i, square + i, from_bfloat16(gradient[i]), s);
        weight[i] = moved;
        working[i] = to_bfloat16(moved);
    }
}

/* Work until nothing is left; `next`, 0 at first, counts the pieces that the threads have taken. */
void adam_step(const parameter *parameters, int64_t count, int64_t members, const uint8_t *active, const settings *s,
               int64_t *next) {
    const unsigned before = flush_subnormals();
    int64_t piece = take(next, 1), first = 0;
    for (const parameter *p = parameters; p < parameters + count; p++) {
        const int64_t pieces = (p->size + PIECE - 1) / PIECE;
        for (; piece < first + members * pieces; piece = take(next, 1)) {
            const int64_t member = (piece - first) / pieces, start = (piece - first) % pieces * PIECE;
            const int64_t size = p->size - start < PIECE ? p->size - start : PIECE;
            if (active[member]) (p->working ? update_narrow : update_wide)(p, member * p->size + start, size, *s);
        }
        first += members * pieces;
    }
    restore_subnormals(before);
}
