"""Estimated cycles of machine instructions, by address."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class CycleModel:
    """Cycles of a core by kind of instruction. load: of one word; load_again: right after another load or store.
    branch: added where a branch is taken. call: added to a call. source: where the figures are from, for the report.
    """

    load: int
    load_again: int
    store: int
    multiply: int
    divide: int
    taken: int
    call: int
    source: str


_NOTE = "no wait states, not validated on hardware"
_M4 = CycleModel(
    load=2,
    load_again=1,
    store=1,
    multiply=1,
    divide=7,
    taken=2,
    call=0,
    source=f"Arm's instruction timings of the Cortex-M4, loads and stores pipelined, divisions 7, {_NOTE}",
)
MODELS = {
    "cortex-m0": CycleModel(
        2, 2, 2, 1, 0, 2, 1, f"Arm's instruction timings of the Cortex-M0, fast multiplier, {_NOTE}"
    ),
    "cortex-m0plus": CycleModel(
        2, 2, 2, 1, 0, 1, 1, f"Arm's instruction timings of the Cortex-M0+, fast multiplier, {_NOTE}"
    ),
    "cortex-m3": _M4,
    "cortex-m4": _M4,
    "cortex-m33": _M4,
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
    if name in ("ldrd", "strd"):
        return 3, True
    if name.startswith(("ldm", "stm", "push", "pop", "vldm", "vstm", "vpush", "vpop")):
        return 1 + _registers(operands), True
    if name.startswith(("ldr", "vldr")):
        return (model.load_again if memory_before else model.load), True
    if name.startswith(("str", "vstr")):
        return model.store, True
    if name.startswith(("sdiv", "udiv")):
        return model.divide, False
    if name in ("bl", "blx"):
        return 1 + model.call, False
    return _SLOW_FLOAT.get(name, model.multiply if name.startswith(("mul", "mla")) else 1), False


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
