"""Graphs (functions) and modules."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from eennc.ir.fields import Attr
from eennc.ir.op import Op
from eennc.ir.values import Argument, Result, Value, Weight


@dataclass(eq=False)
class Graph:
    """A list of ops in an order that respects the data flow, between arguments and returned values."""

    name: str
    arguments: list[Argument]
    ops: list[Op] = field(default_factory=list[Op])
    returns: list[Value] = field(default_factory=list[Value])

    def add(self, op: Op) -> Op:
        """Append an op."""
        self.ops.append(op)
        return op

    def users(self) -> dict[Value, list[Op]]:
        """For each value used by ops of this graph, the ops that use it (once per use). A snapshot."""
        users: dict[Value, list[Op]] = {}
        for op in self.ops:
            for value in op.inputs:
                users.setdefault(value, []).append(op)
        return users

    def weights(self) -> list[Weight]:
        """The weights used, each once, in order of first use."""
        found: dict[Value, None] = {}
        for op in self.ops:
            found.update((value, None) for value in op.inputs if isinstance(value, Weight))
        found.update((value, None) for value in self.returns if isinstance(value, Weight))
        return [value for value in found if isinstance(value, Weight)]

    def substitute(self, by: Mapping[Value, Value]) -> None:
        """Use `by[v]` wherever `v` was used; chains (a by b, b by c) are followed.

        Result types of later ops are not inferred anew: the new value must be of the same type. Raises ValueError
        where a chain comes back to itself.
        """

        def last(value: Value) -> Value:
            seen: set[Value] = set()
            while value in by:
                if value in seen:
                    raise ValueError("a value is to be replaced by itself")
                seen.add(value)
                value = by[value]
            return value

        for op in self.ops:
            op.operands = [None if value is None else last(value) for value in op.operands]
        self.returns = [last(value) for value in self.returns]

    def rewrite(self, replaced: Mapping[Op, Sequence[Op]], by: Mapping[Value, Value]) -> None:
        """Put other ops (possibly none) in the place of each key of `replaced`, then substitute values."""
        ops: list[Op] = []
        for op in self.ops:
            ops.extend(replaced.get(op, (op,)))
        self.ops = ops
        self.substitute(by)

    def remove_unused(self) -> int:
        """Remove pure ops whose results nothing uses; returns how many."""
        live: set[Value] = set(self.returns)
        kept: list[Op] = []
        for op in reversed(self.ops):
            if not op.pure or any(result in live for result in op.results):
                kept.append(op)
                live.update(op.inputs)
        removed = len(self.ops) - len(kept)
        self.ops = kept[::-1]
        return removed

    def copy(self, *, name: str | None = None, mapping: dict[Value, Value] | None = None) -> Graph:
        """A deep copy; weights are shared. `mapping` is filled with old value -> new value."""
        values: dict[Value, Value] = mapping if mapping is not None else {}
        arguments: list[Argument] = []
        for argument in self.arguments:
            arguments.append(Argument(argument.name, argument.type))
            values[argument] = arguments[-1]
        ops = copy_ops(self.ops, values)
        returns = [values.get(value, value) for value in self.returns]
        return Graph(name or self.name, arguments, ops, returns)


def copy_ops(ops: Sequence[Op], values: dict[Value, Value]) -> list[Op]:
    """Copies of ops in order, over `values`, which learns their results. Types are taken as they are."""
    copies: list[Op] = []
    for op in ops:
        copied = object.__new__(type(op))
        copied.origin = op.origin
        copied.notes = dict(op.notes)
        copied.attrs = dict(op.attrs)
        copied.operands = [None if value is None else values.get(value, value) for value in op.operands]
        copied.results = [Result(copied, result.index, result.type) for result in op.results]
        values.update(zip(op.results, copied.results, strict=True))
        copies.append(copied)
    return copies


class Module:
    """A network: graphs by name, `main` among them, with attributes and a stage.

    Attributes the project uses: `classes` (int) and `scores` ("logits" or "probabilities") once find-exits has looked,
    `batch` (int, only where the model has a baked batch), `labels` (class names).
    """

    def __init__(
        self,
        name: str,
        main: Graph,
        *,
        stage: str = "imported",
        attributes: Mapping[str, Attr] | None = None,
        graphs: Sequence[Graph] = (),
    ) -> None:
        self.name = name
        self.stage = stage
        self.attributes: dict[str, Attr] = dict(attributes or {})
        self.graphs: dict[str, Graph] = {graph.name: graph for graph in (main, *graphs)}

    @property
    def main(self) -> Graph:
        """The graph that a run starts with."""
        return self.graphs["main"]

    def ops(self) -> Iterator[Op]:
        """All ops of all graphs."""
        for graph in self.graphs.values():
            yield from graph.ops

    def weights(self) -> list[Weight]:
        """The weights of all graphs, each once."""
        found: dict[Weight, None] = {}
        for graph in self.graphs.values():
            found.update((weight, None) for weight in graph.weights())
        return list(found)

    def copy(self) -> Module:
        """A deep copy; weights are shared."""
        graphs = [graph.copy() for graph in self.graphs.values()]
        by_name = {graph.name: graph for graph in graphs}
        main = by_name.pop("main")
        return Module(self.name, main, stage=self.stage, attributes=self.attributes, graphs=list(by_name.values()))

    def fingerprint(self) -> str:
        """SHA-256 of the text form (origins and notes left out) and of the weights' contents."""
        from eennc.ir.printer import print_module  # the printer needs Module

        digest = hashlib.sha256(print_module(self, origins=False, notes=False).encode())
        for weight in self.weights():
            digest.update(f"{weight.name}={weight.digest}\n".encode())
        return digest.hexdigest()
