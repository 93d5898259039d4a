/* SPDX-License-Identifier: 0BSD */
/* Sums, differences, products and quotients, float. */
#include "eennc_kernels.h"

static inline float of(int8_t operation, float a, float b)
{
    switch (operation) {
    case EENNC_ADD:
        return a + b;
    case EENNC_SUBTRACT:
        return a - b;
    case EENNC_MULTIPLY:
        return a * b;
    default:
        return a / b;
    }
}

void eennc_binary_f32(const eennc_binary_f32_t *p, const float *a, const float *b, float *y)
{
    const eennc_broadcast_t *s = &p->shape;
    const int8_t operation = p->operation;
    for (int32_t i = 0; i < s->size[0]; i++) {
        for (int32_t j = 0; j < s->size[1]; j++) {
            for (int32_t k = 0; k < s->size[2]; k++) {
                const float *from_a = a + i * s->a_stride[0] + j * s->a_stride[1] + k * s->a_stride[2];
                const float *from_b = b + i * s->b_stride[0] + j * s->b_stride[1] + k * s->b_stride[2];
                for (int32_t l = 0; l < s->size[3]; l++) {
                    *y++ = of(operation, *from_a, *from_b);
                    from_a += s->a_stride[3];
                    from_b += s->b_stride[3];
                }
            }
        }
    }
}
