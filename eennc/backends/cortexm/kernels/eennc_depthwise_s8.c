/* SPDX-License-Identifier: 0BSD */
/* Depthwise convolution, int8: channel by channel on a padded plane; with Helium eight channels at a time. */
#include "eennc_fixed_point.h"
#include "eennc_kernels.h"

#include <string.h>

/* Bytes behind a plane that may be read. */
enum { SPARE = 4 };

/* Rows and columns of the plane that all windows together see. */
static inline int32_t span(int32_t count, int32_t stride, int32_t kernel, int32_t dilation)
{
    return (count - 1) * stride + (kernel - 1) * dilation + 1;
}

static void fill_plane(const eennc_depthwise_s8_t *p, const int8_t *x, int32_t height, int32_t width, int8_t *plane)
{
    const eennc_windows_t *w = &p->windows;
    const int32_t rows = w->in_height < height - w->top ? w->in_height : height - w->top;
    const int32_t columns = w->in_width < width - w->left ? w->in_width : width - w->left;
    if (rows < height || columns < width) {
        memset(plane, p->fill, (size_t)(height * width));
    }
    plane += w->top * width + w->left;
    const int32_t step = w->in_channels;
    for (int32_t i = 0; i < rows; i++) {
        const int8_t *from = x;
        for (int32_t j = 0; j < columns; j++, from += step) {
            plane[j] = *from;
        }
        x += w->in_width * step;
        plane += width;
    }
}

enum { CHUNK = 8 };

/* Loops by themselves keep what they need in registers. */
#define NOT_INLINE __attribute__((noinline))

/* Sums of outputs that stand side by side, from a plane's row `r` on. */
NOT_INLINE static void sums_of(const eennc_windows_t *w, const int8_t *r, int32_t width, const int8_t *taps, int32_t bias,
                    int32_t count, int32_t *sums)
{
    const int32_t kernel_height = w->kernel_height, kernel_width = w->kernel_width, step = w->dilation_width;
    const int32_t down = w->dilation_height * width, across = w->stride_width;
    for (int32_t i = 0; i < count; i++, r += across) {
        const int8_t *row = r, *t = taps;
        int32_t sum = bias;
        if (kernel_width == 3) {
            for (int32_t k = 0; k < kernel_height; k++, row += down, t += 3) {
                sum += row[0] * t[0] + row[step] * t[1] + row[2 * step] * t[2];
            }
        } else {
            for (int32_t k = 0; k < kernel_height; k++, row += down) {
                for (int32_t l = 0; l < kernel_width; l++) {
                    sum += row[l * step] * *t++;
                }
            }
        }
        sums[i] = sum;
    }
}

#if defined(__ARM_FEATURE_DSP) && !defined(EENNC_PLAIN)

#include "eennc_dsp.h"

