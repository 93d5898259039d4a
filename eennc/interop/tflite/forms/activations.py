"""Activations, softmax and normalisation: TFLite `RELU`, `RELU6`, `SOFTMAX`, `MINIMUM`, `MAXIMUM`, `MUL`, `ADD`."""

from __future__ import annotations

import math

import numpy as np

from eennc.interop.tflite.activation import fused
from eennc.interop.tflite.builder import Subgraph, label
from eennc.interop.tflite.registry import writes
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


@writes(Softmax)
def softmax(op: Softmax, emit: Subgraph) -> None:
    """Write it; TFLite has it along the last axis."""
    options = ("SoftmaxOptions", {"beta": 1.0})
    last = op.x.type.rank - 1
    axis = op.axis % op.x.type.rank
    if axis == last:
        emit.operator("SOFTMAX", [emit.of(op.x)], emit.results(op), options)
        return
    order = [index for index in range(last + 1) if index != axis] + [axis]
    shape = op.x.type.concrete(1)
    type = op.x.type.with_shape([shape[index] for index in order])
    turned, shares = (emit.tensor(type, f"{label(op)}/turned") for _ in range(2))
    back = [order.index(index) for index in range(last + 1)]
    _transposed(op, emit, order, emit.of(op.x), turned)
    emit.operator("SOFTMAX", [turned], [shares], options)
    _transposed(op, emit, back, shares, *emit.results(op))


def _transposed(op: Softmax, emit: Subgraph, perm: list[int], x: int, made: int) -> None:
    order = emit.constant(np.array(perm, np.int32), f"{label(op)}/perm")
    emit.operator("TRANSPOSE", [x, order], [made], ("TransposeOptions", {}))


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
