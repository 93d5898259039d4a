"""Ops that move numbers about: TFLite `RESHAPE`, `TRANSPOSE`, `CONCATENATION`, `PAD`, `STRIDED_SLICE`."""

from __future__ import annotations

import numpy as np

from eennc.interop.tflite.builder import Subgraph, label
from eennc.interop.tflite.registry import objects, writes
from eennc.ir.op import Op
from eennc.ir.ops.concat import Concat
from eennc.ir.ops.flatten import Flatten
from eennc.ir.ops.identity import Identity
from eennc.ir.ops.pad import Pad
from eennc.ir.ops.q_concat import QConcat
from eennc.ir.ops.q_pad import QPad
from eennc.ir.ops.q_reshape import QReshape
from eennc.ir.ops.q_slice import QSlice
from eennc.ir.ops.q_transpose import QTranspose
from eennc.ir.ops.reshape import Reshape
from eennc.ir.ops.slice import Slice
from eennc.ir.ops.squeeze import Squeeze
from eennc.ir.ops.transpose import Transpose
from eennc.ir.ops.unsqueeze import Unsqueeze


@writes(Identity)
def identity(op: Identity, emit: Subgraph) -> None:
    """No operator."""
    emit.bind(op.result, emit.of(op.x))


@writes(Reshape, Flatten, Squeeze, Unsqueeze, QReshape)
def reshape(op: Op, emit: Subgraph) -> None:
    """A reshape to what the result is; none where that is what it was."""
    if op.inputs[0].type.concrete(1) == op.result.type.concrete(1):
        emit.bind(op.result, emit.of(op.inputs[0]))
        return
    shape = np.array(op.result.type.concrete(1), np.int32)
    inputs = [emit.of(op.inputs[0]), emit.constant(shape, f"{label(op)}/shape")]
    emit.operator("RESHAPE", inputs, emit.results(op), ("ReshapeOptions", {"newShape": shape}))


@writes(Transpose, QTranspose)
def transpose(op: Transpose, emit: Subgraph) -> None:
    """Write it."""
    perm = emit.constant(np.array(op.perm, np.int32), f"{label(op)}/perm")
    version = 1 if op.x.type.quant is None else 2
    emit.operator("TRANSPOSE", [emit.of(op.x), perm], emit.results(op), ("TransposeOptions", {}), version=version)


@writes(Concat, QConcat)
def concat(op: Concat, emit: Subgraph) -> None:
    """Write it."""
    axis = op.axis % op.result.type.rank
    version = 1 if op.result.type.quant is None else 2
    inputs = [emit.of(x) for x in op.xs]
    emit.operator("CONCATENATION", inputs, emit.results(op), ("ConcatenationOptions", {"axis": axis}), version=version)


@objects(Pad)
def object_to_pad(op: Pad) -> str | None:
    """TFLite does not crop."""
    return "TFLite has no padding by a negative number" if min(op.pads, default=0) < 0 else None


@writes(Pad, QPad)
def pad(op: Pad | QPad, emit: Subgraph) -> None:
    """Write it; real zeros need no value."""
    rank = op.x.type.rank
    widths = np.array(list(zip(op.pads[:rank], op.pads[rank:], strict=True)), np.int32)
    inputs = [emit.of(op.x), emit.constant(widths, f"{label(op)}/widths")]
    version = 1 if op.x.type.quant is None else 2
    if isinstance(op, Pad) and op.value:
        inputs.append(emit.constant(np.array(op.value, op.x.type.dtype.numpy), f"{label(op)}/value"))
        emit.operator("PADV2", inputs, emit.results(op), ("PadV2Options", {}), version=version)
    else:
        emit.operator("PAD", inputs, emit.results(op), ("PadOptions", {}), version=version)


@writes(Slice, QSlice)
def slice_(op: Slice, emit: Subgraph) -> None:
    """Write it; what ends before the first element has no end."""
    shape = op.x.type.concrete(1)
    begins, ends, strides = [0] * len(shape), list(shape), [1] * len(shape)
    mask = 0
    for axis, taken in op.ranges().items():
        begins[axis], ends[axis], strides[axis] = taken.start, taken.stop, taken.step
        if taken.stop < 0:
            mask |= 1 << axis
    parts = {"begin": begins, "end": ends, "strides": strides}
    constants = [emit.constant(np.array(part, np.int32), f"{label(op)}/{name}") for name, part in parts.items()]
    version = 1 if op.x.type.quant is None else 2
    options = ("StridedSliceOptions", {"endMask": mask})
    emit.operator("STRIDED_SLICE", [emit.of(op.x), *constants], emit.results(op), options, version=version)
