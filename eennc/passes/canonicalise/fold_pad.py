"""fold-pad."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from eennc.ir.graph import Module
from eennc.ir.op import Op
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.pad import Pad
from eennc.ir.values import Value
from eennc.ir.windows import spatial_axes
from eennc.passes.base import Context, Pass
from eennc.passes.canonicalise.walk import Walk, rewrite


@dataclass(frozen=True)
class FoldPad(Pass):
    """Let a convolution do the padding with zeros before it, where nothing else uses what was padded.

    Before:
        argument %x : tensor<Nx1x8x8xf32>
        weight @w : tensor<4x1x3x3xf32>
        %0 = nn.pad %x {pads = [0, 0, 0, 1, 0, 0, 2, 1]} : tensor<Nx1x10x10xf32>
        %1 = nn.conv %0, @w {strides = [2, 2]} : tensor<Nx4x4x4xf32>
    After:
        %0 = nn.conv %x, @w {strides = [2, 2], pads = [0, 1, 2, 1]} : tensor<Nx4x4x4xf32>
    """

    invalidates: ClassVar[frozenset[str]] = frozenset({"costs"})

    def run(self, module: Module, ctx: Context) -> bool:
        """Changed where a padding was folded."""
        return rewrite(module, self._rule)

    def _rule(self, op: Op, walk: Walk) -> Sequence[Value] | None:
        pad = walk.producer(op.x) if isinstance(op, Conv) else None
        if not isinstance(op, Conv) or not isinstance(pad, Pad) or pad.value != 0 or min(pad.pads) < 0:
            return None
        rank, spatial = op.x.type.rank, spatial_axes(op.x.type)
        if any(pad.pads[axis] or pad.pads[rank + axis] for axis in range(rank) if axis not in spatial):
            return None
        more = [pad.pads[offset + axis] for offset in (0, rank) for axis in spatial]
        own = op.pads or (0,) * len(more)
        pads = tuple(a + b for a, b in zip(own, more, strict=True))
        return walk.emit(op.rebuilt([pad.x, *op.operands[1:]], origin=op.origin.via(self.name), pads=pads)).results
