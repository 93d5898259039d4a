/* SPDX-License-Identifier: 0BSD */
/* Dense layer, int8. */
#include "eennc_kernels.h"

void eennc_dense_s8(const eennc_rows_s8_t *p, int32_t rows, const int8_t *x, int8_t *y)
{
    for (; rows > 0; rows--, x += p->depth, y += p->outputs) {
        eennc_row_s8(p, x, y);
    }
}
