/* The log density of a uniform mixture of diagonal Gaussians, summed over all components for each query.

   kernel.py compiles this for the machine it runs on. Everything is in units of log 2: a component's negative log
   density is  constant[n] + sum_k ((z[k] - mean[n][k]) * scale[n][k])^2,  where scale = sqrt(log2(e) / 2) / sigma.
   Distances are float64 differences, exact for any width and place: here they take as long as the expanded square,
   which is not. Terms relative to the largest so far are float32: what they add errs by less than 1e-6 of the sum,
   and the largest term itself is exactly 1. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* GROUP queries x PANEL components are summed in registers: twice 8 of the 32 that AVX-512 has, 4 of 16 elsewhere. */
#if defined(__AVX512F__)
enum { BYTES = 64, GROUP = 8 };
#elif defined(__AVX__)
enum { BYTES = 32, GROUP = 4 };
#else
enum { BYTES = 16, GROUP = 4 };
#endif
/* A block's table, GROUP x BLOCK float64, stays in the first cache and its components in the second. */
enum { PANEL = 2 * BYTES / sizeof(double), BLOCK = 256 };

typedef double vector __attribute__((vector_size(BYTES)));

/* A term of 2^-FAR of the largest is nothing, even times all components. */
static const double FAR = 80;

/* 2^x for x <= 0 to a relative error of 1e-7, written so that compilers vectorize it. */
static inline float power_of_two(float x) {
    /* Below this the exponent's bits would run out; a NaN, from an infinite distance, ends here too. */
    x = x > -120.0f ? x : -120.0f;
    /* Adding 1.5 * 2^23 rounds to an integer, which then sits in the lowest bits. */
    float shifted = x + 12582912.0f;
    float rest = x - (shifted - 12582912.0f);
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

/* Lay a block of components out in panels: the constants of PANEL components, then for each dimension their means and
   their scales. Past the last component the constant is infinite, and so is the distance. */
static void pack(const double *mean, const double *scale, const double *constant, int64_t start, int64_t components,
                 int64_t latent, double *panels) {
    for (int64_t j = 0; j < BLOCK; j++) {
        double *to = panels + j / PANEL * PANEL * (2 * latent + 1) + j % PANEL;
        int64_t n = start + j;
        *to = n < components ? constant[n] : INFINITY;
        for (int64_t k = 0; k < latent; k++) {
            *(to += PANEL) = n < components ? mean[n * latent + k] : 0;
            *(to += PANEL) = n < components ? scale[n * latent + k] : 0;
        }
    }
}

/* Fill a table (GROUP, BLOCK) with negative log densities. z is (latent, GROUP). */
static void negative_log_densities(const double *restrict z, const double *restrict panels, int64_t latent,
                                   double *restrict table) {
    const vector *from = (const vector *)panels;
    for (int64_t j = 0; j < BLOCK; j += PANEL) {
        vector sum[GROUP][2];
        for (int q = 0; q < GROUP; q++) {
            sum[q][0] = from[0];
            sum[q][1] = from[1];
        }
        from += 2;
        for (int64_t k = 0; k < latent; k++, from += 4) {
            const vector mean0 = from[0], mean1 = from[1], scale0 = from[2], scale1 = from[3];
            for (int q = 0; q < GROUP; q++) {
                vector distance0 = (z[k * GROUP + q] - mean0) * scale0;
                vector distance1 = (z[k * GROUP + q] - mean1) * scale1;
                sum[q][0] += distance0 * distance0;
                sum[q][1] += distance1 * distance1;
            }
        }
        for (int q = 0; q < GROUP; q++) memcpy(table + q * BLOCK + j, sum[q], sizeof sum[q]);
    }
}

/* Add a row of the table to a query's sum, which is total * 2^-least. */
static void add(const double *row, double *least, double *total) {
    double low = INFINITY;
#pragma omp simd reduction(min : low)
    for (int j = 0; j < BLOCK; j++) low = row[j] < low ? row[j] : low;
    if (low == INFINITY || low > *least + FAR) return;
    if (low < *least) {
        *total *= exp2(low - *least);
        *least = low;
    }
    const double reference = *least;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int j = 0; j < BLOCK; j++) sum += power_of_two((float)(reference - row[j]));
    *total += sum;
}

/* Write the log of the sum of the components' densities, in nats, for each query. left_out is NULL or, for each
   query, the row of a component that its sum goes without. Returns 0, or 1 where memory ran out. */
int log_sum_of_densities(const double *z, const double *mean, const double *scale, const double *constant,
                         const int64_t *left_out, double *out, int64_t queries, int64_t components, int64_t latent) {
    const int64_t groups = (queries + GROUP - 1) / GROUP, places = groups * GROUP;
    double *panels = aligned_alloc(64, sizeof(double) * BLOCK * (2 * latent + 1));
    double *table = aligned_alloc(64, sizeof(double) * BLOCK * GROUP);
    double *grouped = malloc(sizeof(double) * places * latent);
    double *least = malloc(sizeof(double) * places);
    double *total = calloc(places, sizeof(double));
    const int failed = !panels || !table || !grouped || !least || !total;

    for (int64_t q = 0; !failed && q < places; q++) {
        least[q] = INFINITY;
        /* The last query fills its group up. */
        const double *from = z + (q < queries ? q : queries - 1) * latent;
        for (int64_t k = 0; k < latent; k++) grouped[(q / GROUP * latent + k) * GROUP + q % GROUP] = from[k];
    }
    for (int64_t start = 0; !failed && start < components; start += BLOCK) {
        pack(mean, scale, constant, start, components, latent, panels);
        for (int64_t first = 0; first < queries; first += GROUP) {
            negative_log_densities(grouped + first * latent, panels, latent, table);
            for (int64_t q = first; q < first + GROUP && q < queries; q++) {
                double *row = table + (q - first) * BLOCK;
                if (left_out && left_out[q] >= start && left_out[q] < start + BLOCK)
                    row[left_out[q] - start] = INFINITY;
                add(row, least + q, total + q);
            }
        }
    }
    for (int64_t q = 0; !failed && q < queries; q++) out[q] = (log2(total[q]) - least[q]) * 0.69314718055994530942;
    free(panels);
    free(table);
    free(grouped);
    free(least);
    free(total);
    return failed;
}
