/* SPDX-License-Identifier: 0BSD */
/* Bytes to floats. */
#include "eennc_kernels.h"

void eennc_cast_u8_f32(int32_t size, const uint8_t *x, float *y)
{
    for (int32_t i = 0; i < size; i++) {
        y[i] = (float)x[i];
    }
}
