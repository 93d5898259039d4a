/* SPDX-License-Identifier: 0BSD */
/* Limits, float. */
#include "eennc_kernels.h"

void eennc_clamp_f32(const eennc_clamp_f32_t *p, const float *x, float *y)
{
    for (int32_t i = 0; i < p->size; i++) {
        y[i] = x[i] < p->low ? p->low : x[i] > p->high ? p->high : x[i];
    }
}
