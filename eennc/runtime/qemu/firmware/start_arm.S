/* Start of a Cortex-M, and the marked call of the network. Thumb-1 only: every core executes it. */
#include "firmware.h"

    .syntax unified
    .thumb

    .section .vectors, "a"
    .word stack_top
    .word reset
    .rept 14
    .word fault
    .endr

    .section .text.start, "ax"
    .global reset
    .thumb_func
reset:
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    /* CPACR: full access to the coprocessors 10 and 11, floating point and Helium */
    ldr r0, =0xe000ed88
    ldr r1, [r0]
    ldr r2, =(0xf << 20)
    orrs r1, r2
    str r1, [r0]
    dsb
    isb
#endif
    bl firmware

    .thumb_func
fault:
    movs r0, #EXIT_FAULT
    bl semihosting_exit

    .global semihosting_call
    .thumb_func
semihosting_call:
    bkpt 0xab
    bx lr

/* int marked_run(net, x, result, lowest): paints the stack from `lowest` up to here, and calls the network. */
    .global marked_run
    .thumb_func
marked_run:
    push {r4, r5, r6, lr}
    mov r4, sp
    ldr r5, =PAINT
    b 2f
1:  str r5, [r3]
    adds r3, #4
2:  cmp r3, r4
    blo 1b
    mov r9, r9
    bl RUN
    mov r10, r10
    ldr r1, =stack_at_call
    str r4, [r1]
    pop {r4, r5, r6, pc}
