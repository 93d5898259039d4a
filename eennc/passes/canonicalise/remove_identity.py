"""remove-identity."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from eennc.ir.graph import Module
from eennc.ir.op import Op
from eennc.ir.ops.average_pool import AveragePool
from eennc.ir.ops.cast import Cast
from eennc.ir.ops.clip import Clip
from eennc.ir.ops.concat import Concat
from eennc.ir.ops.flatten import Flatten
from eennc.ir.ops.global_average_pool import GlobalAveragePool
from eennc.ir.ops.global_max_pool import GlobalMaxPool
from eennc.ir.ops.identity import Identity
from eennc.ir.ops.max_pool import MaxPool
from eennc.ir.ops.pad import Pad
from eennc.ir.ops.reduce_mean import ReduceMean
from eennc.ir.ops.reshape import Reshape
from eennc.ir.ops.slice import Slice
from eennc.ir.ops.squeeze import Squeeze
from eennc.ir.ops.transpose import Transpose
from eennc.ir.ops.unsqueeze import Unsqueeze
from eennc.ir.values import Value
from eennc.passes.base import Context, Pass
from eennc.passes.canonicalise.walk import Walk, rewrite


@dataclass(frozen=True)
class RemoveIdentity(Pass):
    """Remove ops that give back their operand: identity and dropout, and reshapes, transposes, pads, slices, casts,
    clips, pools and concats that do nothing.

    Before:
        argument %x : tensor<Nx3x8x8xf32>
        %0 = nn.identity %x : tensor<Nx3x8x8xf32>
        %1 = nn.pad %0 {pads = [0, 0, 0, 0, 0, 0, 0, 0]} : tensor<Nx3x8x8xf32>
        %2 = nn.transpose %1 {perm = [0, 1, 2, 3]} : tensor<Nx3x8x8xf32>
        %3 = nn.relu %2 : tensor<Nx3x8x8xf32>
    After:
        %0 = nn.relu %x : tensor<Nx3x8x8xf32>
    """

    invalidates: ClassVar[frozenset[str]] = frozenset({"costs"})

    def run(self, module: Module, ctx: Context) -> bool:
        """Changed where an op went."""
        return rewrite(module, _rule)


def _rule(op: Op, walk: Walk) -> Sequence[Value] | None:
    does_nothing = _DOES_NOTHING.get(type(op))
    if does_nothing is None or op.inputs[0].type != op.result.type or not op.result.type.known:
        return None
    if not does_nothing(op) or not walk.may_merge(op.result, op.inputs[0]):
        return None
    return op.inputs[:1]


def _always(op: Op) -> bool:
    return True


def _one_operand(op: Op) -> bool:
    return len(op.inputs) == 1


def _whole(op: Op) -> bool:
    # a slice of the same length could still be a reversed one
    assert isinstance(op, Slice)
    return all(step > 0 for step in op.steps)


def _in_order(op: Op) -> bool:
    assert isinstance(op, Transpose)
    return list(op.perm) == sorted(op.perm)


def _not_moved(op: Op) -> bool:
    # pads may crop one side as much as they add on the other
    assert isinstance(op, Pad)
    return not any(op.pads)


def _without_limits(op: Op) -> bool:
    assert isinstance(op, Clip)
    return op.minimum == -math.inf and op.maximum == math.inf


def _windows_of_one(op: Op) -> bool:
    assert isinstance(op, (AveragePool, MaxPool))
    return all(size == 1 for size in op.kernel) and not op.pads


_DOES_NOTHING: dict[type[Op], Callable[[Op], bool]] = {
    # with a result of the operand's type
    Identity: _always,
    Reshape: _always,
    Flatten: _always,
    Squeeze: _always,
    Unsqueeze: _always,
    Cast: _always,
    ReduceMean: _always,
    GlobalAveragePool: _always,
    GlobalMaxPool: _always,
    Concat: _one_operand,
    Slice: _whole,
    Transpose: _in_order,
    Pad: _not_moved,
    Clip: _without_limits,
    AveragePool: _windows_of_one,
    MaxPool: _windows_of_one,
}
