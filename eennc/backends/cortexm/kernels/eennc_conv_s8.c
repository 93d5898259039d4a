/* SPDX-License-Identifier: 0BSD */
/* Convolution, int8: windows are laid out as rows, two at a time. */
#include "eennc_kernels.h"

#include <string.h>

/* The columns of a window's row that lie on the map. */
static void gather_row(const eennc_conv_s8_t *p, const int8_t *row, int32_t left, int8_t *y)
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
        memset(y, p->fill, (size_t)(before * channels));
        if (there > 0) {
            memcpy(y + before * channels, row + (left + before) * channels, (size_t)(there * channels));
        }
        memset(y + (before + there) * channels, p->fill, (size_t)(after * channels));
        return;
    }
    for (int32_t j = 0; j < w->kernel_width; j++, y += channels) {
        const int32_t column = left + j * w->dilation_width;
        if (column < 0 || column >= w->in_width) {
            memset(y, p->fill, (size_t)channels);
        } else {
            memcpy(y, row + column * w->in_channels, (size_t)channels);
        }
    }
}

/* One window as a row: x itself where it lies there in one piece. `x` starts with the group's first channel. */
static const int8_t *window(const eennc_conv_s8_t *p, const int8_t *x, int32_t row, int32_t column, int8_t *scratch)
{
    const eennc_windows_t *w = &p->windows;
    const int32_t top = row * w->stride_height - w->top, left = column * w->stride_width - w->left;
    const int32_t stride = w->in_width * w->in_channels;
    const int32_t length = w->kernel_width * (w->in_channels / p->groups);
    if (w->kernel_height == 1 && p->groups == 1 && (w->dilation_width == 1 || w->kernel_width == 1) && top >= 0 &&
        top < w->in_height && left >= 0 && left + w->kernel_width <= w->in_width) {
        return x + top * stride + left * w->in_channels;
    }
    int8_t *y = scratch;
    for (int32_t i = 0; i < w->kernel_height; i++, y += length) {
        const int32_t line = top + i * w->dilation_height;
        if (line < 0 || line >= w->in_height) {
            memset(y, p->fill, (size_t)length);
        } else {
            gather_row(p, x + line * stride, left, y);
        }
    }
    return scratch;
}

static void convolve_group(const eennc_conv_s8_t *p, const eennc_rows_s8_t *rows, const int8_t *x, int8_t *y,
                           uint32_t *rows_scratch)
{
    const int32_t channels = p->windows.out_channels, depth = rows->depth;
    int8_t *const scratch = (int8_t *)(rows_scratch + EENNC_ROWS_SCRATCH(depth));
    const int in_place = x == y;
    const int8_t *first = x;
    int waiting = 0;
    for (int32_t row = 0; row < p->windows.out_height; row++) {
        for (int32_t column = 0; column < p->windows.out_width; column++) {
            int8_t *mine = waiting ? scratch + depth : scratch;
            const int8_t *next = window(p, x, row, column, mine);
            if (in_place) {
                /* what is still to be read must not be what was written */
                memcpy(mine, next, (size_t)depth);
                next = mine;
            }
            if (waiting) {
                eennc_two_rows_s8(rows, first, next, y, y + channels, rows_scratch);
                y += 2 * channels;
            }
            first = next;
            waiting = !waiting;
        }
    }
    if (waiting) {
        eennc_row_s8(rows, first, y);
    }
}

void eennc_conv_s8(const eennc_conv_s8_t *p, const int8_t *x, int8_t *y, uint32_t *scratch)
{
    eennc_rows_s8_t rows = p->rows;
    for (int32_t group = 0; group < p->groups; group++) {
        convolve_group(p, &rows, x, y, scratch);
        x += p->windows.in_channels / p->groups;
        y += rows.outputs;
        rows.weights += rows.depth * rows.outputs;
        rows.bias += rows.outputs;
        rows.multiplier += rows.outputs;
        rows.shift += rows.outputs;
    }
}
