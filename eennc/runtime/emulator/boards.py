"""The boards that QEMU emulates, and how code is built for them."""

from __future__ import annotations

from dataclasses import dataclass

from eennc.devices import Device
from eennc.support.diagnostics import UserError

ARM_PACKAGES = "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm gcc"
RISCV_PACKAGES = "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf qemu-system-misc gcc"


@dataclass(frozen=True)
class Region:
    """Memory from `start` on, `size` bytes."""

    start: int
    size: int


@dataclass(frozen=True)
class Board:
    """An emulated board. flags: of the compiler, for its core. constants: where weights go, None for behind the code.
    start, stop: opcodes of the no-ops that bracket what is counted. packages: Debian's, that building and running need.
    """

    machine: str
    flags: tuple[str, ...]
    code: Region
    ram: Region
    constants: Region | None = None
    emulator: str = "qemu-system-arm"
    tools: str = "arm-none-eabi-"
    libraries: tuple[str, ...] = ("--specs=nano.specs",)
    startup: str = "start_arm.c"
    start: str = "46c9"
    stop: str = "46d2"
    packages: str = ARM_PACKAGES


_K, _M = 1 << 10, 1 << 20
_MPS2 = Region(0, 4 * _M), Region(0x20000000, 4 * _M)
_HARD = "-mfloat-abi=hard"
_AN547 = Board(
    "mps3-an547",
    ("-mthumb", "-mcpu=cortex-m55", _HARD),
    Region(0, 512 * _K),
    Region(0x21000000, 2 * _M),
    # external memory: weights of some megabytes
    Region(0x60000000, 16 * _M),
)

BY_CORE = {
    "cortex-m0": Board("mps2-an385", ("-mthumb", "-mcpu=cortex-m0"), *_MPS2),
    "cortex-m0plus": Board("mps2-an385", ("-mthumb", "-mcpu=cortex-m0plus"), *_MPS2),
    "cortex-m3": Board("mps2-an385", ("-mthumb", "-mcpu=cortex-m3"), *_MPS2),
    "cortex-m4": Board("mps2-an386", ("-mthumb", "-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", _HARD), *_MPS2),
    "cortex-m7": Board("mps2-an500", ("-mthumb", "-mcpu=cortex-m7", "-mfpu=fpv5-d16", _HARD), *_MPS2),
    "cortex-m33": Board(
        "mps2-an505",
        ("-mthumb", "-mcpu=cortex-m33", "-mfpu=fpv5-sp-d16", _HARD),
        Region(0x10000000, 4 * _M),
        Region(0x38000000, 4 * _M),
    ),
    "cortex-m55": _AN547,
    # GCC 12 has no name for the Cortex-M85; its instructions are those of the Cortex-M55 and more
    "cortex-m85": _AN547,
    "riscv32": Board(
        "virt",
        ("-march=rv32imac", "-mabi=ilp32", "-mcmodel=medany"),
        Region(0x80000000, 16 * _M),
        Region(0x81000000, 16 * _M),
        emulator="qemu-system-riscv32",
        tools="riscv64-unknown-elf-",
        libraries=("--specs=picolibc.specs",),
        startup="start_riscv.c",
        start="11102013",
        stop="22202013",
        packages=RISCV_PACKAGES,
    ),
}
"""Generous boards, one per core: of the networks, not of the memories."""

BY_DEVICE = {
    "microbit": Board("microbit", ("-mthumb", "-mcpu=cortex-m0"), Region(0, 256 * _K), Region(0x20000000, 16 * _K)),
}
"""Devices that QEMU has as they are."""


def board_of(device: Device) -> Board:
    """The board for a device; raises UserError where QEMU has no such core."""
    if device.name in BY_DEVICE:
        return BY_DEVICE[device.name]
    if device.core not in BY_CORE:
        raise UserError(
            f"there is no emulated board for {device.name}", hint=f"cores that there are: {', '.join(BY_CORE)}"
        )
    return BY_CORE[device.core]
