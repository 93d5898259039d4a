/* SPDX-License-Identifier: 0BSD */
/* A factor and a shift per channel, float. */
#include "eennc_kernels.h"

void eennc_affine_f32(const eennc_affine_f32_t *p, const float *x, float *y)
{
    for (int32_t i = 0; i < p->places; i++) {
        for (int32_t c = 0; c < p->channels; c++) {
            *y++ = *x++ * p->factor[c] + p->shift[c];
        }
    }
}
