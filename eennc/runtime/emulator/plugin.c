/* Counts what an emulated core executes between two markers: instructions, exactly, and estimated cycles.
 *
 *     -plugin plugin.so,out=counts.txt,start=46c9,stop=46d2[,costs=costs.txt,taken=2]
 *
 * start, stop: opcodes of no-ops that bracket a region, hexadecimal. costs: lines of an address and its cycles; an
 * instruction that is not there takes 1. taken: cycles of a branch that is taken, beyond its own. For each region a line
 * "instructions cycles" is written. For QEMU's plugin interface, version 1; its prototypes are declared here because
 * distributions do not package the header. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct qemu_plugin_tb block_t;
typedef struct qemu_plugin_insn instruction_t;
typedef uint64_t plugin_t;
enum { NO_REGISTERS = 0, ADD = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_t, void (*)(plugin_t, block_t *));
void qemu_plugin_register_atexit_cb(plugin_t, void (*)(plugin_t, void *), void *);
void qemu_plugin_register_vcpu_tb_exec_cb(block_t *, void (*)(unsigned, void *), int, void *);
void qemu_plugin_register_vcpu_insn_exec_cb(instruction_t *, void (*)(unsigned, void *), int, void *);
void qemu_plugin_register_vcpu_insn_exec_inline(instruction_t *, int, void *, uint64_t);
void qemu_plugin_register_vcpu_tb_exec_inline(block_t *, int, void *, uint64_t);
size_t qemu_plugin_tb_n_insns(const block_t *);
instruction_t *qemu_plugin_tb_get_insn(const block_t *, size_t);
const void *qemu_plugin_insn_data(const instruction_t *);
uint64_t qemu_plugin_insn_vaddr(const instruction_t *);
size_t qemu_plugin_insn_size(const instruction_t *);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

typedef struct {
    uint64_t address;
    uint64_t cycles;
} cost_t;

/* Where a block begins and where it falls through to. */
typedef struct {
    uint64_t start, end;
} span_t;

static uint64_t instructions, cycles, instructions_before, cycles_before, expected, taken;
static uint32_t start_opcode, stop_opcode;
static cost_t *costs;
static size_t cost_count;
static FILE *out;

static int by_address(const void *a, const void *b)
{
    const uint64_t x = ((const cost_t *)a)->address, y = ((const cost_t *)b)->address;
    return x < y ? -1 : x > y;
}

static uint64_t cost_of(uint64_t address)
{
    const cost_t key = {address, 0};
    const cost_t *found = costs ? bsearch(&key, costs, cost_count, sizeof key, by_address) : NULL;
    return found ? found->cycles : 1;
}

static void on_start(unsigned cpu, void *unused)
{
    (void)cpu, (void)unused;
    instructions_before = instructions;
    cycles_before = cycles;
}

static void on_stop(unsigned cpu, void *unused)
{
    (void)cpu, (void)unused;
    fprintf(out, "%" PRIu64 " %" PRIu64 "\n", instructions - instructions_before, cycles - cycles_before);
}

static void on_block(unsigned cpu, void *span)
{
    (void)cpu;
    const span_t *s = span;
    if (s->start != expected) {
        cycles += taken;
    }
    expected = s->end;
}

/* Thumb's size by its first half: QEMU 7.2 says 4 bytes for some instructions of 2. */
static size_t size_of(const instruction_t *instruction)
{
    uint16_t half;
    memcpy(&half, qemu_plugin_insn_data(instruction), sizeof half);
    return start_opcode > 0xffff ? qemu_plugin_insn_size(instruction) : half >= 0xe800 ? 4 : 2;
}

static uint32_t opcode_of(const instruction_t *instruction)
{
    uint32_t opcode = 0;
    memcpy(&opcode, qemu_plugin_insn_data(instruction), size_of(instruction));
    return opcode;
}

static void on_translation(plugin_t id, block_t *block)
{
    (void)id;
    const size_t count = qemu_plugin_tb_n_insns(block);
    uint64_t sum = 0;
    int marked = 0;
    for (size_t i = 0; i < count; i++) {
        const instruction_t *instruction = qemu_plugin_tb_get_insn(block, i);
        const uint32_t opcode = opcode_of(instruction);
        marked |= opcode == start_opcode || opcode == stop_opcode;
        sum += cost_of(qemu_plugin_insn_vaddr(instruction));
    }
    if (costs) {
        span_t *span = malloc(sizeof *span);
        const instruction_t *last = qemu_plugin_tb_get_insn(block, count - 1);
        span->start = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(block, 0));
        span->end = qemu_plugin_insn_vaddr(last) + size_of(last);
        qemu_plugin_register_vcpu_tb_exec_cb(block, on_block, NO_REGISTERS, span);
    }
    if (!marked) {
        qemu_plugin_register_vcpu_tb_exec_inline(block, ADD, &instructions, count);
        qemu_plugin_register_vcpu_tb_exec_inline(block, ADD, &cycles, sum);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        instruction_t *instruction = qemu_plugin_tb_get_insn(block, i);
        const uint32_t opcode = opcode_of(instruction);
        if (opcode == start_opcode) {
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_start, NO_REGISTERS, NULL);
            continue;
        }
        if (opcode == stop_opcode) {
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_stop, NO_REGISTERS, NULL);
            continue;
        }
        qemu_plugin_register_vcpu_insn_exec_inline(instruction, ADD, &instructions, 1);
        qemu_plugin_register_vcpu_insn_exec_inline(instruction, ADD, &cycles,
                                                   cost_of(qemu_plugin_insn_vaddr(instruction)));
    }
}

static void on_exit_of_qemu(plugin_t id, void *unused)
{
    (void)id, (void)unused;
    fclose(out);
}

static int read_costs(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file) {
        return 0;
    }
    size_t room = 1 << 16;
    costs = malloc(room * sizeof *costs);
    cost_t next;
    while (fscanf(file, "%" SCNx64 " %" SCNu64, &next.address, &next.cycles) == 2) {
        if (cost_count == room) {
            room *= 2;
            costs = realloc(costs, room * sizeof *costs);
        }
        costs[cost_count++] = next;
    }
    fclose(file);
    qsort(costs, cost_count, sizeof *costs, by_address);
    return 1;
}

__attribute__((visibility("default"))) int qemu_plugin_install(plugin_t id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        const char *value = strchr(argv[i], '=') ? strchr(argv[i], '=') + 1 : "";
        if (!strncmp(argv[i], "out=", 4)) {
            out = fopen(value, "w");
        } else if (!strncmp(argv[i], "start=", 6)) {
            start_opcode = (uint32_t)strtoul(value, NULL, 16);
        } else if (!strncmp(argv[i], "stop=", 5)) {
            stop_opcode = (uint32_t)strtoul(value, NULL, 16);
        } else if (!strncmp(argv[i], "taken=", 6)) {
            taken = strtoull(value, NULL, 10);
        } else if (!strncmp(argv[i], "costs=", 6) && !read_costs(value)) {
            return 1;
        }
    }
    if (!out) {
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
    return 0;
}
