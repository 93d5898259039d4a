/* SPDX-License-Identifier: 0BSD */
/* Multiplication by a real number in integers, with double rounding: the arithmetic of TensorFlow Lite Micro's reference
 * kernels (gemmlowp; Jacob et al. 2017, arXiv 1712.05877, section 2.2). */
#ifndef EENNC_FIXED_POINT_H
#define EENNC_FIXED_POINT_H

#include <stdint.h>

/* a * b / 2^31, halves rounded up. */
static inline int32_t eennc_high_multiply(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);
}

/* x / 2^bits, halves rounded away from zero; bits >= 0. */
static inline int32_t eennc_rounding_shift(int32_t x, int32_t bits)
{
    return bits > 0 ? (x + (x >> 31) + (1 << (bits - 1))) >> bits : x;
}

/* x * multiplier * 2^(shift - 31). The generator proves that x << shift fits. */
static inline int32_t eennc_requantise(int32_t x, int32_t multiplier, int32_t shift)
{
    if (shift >= 0) {
        return eennc_high_multiply((int32_t)((uint32_t)x << shift), multiplier);
    }
#if defined(__ARM_FEATURE_DSP) && !defined(EENNC_PLAIN)
    /* |x| < 2^30, so that doubling keeps it: then one instruction multiplies and rounds */
    int32_t high;
    __asm__("smmulr %0, %1, %2" : "=r"(high) : "r"(x * 2), "r"(multiplier));
#else
    int32_t high = eennc_high_multiply(x, multiplier);
#endif
    return (high + (high >> 31) + (1 << (-shift - 1))) >> -shift;
}

static inline int8_t eennc_clamp_s8(int32_t x, int32_t low, int32_t high)
{
    return (int8_t)(x < low ? low : x > high ? high : x);
}

#endif
