/* Streams samples through the network: reads input.bin, and writes for each sample a row and its scores to output.bin.
 *
 * MODEL, MODEL_UPPER: the network's prefix. POINT: the operating point. BASE_NETWORK: no exit is computed. */
#include "firmware.h"
#include "model.h"
#include "semihosting.h"

#define CALL(name) GLUE(MODEL, name)
#define MACRO(name) GLUE(MODEL_UPPER, name)

enum { EXIT_FILES = 2, EXIT_INIT = 3, EXIT_INPUT = 4, EXIT_OUTPUT = 5 };
enum { MOST_STACK = 0x10000 };

typedef struct {
    int32_t status, exit, class_id;
    uint32_t stack; /* bytes that the run used; 0xffffffff where it used all that was watched */
} row_t;

extern uint32_t data_begin[], data_end[], bss_begin[], bss_end[], stack_limit[];
extern const uint32_t data_image[];
uint32_t *stack_at_call;

int marked_run(CALL(_t) *net, const CALL(_input_t) *x, CALL(_result_t) *result, uint32_t *lowest);
void firmware(void);

MACRO(_ARENA)(arena);
static CALL(_t) net;
static CALL(_input_t) sample[MACRO(_INPUT_SIZE)] __attribute__((aligned(8)));
static CALL(_result_t) result;

static void prepare_memory(void)
{
    const uint32_t *from = data_image;
    for (uint32_t *to = data_begin; to < data_end; to++) {
        *to = *from++;
    }
    for (uint32_t *to = bss_begin; to < bss_end; to++) {
        *to = 0;
    }
}

static void prepare_network(void)
{
    if (CALL(_init)(&net, arena, sizeof arena) != MACRO(_OK)) {
        semihosting_exit(EXIT_INIT);
    }
#if defined(BASE_NETWORK)
    for (int exit = 0; exit < MACRO(_EXITS); exit++) {
        if (CALL(_set_threshold)(&net, exit, MACRO(_NEVER)) != MACRO(_OK)) {
            semihosting_exit(EXIT_INIT);
        }
    }
#elif POINT > 0
    if (CALL(_set_point)(&net, POINT) != MACRO(_OK)) {
        semihosting_exit(EXIT_INIT);
    }
#endif
}

/* Where painting begins: not too far down, because the whole of it is painted for every sample. */
static uint32_t *lowest_painted(void)
{
    const uint32_t here = (uint32_t)__builtin_frame_address(0) & ~3u;
    return here - (uint32_t)stack_limit > MOST_STACK ? (uint32_t *)(here - MOST_STACK) : stack_limit;
}

static row_t run_sample(void)
{
    uint32_t *const lowest = lowest_painted();
    const int32_t status = marked_run(&net, sample, &result, lowest);
    const uint32_t *touched = lowest;
    while (touched < stack_at_call && *touched == PAINT) {
        touched++;
    }
    const uint32_t used = (uint32_t)stack_at_call - (uint32_t)touched;
    return (row_t){status, result.exit, result.class_id, touched == lowest ? 0xffffffff : used};
}

void firmware(void)
{
    prepare_memory();
    const int input = semihosting_open("input.bin", FOR_READING);
    const int output = semihosting_open("output.bin", FOR_WRITING);
    if (input < 0 || output < 0) {
        semihosting_exit(EXIT_FILES);
    }
    prepare_network();
    for (;;) {
        const uint32_t missing = semihosting_read(input, sample, sizeof sample);
        if (missing == sizeof sample) {
            semihosting_exit(0);
        }
        if (missing) {
            semihosting_exit(EXIT_INPUT);
        }
        const row_t row = run_sample();
        if (semihosting_write(output, &row, sizeof row) ||
            semihosting_write(output, result.scores, sizeof result.scores)) {
            semihosting_exit(EXIT_OUTPUT);
        }
    }
}
