/* SPDX-License-Identifier: 0BSD */
/* Rows times weights, int8: where convolutions and dense layers spend their time. */
#include "eennc_fixed_point.h"
#include "eennc_kernels.h"

#if defined(__ARM_FEATURE_MVE) && !defined(EENNC_PLAIN)

#include <arm_mve.h>

/* Sums of two rows with two outputs. */
static inline void two_by_two(const int8_t *x0, const int8_t *x1, const int8_t *w0, const int8_t *w1, int32_t depth,
                              const int32_t *bias, int32_t *sums0, int32_t *sums1)
{
    int32_t s00 = bias[0], s01 = bias[1], s10 = bias[0], s11 = bias[1];
    int32_t left = depth;
    for (; left >= 16; left -= 16) {
        const int8x16_t a = vldrbq_s8(x0), b = vldrbq_s8(x1);
        const int8x16_t u = vldrbq_s8(w0), v = vldrbq_s8(w1);
        s00 = vmladavaq_s8(s00, a, u);
        s01 = vmladavaq_s8(s01, a, v);
        s10 = vmladavaq_s8(s10, b, u);
        s11 = vmladavaq_s8(s11, b, v);
        x0 += 16;
        x1 += 16;
        w0 += 16;
        w1 += 16;
    }
    if (left > 0) {
        const mve_pred16_t lanes = vctp8q((uint32_t)left);
        const int8x16_t a = vldrbq_z_s8(x0, lanes), b = vldrbq_z_s8(x1, lanes);
        const int8x16_t u = vldrbq_z_s8(w0, lanes), v = vldrbq_z_s8(w1, lanes);
        s00 = vmladavaq_s8(s00, a, u);
        s01 = vmladavaq_s8(s01, a, v);
        s10 = vmladavaq_s8(s10, b, u);
        s11 = vmladavaq_s8(s11, b, v);
    }
    sums0[0] = s00;
    sums0[1] = s01;
    sums1[0] = s10;
    sums1[1] = s11;
}

static inline int32_t one_by_one(const int8_t *x, const int8_t *w, int32_t depth, int32_t sum)
{
    int32_t left = depth;
    for (; left >= 16; left -= 16, x += 16, w += 16) {
        sum = vmladavaq_s8(sum, vldrbq_s8(x), vldrbq_s8(w));
    }
    if (left > 0) {
        const mve_pred16_t lanes = vctp8q((uint32_t)left);
        sum = vmladavaq_s8(sum, vldrbq_z_s8(x, lanes), vldrbq_z_s8(w, lanes));
    }
    return sum;
}

/* Sums of one row with two outputs. */
static inline void one_by_two(const int8_t *x, const int8_t *w0, const int8_t *w1, int32_t depth,
                              const int32_t *bias, int32_t *sums)
{
    int32_t s0 = bias[0], s1 = bias[1], left = depth;
    for (; left >= 16; left -= 16, x += 16, w0 += 16, w1 += 16) {
        const int8x16_t a = vldrbq_s8(x);
        s0 = vmladavaq_s8(s0, a, vldrbq_s8(w0));
        s1 = vmladavaq_s8(s1, a, vldrbq_s8(w1));
    }
    if (left > 0) {
        const mve_pred16_t lanes = vctp8q((uint32_t)left);
        const int8x16_t a = vldrbq_z_s8(x, lanes);
        s0 = vmladavaq_s8(s0, a, vldrbq_z_s8(w0, lanes));
        s1 = vmladavaq_s8(s1, a, vldrbq_z_s8(w1, lanes));
    }
    sums[0] = s0;
    sums[1] = s1;
}

/* Four outputs from their sums. */
static inline void store_four(const eennc_rows_s8_t *p, int32_t o, const int32_t *sums, int8_t *y)
{
    const int32x4_t shift = vldrbq_s32(p->shift + o), right = vminq_s32(shift, vdupq_n_s32(0));
    int32x4_t x = vshlq_s32(vldrwq_s32(sums), vmaxq_s32(shift, vdupq_n_s32(0)));
    x = vqrdmulhq_s32(x, vldrwq_s32(p->multiplier + o));
    /* vrshl rounds halves up, negative numbers have to be one lower first */
    x = vaddq_s32(x, vshrq_n_s32(vandq_s32(x, right), 31));
    x = vaddq_n_s32(vrshlq_s32(x, right), p->zero_point);
    x = vminq_s32(vmaxq_s32(x, vdupq_n_s32(p->low)), vdupq_n_s32(p->high));
    vstrbq_s32(y + o, x);
}

