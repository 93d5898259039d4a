"""Axes and shapes: negative axes, the batch among them, broadcasting."""

from __future__ import annotations

from collections.abc import Sequence

from eennc.ir.op import Op
from eennc.ir.types import BATCH, Dim, DType, TensorType


def normal_axes(op: Op, axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Axes counted from the front; raises VerifyError for one that is not there, or there twice."""
    normal = tuple(axis + rank if axis < 0 else axis for axis in axes)
    if any(not 0 <= axis < rank for axis in normal) or len(set(normal)) < len(normal):
        raise op.fail(f"axes {list(axes)} are not different axes of a tensor of rank {rank}")
    return normal


def keep_samples(op: Op, type: TensorType, axes: Sequence[int]) -> None:
    """Raises VerifyError where the batch is among `axes`, over which `op` combines or chooses: samples are apart."""
    if any(type.shape[axis] == BATCH for axis in axes):
        raise op.fail(f"would mix samples: axes {list(axes)} of {type} hold the batch")


def broadcast(a: Sequence[Dim], b: Sequence[Dim]) -> tuple[Dim, ...] | None:
    """numpy's broadcast shape, or None where there is none."""
    rank = max(len(a), len(b))
    left: list[Dim] = [1] * (rank - len(a)) + list(a)
    right: list[Dim] = [1] * (rank - len(b)) + list(b)
    shape: list[Dim] = []
    for x, y in zip(left, right, strict=True):
        if x == y or y == 1:
            shape.append(x)
        elif x == 1:
            shape.append(y)
        elif "?" in (x, y):
            # the known one, if any, is what a valid run gives
            shape.append(y if x == "?" else x)
        else:
            return None
    return tuple(shape)


def broadcast_type(op: Op, a: TensorType, b: TensorType) -> TensorType:
    """The type of an arithmetic op; raises VerifyError where shapes or dtypes do not go together."""
    shape = broadcast(a.shape, b.shape)
    if shape is None or a.dtype is not b.dtype or a.dtype is DType.BOOL:
        raise op.fail(f"operands do not go together: {a} and {b}")
    layout = next((t.layout for t in (a, b) if t.layout and t.rank == len(shape)), None)
    return TensorType(shape, a.dtype, layout)
