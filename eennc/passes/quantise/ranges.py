"""Ranges of values, as notes on the ops that make them."""

from __future__ import annotations

from typing import cast

from eennc.ir.graph import Module
from eennc.ir.ops.exit import Exit
from eennc.ir.types import DType
from eennc.ir.values import Argument, Result, Value

Range = tuple[float, float]
NOTE = "range"
INPUT = "input_range"
"""The module attribute for the argument's."""


def observed(module: Module) -> list[Result]:
    """The values that have a range of their own: float results of all ops but exits, which pass values on."""
    return [
        result
        for op in module.main.ops
        if not isinstance(op, Exit)
        for result in op.results
        if result.type.dtype is DType.F32
    ]


def set_range(module: Module, value: Value, found: Range) -> bool:
    """Note the range of a value; returns whether it was another."""
    notes = value.op.notes if isinstance(value, Result) else module.attributes
    name = NOTE if isinstance(value, Result) else INPUT
    changed = notes.get(name) != found
    notes[name] = found
    return changed


def range_of(module: Module, value: Value) -> Range | None:
    """The noted range, or None."""
    if isinstance(value, Result) and isinstance(value.op, Exit):
        return range_of(module, value.op.carry[value.index])
    if isinstance(value, Argument):
        return cast("Range | None", module.attributes.get(INPUT))
    return cast("Range | None", value.op.notes.get(NOTE)) if isinstance(value, Result) else None
