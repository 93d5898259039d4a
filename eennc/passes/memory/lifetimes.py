"""Which tensors share memory, and when each is needed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from eennc.ir.flat import Flat, live_in_memory
from eennc.ir.values import Argument, Value
from eennc.passes.target import Target


@dataclass
class Buffer:
    """Memory that is needed from step `first` to step `last`, both included: for `values` (none for scratch)."""

    size: int
    first: int
    last: int
    values: list[Value] = field(default_factory=list[Value])


@dataclass(frozen=True)
class Lifetimes:
    """What has to be placed. `scratch`: the buffer of each step that needs some, by the step's number. bound: bytes
    that live together at the step `worst`; no plan takes fewer.
    """

    buffers: tuple[Buffer, ...]
    scratch: dict[int, Buffer]
    bound: int
    worst: int


def aligned(size: int, alignment: int) -> int:
    """The size rounded up."""
    return -(-size // alignment) * alignment


class _Groups:
    """Values that lie at one address."""

    def __init__(self) -> None:
        self._parent: dict[Value, Value] = {}

    def of(self, value: Value) -> Value:
        while value in self._parent:
            value = self._parent[value]
        return value

    def join(self, value: Value, to: Value) -> None:
        self._parent[self.of(value)] = self.of(to)


def lifetimes(flat: Flat, target: Target, *, in_place: bool) -> Lifetimes:
    """Lifetimes of all tensors but the network's input, which the caller holds. `in_place`: whether an op may write
    over an operand that nothing needs afterwards, where the target can.
    """
    groups = _Groups()
    views = {number for number, step in enumerate(flat.steps) if step.makes and target.view(step.op)}
    for number in sorted(views):
        step = flat.steps[number]
        viewed = step.takes[0]
        if live_in_memory(viewed) and viewed is not None:
            groups.join(step.makes[0], viewed)
    last: dict[Value, int] = {}
    for number, step in enumerate(flat.steps):
        for value in step.takes:
            if value is not None:
                last[groups.of(value)] = number
    for value in flat.returns:
        last[groups.of(value)] = len(flat.steps)
    shared = _shared(flat, target, groups, last, views)
    if in_place:
        for made, taken in shared:
            groups.join(made, taken)
    buffers: dict[Value, Buffer] = {}
    scratch: dict[int, Buffer] = {}
    for number, step in enumerate(flat.steps):
        for value in step.makes:
            root = groups.of(value)
            if isinstance(root, Argument):
                continue
            size = aligned(value.type.bytes(), target.alignment)
            buffer = buffers.setdefault(root, Buffer(size, number, number))
            buffer.size = max(buffer.size, size)
            buffer.values.append(value)
        for value in step.takes:
            if value is not None and groups.of(value) in buffers:
                buffers[groups.of(value)].last = number
        if needed := target.scratch(step.op):
            scratch[number] = Buffer(aligned(needed, target.alignment), number, number)
    for value in flat.returns:
        if groups.of(value) in buffers:
            buffers[groups.of(value)].last = len(flat.steps)
    found = (*buffers.values(), *scratch.values())
    return Lifetimes(found, scratch, *_bound(found, len(flat.steps)))


def _shared(
    flat: Flat, target: Target, groups: _Groups, last: dict[Value, int], views: set[int]
) -> list[tuple[Value, Value]]:
    """Results that may be written over an operand, and that operand."""
    found: list[tuple[Value, Value]] = []
    for number, step in enumerate(flat.steps):
        if number in views or not step.makes:
            continue
        made = step.makes[0]
        for index in target.in_place(step.op):
            taken = step.takes[index]
            if taken is None or isinstance(groups.of(taken), Argument) or not live_in_memory(taken):
                continue
            # a small result would keep the whole of a large operand
            worth = made.type.bytes() <= taken.type.bytes() <= 2 * made.type.bytes()
            twice = sum(value is not None and groups.of(value) is groups.of(taken) for value in step.takes) > 1
            if last[groups.of(taken)] == number and worth and not twice:
                found.append((made, taken))
                break
    return found


def _bound(buffers: Sequence[Buffer], steps: int) -> tuple[int, int]:
    """The most bytes that live at one step, and that step."""
    changes = [0] * (steps + 2)
    for buffer in buffers:
        changes[buffer.first] += buffer.size
        changes[buffer.last + 1] -= buffer.size
    live = list(itertools.accumulate(changes))
    worst = max(range(len(live)), key=live.__getitem__)
    return live[worst], worst
