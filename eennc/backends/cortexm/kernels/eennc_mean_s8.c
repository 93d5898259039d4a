/* SPDX-License-Identifier: 0BSD */
/* Mean over all places of each channel, int8. */
#include "eennc_fixed_point.h"
#include "eennc_kernels.h"

void eennc_mean_s8(const eennc_mean_s8_t *p, const int8_t *x, int8_t *y)
{
    for (int32_t c = 0; c < p->channels; c++) {
        const int8_t *from = x + c;
        int32_t sum = -p->in_zero_point * p->places;
        for (int32_t i = 0; i < p->places; i++, from += p->channels) {
            sum += *from;
        }
        y[c] = eennc_clamp_s8(p->zero_point + eennc_requantise(sum, p->multiplier, p->shift), -128, 127);
    }
}
