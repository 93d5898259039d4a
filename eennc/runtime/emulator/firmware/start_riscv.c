/* Start of an emulated RISC-V core. */
#include "memory.h"

void begin(void);

__attribute__((naked, section(".vectors"), used)) void reset(void)
{
    /* the word is csrw mtvec, t0, which assemblers know only with Zicsr, and libraries are not built with that */
    __asm__ volatile("la sp, stack_top\n"
                     "la t0, trapped\n"
                     ".word 0x30529073\n"
                     "j begin\n");
}

__attribute__((used, aligned(4))) void trapped(void)
{
    semihosting_exit(99);
    for (;;) {
    }
}

__attribute__((used)) void begin(void)
{
    start();
    for (;;) {
    }
}
