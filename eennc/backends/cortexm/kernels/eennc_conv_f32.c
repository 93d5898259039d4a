/* SPDX-License-Identifier: 0BSD */
/* Convolution, float: windows are laid out as rows, two at a time. */
#include "eennc_kernels.h"

#include <string.h>

/* The columns of a window's row that lie on the map. */
static void gather_row(const eennc_conv_f32_t *p, const float *row, int32_t left, float *y)
{
    const eennc_windows_t *w = &p->windows;
    const int32_t channels = w->in_channels / p->groups;
    if (w->dilation_width == 1 && p->groups == 1) {
        const int32_t right = left + w->kernel_width;
        int32_t before = left < 0 ? -left : 0;
        before = before > w->kernel_width ? w->kernel_width : before;
        int32_t after = right > w->in_width ? right - w->in_width : 0;
        after = after > w->kernel_width - before ? w->kernel_width - before : after;
        const int32_t there = w->kernel_width - before - after;
        memset(y, 0, (size_t)(before * channels) * sizeof *y);
        if (there > 0) {
            memcpy(y + before * channels, row + (left + before) * channels, (size_t)(there * channels) * sizeof *y);
        }
        memset(y + (before + there) * channels, 0, (size_t)(after * channels) * sizeof *y);
        return;
    }
    for (int32_t j = 0; j < w->kernel_width; j++, y += channels) {
        const int32_t column = left + j * w->dilation_width;
        if (column < 0 || column >= w->in_width) {
            memset(y, 0, (size_t)channels * sizeof *y);
        } else {
            memcpy(y, row + column * w->in_channels, (size_t)channels * sizeof *y);
        }
    }
}

/* One window as a row: x itself where it lies there in one piece. `x` starts with the group's first channel. */
static const float *window(const eennc_conv_f32_t *p, const float *x, int32_t row, int32_t column, float *scratch)
{
    const eennc_windows_t *w = &p->windows;
    const int32_t top = row * w->stride_height - w->top, left = column * w->stride_width - w->left;
    const int32_t stride = w->in_width * w->in_channels;
    const int32_t length = w->kernel_width * (w->in_channels / p->groups);
    if (w->kernel_height == 1 && p->groups == 1 && (w->dilation_width == 1 || w->kernel_width == 1) && top >= 0 &&
        top < w->in_height && left >= 0 && left + w->kernel_width <= w->in_width) {
        return x + top * stride + left * w->in_channels;
    }
    float *y = scratch;
    for (int32_t i = 0; i < w->kernel_height; i++, y += length) {
        const int32_t line = top + i * w->dilation_height;
        if (line < 0 || line >= w->in_height) {
            memset(y, 0, (size_t)length * sizeof *y);
        } else {
            gather_row(p, x + line * stride, left, y);
        }
    }
    return scratch;
}

static void convolve_group(const eennc_conv_f32_t *p, const eennc_rows_f32_t *rows, const float *x, float *y,
                           float *scratch)
{
    const int32_t channels = p->windows.out_channels, depth = rows->depth;
    const int in_place = x == y;
    const float *first = x;
    int waiting = 0;
    for (int32_t row = 0; row < p->windows.out_height; row++) {
        for (int32_t column = 0; column < p->windows.out_width; column++) {
            float *mine = waiting ? scratch + depth : scratch;
            const float *next = window(p, x, row, column, mine);
            if (in_place) {
                /* what is still to be read must not be what was written */
                memcpy(mine, next, (size_t)depth * sizeof *mine);
                next = mine;
            }
            if (waiting) {
                eennc_two_rows_f32(rows, first, next, y, y + channels);
                y += 2 * channels;
            }
            first = next;
            waiting = !waiting;
        }
    }
    if (waiting) {
        eennc_row_f32(rows, first, y);
    }
}

void eennc_conv_f32(const eennc_conv_f32_t *p, const float *x, float *y, float *scratch)
{
    eennc_rows_f32_t rows = p->rows;
    for (int32_t group = 0; group < p->groups; group++) {
        convolve_group(p, &rows, x, y, scratch);
        x += p->windows.in_channels / p->groups;
        y += rows.outputs;
        rows.weights += rows.depth * rows.outputs;
        rows.bias += rows.bias ? rows.outputs : 0;
    }
}
