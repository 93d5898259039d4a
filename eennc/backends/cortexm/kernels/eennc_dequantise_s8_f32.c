/* SPDX-License-Identifier: 0BSD */
/* int8 to floats. */
#include "eennc_kernels.h"

void eennc_dequantise_s8_f32(const eennc_quantise_t *p, const int8_t *x, float *y)
{
    for (int32_t i = 0; i < p->size; i++) {
        y[i] = (float)(x[i] - p->zero_point) * p->scale;
    }
}
