"""Removing exits."""

from __future__ import annotations

from collections.abc import Collection

from eennc.ir.cuts import exits_of
from eennc.ir.graph import Module
from eennc.ir.op import Op
from eennc.ir.stretches import stretches_of
from eennc.ir.values import Value


def remove_exits(module: Module, keep: Collection[int]) -> None:
    """Take away all exits but those numbered in `keep`, with their heads; number the rest from 0.

    Weights and places keep their names. Without any exit the module is a plain network again, stage "imported" where
    it is not quantised.
    Raises ValueError for a number that no exit has.
    """
    main = module.main
    if strange := sorted(set(keep) - {exit.exit for exit in exits_of(main)}):
        raise ValueError(f"there is no exit {strange[0]}")
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
    if not exits_of(main) and module.stage == "exits-placed":
        module.stage = "imported"
