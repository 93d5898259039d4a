/* SPDX-License-Identifier: 0BSD */
/* Softmax along rows, float. */
#include <math.h>

#include "eennc_kernels.h"

static void softmax(const float *x, int32_t classes, int32_t step, float *y)
{
    float largest = x[0], sum = 0.0f;
    for (int32_t c = 1; c < classes; c++) {
        largest = x[c * step] > largest ? x[c * step] : largest;
    }
    for (int32_t c = 0; c < classes; c++) {
        y[c * step] = expf(x[c * step] - largest);
        sum += y[c * step];
    }
    for (int32_t c = 0; c < classes; c++) {
        y[c * step] /= sum;
    }
}

void eennc_softmax_f32(const eennc_softmax_f32_t *p, const float *x, float *y)
{
    for (int32_t o = 0; o < p->outer; o++) {
        for (int32_t i = 0; i < p->inner; i++) {
            softmax(x + i, p->classes, p->inner, y + i);
        }
        x += p->classes * p->inner;
        y += p->classes * p->inner;
    }
}
