/* Start of an emulated Cortex-M. */
#include "memory.h"
#include "semihosting.h"

extern uint8_t stack_top[];
void reset(void);

static void fault(void)
{
    semihosting_exit(99);
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))(uintptr_t)stack_top, reset, fault, fault, fault, fault, fault,
};

void reset(void)
{
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    /* full access to the coprocessors 10 and 11: floating point and Helium */
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20;
    __asm__ volatile("dsb\nisb");
#endif
    start();
    for (;;) {
    }
}