static inline void store_one(const eennc_rows_s8_t *p, int32_t o, int32_t sum, int8_t *y)
{
    y[o] = eennc_clamp_s8(p->zero_point + eennc_requantise(sum, p->multiplier[o], p->shift[o]), p->low, p->high);
}

void eennc_two_rows_s8(const eennc_rows_s8_t *p, const int8_t *x0, const int8_t *x1, int8_t *y0, int8_t *y1,
                       uint32_t *scratch)
{
    (void)scratch;
    const int32_t depth = p->depth, outputs = p->outputs;
    const int8_t *w = p->weights;
    int32_t o = 0;
    for (; o + 4 <= outputs; o += 4, w += 4 * depth) {
        int32_t sums0[4], sums1[4];
        two_by_two(x0, x1, w, w + depth, depth, p->bias + o, sums0, sums1);
        two_by_two(x0, x1, w + 2 * depth, w + 3 * depth, depth, p->bias + o + 2, sums0 + 2, sums1 + 2);
        store_four(p, o, sums0, y0);
        store_four(p, o, sums1, y1);
    }
    for (; o < outputs; o++, w += depth) {
        store_one(p, o, one_by_one(x0, w, depth, p->bias[o]), y0);
        store_one(p, o, one_by_one(x1, w, depth, p->bias[o]), y1);
    }
}

void eennc_row_s8(const eennc_rows_s8_t *p, const int8_t *x, int8_t *y)
{
    const int32_t depth = p->depth, outputs = p->outputs;
    const int8_t *w = p->weights;
    int32_t o = 0;
    for (; o + 4 <= outputs; o += 4) {
        int32_t sums[4];
        one_by_two(x, w, w + depth, depth, p->bias + o, sums);
        one_by_two(x, w + 2 * depth, w + 3 * depth, depth, p->bias + o + 2, sums + 2);
        w += 4 * depth;
        store_four(p, o, sums, y);
    }
    for (; o < outputs; o++, w += depth) {
        store_one(p, o, one_by_one(x, w, depth, p->bias[o]), y);
    }
}

#else

enum { CHUNK = 8 };

/* Outputs o to o + count from their sums: by themselves, so that what they need stays in registers. */
static void store(const eennc_rows_s8_t *p, int32_t o, int32_t count, const int32_t *sums, int8_t *y)
{
    const int32_t *multiplier = p->multiplier + o;
    const int8_t *shift = p->shift + o;
    const int32_t zero_point = p->zero_point, low = p->low, high = p->high;
    for (int32_t i = 0; i < count; i++) {
        y[o + i] = eennc_clamp_s8(zero_point + eennc_requantise(sums[i], multiplier[i], shift[i]), low, high);
    }
}

#if defined(__ARM_FEATURE_DSP) && !defined(EENNC_PLAIN)

#include "eennc_dsp.h"

/* Two rows as pairs of 16 bits: bytes 0 and 2, 1 and 3 of the one, then of the other, and so on. */
static void expand(const int8_t *a, const int8_t *b, int32_t depth, uint32_t *pairs)
{
    for (const int8_t *const end = a + (depth & ~3); a != end; a += 4, b += 4, pairs += 4) {
        const uint32_t x = eennc_load4(a), y = eennc_load4(b);
        pairs[0] = eennc_even(x);
        pairs[1] = eennc_odd(x);
        pairs[2] = eennc_even(y);
        pairs[3] = eennc_odd(y);
    }
}

/* Two rows, as pairs, with two outputs; the last products, up to three, from the rows as they are. */
static inline void two_by_two(const uint32_t *pairs, const int8_t *a, const int8_t *b, const int8_t *u,
                              const int8_t *v, int32_t depth, int32_t s0[2], int32_t s1[2])
{
    int32_t s00 = s0[0], s01 = s0[1], s10 = s1[0], s11 = s1[1];
    for (const int8_t *const end = u + (depth & ~3); u != end; u += 4, v += 4, pairs += 4) {
        const uint32_t a_even = pairs[0], a_odd = pairs[1], b_even = pairs[2], b_odd = pairs[3];
        uint32_t w = eennc_load4(u), even = eennc_even(w), odd = eennc_odd(w);
        s00 = eennc_smlad(a_odd, odd, eennc_smlad(a_even, even, s00));
        s10 = eennc_smlad(b_odd, odd, eennc_smlad(b_even, even, s10));
        w = eennc_load4(v), even = eennc_even(w), odd = eennc_odd(w);
        s01 = eennc_smlad(a_odd, odd, eennc_smlad(a_even, even, s01));
        s11 = eennc_smlad(b_odd, odd, eennc_smlad(b_even, even, s11));
    }
    for (int32_t k = depth & ~3; k < depth; k++) {
        const int32_t x = a[k], y = b[k], w = *u++, z = *v++;
        s00 += x * w;
        s01 += x * z;
        s10 += y * w;
        s11 += y * z;
    }
    s0[0] = s00, s0[1] = s01, s1[0] = s10, s1[1] = s11;
}

