/* SPDX-License-Identifier: 0BSD */
/* Largest value in each window, int8. */
#include "eennc_kernels.h"

#include <string.h>

#if defined(__ARM_FEATURE_DSP) && !defined(__ARM_FEATURE_MVE) && !defined(EENNC_PLAIN)
#include "eennc_dsp.h"
#endif

/* y = the larger of both, for all channels of a place. */
static inline void raise_to(int8_t *y, const int8_t *x, int32_t channels)
{
    int32_t c = 0;
#if defined(__ARM_FEATURE_DSP) && !defined(__ARM_FEATURE_MVE) && !defined(EENNC_PLAIN)
    for (; c + 4 <= channels; c += 4) {
        const uint32_t larger = eennc_largest4(eennc_load4(x + c), eennc_load4(y + c));
        memcpy(y + c, &larger, 4);
    }
#endif
    for (; c < channels; c++) {
        const int8_t other = x[c];
        y[c] = other > y[c] ? other : y[c];
    }
}

void eennc_max_pool_s8(const eennc_windows_t *p, const int8_t *x, int8_t *y)
{
    const int32_t channels = p->in_channels;
    for (int32_t i = 0; i < p->out_height; i++) {
        for (int32_t j = 0; j < p->out_width; j++, y += channels) {
            int first = 1;
            for (int32_t k = 0; k < p->kernel_height; k++) {
                const int32_t row = i * p->stride_height - p->top + k * p->dilation_height;
                for (int32_t l = 0; l < p->kernel_width; l++) {
                    const int32_t column = j * p->stride_width - p->left + l * p->dilation_width;
                    if (row < 0 || row >= p->in_height || column < 0 || column >= p->in_width) {
                        continue;
                    }
                    const int8_t *from = x + (row * p->in_width + column) * channels;
                    if (first) {
                        memmove(y, from, (size_t)channels);
                        first = 0;
                    } else {
                        raise_to(y, from, channels);
                    }
                }
            }
        }
    }
}
