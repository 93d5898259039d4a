/* Files of the host, by calls to the debugger, which QEMU answers. */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H

#include <stdint.h>

typedef enum { FOR_READING = 1, FOR_WRITING = 5 } access_t;

/* The debugger's call itself: in the start files. */
int semihosting_call(int operation, const void *block);

/* A handle, below 0 where it failed. */
int semihosting_open(const char *name, access_t access);

/* How many of the bytes were not read or not written. */
uint32_t semihosting_read(int file, void *to, uint32_t bytes);
uint32_t semihosting_write(int file, const void *from, uint32_t bytes);

/* Ends QEMU with an exit code. */
void semihosting_exit(int code) __attribute__((noreturn));

#endif
