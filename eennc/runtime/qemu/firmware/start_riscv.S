/* Start of a RISC-V core, and the marked call of the network. */
#include "firmware.h"

    .section .vectors, "ax"
    .global reset
reset:
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    la sp, stack_top
    la t0, fault
    .option push
    .option arch, +zicsr
    csrw mtvec, t0
    .option pop
    call firmware

    .balign 4
fault:
    li a0, EXIT_FAULT
    call semihosting_exit

    .section .text.start, "ax"
    .option push
    .option norvc
    .global semihosting_call
    /* the three instructions must lie in one page */
    .balign 16
semihosting_call:
    slli zero, zero, 0x1f
    ebreak
    srai zero, zero, 7
    ret
    .option pop

/* int marked_run(net, x, result, lowest): paints the stack from `lowest` up to here, and calls the network. */
    .global marked_run
marked_run:
    addi sp, sp, -16
    sw ra, 12(sp)
    sw s0, 8(sp)
    mv s0, sp
    li t0, PAINT
    j 2f
1:  sw t0, 0(a3)
    addi a3, a3, 4
2:  bltu a3, s0, 1b
    /* hints that the architecture leaves to everyone */
    slti zero, zero, 0x5a1
    call RUN
    slti zero, zero, 0x5a2
    la t0, stack_at_call
    sw s0, 0(t0)
    lw s0, 8(sp)
    lw ra, 12(sp)
    addi sp, sp, 16
    ret
