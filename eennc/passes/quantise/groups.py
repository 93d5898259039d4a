"""Which values must share a scale and zero point."""

from __future__ import annotations

from collections.abc import Mapping

from eennc.ir.cuts import all_evidence, exits_of
from eennc.ir.graph import Module
from eennc.ir.ops.average_pool import AveragePool
from eennc.ir.ops.concat import Concat
from eennc.ir.ops.exit import Exit
from eennc.ir.ops.flatten import Flatten
from eennc.ir.ops.global_max_pool import GlobalMaxPool
from eennc.ir.ops.identity import Identity
from eennc.ir.ops.max_pool import MaxPool
from eennc.ir.ops.pad import Pad
from eennc.ir.ops.q_softmax import PROBABILITY
from eennc.ir.ops.reshape import Reshape
from eennc.ir.ops.slice import Slice
from eennc.ir.ops.softmax import Softmax
from eennc.ir.ops.squeeze import Squeeze
from eennc.ir.ops.transpose import Transpose
from eennc.ir.ops.unsqueeze import Unsqueeze
from eennc.ir.types import DType, Quant
from eennc.ir.values import Result, Value, Weight
from eennc.passes.quantise.parameters import activation_quant
from eennc.passes.quantise.ranges import range_of
from eennc.support.diagnostics import UserError

MOVES = (Flatten, Identity, Reshape, Slice, Squeeze, Transpose, Unsqueeze, Pad, Concat)
KEEPING = (*MOVES, MaxPool, AveragePool, GlobalMaxPool)
"""Ops whose result has the scale and zero point of what they take."""


def quants_of(module: Module, given: Mapping[Value, Quant]) -> Mapping[Value, Quant]:
    """The scale and zero point of every float value that has a range; raises UserError for a needed one without.
    `given`: what some came with.

    Values that an op must not change the scale of are one group, which covers the ranges of all of them; so are the
    scores of all exits and of the network, and the logits of all exits. Where one of them is given, all have that; two
    that are given differently are not one group.
    """
    main = module.main
    groups = _Groups(given)
    for op in main.ops:
        if isinstance(op, KEEPING):
            for value in op.inputs:
                groups.join(value, op.result)
        elif isinstance(op, Exit):
            for value, result in zip(op.carry, op.results, strict=True):
                groups.join(value, result)
    evidence = [logits_of(exit) for exit in exits_of(main)]
    for exit, logits in zip(exits_of(main), evidence, strict=True):
        groups.join(exit.scores, main.returns[0])
        groups.join(logits, evidence[0])
    values = [value for op in main.ops for value in (*op.inputs, *op.results)] + [*main.arguments, *main.returns]
    floats = [v for v in dict.fromkeys(values) if v.type.dtype is DType.F32 and not isinstance(v, Weight)]
    covered: dict[Value, tuple[float, float]] = {}
    fixed: set[Value] = set()
    for value in floats:
        root = groups.root(value)
        if isinstance(value, Result) and isinstance(value.op, Softmax):
            fixed.add(root)
        found = range_of(module, value)
        if found is None:
            made = str(value.op.origin) or value.op.name if isinstance(value, Result) else "the input"
            raise UserError(f"quantize-int8: the range of {made} is not known", hint="put calibrate before it")
        if root in groups.given:
            continue
        low, high = covered.get(root, (0.0, 0.0))
        covered[root] = min(low, found[0]), max(high, found[1])
    quants = {root: activation_quant(found) for root, found in covered.items()}
    quants |= groups.given
    quants |= dict.fromkeys(fixed, PROBABILITY)
    return {value: quants[groups.root(value)] for value in floats}


def logits_of(exit: Exit) -> Value:
    """The logits that an exit's scores are, or are the softmax of; raises UserError where there are none."""
    if exit.evidence_kind == "logits":
        return exit.evidence
    maker = exit.scores.op if isinstance(exit.scores, Result) else None
    if not isinstance(maker, Softmax):
        raise UserError(f"quantize-int8: exit {exit.exit} ('{exit.place}') gives probabilities that no softmax makes")
    return maker.x


def logits_in(module: Module) -> set[Value]:
    """The values that are logits, of exits or of the network, in whatever shape."""
    found: set[Value] = set()
    for value in (*all_evidence(module.main).returns, *module.main.returns):
        while isinstance(value, Result) and isinstance(value.op, (Softmax, *MOVES)):
            if not isinstance(value.op, Softmax):
                found.add(value)
            value = value.op.inputs[0]
        found.add(value)
    return found


class _Groups:
    """Sets of values, joined (union-find). `given`: by a set's root, what it must have."""

    def __init__(self, given: Mapping[Value, Quant]) -> None:
        self.given = dict(given)
        self._parent: dict[Value, Value] = {}

    def root(self, value: Value) -> Value:
        while value in self._parent:
            value = self._parent[value]
        return value

    def join(self, a: Value, b: Value) -> None:
        first, second = self.root(a), self.root(b)
        own, other = self.given.get(first), self.given.get(second)
        if first is second or (own is not None and other is not None and own != other):
            return
        self._parent[first] = second
        if own is not None:
            self.given[second] = own
