/* SPDX-License-Identifier: 0BSD */
/* Any function of one byte, by table. */
#include "eennc_kernels.h"

void eennc_table_s8(const eennc_table_s8_t *p, const void *x, int8_t *y)
{
    const uint8_t *from = x;
    const int8_t *table = p->tables;
    int32_t left = p->run, number = 0;
    for (int32_t i = 0; i < p->size; i++) {
        y[i] = table[from[i]];
        if (--left == 0) {
            left = p->run;
            number = number + 1 < p->count ? number + 1 : 0;
            table = p->tables + 256 * number;
        }
    }
}
