/* Counts what a core that QEMU emulates executes between two markers: instructions, and cycles by a table.
 *
 *   -plugin ./plugin.so,out=FILE,isa=thumb|riscv[,costs=FILE,taken=N]
 *
 * out: a line "instructions cycles" for each region, the markers left out. costs: lines "address cycles", hexadecimal and
 * decimal; an instruction that is not there takes 1 cycle. taken: cycles added where control does not go on to the next
 * address. Without costs all cycles are 0, which is faster.
 *
 * Blocks are counted as a whole when they are entered; a marker knows what of its block comes after it. The interface is
 * QEMU's plugin API, version 1, declared here because its header is not packaged. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PUBLIC __attribute__((visibility("default")))

struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { QEMU_PLUGIN_CB_NO_REGS = 0, QEMU_PLUGIN_INLINE_ADD_U64 = 0 };
typedef void (*exec_cb)(unsigned vcpu, void *data);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*cb)(uint64_t id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_atexit_cb(uint64_t id, void (*cb)(uint64_t id, void *data), void *data);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, exec_cb cb, int flags, void *data);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, int op, void *counter, uint64_t amount);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, exec_cb cb, int flags, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
PUBLIC int qemu_plugin_version = 1;

typedef struct {
    uint64_t instructions, cycles;
} work_t;

typedef struct {
    work_t work;
    uint64_t begin, end;
} block_t;

typedef struct {
    uint64_t address, cycles;
} cost_t;

typedef struct {
    uint32_t start, stop;
} markers_t;

static const markers_t thumb_markers = {0x46c9, 0x46d2}, riscv_markers = {0x5a102013, 0x5a202013};
static const markers_t *markers = &thumb_markers;
static FILE *out;
static cost_t *costs;
static size_t costs_count;
static uint64_t taken, next_address;
static work_t done, at_start;

/* Thumb and RISC-V tell the length of an instruction by its first half. QEMU's own figure is wrong near a page's end. */
static uint64_t length_of(const struct qemu_plugin_insn *insn)
{
    uint16_t half;
    memcpy(&half, qemu_plugin_insn_data(insn), sizeof half);
    const int is_long = markers == &thumb_markers ? half >= 0xe800 : (half & 3) == 3;
    return is_long ? 4 : 2;
}

static uint32_t opcode_of(const struct qemu_plugin_insn *insn)
{
    uint32_t opcode = 0;
    memcpy(&opcode, qemu_plugin_insn_data(insn), length_of(insn));
    return opcode;
}

static int compare(const void *a, const void *b)
{
    const uint64_t x = ((const cost_t *)a)->address, y = ((const cost_t *)b)->address;
    return (x > y) - (x < y);
}

static uint64_t cycles_of(uint64_t address)
{
    if (!costs) {
        return 0;
    }
    const cost_t wanted = {address, 0};
    const cost_t *found = bsearch(&wanted, costs, costs_count, sizeof *costs, compare);
    return found ? found->cycles : 1;
}

static void on_block(unsigned vcpu, void *data)
{
    (void)vcpu;
    const block_t *block = data;
    done.instructions += block->work.instructions;
    done.cycles += block->work.cycles + (block->begin == next_address ? 0 : taken);
    next_address = block->end;
}

static void on_start(unsigned vcpu, void *data)
{
    (void)vcpu;
    const work_t *after = data;
    at_start = (work_t){done.instructions - after->instructions, done.cycles - after->cycles};
}

/* What comes after the marker was counted with its block, and so was the marker. */
static void on_stop(unsigned vcpu, void *data)
{
    (void)vcpu;
    const work_t *from_here = data;
    fprintf(out, "%" PRIu64 " %" PRIu64 "\n", done.instructions - from_here->instructions - at_start.instructions,
            done.cycles - from_here->cycles - at_start.cycles);
}

static void *kept(const void *value, size_t size)
{
    void *copy = malloc(size);
    if (!copy) {
        fprintf(stderr, "plugin: no memory\n");
        exit(1);
    }
    return memcpy(copy, value, size);
}

static void on_translation(uint64_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    work_t after = {0, 0};
    const size_t count = qemu_plugin_tb_n_insns(tb);
    for (size_t i = count; i-- > 0;) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        const uint32_t opcode = opcode_of(insn);
        const work_t from_here = {after.instructions + 1, after.cycles + cycles_of(qemu_plugin_insn_vaddr(insn))};
        if (opcode == markers->start) {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_start, QEMU_PLUGIN_CB_NO_REGS, kept(&after, sizeof after));
        } else if (opcode == markers->stop) {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_stop, QEMU_PLUGIN_CB_NO_REGS,
                                                   kept(&from_here, sizeof from_here));
        }
        after = from_here;
    }
    if (!costs) {
        qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &done.instructions, count);
        return;
    }
    const struct qemu_plugin_insn *last = qemu_plugin_tb_get_insn(tb, count - 1);
    const block_t block = {after, qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, 0)),
                           qemu_plugin_insn_vaddr(last) + length_of(last)};
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS, kept(&block, sizeof block));
}

static void on_exit_of_qemu(uint64_t id, void *data)
{
    (void)id, (void)data;
    fclose(out);
}

/* Whether the table was read; it may be in any order. */
static int read_costs(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file) {
        return 0;
    }
    size_t room = 0;
    cost_t read;
    do {
        if (costs_count == room) {
            room = room ? 2 * room : 1 << 12;
            costs = realloc(costs, room * sizeof *costs);
        }
    } while (costs && fscanf(file, "%" SCNx64 " %" SCNu64, &read.address, &read.cycles) == 2 &&
             (costs[costs_count++] = read, 1));
    fclose(file);
    if (costs) {
        qsort(costs, costs_count, sizeof *costs, compare);
    }
    return costs != NULL;
}

PUBLIC int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        const char *equals = strchr(argv[i], '=');
        const char *value = equals ? equals + 1 : "";
        if (!strncmp(argv[i], "out=", 4)) {
            out = fopen(value, "w");
        } else if (!strncmp(argv[i], "isa=", 4)) {
            markers = strcmp(value, "riscv") ? &thumb_markers : &riscv_markers;
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
