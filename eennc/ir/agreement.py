"""What exits whose rule is `patience` remember from exit to exit, as values that a backend writes and carries on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from eennc.ir.cuts import exits_of
from eennc.ir.graph import Graph
from eennc.ir.ops.exit import Exit
from eennc.ir.types import DType, TensorType
from eennc.ir.values import Value


@dataclass(frozen=True)
class Memory:
    """The class that was named last [N], and how many exits in a row named it, float32 [N]."""

    named: Value
    run: Value


@dataclass(frozen=True)
class Remembering:
    """What an exit has to do for patience. `before`: what is known when it is reached, None where no exit counted yet.
    `here`: what it makes of that, None where nothing asks. `carried`: pairs of what is known behind it and what that is
    called there; the exit takes them along as its carried values.
    """

    before: Memory | None
    here: Memory | None
    carried: tuple[tuple[Value, Value], ...]


def remembering(main: Graph, classes: DType) -> dict[Exit, Remembering]:
    """By exit. `classes`: the type in which a backend numbers classes. Nothing is made that no exit looks at. An exit
    that only some operating points switch off is there; that it does not count at those is the backend's to write.
    """
    exits = exits_of(main)
    last = max((exit.exit for exit in exits if exit.rule == "patience"), default=-1)
    found: dict[Exit, Remembering] = {}
    before: Memory | None = None
    for exit in exits:
        batch = exit.scores.type.shape[:1]

        def memory(batch: tuple[int | str, ...] = batch) -> Memory:
            return Memory(Value(TensorType(batch, classes)), Value(TensorType(batch)))

        counts = any(threshold < math.inf for threshold in (exit.threshold, *exit.points))
        asked = exit.rule == "patience" or (counts and exit.exit < last)
        here = memory() if asked else None
        known = here if counts else before
        behind = memory() if known is not None and exit.exit < last else None
        pairs = ((known.named, behind.named), (known.run, behind.run)) if known and behind else ()
        found[exit] = Remembering(before, here, pairs)
        before = behind
    return found
