/* The log density of a uniform mixture of diagonal Gaussians, summed over all components for each query.

   kernel.py compiles this for the machine it runs on. Everything is in units of log 2: a component's negative log
   density is  constant[n] + sum_k ((z[k] - mean[n][k]) * scale[n][k])^2,  where scale = sqrt(log2(e) / 2) / sigma.

   Each block of components is taken in float32 first, twice as fast, and error() bounds what that can cost. Where the
   block is certain to be nothing beside the largest term so far, it is passed over; where float32 is certain to be
   right to TOLERANCE, it counts; elsewhere the block is taken again by differences in float64, which are right for any
   width and place. The largest term is always one of float64 and counts in full, so that a component's own density
   never exceeds the sum. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* GROUP queries x two vectors of components are summed in registers: twice 8 of AVX-512's 32, 4 of 16 elsewhere. */
#if defined(__AVX512F__)
enum { BYTES = 64, GROUP = 8 };
#elif defined(__AVX__)
enum { BYTES = 32, GROUP = 4 };
#else
enum { BYTES = 16, GROUP = 4 };
#endif
/* A block's table, GROUP x BLOCK, stays in the first cache and its components in the second. */
enum { BLOCK = 256, PANEL = 2 * BYTES / sizeof(float), WIDE_PANEL = 2 * BYTES / sizeof(double) };

typedef float floats __attribute__((vector_size(BYTES)));
typedef double doubles __attribute__((vector_size(BYTES)));

/* A term of 2^-FAR of the largest is nothing, even times all components: 2e-10 for 163,840. */
static const double FAR = 50;

/* In bits; 4e-5 nats. A sum errs by less than twice this; what was measured is below 2e-6. */
static const double TOLERANCE = 5.8e-5;

/* The components as they were given, mean and scale as (components, latent); center is a place amid the means. */
typedef struct {
    const double *mean, *scale, *constant, *center;
    int64_t components, latent;
    double log2_components;
} mixture;

/* BLOCK of them, past the last of which all is infinite, in panels: PANEL constants, less the least one, then for each
   dimension the means, from the center, and the scales. The wide panels, as given, are laid out once needed. */
typedef struct {
    int64_t start;
    double least_constant, largest_scale, largest_norm;
    float *panels;
    double *wide_panels;
    int has_wide;
} block;

/* A query's sum so far: total * 2^-least. */
typedef struct {
    double least, total;
} sum;

static void pack(block *b, const mixture *m, int64_t start) {
    const int64_t size = m->components - start < BLOCK ? m->components - start : BLOCK;
    b->start = start;
    b->has_wide = 0;
    b->least_constant = INFINITY;
    b->largest_scale = b->largest_norm = 0;
    for (int64_t n = start; n < start + size; n++) b->least_constant = fmin(b->least_constant, m->constant[n]);
    for (int64_t j = 0; j < BLOCK; j++) {
        float *to = b->panels + j / PANEL * PANEL * (2 * m->latent + 1) + j % PANEL;
        double norm = 0;
        *to = j < size ? (float)(m->constant[start + j] - b->least_constant) : INFINITY;
        for (int64_t k = 0, at = (start + j) * m->latent; k < m->latent; k++, at++) {
            const double mean = j < size ? m->mean[at] - m->center[k] : 0, scale = j < size ? m->scale[at] : 0;
            norm += mean * mean;
            if (scale > b->largest_scale) b->largest_scale = scale;
            *(to += PANEL) = (float)mean;
            *(to += PANEL) = (float)scale;
        }
        b->largest_norm = fmax(b->largest_norm, sqrt(norm));
    }
}

static void pack_wide(block *b, const mixture *m) {
    for (int64_t j = 0, n = b->start; j < BLOCK; j++, n++) {
        double *to = b->wide_panels + j / WIDE_PANEL * WIDE_PANEL * (2 * m->latent + 1) + j % WIDE_PANEL;
        *to = n < m->components ? m->constant[n] : INFINITY;
        for (int64_t k = 0; k < m->latent; k++) {
            *(to += WIDE_PANEL) = n < m->components ? m->mean[n * m->latent + k] : 0;
            *(to += WIDE_PANEL) = n < m->components ? m->scale[n * m->latent + k] : 0;
        }
    }
    b->has_wide = 1;
}

