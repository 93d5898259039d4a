/* SPDX-License-Identifier: 0BSD */
/* Four bytes at a time, for cores with the DSP extension. */
#ifndef EENNC_DSP_H
#define EENNC_DSP_H

#include <stdint.h>
#include <string.h>

/* Four bytes, wherever they lie. */
static inline uint32_t eennc_load4(const int8_t *x)
{
    uint32_t word;
    memcpy(&word, x, 4);
    return word;
}

/* Bytes 0 and 2, 1 and 3, as a pair of 16 bits. */
static inline uint32_t eennc_even(uint32_t bytes)
{
    uint32_t pair;
    __asm__("sxtb16 %0, %1" : "=r"(pair) : "r"(bytes));
    return pair;
}

static inline uint32_t eennc_odd(uint32_t bytes)
{
    uint32_t pair;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(bytes));
    return pair;
}

/* sum + both products of two pairs. */
static inline int32_t eennc_smlad(uint32_t a, uint32_t b, int32_t sum)
{
    int32_t result;
    __asm__("smlad %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
}

/* The larger of each of four bytes. */
static inline uint32_t eennc_largest4(uint32_t a, uint32_t b)
{
    uint32_t larger;
    __asm__("ssub8 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(larger) : "r"(a), "r"(b));
    return larger;
}

/* Both sums of two pairs. */
static inline uint32_t eennc_add2(uint32_t a, uint32_t b)
{
    uint32_t sums;
    __asm__("sadd16 %0, %1, %2" : "=r"(sums) : "r"(a), "r"(b));
    return sums;
}

#endif
