"""fold-batchnorm."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from eennc.ir.graph import Module
from eennc.ir.op import Op
from eennc.ir.ops.batch_norm import BatchNorm
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.dense import Dense
from eennc.ir.types import Layout
from eennc.ir.values import Value, Weight
from eennc.passes.base import Context, Pass
from eennc.passes.canonicalise.affine import Affine, affine_of, source_of
from eennc.passes.canonicalise.walk import Walk, WeightNames, rewrite


@dataclass(frozen=True)
class FoldBatchnorm(Pass):
    """Fold a BatchNorm, or arithmetic with constants per channel, into the convolution or dense op before it.

    Only where nothing else uses what comes between. The new weights are computed in float64 and rounded once.

    Before:
        argument %x : tensor<Nx3x8x8xf32>
        weight @w : tensor<4x3x3x3xf32>
        weight @scale : tensor<4xf32>
        weight @shift : tensor<4xf32>
        weight @mean : tensor<4xf32>
        weight @variance : tensor<4xf32>
        %0 = nn.conv %x, @w {pads = [1, 1, 1, 1]} : tensor<Nx4x8x8xf32>
        %1 = nn.batch_norm %0, @scale, @shift, @mean, @variance : tensor<Nx4x8x8xf32>
    After:
        weight @w.folded : tensor<4x3x3x3xf32>
        weight @bias : tensor<4xf32>
        %0 = nn.conv %x, @w.folded, @bias {pads = [1, 1, 1, 1]} : tensor<Nx4x8x8xf32>
    """

    invalidates: ClassVar[frozenset[str]] = frozenset({"costs"})

    constants: bool = True
    """Whether to fold add, sub, mul and div by constants too."""
    keep: tuple[str, ...] = ()
    """Nodes to leave alone, by their names in the model; `*` stands for anything."""

    def run(self, module: Module, ctx: Context) -> bool:
        """Changed where something was folded."""
        names = WeightNames(module)

        def rule(op: Op, walk: Walk) -> Sequence[Value] | None:
            if any(fnmatch.fnmatchcase(op.origin.node, pattern) for pattern in self.keep):
                return None
            source = source_of(op)
            before = walk.producer(source) if source else None
            if not isinstance(before, (Conv, Dense)) or before.activation != "none":
                return None
            if before.result.type != op.result.type or not before.result.type.dtype.is_float:
                return None
            affine = self._affine(op, before)
            return None if affine is None else walk.emit(self._folded(before, op, affine, names)).results

        return rewrite(module, rule)

    def _affine(self, op: Op, before: Conv | Dense) -> Affine | None:
        """What `op` does to a channel of `before`'s result."""
        rank = before.result.type.rank
        first = isinstance(before, Conv) and before.result.type.layout is not Layout.CHANNELS_LAST
        axis = 1 if first else rank - 1
        if isinstance(op, BatchNorm):
            return affine_of(op, axis) if isinstance(before, Conv) or axis == 1 else None
        return affine_of(op, axis) if self.constants else None

    def _folded(self, before: Conv | Dense, op: Op, affine: Affine, names: WeightNames) -> Op:
        factor, shift = affine
        weight = cast(Weight, before.weight)
        channels = weight.array.shape[0]
        # the output channels are the first axis of both kinds of weight
        rows = np.broadcast_to(factor, channels).reshape(-1, *[1] * (weight.array.ndim - 1))
        bias = np.zeros(channels) if before.bias is None else cast(Weight, before.bias).array.astype(np.float64)
        dtype = weight.array.dtype
        new_weight, new_bias = weight, before.bias
        if (factor != 1).any():
            new_weight = Weight(names.new(weight.name), (weight.array * rows).astype(dtype))
        if before.bias is not None or shift.any():
            base = weight.name + ".bias" if before.bias is None else cast(Weight, before.bias).name
            new_bias = Weight(names.new(base), (bias * factor + shift).astype(dtype))
        origin = before.origin.via(self.name)
        return before.rebuilt([before.x, new_weight, new_bias], origin=origin)
