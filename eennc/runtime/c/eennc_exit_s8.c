/* SPDX-License-Identifier: 0BSD */
/* The exit decision, int8. */
#include "eennc_exit.h"

int16_t eennc_best_s8(const int8_t *scores, int32_t classes)
{
    int32_t best = 0;
    for (int32_t c = 1; c < classes; c++) {
        best = scores[c] > scores[best] ? c : best;
    }
    return (int16_t)best;
}

int16_t eennc_margin_s8(const int8_t *logits, int32_t classes)
{
    int32_t first = -128, second = -128;
    for (int32_t c = 0; c < classes; c++) {
        const int32_t z = logits[c];
        if (z > first) {
            second = first;
            first = z;
        } else if (z > second) {
            second = z;
        }
    }
    return (int16_t)(first - second);
}
