"""Mean and variance of what convolutions and dense ops take, per channel: where errors of a weight matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from eennc.data.cache import key_of
from eennc.data.splits import Split
from eennc.ir.graph import Module
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.dense import Dense
from eennc.ir.types import Array
from eennc.ir.values import Argument, Value, Weight
from eennc.ir.windows import channels_first
from eennc.passes.base import Context
from eennc.passes.quantise.samples import spread, streamed, values_graph
from eennc.support.instruments import task

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """float64 [channels] each, over samples and places."""

    mean: Floats
    variance: Floats

    def of_weight(self, op: Conv | Dense) -> Moments:
        """As arrays that broadcast over the op's weight."""
        weight = cast(Weight, op.weight).array
        if isinstance(op, Dense):
            return self
        out, per_group = (int(size) for size in weight.shape[:2])
        group: Array = np.arange(out) // (out // op.groups)
        inputs: Array = group[:, None] * per_group + np.arange(per_group)
        shape = (out, per_group, *[1] * (weight.ndim - 2))
        return Moments(self.mean[inputs].reshape(shape), self.variance[inputs].reshape(shape))


def input_moments(module: Module, ctx: Context, samples: int) -> Mapping[Value, Moments]:
    """Of the operand `x` of every convolution and dense op, over samples of the calibration split."""
    x = spread(ctx.data.need("calibration", "quantize-int8"), samples)
    weighted = [op for op in module.main.ops if isinstance(op, (Conv, Dense))]
    layouts = {op.x: op for op in weighted}
    values = [value for value in layouts if not isinstance(value, Argument)]
    graph = values_graph(module, values)
    key = key_of("moments", 1, Module("moments", graph).fingerprint(), Split("", x).digest)

    def compute() -> dict[str, Array]:
        sums: list[Floats] = []
        counts = [0] * len(values)
        with task(ctx.progress, "weigh errors", len(x)) as number:
            for parts in streamed(graph, x):
                for i, (value, part) in enumerate(zip(values, parts, strict=True)):
                    rows = _rows(part, value, layouts[value])
                    if i == len(sums):
                        sums.append(np.zeros((2, rows.shape[1])))
                    sums[i] += np.stack([rows.sum(axis=0), (rows**2).sum(axis=0)])
                    counts[i] += len(rows)
                ctx.progress.advance(number, len(parts[0]) if parts else 0)
        return {f"v{i}": total / count for i, (total, count) in enumerate(zip(sums, counts, strict=True))}

    stored = ctx.cache.arrays("moments", key, compute) if values else {}
    found = {value: _moments(stored[f"v{i}"]) for i, value in enumerate(values)}
    for value, op in layouts.items():
        if isinstance(value, Argument):
            rows = _rows(x, value, op)
            found[value] = _moments(np.stack([rows.mean(axis=0), (rows**2).mean(axis=0)]))
    return found


def _rows(array: Array, value: Value, op: Conv | Dense) -> Floats:
    """[anything, channels]."""
    moved = np.moveaxis(channels_first(array, value.type), 1, -1) if isinstance(op, Conv) else array
    return moved.reshape(-1, moved.shape[-1]).astype(np.float64)


def _moments(first_and_second: Floats) -> Moments:
    mean, square = first_and_second
    return Moments(mean, np.maximum(square - mean**2, 0))
