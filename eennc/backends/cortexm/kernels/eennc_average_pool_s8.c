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

enum { MOST_IN_16_BITS = 255 };

/* What is on the map of one window: rows and columns of places, bytes from one to the next. */
typedef struct {
    int32_t rows, columns, down, across;
} area_t;

static inline int8_t mean_of(int32_t sum, int32_t count)
{
    const int32_t half = count / 2;
    return (int8_t)((sum > 0 ? sum + half : sum - half) / count);
}

static inline int32_t sum_of(const int8_t *from, const area_t *a)
{
    int32_t sum = 0;
    for (int32_t k = 0; k < a->rows; k++, from += a->down - a->columns * a->across) {
        for (int32_t l = 0; l < a->columns; l++, from += a->across) {
            sum += *from;
        }
    }
    return sum;
}

#if defined(__ARM_FEATURE_MVE) && !defined(EENNC_PLAIN)

#include <arm_mve.h>

enum { AT_ONCE = 8 };

/* Sums of eight channels, at most MOST_IN_16_BITS places. */
static inline void sums_of(const int8_t *from, const area_t *a, int16_t *sums)
{
    int16x8_t sum = vdupq_n_s16(0);
    for (int32_t k = 0; k < a->rows; k++, from += a->down - a->columns * a->across) {
        for (int32_t l = 0; l < a->columns; l++, from += a->across) {
            sum = vaddq_s16(sum, vldrbq_s16(from));
        }
    }
    vstrhq_s16(sums, sum);
}

#elif defined(__ARM_FEATURE_DSP) && !defined(EENNC_PLAIN)

#include "eennc_dsp.h"

enum { AT_ONCE = 4 };

/* Sums of four channels. */
static inline void sums_of(const int8_t *from, const area_t *a, int16_t *sums)
{
    uint32_t even = 0, odd = 0;
    for (int32_t k = 0; k < a->rows; k++, from += a->down - a->columns * a->across) {
        for (int32_t l = 0; l < a->columns; l++, from += a->across) {
            const uint32_t x = eennc_load4(from);
            even = eennc_add2(even, eennc_even(x));
            odd = eennc_add2(odd, eennc_odd(x));
        }
    }
    sums[0] = (int16_t)even;
    sums[1] = (int16_t)odd;
    sums[2] = (int16_t)(even >> 16);
    sums[3] = (int16_t)(odd >> 16);
}

#else

enum { AT_ONCE = 1 };

static inline void sums_of(const int8_t *from, const area_t *a, int16_t *sums)
{
    sums[0] = (int16_t)sum_of(from, a);
}

#endif

static void means(const int8_t *corner, const area_t *a, int32_t channels, int8_t *y)
{
    const int32_t count = a->rows * a->columns;
    int32_t c = 0;
    if (count <= MOST_IN_16_BITS) {
        for (; c + AT_ONCE <= channels; c += AT_ONCE) {
            int16_t sums[AT_ONCE];
            sums_of(corner + c, a, sums);
            for (int32_t i = 0; i < AT_ONCE; i++) {
                y[c + i] = mean_of(sums[i], count);
            }
        }
    }
    for (; c < channels; c++) {
        y[c] = mean_of(sum_of(corner + c, a), count);
    }
}

void eennc_average_pool_s8(const eennc_windows_t *p, const int8_t *x, int8_t *y)
{
    const int32_t channels = p->in_channels, line = p->in_width * channels;
    area_t a = {0, 0, p->dilation_height * line, p->dilation_width * channels};
    for (int32_t i = 0; i < p->out_height; i++) {
        const int32_t top = i * p->stride_height - p->top;
        const int32_t first_row = first_tap(top, p->dilation_height);
        a.rows = last_tap(top, p->in_height, p->kernel_height, p->dilation_height) - first_row;
        for (int32_t j = 0; j < p->out_width; j++, y += channels) {
            const int32_t left = j * p->stride_width - p->left;
            const int32_t first_column = first_tap(left, p->dilation_width);
            a.columns = last_tap(left, p->in_width, p->kernel_width, p->dilation_width) - first_column;
            means(x + top * line + left * channels + first_row * a.down + first_column * a.across, &a, channels, y);
        }
    }
}
