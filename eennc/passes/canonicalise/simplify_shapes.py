"""simplify-shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from eennc.ir.graph import Module
from eennc.ir.op import Op, VerifyError
from eennc.ir.ops.average_pool import AveragePool
from eennc.ir.ops.dynamic_reshape import DynamicReshape
from eennc.ir.ops.flatten import Flatten
from eennc.ir.ops.global_average_pool import GlobalAveragePool
from eennc.ir.ops.global_max_pool import GlobalMaxPool
from eennc.ir.ops.max_pool import MaxPool
from eennc.ir.ops.reduce_mean import ReduceMean
from eennc.ir.ops.reshape import Reshape
from eennc.ir.ops.squeeze import Squeeze
from eennc.ir.ops.unsqueeze import Unsqueeze
from eennc.ir.shapes import known_shape
from eennc.ir.types import BATCH, UNKNOWN, Dim, TensorType
from eennc.ir.values import Result, Value, Weight
from eennc.ir.windows import spatial_axes, spatial_shape
from eennc.passes.base import Context, Pass
from eennc.passes.canonicalise.walk import Walk, WeightNames, rewrite

Shaping = Reshape | Flatten | Squeeze | Unsqueeze | DynamicReshape


@dataclass(frozen=True)
class SimplifyShapes(Pass):
    """Compute the shapes that can be computed now, and give one form to ops that only change a shape.

    Chains of shape.of, gather, concat and the like become weights, or the constant shape of an `nn.reshape`; the types
    behind them become known. Flatten, squeeze, unsqueeze and reshapes of reshapes become one `nn.reshape`. A pool over
    the whole map, or a mean over its spatial axes, becomes a global pool. Runs before `form-segments`.

    Before:
        argument %x : tensor<Nx4x8x8xf32>
        weight @first : tensor<1xi64> = [0]
        weight @rest : tensor<1xi64> = [-1]
        %0 = nn.average_pool %x {kernel = [8, 8]} : tensor<Nx4x1x1xf32>
        %1 = shape.of %0 : tensor<4xi64>
        %2 = nn.gather %1, @first : tensor<1xi64>
        %3 = nn.concat xs(%2, @rest) {axis = 0} : tensor<2xi64>
        %4 = shape.reshape %0, %3 : tensor<?x?xf32>
        %5 = nn.relu %4 : tensor<?x?xf32>
    After:
        %0 = nn.global_average_pool %x : tensor<Nx4x1x1xf32>
        %1 = nn.reshape %0 {shape = [-1, 4]} : tensor<Nx4xf32>
        %2 = nn.relu %1 : tensor<Nx4xf32>
    """

    invalidates: ClassVar[frozenset[str]] = frozenset({"costs"})

    def run(self, module: Module, ctx: Context) -> bool:
        """Changed where an op got another form or a type became known."""
        names = WeightNames(module)

        def rule(op: Op, walk: Walk) -> Sequence[Value] | None:
            constant = _constant(op, names)
            if constant is not None:
                return [constant]
            if isinstance(op, Shaping):
                new = _reshaped(op, walk)
            elif isinstance(op, (AveragePool, MaxPool)):
                new = _global_pool(op)
            elif isinstance(op, ReduceMean):
                new = _global_mean(op)
            else:
                new = None
            for made in new or ():
                made.origin = op.origin.via(self.name)
                made.notes = dict(op.notes)
                walk.emit(made)
            return new[-1].results if new else None

        return rewrite(module, rule)


def _constant(op: Op, names: WeightNames) -> Weight | None:
    """What a shape computation gives, as a weight."""
    if len(op.results) != 1 or not op.result.type.known:
        return None
    known = known_shape(op.result)
    if known is None or not all(isinstance(dim, int) for dim in known):
        return None
    type = op.result.type
    array = np.array(known, type.dtype.numpy).reshape(type.concrete())
    return Weight(names.new(op.origin.node or "shape"), array)


def _reshaped(op: Shaping, walk: Walk) -> list[Op] | None:
    source = op.x
    while isinstance(source, Result) and isinstance(source.op, Reshape) and not walk.marked(source):
        source = source.op.x
    type = source.type
    if not type.dtype.is_float and op.result.type.rank < 2:
        # a shape computation, which known_shape follows in the form it has
        return None
    if not type.known or (type.layout is not None and type.layout != op.result.type.layout):
        return None
    shape = _target(op)
    if shape is None:
        return None
    # the batch is the one entry that stays open; -1 for anything else is resolved
    entries = [-1 if dim == BATCH else cast(int, dim) for dim in shape]
    if isinstance(op, Reshape) and source is op.x and tuple(entries) == op.shape:
        return None
    try:
        new = Reshape(x=source, shape=entries)
    except VerifyError:
        return None
    return [new] if new.result.type.shape == shape else None


def _target(op: Shaping) -> tuple[Dim, ...] | None:
    """The shape that the op gives, where it can be known."""
    if not isinstance(op, DynamicReshape):
        shape = op.result.type.shape
        return shape if UNKNOWN not in shape else None
    known = known_shape(op.shape)
    type = op.x.type
    if known is None or not type.known:
        return None
    entries: list[Dim] = []
    for index, dim in enumerate(known):
        if dim == 0:
            # ONNX: 0 takes the size of x's axis
            if index >= type.rank:
                return None
            entries.append(type.shape[index])
        else:
            entries.append(UNKNOWN if dim == -1 else dim)
    open_entries = entries.count(UNKNOWN)
    if open_entries > 1 or entries.count(BATCH) > 1:
        return None
    if open_entries:
        entries[entries.index(UNKNOWN)] = _remaining(type, entries) or UNKNOWN
    return tuple(entries) if UNKNOWN not in entries else None


def _remaining(type: TensorType, entries: Sequence[Dim]) -> Dim | None:
    """What the open entry must be; None where the known ones leave no whole number, or a multiple of the batch."""
    fixed = math.prod(dim for dim in entries if isinstance(dim, int))
    elements = type.elements()
    if fixed <= 0 or elements % fixed:
        return None
    left = elements // fixed
    if BATCH in type.shape and BATCH not in entries:
        return BATCH if left == 1 else None
    return left


def _global_pool(op: AveragePool | MaxPool) -> list[Op] | None:
    whole = spatial_shape(op, op.x.type, "x") == op.kernel and not op.pads and not op.dilations
    if not whole:
        return None
    return [GlobalAveragePool(x=op.x) if isinstance(op, AveragePool) else GlobalMaxPool(x=op.x)]


def _global_mean(op: ReduceMean) -> list[Op] | None:
    type = op.x.type
    axes = sorted(axis + type.rank if axis < 0 else axis for axis in op.axes)
    if type.rank not in (3, 4) or axes != list(spatial_axes(type)) or not type.known or not type.dtype.is_float:
        return None
    pooled = GlobalAveragePool(x=op.x)
    if op.keepdims:
        return [pooled]
    shape = [-1 if dim == BATCH else cast(int, dim) for dim in op.result.type.shape]
    return [pooled, Reshape(x=pooled.result, shape=shape)]
