/* SPDX-License-Identifier: 0BSD */
/* Rows times weights, float. */
#include "eennc_kernels.h"

static inline float clamped(const eennc_rows_f32_t *p, float x)
{
    return x < p->low ? p->low : x > p->high ? p->high : x;
}

void eennc_two_rows_f32(const eennc_rows_f32_t *p, const float *x0, const float *x1, float *y0, float *y1)
{
    const int32_t depth = p->depth, outputs = p->outputs;
    const float *w = p->weights;
    for (int32_t o = 0; o < outputs; o += 2, w += 2 * depth) {
        /* an odd one out is computed twice */
        const int32_t other = o + 1 < outputs;
        const float *v = w + (other ? depth : 0);
        float s00 = p->bias ? p->bias[o] : 0.0f, s01 = p->bias ? p->bias[o + other] : 0.0f, s10 = s00, s11 = s01;
        for (int32_t k = 0; k < depth; k++) {
            const float a = x0[k], b = x1[k];
            s00 += a * w[k];
            s01 += a * v[k];
            s10 += b * w[k];
            s11 += b * v[k];
        }
        y0[o] = clamped(p, s00);
        y1[o] = clamped(p, s10);
        y0[o + other] = clamped(p, s01);
        y1[o + other] = clamped(p, s11);
    }
}

void eennc_row_f32(const eennc_rows_f32_t *p, const float *x, float *y)
{
    const int32_t depth = p->depth, outputs = p->outputs;
    const float *w = p->weights;
    for (int32_t o = 0; o < outputs; o++, w += depth) {
        float sum = p->bias ? p->bias[o] : 0.0f;
        for (int32_t k = 0; k < depth; k++) {
            sum += x[k] * w[k];
        }
        y[o] = clamped(p, sum);
    }
}
