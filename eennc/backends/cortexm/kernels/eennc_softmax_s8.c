/* SPDX-License-Identifier: 0BSD */
/* Softmax, int8, in fixed point: the arithmetic of gemmlowp. */
#include "eennc_fixed_point.h"
#include "eennc_kernels.h"

enum { DIFFERENCE_BITS = 5, SUM_BITS = 12 };

/* exp(a) for a <= 0 with 26 fractional bits, in 31 fractional bits. */
static int32_t exponential(int32_t a)
{
    /* exp(-2^k) for k = -2..4 */
    static const int32_t powers[] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
    if (a == 0) {
        return INT32_MAX;
    }
    const int32_t quarter = 1 << 24;
    const int32_t part = (a & (quarter - 1)) - quarter;
    /* on [-1/4, 0) a polynomial about -1/8 */
    const int32_t x = part * (1 << DIFFERENCE_BITS) + (1 << 28);
    const int32_t x2 = eennc_high_multiply(x, x);
    const int32_t x3 = eennc_high_multiply(x2, x);
    const int32_t x4 = eennc_rounding_shift(eennc_high_multiply(x2, x2), 2);
    const int32_t tail = eennc_rounding_shift(eennc_high_multiply(x4 + x3, 715827883) + x2, 1);
    int32_t result = 1895147668 + eennc_high_multiply(x + tail, 1895147668);
    const int32_t remainder = part - a;
    for (int32_t k = 0; k < 7; k++) {
        if (remainder & (1 << (24 + k))) {
            result = eennc_high_multiply(result, powers[k]);
        }
    }
    return result;
}

/* 1 / (1 + a) for a in [0, 1), 31 fractional bits each, by three steps of Newton's method. */
static int32_t reciprocal(int32_t a)
{
    const int32_t half = (int32_t)(((int64_t)a + INT32_MAX + 1) >> 1);
    int32_t x = 1515870810 + eennc_high_multiply(half, -1010580540);
    for (int32_t step = 0; step < 3; step++) {
        const int32_t rest = (1 << 29) - eennc_high_multiply(half, x);
        x += eennc_high_multiply(x, rest) * 4;
    }
    return x >= 1 << 30 ? INT32_MAX : x * 2;
}

static int32_t scaled(const eennc_softmax_s8_t *p, int32_t difference)
{
    return eennc_high_multiply((int32_t)((uint32_t)difference << p->shift), p->multiplier);
}

void eennc_softmax_s8(const eennc_softmax_s8_t *p, const int8_t *x, int8_t *y)
{
    for (int32_t row = 0; row < p->rows; row++, x += p->classes, y += p->classes) {
        int32_t largest = x[0];
        for (int32_t c = 1; c < p->classes; c++) {
            largest = x[c] > largest ? x[c] : largest;
        }
        int32_t total = 0;
        for (int32_t c = 0; c < p->classes; c++) {
            const int32_t difference = x[c] - largest;
            if (difference >= p->lowest) {
                /* without sign: the largest is 2^31 - 1 */
                const uint32_t whole = (uint32_t)exponential(scaled(p, difference));
                total += (int32_t)((whole + (1u << (SUM_BITS - 1))) >> SUM_BITS);
            }
        }
        /* total = 2^bits * (1 + fraction) */
        int32_t headroom = 0;
        while (!(((uint32_t)total << headroom) & 0x80000000u)) {
            headroom++;
        }
        const int32_t factor = reciprocal((int32_t)(((uint32_t)total << headroom) - 0x80000000u));
        const int32_t bits = SUM_BITS - headroom + 31 - 8;
        for (int32_t c = 0; c < p->classes; c++) {
            const int32_t difference = x[c] - largest;
            int32_t probability = 0;
            if (difference >= p->lowest) {
                /* `bits` may be more than 31 */
                const int64_t share = eennc_high_multiply(factor, exponential(scaled(p, difference)));
                probability = (int32_t)((share + ((int64_t)1 << (bits - 1))) >> bits);
            }
            y[c] = eennc_clamp_s8(probability - 128, -128, 127);
        }
    }
}
