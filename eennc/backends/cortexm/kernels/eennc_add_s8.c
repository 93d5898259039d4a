/* SPDX-License-Identifier: 0BSD */
/* a + b or a - b, int8, with 20 bits to spare. */
#include "eennc_fixed_point.h"
#include "eennc_kernels.h"

static inline int8_t sum_of(const eennc_add_s8_t *p, int32_t a, int32_t b)
{
    const int32_t x = eennc_requantise((a - p->a_zero_point) * (1 << 20), p->a_multiplier, p->a_shift);
    const int32_t y = eennc_requantise((b - p->b_zero_point) * (1 << 20), p->b_multiplier, p->b_shift);
    const int32_t sum = eennc_requantise(x + p->sign * y, p->multiplier, p->shift);
    return eennc_clamp_s8(p->zero_point + sum, p->low, p->high);
}

void eennc_add_s8(const eennc_add_s8_t *p, const int8_t *a, const int8_t *b, int8_t *y)
{
    const eennc_broadcast_t *s = &p->shape;
    for (int32_t i = 0; i < s->size[0]; i++) {
        for (int32_t j = 0; j < s->size[1]; j++) {
            for (int32_t k = 0; k < s->size[2]; k++) {
                const int8_t *from_a = a + i * s->a_stride[0] + j * s->a_stride[1] + k * s->a_stride[2];
                const int8_t *from_b = b + i * s->b_stride[0] + j * s->b_stride[1] + k * s->b_stride[2];
                for (int32_t l = 0; l < s->size[3]; l++) {
                    *y++ = sum_of(p, *from_a, *from_b);
                    from_a += s->a_stride[3];
                    from_b += s->b_stride[3];
                }
            }
        }
    }
}
