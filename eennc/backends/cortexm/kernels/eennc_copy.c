/* SPDX-License-Identifier: 0BSD */
/* Runs of bytes from one place to another. */
#include "eennc_kernels.h"

#include <string.h>

void eennc_copy(const eennc_copy_t *p, const void *x, void *y)
{
    for (int32_t i = 0; i < p->size[0]; i++) {
        for (int32_t j = 0; j < p->size[1]; j++) {
            for (int32_t k = 0; k < p->size[2]; k++) {
                const char *from = (const char *)x + i * p->x_stride[0] + j * p->x_stride[1] + k * p->x_stride[2];
                char *to = (char *)y + i * p->y_stride[0] + j * p->y_stride[1] + k * p->y_stride[2];
                for (int32_t l = 0; l < p->size[3]; l++) {
                    if (p->run == 1) {
                        *to = *from;
                    } else {
                        memcpy(to, from, (size_t)p->run);
                    }
                    from += p->x_stride[3];
                    to += p->y_stride[3];
                }
            }
        }
    }
}