/* Fill a table (GROUP, BLOCK) with negative log densities, z being (latent, GROUP): in float32, and in float64. */
#define DEFINE_FILL(name, real, vector)                                                                                \
    static void name(const real *restrict z, const real *restrict panels, int64_t latent, real *restrict table) {      \
        const vector *from = (const vector *)panels;                                                                   \
        for (int j = 0; j < BLOCK; j += 2 * BYTES / (int)sizeof(real)) {                                               \
            vector sums[GROUP][2];                                                                                     \
            for (int q = 0; q < GROUP; q++) memcpy(sums[q], from, sizeof sums[q]);                                     \
            from += 2;                                                                                                 \
            for (int64_t k = 0; k < latent; k++, from += 4) {                                                          \
                const vector mean0 = from[0], mean1 = from[1], scale0 = from[2], scale1 = from[3];                     \
                for (int q = 0; q < GROUP; q++) {                                                                      \
                    const vector distance0 = (z[k * GROUP + q] - mean0) * scale0;                                      \
                    const vector distance1 = (z[k * GROUP + q] - mean1) * scale1;                                      \
                    sums[q][0] += distance0 * distance0;                                                               \
                    sums[q][1] += distance1 * distance1;                                                               \
                }                                                                                                      \
            }                                                                                                          \
            for (int q = 0; q < GROUP; q++) memcpy(table + q * BLOCK + j, sums[q], sizeof sums[q]);                    \
        }                                                                                                              \
    }
DEFINE_FILL(fill, float, floats)
DEFINE_FILL(fill_wide, double, doubles)

/* 2^x for x <= 0 to a relative error of 1e-7, written so that compilers vectorize it. */
static inline float power_of_two(float x) {
    /* Below this the exponent's bits would run out; a NaN, from an infinite distance, ends here too. */
    x = x > -120.0f ? x : -120.0f;
    /* Adding 1.5 * 2^23 rounds to an integer, which then sits in the lowest bits. */
    const float shifted = x + 12582912.0f, rest = x - (shifted - 12582912.0f);
    /* The minimax polynomial on [-1/2, 1/2] that is 1 at 0. */
    float power = 1.32029823e-3f;
    power = power * rest + 9.67495193e-3f;
    power = power * rest + 5.55104738e-2f;
    power = power * rest + 2.40221660e-1f;
    power = power * rest + 6.93146596e-1f;
    power = power * rest + 1.0f;
    uint32_t integer, bits;
    memcpy(&integer, &shifted, sizeof integer);
    memcpy(&bits, &power, sizeof bits);
    bits += integer << 23;
    memcpy(&power, &bits, sizeof power);
    return power;
}

static float sum_of_powers(float reference, const float *row) {
    float total = 0;
#pragma omp simd reduction(+ : total)
    for (int j = 0; j < BLOCK; j++) total += power_of_two(reference - row[j]);
    return total;
}

/* Bound the error of a float32 value whose true value is v: `shift` bounds what rounding z and the mean moves the
   standardized difference by, and each operation errs by 2^-24. */
static double error(double v, double shift, int64_t latent) {
    return 2 * sqrt(v) * shift + shift * shift + (double)(10 + latent) * 0x1p-24 * v;
}

static void lower(sum *s, double least) {
    if (least >= s->least) return;
    s->total *= exp2(least - s->least);
    s->least = least;
}

/* Add a row of the float32 table to a query's sum, or return 1 where that takes float64. */
static int add(sum *s, float *row, const double *z, double norm, const block *b, const mixture *m) {
    /* Beyond this float32 might overflow. */
    if (b->largest_scale > 1e15 || norm + b->largest_norm > 1e15) return 1;
    const double shift = 0x1p-24 * b->largest_scale * (norm + b->largest_norm);
    const double reference = s->least - b->least_constant, nothing = reference + FAR;
    float low = INFINITY;
#pragma omp simd reduction(min : low)
    for (int j = 0; j < BLOCK; j++) low = row[j] < low ? row[j] : low;
    if (low > nothing + error(nothing, shift, m->latent)) return 0;
    /* Weighted by themselves, the terms of a sum are on average within log2 N of the largest. */
    if (!(error(reference + m->log2_components, shift, m->latent) < TOLERANCE)) return 1;
    if (low < reference) {
        int j = 0;
        while (row[j] != low) j++;
        const int64_t n = b->start + j;
        double exact = m->constant[n];
        for (int64_t k = 0, at = n * m->latent; k < m->latent; k++, at++) {
            const double distance = (z[k] - m->mean[at]) * m->scale[at];
            exact += distance * distance;
        }
        lower(s, exact);
        s->total += exp2(s->least - exact);
        row[j] = INFINITY;
    }
    s->total += sum_of_powers((float)(s->least - b->least_constant), row);
    return 0;
}

