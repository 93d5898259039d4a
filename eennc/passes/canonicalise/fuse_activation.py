"""fuse-activation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from eennc.ir.graph import Module
from eennc.ir.op import Op
from eennc.ir.ops.clip import Clip
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.relu import Relu
from eennc.ir.values import Value
from eennc.passes.base import Context, Pass
from eennc.passes.canonicalise.walk import Walk, rewrite

# what an activation (row) followed by another (column) is
_AFTER = {
    ("none", "relu"): "relu",
    ("none", "relu6"): "relu6",
    ("relu", "relu"): "relu",
    ("relu", "relu6"): "relu6",
    ("relu6", "relu"): "relu6",
    ("relu6", "relu6"): "relu6",
}


@dataclass(frozen=True)
class FuseActivation(Pass):
    """Fold a ReLU, or a clip to 0..6, into the convolution or dense op before it where nothing else uses that.

    Before:
        argument %x : tensor<Nx3x8x8xf32>
        weight @w : tensor<4x3x3x3xf32>
        %0 = nn.conv %x, @w {pads = [1, 1, 1, 1]} : tensor<Nx4x8x8xf32>
        %1 = nn.relu %0 : tensor<Nx4x8x8xf32>
    After:
        %0 = nn.conv %x, @w {pads = [1, 1, 1, 1], activation = relu} : tensor<Nx4x8x8xf32>
    """

    invalidates: ClassVar[frozenset[str]] = frozenset({"costs"})

    kinds: tuple[Literal["relu", "relu6"], ...] = ("relu", "relu6")
    """The activations to fold."""

    def run(self, module: Module, ctx: Context) -> bool:
        """Changed where an activation was folded."""
        return rewrite(module, self._rule)

    def _rule(self, op: Op, walk: Walk) -> Sequence[Value] | None:
        kind = activation_of(op)
        if kind is None or kind not in self.kinds:
            return None
        before = walk.producer(op.inputs[0])
        if not isinstance(before, (Conv, Dense)):
            return None
        origin = before.origin.via(self.name)
        fused = before.rebuilt(before.operands, origin=origin, activation=_AFTER[before.activation, kind])
        return walk.emit(fused).results


def activation_of(op: Op) -> str | None:
    """The activation that an op is, or None."""
    if isinstance(op, Relu):
        return "relu"
    if isinstance(op, Clip) and op.minimum == 0:
        return {6.0: "relu6", math.inf: "relu"}.get(op.maximum)
    return None
