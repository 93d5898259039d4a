"""calibrate."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Gt, Le
from numpy.typing import NDArray

from eennc.data.cache import key_of
from eennc.data.splits import Split
from eennc.ir.graph import Graph, Module
from eennc.ir.types import Array, DType
from eennc.ir.values import Result, Value
from eennc.passes.base import Context, Pass
from eennc.passes.quantise.groups import logits_in
from eennc.passes.quantise.observers import Histogram, Observer, mean_squared_error, percentile
from eennc.passes.quantise.ranges import Range, observed, set_range
from eennc.passes.quantise.samples import SAMPLES, spread, streamed, values_graph
from eennc.support.diagnostics import UserError
from eennc.support.instruments import Progress, task

REACH = 7.0
"""A logit that lies this and ln(classes) below the largest one of its sample may be clipped: all of them together have
less than exp(-REACH), a thousandth, of the probability. The steps between those that compete become finer for it."""
SAFE = 1.0
"""Upper end of the range of a value that is always zero."""


@dataclass(frozen=True)
class Calibrate(Pass):
    """Note the range of every activation, from samples of the calibration split.

    Labels are not looked at. All exits are taken as not firing, so that every part of the network sees every sample.
    Of logits, those far behind the largest of their sample do not count.
    """

    ensures: ClassVar[frozenset[str]] = frozenset({"ranges"})
    needs: ClassVar[frozenset[str]] = frozenset({"calibration"})

    observer: Observer = "minmax"
    """From values to a range: the smallest and the largest, all but a share at either end (percentile), or the range
    whose integers have the least squared error."""
    percentile: Annotated[float, Gt(0.5), Le(1)] = 0.9999
    """Share of the values that the observer `percentile` keeps at either end."""
    samples: Annotated[int, Gt(0)] = SAMPLES
    """Samples that are looked at, evenly spread; fewer where there are not as many."""

    def run(self, module: Module, ctx: Context) -> bool:
        """Changed where a range is another."""
        split = ctx.data.need("calibration", self.name)
        x = spread(split, self.samples)
        if len(x) > 1 and (x == x[:1]).all():
            raise UserError("calibrate: all samples of the calibration data are the same", hint="give real samples")
        values = observed(module)
        logits = logits_in(module)
        graph = values_graph(module, values)
        key = key_of("ranges", 2, Module("ranges", graph).fingerprint(), Split("", x).digest, self)
        stored = ctx.cache.arrays(
            "ranges", key, lambda: {"ranges": self._ranges(graph, values, logits, x, ctx.progress)}
        )
        changed = False
        argument = module.main.arguments[0]
        if argument.type.dtype is DType.F32:
            changed |= set_range(module, argument, _with_zero(float(x.min()), float(x.max())))
        still: list[str] = []
        for value, (low, high) in zip(values, stored["ranges"].tolist(), strict=True):
            if low == high:
                still.append(value.op.origin.node or value.op.name)
            changed |= set_range(module, value, _with_zero(low, high))
        if still:
            more = f" and {len(still) - 5} more" if len(still) > 5 else ""
            ctx.progress.warn(f"calibrate: these give one value for all samples: {', '.join(still[:5])}{more}")
        return changed

    def _ranges(
        self, graph: Graph, values: Sequence[Result], logits: Collection[Value], x: Array, progress: Progress
    ) -> NDArray[np.float64]:
        """float64 [values, 2]."""

        def seen() -> Iterator[list[Array]]:
            for parts in streamed(graph, x):
                yield [competing(part) if v in logits else part for v, part in zip(values, parts, strict=True)]

        low, high = np.full(len(values), np.inf), np.full(len(values), -np.inf)
        passes = 1 if self.observer == "minmax" else 2
        with task(progress, "calibrate", passes * len(x)) as number:
            for parts in seen():
                for i, part in enumerate(parts):
                    low[i], high[i] = min(low[i], part.min()), max(high[i], part.max())
                progress.advance(number, len(parts[0]))
            for value, ends in zip(values, np.stack([low, high], axis=1), strict=True):
                if not np.isfinite(ends).all():
                    raise UserError(f"calibrate: {value.op.origin or value.op.name} gives NaN or infinity")
            if self.observer == "minmax":
                return np.stack([low, high], axis=1)
            histograms = [Histogram.empty(float(a), float(b)) for a, b in zip(low, high, strict=True)]
            for parts in seen():
                for histogram, part in zip(histograms, parts, strict=True):
                    histogram.add(part)
                progress.advance(number, len(parts[0]))
        choose = percentile(self.percentile) if self.observer == "percentile" else mean_squared_error
        return np.array([choose(h) if h.high > h.low else (h.low, h.high) for h in histograms], np.float64)


def competing(logits: Array) -> Array:
    """Logits [n, ...], those out of reach of their sample's largest brought to where reach ends."""
    rows = logits.reshape(len(logits), -1)
    reach = np.float32(REACH + math.log(rows.shape[1]))
    return np.maximum(rows, rows.max(axis=1, keepdims=True) - reach)


def _with_zero(low: float, high: float) -> Range:
    """A range that holds zero, which padding and ReLU need exactly, and more than zero."""
    low, high = min(low, 0.0), max(high, 0.0)
    return (low, high) if high > low else (0.0, SAFE)
