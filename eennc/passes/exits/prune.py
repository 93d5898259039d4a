"""Removing exits."""

from __future__ import annotations

from collections.abc import Collection

from eennc.ir.graph import Module
from eennc.ir.op import Op
from eennc.ir.ops.exit import Exit
from eennc.ir.stretches import stretches_of
from eennc.ir.values import Value


def remove_exits(module: Module, keep: Collection[int]) -> None:
    """Take away all exits but those numbered in `keep`, with their heads; number the rest from 0.

    Weights and places keep their names.
    """
    main = module.main
    gone: set[Op] = set()
    by: dict[Value, Value] = {}
    number = 0
    for stretch in stretches_of(main):
        exit = stretch.exit
        if exit is None:
            continue
        if exit.exit not in keep:
            gone.add(exit)
            by.update(zip(exit.results, exit.carry, strict=True))
            continue
        exit.attrs["exit"] = number
        for op in stretch.head:
            op.notes.update({name: number for name in ("head", "reduction") if name in op.notes})
        number += 1
    main.rewrite(dict.fromkeys(gone, ()), by)
    main.remove_unused()
    if not any(isinstance(op, Exit) for op in main.ops):
        module.stage = "imported"
