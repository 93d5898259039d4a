"""Runs a module in numpy, op by op, exits honoured per sample. It defines what a module means; it is not fast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from eennc.ir.graph import Graph, Module
from eennc.ir.op import Op, VerifyError
from eennc.ir.ops.call import Call
from eennc.ir.ops.exit import Exit
from eennc.ir.ops.opaque import Opaque
from eennc.ir.rules import NO_CLASS, Agreement
from eennc.ir.types import Array
from eennc.ir.values import Value, Weight

OpaqueRunner = Callable[[Opaque, Sequence[Array]], Sequence[Array]]
"""Evaluates an opaque op; `interop.onnx` has one that asks onnxruntime."""


@dataclass(frozen=True)
class Outcome:
    """What a module answered: `scores` [n, classes]; `exit` int64 [n], the number of exits for the last classifier."""

    scores: Array
    exit: Array


def run_op(op: Op, operands: Sequence[Array | None], opaque: OpaqueRunner | None = None) -> tuple[Array, ...]:
    """Evaluate one op (not a call)."""
    if isinstance(op, Opaque):
        if opaque is None:
            raise VerifyError(f"the interpreter cannot evaluate ONNX {op.op_type}", op)
        return tuple(opaque(op, cast(Sequence[Array], operands)))
    answer: Any = op.evaluate(*operands)
    return cast(tuple[Array, ...], answer) if isinstance(answer, tuple) else (answer,)


def run_graph(
    module: Module, graph: Graph, inputs: Sequence[Array], *, opaque: OpaqueRunner | None = None
) -> tuple[Array, ...]:
    """Run a graph on whole batches, exits never firing; one array per returned value."""
    values: dict[Value, Array] = dict(zip(graph.arguments, inputs, strict=True))
    for op in graph.ops:
        values.update(zip(op.results, _step(module, op, values, opaque), strict=True))
    return tuple(_read(value, values) for value in graph.returns)


def run_module(
    module: Module, inputs: Sequence[Array], *, opaque: OpaqueRunner | None = None, last: Array | None = None
) -> Outcome:
    """Run a module whose main graph returns scores [n, classes].

    A sample that leaves at an exit is removed from the batch: later ops see the survivors only. n may be 0. last: the
    class that was answered before each sample, int [n], for the rule `temporal-patience`; None: nothing was.
    """
    main = module.main
    samples = int(inputs[0].shape[0])
    values: dict[Value, Array] = dict(zip(main.arguments, inputs, strict=True))
    alive: Array = np.arange(samples)
    answers: list[tuple[Array, Array, int]] = []
    exits = 0
    seen: Agreement | None = None
    for op in main.ops:
        if isinstance(op, Exit):
            exits += 1
            if not len(alive):
                continue
            scores = _read(op.scores, values)
            answered = NO_CLASS if last is None else last[alive]
            leaves = op.leaves(scores, _read(op.evidence, values), seen, answered)
            seen = op.remember(scores, seen)
            seen = None if seen is None else seen.only(~leaves)
            answers.append((alive[leaves], scores[leaves], op.exit))
            alive = alive[~leaves]
            for value, result in zip(op.carry, op.results, strict=True):
                values[result] = _read(value, values)[~leaves]
        elif len(alive):
            values.update(zip(op.results, _step(module, op, values, opaque), strict=True))
    if len(alive):
        answers.append((alive, _read(main.returns[0], values), exits))
    type = main.returns[0].type
    scores = np.zeros((samples, *type.concrete()[1:]), type.dtype.numpy)
    exit = np.zeros(samples, np.int64)
    for rows, answer, number in answers:
        scores[rows] = answer
        exit[rows] = number
    return Outcome(scores, exit)


def run_stream(
    module: Module, inputs: Sequence[Array], *, starts: Array | None = None, opaque: OpaqueRunner | None = None
) -> Outcome:
    """Run samples one after the other, each with the class that was answered to the one before. starts: where a
    sequence begins, bool [n], and that class is forgotten; None: at the first sample only.
    """
    found: list[Outcome] = []
    last = NO_CLASS
    for i in range(len(inputs[0])):
        if starts is not None and starts[i]:
            last = NO_CLASS
        found.append(run_module(module, [x[i : i + 1] for x in inputs], opaque=opaque, last=np.array([last])))
        last = int(found[-1].scores[0].argmax())
    return Outcome(np.concatenate([one.scores for one in found]), np.concatenate([one.exit for one in found]))


def _read(value: Value, values: dict[Value, Array]) -> Array:
    return value.array if isinstance(value, Weight) else values[value]


def _step(module: Module, op: Op, values: dict[Value, Array], opaque: OpaqueRunner | None) -> tuple[Array, ...]:
    operands = [None if value is None else _read(value, values) for value in op.operands]
    if isinstance(op, Call):
        return run_graph(module, module.graphs[op.callee], cast(list[Array], operands), opaque=opaque)
    return run_op(op, operands, opaque)
