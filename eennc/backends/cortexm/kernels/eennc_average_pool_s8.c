/* SPDX-License-Identifier: 0BSD */
/* Mean of each window over what lies on the map, int8, halves away from zero. */
#include "eennc_kernels.h"

/* Taps before the map, and behind the last one on it. */
static inline int32_t first_tap(int32_t start, int32_t dilation)
{
    return start >= 0 ? 0 : (-start + dilation - 1) / dilation;
}

static inline int32_t last_tap(int32_t start, int32_t size, int32_t kernel, int32_t dilation)
{
    return start + (kernel - 1) * dilation < size ? kernel : (size - 1 - start) / dilation + 1;
}

void eennc_average_pool_s8(const eennc_windows_t *p, const int8_t *x, int8_t *y)
{
    const int32_t channels = p->in_channels, line = p->in_width * channels;
    const int32_t down = p->dilation_height * line, across = p->dilation_width * channels;
    for (int32_t i = 0; i < p->out_height; i++) {
        const int32_t top = i * p->stride_height - p->top;
        const int32_t first_row = first_tap(top, p->dilation_height);
        const int32_t rows = last_tap(top, p->in_height, p->kernel_height, p->dilation_height) - first_row;
        for (int32_t j = 0; j < p->out_width; j++) {
            const int32_t left = j * p->stride_width - p->left;
            const int32_t first_column = first_tap(left, p->dilation_width);
            const int32_t columns = last_tap(left, p->in_width, p->kernel_width, p->dilation_width) - first_column;
            const int32_t count = rows * columns, half = count / 2;
            const int8_t *corner = x + top * line + left * channels + first_row * down + first_column * across;
            for (int32_t c = 0; c < channels; c++) {
                const int8_t *from = corner + c;
                int32_t sum = 0;
                for (int32_t k = 0; k < rows; k++, from += down - columns * across) {
                    for (int32_t l = 0; l < columns; l++, from += across) {
                        sum += *from;
                    }
                }
                *y++ = (int8_t)((sum > 0 ? sum + half : sum - half) / count);
            }
        }
    }
}
