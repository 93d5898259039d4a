"""A segmented module as one list of steps: what a processor does that no exit stops."""

from __future__ import annotations

from dataclasses import dataclass

from eennc.ir.graph import Module
from eennc.ir.op import Op
from eennc.ir.ops.call import Call
from eennc.ir.ops.exit import Exit
from eennc.ir.values import Value, Weight


@dataclass(frozen=True)
class Step:
    """One op, with the values it takes and makes by the names that they have where they were made: a call's arguments
    and results, and what an exit passes on, are the values they stand for. An exit takes all that lives on behind it.
    """

    op: Op
    function: str
    takes: tuple[Value | None, ...]
    makes: tuple[Value, ...]


@dataclass(frozen=True)
class Flat:
    """The steps in order, and the values that the network returns."""

    steps: tuple[Step, ...]
    returns: tuple[Value, ...]
    origin: dict[Value, Value]
    """What a value of any graph stands for."""

    def of(self, value: Value) -> Value:
        """Where a value was made."""
        return self.origin.get(value, value)


def flatten(module: Module) -> Flat:
    """The steps of a segmented module."""
    origin: dict[Value, Value] = {}
    steps: list[Step] = []

    def of(value: Value | None) -> Value | None:
        return None if value is None else origin.get(value, value)

    def take(op: Op, function: str) -> None:
        makes = () if isinstance(op, Exit) else tuple(op.results)
        steps.append(Step(op, function, tuple(of(value) for value in op.operands), makes))

    for op in module.main.ops:
        if isinstance(op, Call):
            callee = module.graphs[op.callee]
            for argument, value in zip(callee.arguments, op.args, strict=True):
                origin[argument] = origin.get(value, value)
            for inner in callee.ops:
                take(inner, callee.name)
            for result, value in zip(op.results, callee.returns, strict=True):
                origin[result] = origin.get(value, value)
            continue
        take(op, module.main.name)
        if isinstance(op, Exit):
            for value, result in zip(op.carry, op.results, strict=True):
                origin[result] = origin.get(value, value)
    returns = tuple(origin.get(value, value) for value in module.main.returns)
    return Flat(tuple(steps), returns, origin)


def live_in_memory(value: Value | None) -> bool:
    """Whether a value needs memory of its own to be written to."""
    return value is not None and not isinstance(value, Weight)
