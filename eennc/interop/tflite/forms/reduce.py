"""Means and maxima over axes: TFLite `MEAN`, `MAX_POOL_2D`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eennc.interop.tflite.builder import Subgraph, enum, label
from eennc.interop.tflite.registry import writes
from eennc.ir.axes import normal_axes
from eennc.ir.op import Op
from eennc.ir.ops.global_average_pool import GlobalAveragePool
from eennc.ir.ops.global_max_pool import GlobalMaxPool
from eennc.ir.ops.q_mean import QMean
from eennc.ir.ops.reduce_mean import ReduceMean
from eennc.ir.windows import spatial_axes


@writes(GlobalAveragePool, QMean)
def global_average_pool(op: GlobalAveragePool | QMean, emit: Subgraph) -> None:
    """A mean over height and width, which stay."""
    _mean(op, emit, spatial_axes(op.x.type), keep=True)


@writes(ReduceMean)
def reduce_mean(op: ReduceMean, emit: Subgraph) -> None:
    """Write it."""
    _mean(op, emit, normal_axes(op, op.axes, op.x.type.rank), keep=op.keepdims)


@writes(GlobalMaxPool)
def global_max_pool(op: GlobalMaxPool, emit: Subgraph) -> None:
    """One window over the whole map."""
    height, width = (op.x.type.concrete(1)[axis] for axis in spatial_axes(op.x.type))
    options = {
        "padding": enum("Padding", "VALID"),
        "strideH": 1,
        "strideW": 1,
        "filterHeight": height,
        "filterWidth": width,
    }
    emit.operator("MAX_POOL_2D", [emit.of(op.x)], emit.results(op), ("Pool2DOptions", options))


def _mean(op: Op, emit: Subgraph, axes: Sequence[int], *, keep: bool) -> None:
    x = op.inputs[0]
    constant = emit.constant(np.array(axes, np.int32), f"{label(op)}/axes")
    version = 1 if x.type.quant is None else 2
    options = ("ReducerOptions", {"keepDims": keep})
    emit.operator("MEAN", [emit.of(x), constant], emit.results(op), options, version=version)
