/* SPDX-License-Identifier: 0BSD */
/* Dense layer, float. */
#include "eennc_kernels.h"

void eennc_dense_f32(const eennc_rows_f32_t *p, int32_t rows, const float *x, float *y)
{
    for (; rows > 0; rows--, x += p->depth, y += p->outputs) {
        eennc_row_f32(p, x, y);
    }
}
