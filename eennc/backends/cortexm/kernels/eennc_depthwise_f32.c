/* SPDX-License-Identifier: 0BSD */
/* Depthwise convolution, float: channel by channel on a padded plane. */
#include <string.h>

#include "eennc_kernels.h"

/* Rows and columns of the plane that all windows together see. */
static inline int32_t span(int32_t count, int32_t stride, int32_t kernel, int32_t dilation)
{
    return (count - 1) * stride + (kernel - 1) * dilation + 1;
}

static void fill_plane(const eennc_windows_t *w, const float *x, int32_t height, int32_t width, float *plane)
{
    const int32_t rows = w->in_height < height - w->top ? w->in_height : height - w->top;
    const int32_t columns = w->in_width < width - w->left ? w->in_width : width - w->left;
    memset(plane, 0, (size_t)(height * width) * sizeof *plane);
    plane += w->top * width + w->left;
    for (int32_t i = 0; i < rows; i++, plane += width) {
        const float *from = x + i * w->in_width * w->in_channels;
        for (int32_t j = 0; j < columns; j++, from += w->in_channels) {
            plane[j] = *from;
        }
    }
}

static void convolve_plane(const eennc_depthwise_f32_t *p, const float *plane, int32_t width, const float *taps,
                           int32_t o, float *y)
{
    const eennc_windows_t *w = &p->windows;
    const int32_t down = w->dilation_height * width, step = w->dilation_width;
    const int32_t kernel_height = w->kernel_height, kernel_width = w->kernel_width;
    const float bias = p->rows.bias ? p->rows.bias[o] : 0.0f, low = p->rows.low, high = p->rows.high;
    for (int32_t i = 0; i < w->out_height; i++) {
        const float *corner = plane + i * w->stride_height * width;
        for (int32_t j = 0; j < w->out_width; j++, corner += w->stride_width, y += p->rows.outputs) {
            const float *r = corner, *t = taps;
            float sum = bias;
            for (int32_t k = 0; k < kernel_height; k++, r += down) {
                for (int32_t l = 0; l < kernel_width; l++) {
                    sum += r[l * step] * *t++;
                }
            }
            *y = sum < low ? low : sum > high ? high : sum;
        }
    }
}

void eennc_depthwise_f32(const eennc_depthwise_f32_t *p, const float *x, float *y, float *scratch)
{
    const eennc_windows_t *w = &p->windows;
    const int32_t height = span(w->out_height, w->stride_height, w->kernel_height, w->dilation_height);
    const int32_t width = span(w->out_width, w->stride_width, w->kernel_width, w->dilation_width);
    const int32_t repeats = w->out_channels / w->in_channels, size = w->kernel_height * w->kernel_width;
    float *taps = scratch + height * width;
    for (int32_t c = 0, o = 0; c < w->in_channels; c++) {
        fill_plane(w, x + c, height, width, scratch);
        for (int32_t r = 0; r < repeats; r++, o++) {
            for (int32_t t = 0; t < size; t++) {
                taps[t] = p->rows.weights[t * w->out_channels + o];
            }
            convolve_plane(p, scratch, width, taps, o, y + o);
        }
    }
}
