"""What the data flow of a network says about where an exit may stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

import networkx as nx

from eennc.ir.graph import Graph
from eennc.ir.op import Op
from eennc.ir.ops.mul import Mul
from eennc.ir.ops.opaque import Opaque
from eennc.ir.values import Value
from eennc.support.diagnostics import UserError


@dataclass(frozen=True)
class Link:
    """A value that every path from the input to the output passes, and `ops`, those on the paths to the next one."""

    value: Value
    ops: tuple[Op, ...]


class _Dominators(Protocol):
    def __call__(self, graph: object, start: object) -> dict[object, object]: ...


def fed(main: Graph) -> set[Value]:
    """The values that depend on the input; all others are made of weights alone."""
    found: set[Value] = set(main.arguments)
    for op in main.ops:
        if not found.isdisjoint(op.inputs):
            found.update(op.results)
    return found


def computes(op: Op, from_input: set[Value]) -> bool:
    """Whether an op is real work: it has MACs, or it is opaque and takes a matrix that does not come from the input."""
    if isinstance(op, Opaque):
        constants = (value.type for value in op.inputs if value not in from_input)
        return any(sum(dim != 1 for dim in type.shape) > 1 for type in constants)
    return op.macs() > 0


def dominators(main: Graph) -> list[Value]:
    """The values that every path from the input to the output passes, in order, both ends included."""
    return [link.value for link in chain_of(main)]


def chain_of(main: Graph) -> list[Link]:
    """The network as a chain of the values that all later work flows through; the last link has no ops.

    Ops and values are nodes of one graph, so an opaque op's captured values are uses like any other. Dominators by
    Cooper, Harvey, Kennedy: A simple, fast dominance algorithm (2001), in networkx. Raises UserError where the output
    does not depend on the input.
    """
    start, end = main.arguments[0], main.returns[0]
    graph: nx.DiGraph[object] = nx.DiGraph()
    graph.add_node(start)
    for op in main.ops:
        graph.add_edges_from((value, op) for value in op.inputs)
        graph.add_edges_from((op, result) for result in op.results)
    above = cast(_Dominators, nx.immediate_dominators)(graph, start)  # pyright: ignore[reportUnknownMemberType]
    # networkx 3.6 has no entry for the start itself, older ones have
    if end is not start and end not in above:
        raise UserError("the model's output does not depend on its input", hint="check the model's graph")
    values: list[Value] = []
    at: object = end
    while at is not start:
        if isinstance(at, Value):
            values.append(at)
        at = above[at]
    values = [start, *reversed(values)]
    ops = _between(main, values, above)
    return [Link(value, tuple(ops[index])) for index, value in enumerate(values)]


def _between(main: Graph, values: list[Value], above: dict[object, object]) -> list[list[Op]]:
    """For each of the dominators `values`, the ops that lead on from it to the next."""
    useful: set[Value] = set(main.returns)
    for op in reversed(main.ops):
        if not useful.isdisjoint(op.results):
            useful.update(op.inputs)
    index: dict[object, int] = {value: number for number, value in enumerate(values)}
    ops: list[list[Op]] = [[] for _ in values]
    for op in main.ops:
        if op not in above:
            continue
        here = index[op] = index[above[op]]
        if not useful.isdisjoint(op.results):
            ops[here].append(op)
        for result in op.results:
            index.setdefault(result, here)
    return ops


def is_gate(link: Link, after: Link) -> bool:
    """Whether the ops between two dominators only scale the first, as SiLU and squeeze-and-excitation do."""
    (maker,) = (op for op in link.ops if after.value in op.results)
    return isinstance(maker, Mul) and link.value in maker.inputs
