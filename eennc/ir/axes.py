"""Axes and shapes: broadcasting, negative axes, the cap on what a model may make us allocate."""

from __future__ import annotations

from collections.abc import Sequence

from eennc.ir.op import Op
from eennc.ir.types import Dim, TensorType

LARGEST = 2**31
"""Elements per sample above which a type is refused: a model file is untrusted input."""


def normal_axes(op: Op, axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Axes counted from the front; raises VerifyError for one that is not there, or there twice."""
    normal = tuple(axis + rank if axis < 0 else axis for axis in axes)
    if any(not 0 <= axis < rank for axis in normal) or len(set(normal)) < len(normal):
        raise op.fail(f"axes {list(axes)} are not different axes of a tensor of rank {rank}")
    return normal


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
    """The type of an elementwise op; raises VerifyError where shapes or dtypes do not go together."""
    shape = broadcast(a.shape, b.shape)
    if shape is None or a.dtype is not b.dtype:
        raise op.fail(f"operands do not go together: {a} and {b}")
    layout = next((t.layout for t in (a, b) if t.layout and t.rank == len(shape)), None)
    return TensorType(shape, a.dtype, layout)


def check_size(op: Op, type: TensorType) -> TensorType:
    """`type`; raises VerifyError where it is too large to be meant."""
    if type.known and type.elements() > LARGEST:
        raise op.fail(f"{type} has more than {LARGEST} elements")
    return type
