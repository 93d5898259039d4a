/* SPDX-License-Identifier: 0BSD */
/* Mean of each window, over what lies on the map or over the padding too, float. */
#include "eennc_kernels.h"

/* Taps of a window from `start` on that lie in from..to. */
static inline int32_t taps_in(int32_t start, int32_t kernel, int32_t dilation, int32_t from, int32_t to)
{
    int32_t count = 0;
    for (int32_t k = 0; k < kernel; k++) {
        const int32_t at = start + k * dilation;
        count += at >= from && at < to;
    }
    return count;
}

void eennc_average_pool_f32(const eennc_average_pool_f32_t *p, const float *x, float *y)
{
    const eennc_windows_t *w = &p->windows;
    const int32_t channels = w->in_channels;
    const int32_t above = p->count_padding ? w->top : 0, before = p->count_padding ? w->left : 0;
    for (int32_t i = 0; i < w->out_height; i++) {
        const int32_t top = i * w->stride_height - w->top;
        const int32_t rows =
            taps_in(top, w->kernel_height, w->dilation_height, -above, w->in_height + p->counted_bottom);
        for (int32_t j = 0; j < w->out_width; j++, y += channels) {
            const int32_t left = j * w->stride_width - w->left;
            const int32_t columns =
                taps_in(left, w->kernel_width, w->dilation_width, -before, w->in_width + p->counted_right);
            for (int32_t c = 0; c < channels; c++) {
                float sum = 0.0f;
                for (int32_t k = 0; k < w->kernel_height; k++) {
                    const int32_t row = top + k * w->dilation_height;
                    for (int32_t l = 0; l < w->kernel_width; l++) {
                        const int32_t column = left + l * w->dilation_width;
                        if (row >= 0 && row < w->in_height && column >= 0 && column < w->in_width) {
                            sum += x[(row * w->in_width + column) * channels + c];
                        }
                    }
                }
                y[c] = sum / (float)(rows * columns);
            }
        }
    }
}
