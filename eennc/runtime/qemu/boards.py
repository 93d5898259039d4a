"""The boards that QEMU emulates, by core, and how code is built for them."""

from __future__ import annotations

from dataclasses import dataclass

from eennc.support.diagnostics import unknown

_K, _M = 1 << 10, 1 << 20


@dataclass(frozen=True)
class Memory:
    """One memory: first address and size, in bytes."""

    origin: int
    length: int


@dataclass(frozen=True)
class Toolchain:
    """Programs for one architecture. prefix: of the compiler's and binutils' names. flags: that every core needs.
    packages: Debian's, that hold all of it. isa: the plugin's name for how instructions are encoded.
    """

    prefix: str
    flags: tuple[str, ...]
    emulator: str
    startup: str
    isa: str
    packages: str


ARM = Toolchain(
    prefix="arm-none-eabi-",
    flags=("-mthumb",),
    emulator="qemu-system-arm",
    startup="start_arm.S",
    isa="thumb",
    packages="gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm",
)
RISCV = Toolchain(
    prefix="riscv64-unknown-elf-",
    flags=("--specs=picolibc.specs",),
    emulator="qemu-system-riscv32",
    startup="start_riscv.S",
    isa="riscv",
    packages="gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf qemu-system-misc",
)


@dataclass(frozen=True)
class Board:
    """A board: QEMU's machine, the compiler's flags for the core, and its memories. constants: where weights lie, None
    where they lie behind the code.
    """

    machine: str
    flags: tuple[str, ...]
    code: Memory
    ram: Memory
    constants: Memory | None = None
    toolchain: Toolchain = ARM
    options: tuple[str, ...] = ()
    """More of QEMU's options."""


def _microbit(cpu: str) -> Board:
    return Board("microbit", (f"-mcpu={cpu}",), Memory(0, 256 * _K), Memory(0x20000000, 16 * _K))


def _mps2(machine: str, *flags: str, code: int = 0, ram: int = 0x20000000) -> Board:
    return Board(machine, flags, Memory(code, 4 * _M), Memory(ram, 4 * _M))


_HARD = "-mfloat-abi=hard"
_AN547 = Board(
    "mps3-an547",
    ("-mcpu=cortex-m55", _HARD),
    code=Memory(0, 512 * _K),
    ram=Memory(0x21000000, 2 * _M),
    constants=Memory(0x01000000, 2 * _M),
)

BOARDS: dict[str, tuple[Board, ...]] = {
    "cortex-m0": (_microbit("cortex-m0"),),
    # QEMU has no Cortex-M0+, but the M0 and every larger core execute its instructions
    "cortex-m0plus": (_microbit("cortex-m0plus"), _mps2("mps2-an385", "-mcpu=cortex-m0plus")),
    "cortex-m3": (_mps2("mps2-an385", "-mcpu=cortex-m3"),),
    "cortex-m4": (_mps2("mps2-an386", "-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", _HARD),),
    "cortex-m7": (_mps2("mps2-an500", "-mcpu=cortex-m7", "-mfpu=fpv5-d16", _HARD),),
    "cortex-m33": (
        _mps2("mps2-an505", "-mcpu=cortex-m33", "-mfpu=fpv5-sp-d16", _HARD, code=0x10000000, ram=0x38000000),
    ),
    "cortex-m55": (_AN547,),
    # neither GCC 12 nor QEMU 7.2 know the Cortex-M85, which executes what the M55 does
    "cortex-m85": (_AN547,),
    "riscv32": (
        Board(
            "virt",
            ("-march=rv32imac", "-mabi=ilp32"),
            code=Memory(0x80000000, 16 * _M),
            ram=Memory(0x81000000, 16 * _M),
            toolchain=RISCV,
            options=("-bios", "none"),
        ),
    ),
}
"""The boards of each core, in the order in which they are tried: the next where the code or memory does not fit."""


def boards_of(core: str) -> tuple[Board, ...]:
    """The boards of a core, such as cortex-m4; raises UserError where there is none."""
    if core not in BOARDS:
        raise unknown("emulated core", core, BOARDS)
    return BOARDS[core]
