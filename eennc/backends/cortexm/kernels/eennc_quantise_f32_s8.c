/* SPDX-License-Identifier: 0BSD */
/* Floats to int8, halves away from zero. */
#include "eennc_kernels.h"

void eennc_quantise_f32_s8(const eennc_quantise_t *p, const float *x, int8_t *y)
{
    for (int32_t i = 0; i < p->size; i++) {
        float steps = x[i] / p->scale;
        /* beyond these the integer is clamped anyway; NaN becomes the lowest */
        steps = steps > -1024.0f ? steps < 1024.0f ? steps : 1024.0f : -1024.0f;
        const float size = steps < 0.0f ? -steps : steps;
        const int32_t whole = (int32_t)size;
        const int32_t rounded = size - (float)whole >= 0.5f ? whole + 1 : whole;
        const int32_t q = (steps < 0.0f ? -rounded : rounded) + p->zero_point;
        y[i] = (int8_t)(q < -128 ? -128 : q > 127 ? 127 : q);
    }
}
