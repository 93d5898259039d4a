"""Which stretch of the network between two exits an op belongs to, and whether it serves the head or the backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eennc.ir.graph import Graph
from eennc.ir.op import Op
from eennc.ir.ops.exit import Exit
from eennc.ir.values import Result, Value


@dataclass(frozen=True)
class Stretch:
    """The ops between two exits.

    `entering`: the values it starts from; `backbone`: the ops that later stretches (or the network's own answer) need;
    `head`: the ops that only the scores of `exit` need. The last stretch has no exit and no head.
    """

    entering: tuple[Value, ...]
    backbone: tuple[Op, ...]
    head: tuple[Op, ...]
    exit: Exit | None

    def leaving(self, graph: Graph) -> tuple[Value, ...]:
        """The values that must be there at its end: what the exit carries, or what the graph returns."""
        return tuple(dict.fromkeys(self.exit.carry if self.exit else graph.returns))


def stretches_of(main: Graph) -> list[Stretch]:
    """The stretches of a main graph, one more than it has exits. Ops made of weights alone are in every one that uses
    them.
    """
    number: dict[Value, int] = dict.fromkeys(main.arguments, 0)
    members: list[list[Op]] = [[]]
    constants: list[Op] = []
    exits: list[Exit] = []
    for op in main.ops:
        here = next((number[value] for value in op.inputs if value in number), None)
        if isinstance(op, Exit):
            exits.append(op)
            members.append([])
            number.update((result, len(exits)) for result in op.results)
        elif here is None:
            constants.append(op)
        else:
            members[here].append(op)
            number.update((result, here) for result in op.results)
    stretches: list[Stretch] = []
    for index, ops in enumerate(members):
        last = index == len(exits)
        entering = main.arguments if index == 0 else exits[index - 1].results
        wanted = main.returns if last else exits[index].carry
        backbone = needed(ops, wanted)
        head = [op for op in ops if op not in backbone]
        stretches.append(
            Stretch(
                tuple(entering),
                _with_constants(constants, [op for op in ops if op in backbone]),
                _with_constants(constants, head),
                None if last else exits[index],
            )
        )
    return stretches


def needed(ops: Sequence[Op], wanted: Sequence[Value]) -> set[Op]:
    """Those of `ops` that `wanted` depends on, and those that are kept for what they do."""
    live: set[Value] = set(wanted)
    found: set[Op] = set()
    for op in reversed(ops):
        if not op.pure or any(result in live for result in op.results):
            found.add(op)
            live.update(op.inputs)
    return found


def _with_constants(constants: Sequence[Op], ops: Sequence[Op]) -> tuple[Op, ...]:
    used = [value for op in ops for value in op.inputs if isinstance(value, Result)]
    kept = needed(constants, used) if constants else set[Op]()
    return (*(op for op in constants if op in kept), *ops)
