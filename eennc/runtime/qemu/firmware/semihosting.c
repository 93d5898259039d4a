#include "semihosting.h"

enum { SYS_OPEN = 0x01, SYS_WRITE = 0x05, SYS_READ = 0x06, SYS_EXIT_EXTENDED = 0x20, APPLICATION_EXIT = 0x20026 };

int semihosting_open(const char *name, access_t access)
{
    uint32_t length = 0;
    while (name[length]) {
        length++;
    }
    const uint32_t block[3] = {(uint32_t)name, access, length};
    return semihosting_call(SYS_OPEN, block);
}

uint32_t semihosting_read(int file, void *to, uint32_t bytes)
{
    const uint32_t block[3] = {(uint32_t)file, (uint32_t)to, bytes};
    return (uint32_t)semihosting_call(SYS_READ, block);
}

uint32_t semihosting_write(int file, const void *from, uint32_t bytes)
{
    const uint32_t block[3] = {(uint32_t)file, (uint32_t)from, bytes};
    return (uint32_t)semihosting_call(SYS_WRITE, block);
}

void semihosting_exit(int code)
{
    const uint32_t block[2] = {APPLICATION_EXIT, (uint32_t)code};
    for (;;) {
        semihosting_call(SYS_EXIT_EXTENDED, block);
    }
}
