/* SPDX-License-Identifier: 0BSD */
/* Mean over some neighbouring axes, float. */
#include "eennc_kernels.h"

void eennc_mean_f32(const eennc_mean_f32_t *p, const float *x, float *y)
{
    for (int32_t o = 0; o < p->outer; o++, x += p->reduced * p->inner) {
        for (int32_t i = 0; i < p->inner; i++) {
            float sum = 0.0f;
            for (int32_t r = 0; r < p->reduced; r++) {
                sum += x[r * p->inner + i];
            }
            *y++ = sum / (float)p->reduced;
        }
    }
}
