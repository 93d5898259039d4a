"""Whether an exit fires, in operators that LiteRT and TFLite Micro have."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eennc.interop.tflite.builder import Subgraph
from eennc.ir.agreement import Memory, Remembering
from eennc.ir.ops.exit import Exit
from eennc.ir.rules import MOST, SMALLEST_PROBABILITY, exponentials
from eennc.ir.types import Array, DType, TensorType

_INT32 = 2
"""In TFLite's schema."""
_FIRST_AXIS = ("GatherOptions", {"axis": 0})


def leaves(op: Exit, emit: Subgraph, known: Remembering) -> int:
    """Write the rule of an exit; returns the tensor that says whether the sample leaves, bool [1]."""
    decision = _Decision(op, emit)
    if known.here is not None:
        decision.remember(known.here, known.before)
        if op.rule == "patience":
            return decision.patience(known.here)
    if op.rule == "margin":
        return decision.margin()
    if op.rule == "entropy":
        return decision.entropy()
    return decision.max_probability() if op.evidence.type.quant is None else decision.sum_of_exponentials()


class _Decision:
    def __init__(self, op: Exit, emit: Subgraph) -> None:
        self.op = op
        self.emit = emit
        self.limits = op.limits(op.threshold)
        self.classes = int(op.evidence.type.concrete(1)[1])
        self.place = f"{op.place}/confidence"

    def max_probability(self) -> int:
        """max softmax(z / temperature) >= threshold."""
        scores = self._logits()
        beta = {"beta": float(np.float32(1 / self.op.temperature))}
        soft = self._made("SOFTMAX", [scores], self.classes, ("SoftmaxOptions", beta))
        largest = self._reduced("REDUCE_MAX", soft, keep=False)
        return self._compared("GREATER_EQUAL", largest, self._limit(self.limits))

    def entropy(self) -> int:
        """-H of softmax(z / temperature), against what the score's limits are there."""
        op, options = self.op, {"fusedActivationFunction": 0}
        factor = self._constant(np.float32(1 / op.temperature), "factor")
        scaled = self._made("MUL", [self._logits(), factor], self.classes, ("MulOptions", options))
        logs = self._made("LOG_SOFTMAX", [scaled], self.classes, ("LogSoftmaxOptions", {}))
        soft = self._made("EXP", [logs], self.classes, ("ExpOptions", {}))
        parts = self._made("MUL", [soft, logs], self.classes, ("MulOptions", options))
        total = self._reduced("SUM", parts, keep=False)
        limits = [(limit - 1) * math.log(self.classes) for limit in self.limits]
        return self._compared("GREATER_EQUAL", total, self._limit(limits))

    def sum_of_exponentials(self) -> int:
        """The levels of max_probability. TFLite Micro looks up floats only; they hold every number up to MOST, and a
        larger sum is not rounded below it.
        """
        op, options = self.op, {"fusedActivationFunction": 0}
        wide = self._made("CAST", [self.emit.of(op.evidence)], self.classes, ("CastOptions", {}))
        largest = self._reduced("REDUCE_MAX", wide, keep=True)
        behind = self._made("SUB", [largest, wide], self.classes, ("SubOptions", options))
        steps = self._made("CAST", [behind], self.classes, ("CastOptions", {}), DType.I32)
        table = exponentials(op.temperature, op.unit).astype(np.float32)
        parts = self._made("GATHER", [self._table(table, "exponentials"), steps], self.classes, _FIRST_AXIS)
        total = self._reduced("SUM", parts, keep=False)
        # level >= limit, turned round
        found = [op.levels(limit) for limit in self.limits]
        limits = [float(MOST - level) if level else math.inf for level in found]
        return self._compared("LESS_EQUAL", total, self._limit(limits))

    def margin(self) -> int:
        """Whether one class alone is nearer to the largest logit than the threshold: TFLite Micro has no top 2.

        In integers the limit lies halfway between two steps, so that floats cannot round to the other side.
        """
        op = self.op
        scores = self._logits()
        largest = self._reduced("REDUCE_MAX", scores, keep=True)
        none = {"fusedActivationFunction": 0}
        behind = self._made("SUB", [largest, scores], self.classes, ("SubOptions", none))
        if op.evidence.type.quant is not None:
            limits = [(op.levels(limit) - 0.5) * op.unit for limit in self.limits]
        else:
            factor = self._constant(np.float32(1 / op.temperature), "factor")
            behind = self._made("MUL", [behind, factor], self.classes, ("MulOptions", none))
            limits = self.limits
        near = self._made("LESS", [behind, self._limit(limits)], self.classes, ("LessOptions", {}), DType.BOOL)
        counted = self._made("CAST", [near], self.classes, ("CastOptions", {}))
        count = self._reduced("SUM", counted, keep=False)
        return self._compared("LESS", count, self._constant(1.5, "one"))

    def patience(self, here: Memory) -> int:
        """run >= threshold."""
        return self._compared("GREATER_EQUAL", self.emit.of(here.run), self._limit(self.limits))

    def remember(self, here: Memory, before: Memory | None) -> None:
        """What patience makes of the exit: the class it names, and one more than the run before where that named it."""
        emit, options = self.emit, {"fusedActivationFunction": 0}
        place = f"{self.op.place}/agreement"
        named = self._named(place)
        run = one = emit.constant(np.array([1], np.float32), f"{place}/one")
        if before is not None:
            same = emit.tensor(TensorType((1,), DType.BOOL), f"{place}/same")
            emit.operator("EQUAL", [named, emit.of(before.named)], [same], ("EqualOptions", {}))
            counted, longer, run = (emit.tensor(TensorType((1,)), f"{place}/run") for _ in range(3))
            emit.operator("CAST", [same], [counted], ("CastOptions", {}))
            emit.operator("MUL", [counted, emit.of(before.run)], [longer], ("MulOptions", options))
            emit.operator("ADD", [longer, one], [run], ("AddOptions", options))
        emit.bind(here.named, named)
        emit.bind(here.run, run)

    def _logits(self) -> int:
        """What the rule looks at as float logits."""
        op, scores = self.op, self.emit.of(self.op.evidence)
        if op.evidence.type.quant is not None:
            return self._made("DEQUANTIZE", [scores], self.classes, ("DequantizeOptions", {}), version=2)
        if op.evidence_kind == "probabilities":
            least = self._constant(SMALLEST_PROBABILITY, "least")
            bounded = self._made("MAXIMUM", [scores, least], self.classes, ("MaximumMinimumOptions", {}))
            return self._made("LOG", [bounded], self.classes, None)
        return scores

    def _made(
        self,
        kind: str,
        inputs: list[int],
        size: int,
        options: tuple[str, Mapping[str, Any]] | None,
        dtype: DType = DType.F32,
        version: int = 1,
    ) -> int:
        made = self.emit.tensor(TensorType((1, size), dtype), f"{self.place}/{kind.lower()}")
        self.emit.operator(kind, inputs, [made], options, version=version)
        return made

    def _reduced(self, kind: str, x: int, *, keep: bool) -> int:
        axes = self.emit.constant(np.array([1], np.int32), f"{self.place}/axes")
        type = TensorType((1, 1) if keep else (1,))
        made = self.emit.tensor(type, f"{self.place}/{kind.lower()}")
        self.emit.operator(kind, [x, axes], [made], ("ReducerOptions", {"keepDims": keep}))
        return made

    def _named(self, place: str) -> int:
        """The class of the largest score, int32 [1]."""
        axis = self.emit.constant(np.array(1, np.int32), f"{place}/axis")
        named = self.emit.tensor(TensorType((1,), DType.I32), f"{place}/class")
        scores = self.emit.of(self.op.scores)
        self.emit.operator("ARG_MAX", [scores, axis], [named], ("ArgMaxOptions", {"outputType": _INT32}))
        return named

    def _limit(self, limits: Sequence[float]) -> int:
        """The limit of the sample, float32 [1]: the only one, or that of the class that the scores name."""
        table = self._table(np.array(limits, np.float32), "threshold")
        if not self.op.class_thresholds:
            return table
        place = f"{self.op.place}/threshold"
        found = self.emit.tensor(TensorType((1,)), place)
        self.emit.operator("GATHER", [table, self._named(place)], [found], _FIRST_AXIS)
        return found

    def _table(self, table: Array, role: str) -> int:
        return self.emit.constant(table, f"{self.place}/{role}")

    def _compared(self, kind: str, x: int, limit: int) -> int:
        table = {"LESS": "LessOptions", "LESS_EQUAL": "LessEqualOptions", "GREATER_EQUAL": "GreaterEqualOptions"}[kind]
        made = self.emit.tensor(TensorType((1,), DType.BOOL), f"{self.op.place}/leaves")
        self.emit.operator(kind, [x, limit], [made], (table, {}))
        return made

    def _constant(self, value: float | np.float32, role: str) -> int:
        return self._table(np.array([value], np.float32), role)
