"""Activations, softmax and normalisation: TFLite `RELU`, `RELU6`, `SOFTMAX`, `MINIMUM`, `MAXIMUM`, `MUL`, `ADD`."""

from __future__ import annotations

import math

import numpy as np

from eennc.interop.tflite.activation import fused
from eennc.interop.tflite.builder import Subgraph, label
from eennc.interop.tflite.registry import objects, writes
from eennc.ir.ops.batch_norm import BatchNorm
from eennc.ir.ops.clip import Clip
from eennc.ir.ops.q_softmax import QSoftmax
from eennc.ir.ops.relu import Relu
from eennc.ir.ops.softmax import Softmax


@writes(Relu)
def relu(op: Relu, emit: Subgraph) -> None:
    """Write it."""
    emit.operator("RELU", [emit.of(op.x)], emit.results(op))


@writes(Clip)
def clip(op: Clip, emit: Subgraph) -> None:
    """`RELU6` where it is that, else a minimum and a maximum."""
    if (op.minimum, op.maximum) == (0, 6):
        emit.operator("RELU6", [emit.of(op.x)], emit.results(op))
        return
    bounds = [("MAXIMUM", op.minimum), ("MINIMUM", op.maximum)]
    wanted = [(kind, bound) for kind, bound in bounds if math.isfinite(bound)]
    x = emit.of(op.x)
    for kind, bound in wanted[:-1]:
        x = _bounded(op, emit, kind, bound, x, [emit.tensor(op.result.type, label(op))])
    if not wanted:
        emit.bind(op.result, x)
    else:
        _bounded(op, emit, *wanted[-1], x, emit.results(op))


def _bounded(op: Clip, emit: Subgraph, kind: str, bound: float, x: int, made: list[int]) -> int:
    constant = emit.constant(np.array(bound, np.float32), f"{label(op)}/{kind.lower()}")
    emit.operator(kind, [x, constant], made, ("MaximumMinimumOptions", {}))
    return made[0]


@objects(Softmax)
def object_to_softmax(op: Softmax) -> str | None:
    """Over the last axis, or over channels that come to be the last."""
    rank = op.x.type.rank
    channels = 1 if op.x.type.layout is None and rank > 2 else rank - 1
    return None if op.axis % rank in (channels, rank - 1) else f"TFLite has no softmax along axis {op.axis}"


@writes(Softmax)
def softmax(op: Softmax, emit: Subgraph) -> None:
    """Write it, along the last axis."""
    assert op.axis % op.x.type.rank == op.x.type.rank - 1
    emit.operator("SOFTMAX", [emit.of(op.x)], emit.results(op), ("SoftmaxOptions", {"beta": 1.0}))


@writes(QSoftmax)
def q_softmax(op: QSoftmax, emit: Subgraph) -> None:
    """Write it."""
    emit.operator("SOFTMAX", [emit.of(op.x)], emit.results(op), ("SoftmaxOptions", {"beta": op.beta}), version=2)


@writes(BatchNorm)
def batch_norm(op: BatchNorm, emit: Subgraph) -> None:
    """x * factor + shift, with the channels last."""
    factor, shift = (part.astype(np.float32) for part in op.factors())
    scaled = emit.tensor(op.result.type, f"{label(op)}/scaled")
    none = {"fusedActivationFunction": fused("none")}
    emit.operator("MUL", [emit.of(op.x), emit.constant(factor, f"{label(op)}/factor")], [scaled], ("MulOptions", none))
    shifted = emit.constant(shift, f"{label(op)}/shift")
    emit.operator("ADD", [scaled, shifted], emit.results(op), ("AddOptions", none))
