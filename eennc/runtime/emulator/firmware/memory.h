/* Memory as C expects it, then main. */
#ifndef MEMORY_H
#define MEMORY_H

#include <stdint.h>

#include "semihosting.h"

extern uint32_t data_source[], data_start[], data_end[], bss_start[], bss_end[];
int main(void);

static inline void start(void)
{
    const uint32_t *from = data_source;
    for (volatile uint32_t *to = data_start; to < data_end; to++) {
        *to = *from++;
    }
    for (volatile uint32_t *to = bss_start; to < bss_end; to++) {
        *to = 0;
    }
    semihosting_exit(main());
}

#endif
