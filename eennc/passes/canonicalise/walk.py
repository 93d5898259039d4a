"""Rewriting in one walk over a graph: each op is seen once, after everything before it was rewritten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from eennc.ir.graph import Graph, Module
from eennc.ir.op import Op
from eennc.ir.ops.candidate import Candidate
from eennc.ir.values import Result, Value, Weight


class Walk:
    """A walk in progress: what a rule may ask and do."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.changed = False
        self._by: dict[Value, Value] = {}
        self._uses = Counter(value for op in graph.ops for value in op.inputs)
        self._uses.update(graph.returns)
        self._marked: set[Value] = {op.x for op in graph.ops if isinstance(op, Candidate)}
        self._emitted: list[Op] = []
        self._dropped: set[Op] = set()

    def producer(self, value: Value) -> Op | None:
        """The op that makes a value which nothing but one op uses; None for any other value."""
        return value.op if isinstance(value, Result) and self._uses[value] == 1 else None

    def emit(self, op: Op) -> Op:
        """Add a new op before the one the rule is looking at."""
        self._emitted.append(op)
        self._uses.update(op.inputs)
        return op

    def marked(self, value: Value) -> bool:
        """Whether a value is marked as a candidate: all later work must go on flowing through it."""
        return value in self._marked

    def may_merge(self, old: Value, new: Value) -> bool:
        """Whether `new` may stand for `old`: not where both are marked as candidates, which would be one exit twice."""
        return not (old in self._marked and new in self._marked)

    def run(self, rule: Rule) -> bool:
        """Apply the rule to every op; returns whether the graph has changed."""
        for op in self.graph.ops:
            current = self._current(op)
            values = rule(current, self)
            if values is not None:
                self._replace(current, values)
            else:
                self._emitted.append(current)
        self.graph.returns = [self._by.get(value, value) for value in self.graph.returns]
        self.graph.ops = [op for op in self._emitted if op not in self._dropped]
        return self.changed

    def _current(self, op: Op) -> Op:
        """The op over the values that took the place of its operands, its types inferred anew where they differ."""
        operands = [None if value is None else self._by.get(value, value) for value in op.operands]
        same = all(a is b or (a and b and a.type == b.type) for a, b in zip(op.operands, operands, strict=True))
        if same:
            op.operands = operands
            return op
        rebuilt = op.rebuilt(operands)
        self._take_over(op.results, rebuilt.results)
        return rebuilt

    def _replace(self, op: Op, values: Sequence[Value]) -> None:
        self._take_over(op.results, values)
        self._release(op.inputs)

    def _take_over(self, old: Sequence[Value], new: Sequence[Value]) -> None:
        self.changed = True
        for before, after in zip(old, new, strict=True):
            self._by[before] = after
            # the op is counted as a user of `after` already where it was one of its operands
            self._uses[after] += self._uses.pop(before, 0)
            if before in self._marked:
                self._marked.add(after)

    def _release(self, values: Sequence[Value]) -> None:
        """Ops whose last use went away go too."""
        pending = list(values)
        while pending:
            value = pending.pop()
            self._uses[value] -= 1
            if self._uses[value] or not isinstance(value, Result) or not value.op.pure:
                continue
            if not any(self._uses[result] for result in value.op.results):
                self._dropped.add(value.op)
                pending.extend(value.op.inputs)


Rule = Callable[[Op, Walk], Sequence[Value] | None]
"""Looks at an op: None keeps it, else the values that take the place of its results."""


def rewrite(module: Module, rule: Rule) -> bool:
    """Walk over every graph of a module; returns whether any changed."""
    changed = [Walk(graph).run(rule) for graph in module.graphs.values()]
    return any(changed)


class WeightNames:
    """New names for weights of a module."""

    def __init__(self, module: Module) -> None:
        self._taken = {weight.name for weight in module.weights()}

    def new(self, base: str, ending: str = "folded") -> str:
        """`base.folded`, with a number where that is taken."""
        stem = base if base.endswith(f".{ending}") else f"{base}.{ending}"
        name, number = stem, 1
        while name in self._taken:
            number += 1
            name = f"{stem}.{number}"
        self._taken.add(name)
        return name


def weights_of(op: Op) -> list[Weight] | None:
    """The operands, where all are weights."""
    weights = [value for value in op.inputs if isinstance(value, Weight)]
    return weights if len(weights) == len(op.inputs) else None
