"""The parameter-free part of a head: pooling a feature map to a small grid. Its result is what the cache holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from eennc.ir.op import Op
from eennc.ir.ops.average_pool import AveragePool
from eennc.ir.ops.concat import Concat
from eennc.ir.ops.global_average_pool import GlobalAveragePool
from eennc.ir.ops.global_max_pool import GlobalMaxPool
from eennc.ir.ops.max_pool import MaxPool
from eennc.ir.ops.reshape import Reshape
from eennc.ir.values import Value

Reduction = Literal["average", "average+max"]


def reduce(x: Value, reduction: Reduction, grid: int) -> list[Op]:
    """Ops that reduce `x` to [N, features], the last making the result; none where `x` is [N, features] already.

    A feature map [N, c, spatial...] is pooled to min(grid, size) cells along each spatial axis; they cover the map,
    and overlap where its size is not a multiple. Other ranks are flattened.
    """
    ops: list[Op] = []

    def add(op: Op) -> Value:
        ops.append(op)
        return op.result

    if x.type.rank == 2:
        return []
    if x.type.rank in (3, 4):
        pools: tuple[Callable[[Value, int], Op], ...] = (
            (_average, _largest) if reduction == "average+max" else (_average,)
        )
        pooled = [add(pool(x, grid)) for pool in pools]
        x = add(Concat(xs=pooled, axis=1)) if len(pooled) > 1 else pooled[0]
    batch = x.type.shape[0]
    add(Reshape(x=x, shape=(batch if isinstance(batch, int) else -1, features_of(x))))
    return ops


def features_of(x: Value) -> int:
    """Elements of one sample."""
    count = 1
    for dim in x.type.shape[1:]:
        count *= int(dim)
    return count


def _cells(x: Value, grid: int) -> tuple[list[int], list[int]]:
    """Kernel and stride per spatial axis."""
    sizes = [int(dim) for dim in x.type.shape[2:]]
    counts = [min(grid, size) for size in sizes]
    strides = [size // count for size, count in zip(sizes, counts, strict=True)]
    kernels = [s - (c - 1) * t for s, c, t in zip(sizes, counts, strides, strict=True)]
    return kernels, strides


def _average(x: Value, grid: int) -> Op:
    if grid == 1:
        return GlobalAveragePool(x=x)
    kernel, strides = _cells(x, grid)
    return AveragePool(x=x, kernel=kernel, strides=strides)


def _largest(x: Value, grid: int) -> Op:
    if grid == 1:
        return GlobalMaxPool(x=x)
    kernel, strides = _cells(x, grid)
    return MaxPool(x=x, kernel=kernel, strides=strides)
