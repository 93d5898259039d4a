/* SPDX-License-Identifier: 0BSD */
/* Largest value in each window, float. */
#include "eennc_kernels.h"

#include <string.h>

/* y = the larger of both, for all channels of a place. */
static inline void raise_to(float *y, const float *x, int32_t channels)
{
    for (int32_t c = 0; c < channels; c++) {
        y[c] = x[c] > y[c] ? x[c] : y[c];
    }
}

void eennc_max_pool_f32(const eennc_windows_t *p, const float *x, float *y)
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
                    const float *from = x + (row * p->in_width + column) * channels;
                    if (first) {
                        memmove(y, from, (size_t)channels * sizeof *y);
                        first = 0;
                    } else {
                        raise_to(y, from, channels);
                    }
                }
            }
        }
    }
}