static inline int32_t low_product(uint32_t a, uint32_t b, int32_t sum)
{
    int32_t result;
    __asm__("smlabb %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
}

static inline int32_t high_low_product(uint32_t a, uint32_t b, int32_t sum)
{
    int32_t result;
    __asm__("smlatb %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
}

static inline uint32_t outer_taps(const int8_t *w)
{
    return ((uint32_t)w[0] & 0xffffu) | ((uint32_t)w[2] << 16);
}

/* A row of a plane, 3 taps, two outputs from one word: outer taps as a pair, then the middle one. */
static inline void two_outputs(const int8_t *r, uint32_t outer, uint32_t middle, int32_t *a, int32_t *b)
{
    const uint32_t x = eennc_load4(r), even = eennc_even(x), odd = eennc_odd(x);
    *a = low_product(odd, middle, eennc_smlad(even, outer, *a));
    *b = high_low_product(even, middle, eennc_smlad(odd, outer, *b));
}

/* 3x3, stride 1 along the row, two at a time: what an odd count has too much is written, and not needed. */
NOT_INLINE static void sums_3x3(const int8_t *r, int32_t width, const int8_t *taps, int32_t bias, int32_t count, int32_t *sums)
{
    const uint32_t k0 = outer_taps(taps), k1 = outer_taps(taps + 3), k2 = outer_taps(taps + 6);
    const uint32_t m0 = (uint32_t)taps[1], m1 = (uint32_t)taps[4], m2 = (uint32_t)taps[7];
    const int8_t *r1 = r + width;
    for (const int8_t *const end = r + ((count + 1) & ~1); r != end; r += 2, r1 += 2, sums += 2) {
        int32_t a = bias, b = bias;
        two_outputs(r, k0, m0, &a, &b);
        two_outputs(r1, k1, m1, &a, &b);
        two_outputs(r1 + width, k2, m2, &a, &b);
        sums[0] = a;
        sums[1] = b;
    }
}

static inline int words_fit(const eennc_windows_t *w)
{
    return w->kernel_height == 3 && w->kernel_width == 3 && w->stride_width == 1 && w->dilation_width == 1 &&
           w->dilation_height == 1;
}

#else

static inline int words_fit(const eennc_windows_t *w)
{
    (void)w;
    return 0;
}

static inline void sums_3x3(const int8_t *r, int32_t width, const int8_t *taps, int32_t bias, int32_t count,
                            int32_t *sums)
{
    (void)r, (void)width, (void)taps, (void)bias, (void)count, (void)sums;
}

#endif

/* One output channel from its plane. */
static void convolve_plane(const eennc_depthwise_s8_t *p, const int8_t *plane, int32_t width, const int8_t *taps,
                           int32_t o, int8_t *y)
{
    const eennc_windows_t *w = &p->windows;
    const int32_t outputs = p->rows.outputs, bias = p->rows.bias[o], multiplier = p->rows.multiplier[o];
    const int32_t shift = p->rows.shift[o], zero_point = p->rows.zero_point, low = p->rows.low, high = p->rows.high;
    const int words = words_fit(w);
    for (int32_t i = 0; i < w->out_height; i++) {
        const int8_t *r = plane + i * w->stride_height * width;
        for (int32_t left = w->out_width; left > 0; left -= CHUNK, r += CHUNK * w->stride_width) {
            const int32_t count = left < CHUNK ? left : CHUNK;
            int32_t sums[CHUNK];
            if (words) {
                sums_3x3(r, width, taps, bias, count, sums);
            } else {
                sums_of(w, r, width, taps, bias, count, sums);
            }
            for (int32_t j = 0; j < count; j++, y += outputs) {
                *y = eennc_clamp_s8(zero_point + eennc_requantise(sums[j], multiplier, shift), low, high);
            }
        }
    }
}

static void by_planes(const eennc_depthwise_s8_t *p, const int8_t *x, int8_t *y, int8_t *scratch)
{
    const eennc_windows_t *w = &p->windows;
    const int32_t height = span(w->out_height, w->stride_height, w->kernel_height, w->dilation_height);
    const int32_t width = span(w->out_width, w->stride_width, w->kernel_width, w->dilation_width);
    const int32_t repeats = w->out_channels / w->in_channels, size = w->kernel_height * w->kernel_width;
    int8_t *taps = scratch + height * width + SPARE;
    for (int32_t c = 0, o = 0; c < w->in_channels; c++) {
        fill_plane(p, x + c, height, width, scratch);
        for (int32_t r = 0; r < repeats; r++, o++) {
            for (int32_t t = 0; t < size; t++) {
                taps[t] = p->rows.weights[t * w->out_channels + o];
            }
            convolve_plane(p, scratch, width, taps, o, y + o);
        }
    }
}

#if defined(__ARM_FEATURE_MVE) && !defined(EENNC_PLAIN)

#include <arm_mve.h>

static inline int32x4_t requantised(const eennc_rows_s8_t *p, int32x4_t sums, int32x4_t multiplier, int32x4_t shift)
{
    const int32x4_t right = vminq_s32(shift, vdupq_n_s32(0));
    int32x4_t x = vqrdmulhq_s32(vshlq_s32(sums, vmaxq_s32(shift, vdupq_n_s32(0))), multiplier);
    /* vrshl rounds halves up, negative numbers have to be one lower first */
    x = vaddq_s32(x, vshrq_n_s32(vandq_s32(x, right), 31));
    x = vaddq_n_s32(vrshlq_s32(x, right), p->zero_point);
    return vminq_s32(vmaxq_s32(x, vdupq_n_s32(p->low)), vdupq_n_s32(p->high));
}

enum { MOST_TAPS = 25 };

/* Eight channels of one place. from: where each tap reads its first channel. */
static inline void eight(const eennc_rows_s8_t *p, const int8_t *const *from, int32_t taps, int32_t c, int8_t *y)
{
    const int32x4x2_t bias = vld2q_s32(p->bias + c);
    int32x4_t even = bias.val[0], odd = bias.val[1];
    const int8_t *weights = p->weights + c;
    for (int32_t t = 0; t < taps; t++, weights += p->outputs) {
        const int16x8_t a = vldrbq_s16(from[t] + c), b = vldrbq_s16(weights);
        even = vaddq_s32(even, vmullbq_int_s16(a, b));
        odd = vaddq_s32(odd, vmulltq_int_s16(a, b));
    }
    const int32x4x2_t multiplier = vld2q_s32(p->multiplier + c);
    const int16x8_t shift = vldrbq_s16(p->shift + c);
    even = requantised(p, even, multiplier.val[0], vmovlbq_s16(shift));
    odd = requantised(p, odd, multiplier.val[1], vmovltq_s16(shift));
    vstrbq_s16(y + c, vmovntq_s32(vreinterpretq_s16_s32(even), odd));
}

static inline int8_t stored(const eennc_rows_s8_t *p, int32_t o, int32_t sum)
{
    return eennc_clamp_s8(p->zero_point + eennc_requantise(sum, p->multiplier[o], p->shift[o]), p->low, p->high);
}

/* A channel that is left over. */
static inline int8_t one(const eennc_rows_s8_t *p, const int8_t *const *from, int32_t taps, int32_t c)
{
    int32_t sum = p->bias[c];
    for (int32_t t = 0; t < taps; t++) {
        sum += from[t][c] * p->weights[t * p->outputs + c];
    }
    return stored(p, c, sum);
}

/* Where each tap of the window at a row and a column reads; beyond the map, from `padding`. */
static void find_taps(const eennc_windows_t *w, const int8_t *x, int32_t top, int32_t left, const int8_t *padding,
                      const int8_t **from)
{
    for (int32_t i = 0; i < w->kernel_height; i++) {
        const int32_t row = top + i * w->dilation_height;
        const int there = row >= 0 && row < w->in_height;
        for (int32_t j = 0; j < w->kernel_width; j++) {
            const int32_t column = left + j * w->dilation_width;
            const int inside = there && column >= 0 && column < w->in_width;
            *from++ = inside ? x + (row * w->in_width + column) * w->in_channels : padding;
        }
    }
}

void eennc_depthwise_s8(const eennc_depthwise_s8_t *p, const int8_t *x, int8_t *y, int8_t *scratch)
{
    const eennc_windows_t *w = &p->windows;
    const int32_t taps = w->kernel_height * w->kernel_width;
    if (x == y || w->out_channels != w->in_channels || taps > MOST_TAPS) {
        by_planes(p, x, y, scratch);
        return;
    }
    const int8_t *from[MOST_TAPS];
    memset(scratch, p->fill, (size_t)w->in_channels);
    for (int32_t i = 0; i < w->out_height; i++) {
        for (int32_t j = 0; j < w->out_width; j++, y += w->out_channels) {
            find_taps(w, x, i * w->stride_height - w->top, j * w->stride_width - w->left, scratch, from);
            int32_t c = 0;
            for (; c + 8 <= w->in_channels; c += 8) {
                eight(&p->rows, from, taps, c, y);
            }
            for (; c < w->in_channels; c++) {
                y[c] = one(&p->rows, from, taps, c);
            }
        }
    }
}

#else

void eennc_depthwise_s8(const eennc_depthwise_s8_t *p, const int8_t *x, int8_t *y, int8_t *scratch)
{
    by_planes(p, x, y, scratch);
}

#endif
