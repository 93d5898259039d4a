"""Checks a memory plan by playing the network through: every byte of the arena remembers whose it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from eennc.ir.flat import Step, flatten
from eennc.ir.graph import Module
from eennc.ir.op import Op
from eennc.ir.values import Argument, Value, Weight
from eennc.passes.memory import ARENA, OFFSET, SCRATCH
from eennc.passes.target import Target


class PlanError(Exception):
    """A plan that would let a network overwrite what it still needs."""


def check_plan(module: Module, target: Target) -> None:
    """Raise PlanError where the notes of a planned module are wrong: a tensor lies outside the arena or off its
    alignment, is overwritten before its last use, or an op writes over an operand that its kernel cannot spare.

    It follows the order of the steps and knows nothing of how the plan was made.
    """
    _Play(module, target).run()


class _Play:
    def __init__(self, module: Module, target: Target) -> None:
        self.flat = flatten(module)
        self.target = target
        self.owner: list[Value | None] = [None] * cast(int, module.attributes[ARENA])
        self.at: dict[Value, int] = {}
        self.viewed: dict[Value, Value] = {}

    def run(self) -> None:
        for step in self.flat.steps:
            operands = [None if value is None else self._root(value) for value in step.takes]
            for value in operands:
                self._check_whole(value, f"where {_named(step.op)} takes it")
            if step.makes and self.target.view(step.op):
                self.viewed.update((value, cast(Value, operands[0])) for value in step.makes)
                continue
            for value, at in zip(step.makes, _places(step), strict=True):
                self._check_inside(step, at, value.type.bytes())
            self._scratch(step, operands)
            for value, at in zip(step.makes, _places(step), strict=True):
                self._write(step, value, at, operands)
        for value in self.flat.returns:
            self._check_whole(self._root(value), "at the end")

    def _root(self, value: Value) -> Value:
        return self.viewed.get(value, value)

    def _check_whole(self, value: Value | None, when: str) -> None:
        if value is None or isinstance(value, (Argument, Weight)):
            return
        if value not in self.at:
            raise PlanError(f"a tensor {value.type} was never made, {when}")
        at = self.at[value]
        if any(owner is not value for owner in self.owner[at : at + value.type.bytes()]):
            raise PlanError(f"the tensor {value.type} at {at} is overwritten, {when}")

    def _scratch(self, step: Step, operands: Sequence[Value | None]) -> None:
        size = self.target.scratch(step.op)
        if not size:
            return
        at = step.op.notes.get(SCRATCH)
        if not isinstance(at, int):
            raise PlanError(f"{_named(step.op)} has no scratch memory")
        self._check_inside(step, at, size)
        for value in operands:
            if value in self.at and _overlap(at, size, self.at[value], value.type.bytes()):
                raise PlanError(f"{_named(step.op)}: its scratch memory at {at} overlaps an operand")
        for value, place in zip(step.makes, _places(step), strict=True):
            if _overlap(at, size, place, value.type.bytes()):
                raise PlanError(f"{_named(step.op)}: its scratch memory at {at} overlaps its result")
        self.owner[at : at + size] = [None] * size

    def _write(self, step: Step, value: Value, at: int, operands: Sequence[Value | None]) -> None:
        size = value.type.bytes()
        allowed = self.target.in_place(step.op)
        for index, taken in enumerate(operands):
            if taken not in self.at:
                continue
            start, length = self.at[taken], taken.type.bytes()
            spared = index in allowed and start == at and size <= length
            if _overlap(at, size, start, length) and not spared:
                raise PlanError(f"{_named(step.op)}: its result at {at} overlaps an operand at {start}")
        self.at[value] = at
        self.owner[at : at + size] = [value] * size

    def _check_inside(self, step: Step, at: int, size: int) -> None:
        if at < 0 or at + size > len(self.owner):
            raise PlanError(f"{_named(step.op)} writes {at} to {at + size}, the arena has {len(self.owner)} bytes")
        if at % self.target.alignment:
            raise PlanError(f"{_named(step.op)} writes at {at}, which is no multiple of {self.target.alignment}")


def _places(step: Step) -> tuple[int, ...]:
    found = step.op.notes.get(OFFSET, ())
    places = tuple(at for at in found if isinstance(at, int)) if isinstance(found, tuple) else ()
    if len(places) != len(step.makes):
        raise PlanError(f"{_named(step.op)} makes {len(step.makes)} tensors, and has {len(places)} places")
    return places


def _overlap(at: int, size: int, other: int, length: int) -> bool:
    return at < other + length and other < at + size


def _named(op: Op) -> str:
    return f"{op.name} ({op.origin})" if str(op.origin) else op.name
