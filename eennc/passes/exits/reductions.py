"""The parameter-free part of a head: pooling a feature map to a small grid. Its result is what the cache holds."""

from __future__ import annotations

import math
from typing import Literal

from eennc.ir.op import Op
from eennc.ir.ops.average_pool import AveragePool
from eennc.ir.ops.concat import Concat
from eennc.ir.ops.global_average_pool import GlobalAveragePool
from eennc.ir.ops.global_max_pool import GlobalMaxPool
from eennc.ir.ops.max_pool import MaxPool
from eennc.ir.ops.reshape import Reshape
from eennc.ir.ops.transpose import Transpose
from eennc.ir.values import Value

Reduction = Literal["average", "max", "average+max"]


def reduce(x: Value, reduction: Reduction, grid: int, *, channels_last: bool = False) -> list[Op]:
    """Ops that reduce `x` to [N, features], the last making the result; none where `x` is [N, features] already.

    A feature map [N, c, spatial...] is pooled to min(grid, size) cells along each spatial axis; they cover the map,
    and overlap where its size is not a multiple. With `channels_last`, `x` is [N, steps, c]. Tensors of other ranks
    are flattened.
    """
    ops: list[Op] = []

    def add(op: Op) -> Value:
        ops.append(op)
        return op.result

    if x.type.rank == 2:
        return []
    if channels_last:
        x = add(Transpose(x=x, perm=(0, 2, 1)))
    kernel, strides = _cells(x, grid)
    # a map as small as the grid is taken as it is: its average and its maximum are the same
    if x.type.rank in (3, 4) and math.prod(kernel) > 1:
        pooled = [add(_pool(x, kind, grid, kernel, strides)) for kind in reduction.split("+")]
        x = add(Concat(xs=pooled, axis=1)) if len(pooled) > 1 else pooled[0]
    batch = x.type.shape[0]
    add(Reshape(x=x, shape=(batch if isinstance(batch, int) else -1, _features(x))))
    return ops


def _features(x: Value) -> int:
    """Elements of one sample."""
    return math.prod(int(dim) for dim in x.type.shape[1:])


def _cells(x: Value, grid: int) -> tuple[list[int], list[int]]:
    """Kernel and stride per spatial axis."""
    sizes = [int(dim) for dim in x.type.shape[2:]]
    counts = [min(grid, size) for size in sizes]
    strides = [size // count for size, count in zip(sizes, counts, strict=True)]
    kernels = [s - (c - 1) * t for s, c, t in zip(sizes, counts, strides, strict=True)]
    return kernels, strides


def _pool(x: Value, kind: str, grid: int, kernel: list[int], strides: list[int]) -> Op:
    if grid == 1:
        return GlobalAveragePool(x=x) if kind == "average" else GlobalMaxPool(x=x)
    pool = AveragePool if kind == "average" else MaxPool
    return pool(x=x, kernel=kernel, strides=strides)
