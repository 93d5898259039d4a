"""Estimated cycles of instructions, by address, from a disassembly and what Arm publishes of a core."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

_NO_WAIT = "an estimate without wait states, not validated on hardware"


@dataclass(frozen=True)
class CycleModel:
    """Cycles of a core that issues one instruction at a time. Instructions that nothing here names take 1.

    load, store: of one word or less. load_after_access: of a load right after such a load or store. taken: what a
    branch that is taken costs beyond its own cycle. call, pop_to_pc: beyond what `taken` and the registers cost.
    others: by mnemonic. source: where the figures are from.
    """

    source: str
    load: int
    load_after_access: int
    store: int
    taken: int
    call: int = 0
    pop_to_pc: int = 0
    others: Mapping[str, int] = field(default_factory=dict[str, int])


def _all(names: str, cycles: int) -> dict[str, int]:
    return dict.fromkeys(names.split(), cycles)


_INTEGER = _all("sdiv udiv", 7) | _all("tbb tbh", 2)
_FLOAT = _all("vldr vstr", 2) | _all("vfma vfms vfnma vfnms vmla vmls vnmla vnmls", 3) | _all("vdiv vsqrt", 14)
_M4 = CycleModel(
    source=f"Cortex-M4 technical reference manual, {_NO_WAIT}: loads 2, or 1 right after another load or store; stores "
    "1; multiplications 1; divisions 7 of 2 to 12; taken branches +2 of 1 to 3; floats: loads and stores 2, "
    "multiply-add 3, divide and root 14, others 1",
    load=2,
    load_after_access=1,
    store=1,
    taken=2,
    others=_INTEGER | _FLOAT,
)
_M0 = CycleModel(
    source=f"Cortex-M0 technical reference manual, {_NO_WAIT}: loads and stores 2, taken branches 3, calls 4, "
    "multiplications 1 (the fast multiplier)",
    load=2,
    load_after_access=2,
    store=2,
    taken=2,
    call=1,
    pop_to_pc=1,
)
MODELS = {
    "cortex-m0": _M0,
    "cortex-m0plus": replace(
        _M0,
        source=f"Cortex-M0+ technical reference manual, {_NO_WAIT}: loads and stores 2, taken branches 2, calls 3, "
        "multiplications 1 (the fast multiplier)",
        taken=1,
    ),
    "cortex-m3": replace(
        _M4,
        source=f"Cortex-M3 technical reference manual, {_NO_WAIT}: loads 2, or 1 right after another load or store; "
        "stores 1; multiplications 1, multiply-add 2, long ones 4 of 3 to 5 and 6 of 4 to 7; divisions 7 of 2 to 12; "
        "taken branches +2 of 1 to 3",
        others=_INTEGER | _all("mla mls", 2) | _all("smull umull", 4) | _all("smlal umlal", 6),
    ),
    "cortex-m4": _M4,
    "cortex-m33": replace(_M4, source=f"the figures of the Cortex-M4, as Arm publishes none: {_M4.source}"),
}
"""Models by core. The Cortex-M7, M55, M85 and RISC-V cores have none: they issue two instructions at once, or overlap
beats of vectors, or are of any make, which no table by instruction describes.
"""

_LINE = re.compile(r"^\s*([0-9a-f]+):\t(\S+)\s*(.*)$")
_CONDITION = re.compile(r"(eq|ne|cs|cc|hs|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)$")
_MANY = ("ldm", "stm", "push", "pop", "vldm", "vstm", "vpush", "vpop")
_REGISTERS = {"sb": 9, "sl": 10, "fp": 11, "ip": 12, "sp": 13, "lr": 14, "pc": 15}


def costs_of(disassembly: Iterable[str], model: CycleModel) -> dict[int, int]:
    """Cycles by address, of taken branches those of one that is not taken; instructions of 1 cycle are left out.

    disassembly: the lines of `objdump -d --no-show-raw-insn`.
    """
    costs: dict[int, int] = {}
    after_access = False
    for line in disassembly:
        match = _LINE.match(line)
        if match is None:
            after_access = False
            continue
        name, operands = match[2].partition(".")[0], match[3]
        cost = _cost(name, operands, model, after_access=after_access)
        if cost != 1:
            costs[int(match[1], 16)] = cost
        after_access = _one_word(name)
    return costs


def _one_word(name: str) -> bool:
    return name.startswith(("ldr", "str")) and not _pair(name)


def _pair(name: str) -> bool:
    return name.startswith(("ldrd", "strd"))


def _cost(name: str, operands: str, model: CycleModel, *, after_access: bool) -> int:
    if _pair(name):
        return 3
    if name.startswith(_MANY):
        to_pc = name.startswith("pop") and "pc" in operands
        return 1 + _words(operands) + (model.pop_to_pc if to_pc else 0)
    if name.startswith("ldr"):
        return model.load_after_access if after_access else model.load
    if name.startswith("str"):
        return model.store
    if name == "bl":
        return 1 + model.call
    return model.others.get(name) or model.others.get(_CONDITION.sub("", name), 1)


def _words(operands: str) -> int:
    """The words of a list of registers in braces: one each, two of a double (d) register."""
    words = 0
    for part in operands[operands.index("{") + 1 : operands.index("}")].split(","):
        first, _, last = part.strip().partition("-")
        count = _number(last or first) - _number(first) + 1
        words += 2 * count if first.startswith("d") else count
    return words


def _number(register: str) -> int:
    return _REGISTERS[register] if register in _REGISTERS else int(register[1:])
