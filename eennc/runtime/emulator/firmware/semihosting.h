/* Files of the host, by the debugger's calls that QEMU answers. */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { SYS_OPEN = 1, SYS_WRITE = 5, SYS_READ = 6, SYS_EXIT_EXTENDED = 0x20, STOPPED_BY_APPLICATION = 0x20026 };

static inline int semihosting(int operation, const void *block)
{
#if defined(__riscv)
    register int a0 __asm__("a0") = operation;
    register const void *a1 __asm__("a1") = block;
    __asm__ volatile(".option push\n.option norvc\n.balign 16\nslli x0, x0, 0x1f\nebreak\nsrai x0, x0, 7\n.option pop"
                     : "+r"(a0)
                     : "r"(a1)
                     : "memory");
    return a0;
#else
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = block;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
#endif
}

static inline int semihosting_open(const char *name, int writing)
{
    const uint32_t block[3] = {(uint32_t)(uintptr_t)name, writing ? 5u : 1u, (uint32_t)strlen(name)};
    return semihosting(SYS_OPEN, block);
}

/* Whether all bytes were there. */
static inline int semihosting_read(int file, void *to, size_t bytes)
{
    const uint32_t block[3] = {(uint32_t)file, (uint32_t)(uintptr_t)to, (uint32_t)bytes};
    return semihosting(SYS_READ, block) == 0;
}

static inline int semihosting_write(int file, const void *from, size_t bytes)
{
    const uint32_t block[3] = {(uint32_t)file, (uint32_t)(uintptr_t)from, (uint32_t)bytes};
    return semihosting(SYS_WRITE, block) == 0;
}

static inline void semihosting_exit(int code)
{
    const uint32_t block[2] = {STOPPED_BY_APPLICATION, (uint32_t)code};
    semihosting(SYS_EXIT_EXTENDED, block);
}

#endif
