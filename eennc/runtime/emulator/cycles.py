"""Estimated cycles of machine instructions, by address."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class CycleModel:
    """Cycles of a core by kind of instruction. load: of one word; load_again: right after another load or store of one.
    multiply_add: with an addition; multiply_long: with 64 bits. taken: added where a branch is taken. call: added to a
    call and to a return from the stack. source: where the figures are from, for the report.
    """

    load: int
    load_again: int
    store: int
    multiply_add: int
    multiply_long: int
    divide: int
    taken: int
    call: int
    source: str


_NOTE = "no wait states, not validated on hardware"
_M4 = CycleModel(2, 1, 1, 1, 1, 7, 2, 0, f"Arm's instruction timings of the Cortex-M4, divisions 7, {_NOTE}")
MODELS = {
    "cortex-m0": CycleModel(
        2, 2, 2, 1, 1, 1, 2, 1, f"Arm's instruction timings of the Cortex-M0, multiplier 1, {_NOTE}"
    ),
    "cortex-m0plus": CycleModel(
        2, 2, 2, 1, 1, 1, 1, 1, f"Arm's instruction timings of the Cortex-M0+, multiplier 1, {_NOTE}"
    ),
    "cortex-m3": CycleModel(
        2, 1, 1, 2, 4, 7, 2, 0, f"Arm's instruction timings of the Cortex-M3, long products 4, divisions 7, {_NOTE}"
    ),
    "cortex-m4": _M4,
    "cortex-m33": dataclasses.replace(_M4, source=f"the Cortex-M4's instruction timings for the Cortex-M33, {_NOTE}"),
}
"""Cores that issue one instruction at a time; of the others no table tells the cycles."""

_LINE = re.compile(r"^\s*([0-9a-f]+):\t[0-9a-f ]+\t(\S+)\s*(.*)$")
_SLOW_FLOAT = {"vdiv": 14, "vsqrt": 14, "vfma": 3, "vfms": 3, "vmla": 3, "vmls": 3, "vnmla": 3}


def costs_of(disassembly: Iterable[str], model: CycleModel) -> dict[int, int]:
    """Cycles by address from the lines of `objdump -d`, taken branches left out; those of 1 cycle are not listed."""
    found: dict[int, int] = {}
    memory_before = False
    for line in disassembly:
        match = _LINE.match(line)
        if match is None:
            memory_before = False
            continue
        name = match[2].partition(".")[0]
        cost, memory_before = _cost(name, match[3], model, memory_before)
        if cost != 1:
            found[int(match[1], 16)] = cost
    return found


def _cost(name: str, operands: str, model: CycleModel, memory_before: bool) -> tuple[int, bool]:
    """Cycles, and whether a load right behind is one of a row."""
    if name in ("ldrd", "strd"):
        return 3, False
    if name.startswith(("ldm", "stm", "push", "pop", "vldm", "vstm", "vpush", "vpop")):
        returns = "pc" in operands and not name.startswith(("push", "stm"))
        return 1 + _registers(operands) + (model.call if returns else 0), False
    if name.startswith("vldr"):
        return 2, False
    if name.startswith("ldr"):
        return (model.load_again if memory_before else model.load), True
    if name.startswith("str"):
        return model.store, True
    if name.startswith(("sdiv", "udiv")):
        return model.divide, False
    if name.startswith(("smull", "umull", "smlal", "umlal")):
        return model.multiply_long, False
    if name in ("mla", "mls"):
        return model.multiply_add, False
    if name in ("bl", "blx"):
        return 1 + model.call, False
    return _SLOW_FLOAT.get(name, 1), False


def _registers(operands: str) -> int:
    """How many registers a list in braces names."""
    inside = operands[operands.find("{") + 1 : operands.find("}")]
    count = 0
    for part in inside.split(","):
        first, dash, last = part.strip().partition("-")
        count += _number(last) - _number(first) + 1 if dash else 1
    return count


def _number(register: str) -> int:
    names = {"sb": 9, "sl": 10, "fp": 11, "ip": 12, "sp": 13, "lr": 14, "pc": 15}
    return names[register] if register in names else int(register.lstrip("rsd"))