static void add_wide(sum *s, const double *row) {
    float relative[BLOCK];
    double low = INFINITY;
#pragma omp simd reduction(min : low)
    for (int j = 0; j < BLOCK; j++) low = row[j] < low ? row[j] : low;
    if (low == INFINITY) return;
    lower(s, low);
    for (int j = 0; j < BLOCK; j++) relative[j] = (float)(row[j] - s->least);
    s->total += sum_of_powers(0, relative);
}

/* Write the log of the sum of the components' densities, in nats, for each query. left_out is NULL or, for each
   query, the row of a component that its sum goes without. Returns 0, or 1 where memory ran out. */
int log_sum_of_densities(const double *z, const double *mean, const double *scale, const double *constant,
                         const double *center, const int64_t *left_out, double *out, int64_t queries,
                         int64_t components, int64_t latent) {
    const mixture m = {mean, scale, constant, center, components, latent, log2((double)components)};
    const int64_t places = (queries + GROUP - 1) / GROUP * GROUP, width = BLOCK * (2 * latent + 1);
    block b = {.panels = aligned_alloc(64, sizeof(float) * width),
               .wide_panels = aligned_alloc(64, sizeof(double) * width)};
    float *narrow = calloc(places * latent, sizeof(float)), *table = malloc(sizeof(float) * GROUP * BLOCK);
    double *wide = calloc(places * latent, sizeof(double)), *wide_table = malloc(sizeof(double) * GROUP * BLOCK);
    double *norms = calloc(places, sizeof(double));
    sum *sums = calloc(places, sizeof(sum));
    const int failed = !b.panels || !b.wide_panels || !narrow || !table || !wide || !wide_table || !norms || !sums;

    for (int64_t q = 0; !failed && q < queries; q++) {
        sums[q].least = INFINITY;
        for (int64_t k = 0; k < latent; k++) {
            const double here = z[q * latent + k], centered = here - center[k];
            const int64_t to = (q / GROUP * latent + k) * GROUP + q % GROUP;
            wide[to] = here;
            narrow[to] = (float)centered;
            norms[q] += centered * centered;
        }
        norms[q] = sqrt(norms[q]);
    }
    for (int64_t start = 0; !failed && start < components; start += BLOCK) {
        pack(&b, &m, start);
        for (int64_t first = 0; first < queries; first += GROUP) {
            const int64_t last = first + GROUP < queries ? first + GROUP : queries;
            int needs_wide[GROUP] = {0}, any = 0;
            fill(narrow + first * latent, b.panels, latent, table);
            for (int64_t q = first; q < last; q++) {
                float *row = table + (q - first) * BLOCK;
                const int64_t skipped = left_out ? left_out[q] - start : -1;
                if (skipped >= 0 && skipped < BLOCK) row[skipped] = INFINITY;
                needs_wide[q - first] = add(sums + q, row, z + q * latent, norms[q], &b, &m);
                any |= needs_wide[q - first];
            }
            if (!any) continue;
            if (!b.has_wide) pack_wide(&b, &m);
            fill_wide(wide + first * latent, b.wide_panels, latent, wide_table);
            for (int64_t q = first; q < last; q++) {
                double *row = wide_table + (q - first) * BLOCK;
                const int64_t skipped = left_out ? left_out[q] - start : -1;
                if (skipped >= 0 && skipped < BLOCK) row[skipped] = INFINITY;
                if (needs_wide[q - first]) add_wide(sums + q, row);
            }
        }
    }
    for (int64_t q = 0; !failed && q < queries; q++) out[q] = (log2(sums[q].total) - sums[q].least) * log(2);
    void *const held[] = {b.panels, b.wide_panels, narrow, table, wide, wide_table, norms, sums};
    for (size_t i = 0; i < sizeof held / sizeof *held; i++) free(held[i]);
    return failed;
}
