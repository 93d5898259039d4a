/* SPDX-License-Identifier: 0BSD */
/* a * b, int8. */
#include "eennc_fixed_point.h"
#include "eennc_kernels.h"

void eennc_mul_s8(const eennc_mul_s8_t *p, const int8_t *a, const int8_t *b, int8_t *y)
{
    const eennc_broadcast_t *s = &p->shape;
    for (int32_t i = 0; i < s->size[0]; i++) {
        for (int32_t j = 0; j < s->size[1]; j++) {
            for (int32_t k = 0; k < s->size[2]; k++) {
                const int8_t *from_a = a + i * s->a_stride[0] + j * s->a_stride[1] + k * s->a_stride[2];
                const int8_t *from_b = b + i * s->b_stride[0] + j * s->b_stride[1] + k * s->b_stride[2];
                for (int32_t l = 0; l < s->size[3]; l++) {
                    const int32_t product = (*from_a - p->a_zero_point) * (*from_b - p->b_zero_point);
                    const int32_t x = eennc_requantise(product, p->multiplier, p->shift);
                    *y++ = eennc_clamp_s8(p->zero_point + x, p->low, p->high);
                    from_a += s->a_stride[3];
                    from_b += s->b_stride[3];
                }
            }
        }
    }
}