/* One row with two outputs. */
static inline void one_by_two(const int8_t *a, const int8_t *u, const int8_t *v, int32_t depth, int32_t s[2])
{
    int32_t s0 = s[0], s1 = s[1];
    for (const int8_t *const end = a + (depth & ~3); a != end; a += 4, u += 4, v += 4) {
        const uint32_t x = eennc_load4(a), w = eennc_load4(u), z = eennc_load4(v);
        const uint32_t even = eennc_even(x), odd = eennc_odd(x);
        s0 = eennc_smlad(odd, eennc_odd(w), eennc_smlad(even, eennc_even(w), s0));
        s1 = eennc_smlad(odd, eennc_odd(z), eennc_smlad(even, eennc_even(z), s1));
    }
    for (int32_t left = depth & 3; left > 0; left--) {
        const int32_t x = *a++;
        s0 += x * *u++;
        s1 += x * *v++;
    }
    s[0] = s0, s[1] = s1;
}

#else

static inline void expand(const int8_t *a, const int8_t *b, int32_t depth, uint32_t *pairs)
{
    (void)a, (void)b, (void)depth, (void)pairs;
}

static inline void two_by_two(const uint32_t *pairs, const int8_t *a, const int8_t *b, const int8_t *u,
                              const int8_t *v, int32_t depth, int32_t s0[2], int32_t s1[2])
{
    (void)pairs;
    int32_t s00 = s0[0], s01 = s0[1], s10 = s1[0], s11 = s1[1];
    for (int32_t k = 0; k < depth; k++) {
        const int32_t x = a[k], y = b[k], w = u[k], z = v[k];
        s00 += x * w;
        s01 += x * z;
        s10 += y * w;
        s11 += y * z;
    }
    s0[0] = s00, s0[1] = s01, s1[0] = s10, s1[1] = s11;
}

static inline void one_by_two(const int8_t *a, const int8_t *u, const int8_t *v, int32_t depth, int32_t s[2])
{
    int32_t s0 = s[0], s1 = s[1];
    for (int32_t k = 0; k < depth; k++) {
        const int32_t x = a[k];
        s0 += x * u[k];
        s1 += x * v[k];
    }
    s[0] = s0, s[1] = s1;
}

#endif

void eennc_two_rows_s8(const eennc_rows_s8_t *p, const int8_t *x0, const int8_t *x1, int8_t *y0, int8_t *y1,
                       uint32_t *scratch)
{
#if defined(__ARM_ARCH_6M__)
    /* eight registers do not hold four sums */
    (void)scratch;
    eennc_row_s8(p, x0, y0);
    eennc_row_s8(p, x1, y1);
#else
    const int32_t depth = p->depth, outputs = p->outputs;
    const int8_t *w = p->weights;
    expand(x0, x1, depth, scratch);
    for (int32_t o = 0; o < outputs; o += CHUNK) {
        const int32_t count = outputs - o < CHUNK ? outputs - o : CHUNK;
        int32_t s0[CHUNK + 1], s1[CHUNK + 1];
        for (int32_t i = 0; i < count; i += 2) {
            /* an odd one out is computed twice */
            const int32_t other = i + 1 < count;
            s0[i] = s1[i] = p->bias[o + i];
            s0[i + 1] = s1[i + 1] = p->bias[o + i + other];
            two_by_two(scratch, x0, x1, w, w + (other ? depth : 0), depth, s0 + i, s1 + i);
            w += 2 * depth;
        }
        store(p, o, count, s0, y0);
        store(p, o, count, s1, y1);
    }
#endif
}

void eennc_row_s8(const eennc_rows_s8_t *p, const int8_t *x, int8_t *y)
{
    const int32_t depth = p->depth, outputs = p->outputs;
    const int8_t *w = p->weights;
    for (int32_t o = 0; o < outputs; o += CHUNK) {
        const int32_t count = outputs - o < CHUNK ? outputs - o : CHUNK;
        int32_t s[CHUNK + 1];
        for (int32_t i = 0; i < count; i += 2) {
            const int32_t other = i + 1 < count;
            s[i] = p->bias[o + i];
            s[i + 1] = p->bias[o + i + other];
            one_by_two(x, w, w + (other ? depth : 0), depth, s + i);
            w += 2 * depth;
        }
        store(p, o, count, s, y);
    }
}

#endif
