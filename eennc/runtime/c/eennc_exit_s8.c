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

int32_t eennc_max_probability_s8(const int8_t *logits, int32_t classes, const int32_t *exponentials)
{
    const int32_t most = 1 << 24, largest = logits[eennc_best_s8(logits, classes)];
    int32_t level = most;
    for (int32_t c = 0; c < classes && level > 0; c++) {
        level -= exponentials[largest - logits[c]];
    }
    return level > 0 ? level : 0;
}
