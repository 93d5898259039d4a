"""Exit-free graphs made from one with exits. The original stays as it is."""

from __future__ import annotations

from collections.abc import Sequence

from eennc.ir.graph import Graph, copy_ops
from eennc.ir.ops.exit import Exit
from eennc.ir.values import Argument, Value


def exits_of(main: Graph) -> list[Exit]:
    """The exits in order."""
    return [op for op in main.ops if isinstance(op, Exit)]


def without_exits(main: Graph) -> Graph:
    """The base network."""
    return exit_free(main, main.returns)


def all_scores(main: Graph) -> Graph:
    """Returns the scores of exit 0, 1, ... and then the network's own."""
    return exit_free(main, [*(op.scores for op in exits_of(main)), *main.returns])


def all_evidence(main: Graph) -> Graph:
    """As `all_scores`, and behind those what the rule of exit 0, 1, ... looks at."""
    exits = exits_of(main)
    return exit_free(main, [*(op.scores for op in exits), *main.returns, *(op.evidence for op in exits)])


def truncated(main: Graph, exit: int) -> Graph:
    """The static cut: the network up to exit number `exit`, whose scores it returns; no other heads. Raises
    IndexError where there is no such exit.
    """
    exits = exits_of(main)
    if not 0 <= exit < len(exits):
        raise IndexError(f"exit {exit} of {len(exits)}")
    return exit_free(main, [exits[exit].scores])


def exit_free(main: Graph, wanted: Sequence[Value]) -> Graph:
    """A copy of what the values `wanted` depend on, exits taken as never firing; it returns them."""
    values: dict[Value, Value] = {}
    arguments = [Argument(argument.name, argument.type) for argument in main.arguments]
    values.update(zip(main.arguments, arguments, strict=True))
    graph = Graph("main", arguments)
    for op in main.ops:
        if isinstance(op, Exit):
            values.update(
                (result, values.get(value, value)) for result, value in zip(op.results, op.carry, strict=True)
            )
        else:
            graph.ops.extend(copy_ops([op], values))
    graph.returns = [values.get(value, value) for value in wanted]
    graph.remove_unused()
    return graph
