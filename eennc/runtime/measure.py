"""Measures an artefact against its base network: accuracy, exit shares, latency, in one interleaved run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eennc.data.splits import Split
from eennc.ir.rules import NO_CLASS
from eennc.ir.types import Array
from eennc.runtime.session import HostSession, Prediction
from eennc.support.instruments import Progress, Silent, task

WARM_UP = 20
"""Samples that are run before the clock counts."""


@dataclass(frozen=True)
class ExitMeasure:
    """One exit: `place`, the share of samples that stopped there, their accuracy and median latency in microseconds
    (None where there are none).
    """

    exit: int
    place: str
    share: float
    accuracy: float | None
    median_us: float | None


@dataclass(frozen=True)
class Latency:
    """Microseconds per sample, one sample at a time: mean and median over the timed samples. `ratio` is the mean of the
    early-exit network over that of the base network.
    """

    samples: int
    threads: int
    base_mean_us: float
    base_median_us: float
    eenn_mean_us: float
    eenn_median_us: float
    ratio: float


@dataclass(frozen=True)
class Measurement:
    """What was measured on n samples. Accuracies are None without labels."""

    samples: int
    accuracy: float | None
    base_accuracy: float | None
    balanced_accuracy: float | None
    base_balanced_accuracy: float | None
    exits: tuple[ExitMeasure, ...]
    latency: Latency | None


def measure(
    session: HostSession,
    split: Split,
    *,
    timed: int = 500,
    point: str | None = None,
    progress: Progress | None = None,
) -> Measurement:
    """Run all samples for the accuracy and the exits, then `timed` of them (spread evenly) for the latency. point: the
    operating point, None for the default; raises UserError for an unknown one.

    For the latency base and early-exit network take turns sample by sample, so that a slower machine slows both. Where
    exits decide by temporal-patience the samples are sequences in their order, a new one wherever the group changes.
    """
    x, counts = split.x, _counts(split)
    starts = split.starts
    prediction = _predicted(session, x, starts, point)
    base_classes = session.base_scores(x).argmax(axis=1)
    exits = len(session.manifest.exits)
    rows = np.unique(np.linspace(0, len(x) - 1, min(timed, len(x))).astype(np.int64))
    times = None
    if timed and session.manifest.batch in (None, 1):
        last = np.where(starts, NO_CLASS, np.roll(prediction.classes, 1))
        times = _interleaved(session.base().run, session.one_by_one(point), x, last, rows, progress or Silent())
    right = None if split.y is None else prediction.classes == split.y
    return Measurement(
        samples=len(x),
        accuracy=None if right is None else float(counts @ right),
        base_accuracy=None if split.y is None else float(counts @ (base_classes == split.y)),
        balanced_accuracy=None if split.y is None else balanced(prediction.classes, split.y, counts),
        base_balanced_accuracy=None if split.y is None else balanced(base_classes, split.y, counts),
        exits=tuple(
            _exit(k, session, prediction.exit, right, counts, None if times is None else (rows, times[1]))
            for k in range(exits + 1)
        ),
        latency=None if times is None else _latency(session.threads, *times),
    )


def _predicted(session: HostSession, x: Array, starts: NDArray[np.bool_], point: str | None) -> Prediction:
    if not session.streams:
        return session.predict(x, point=point)
    parts: list[Prediction] = []
    for sequence in np.split(x, np.flatnonzero(starts)[1:]):
        session.reset()
        parts.append(session.predict(sequence, point=point))
    return Prediction(np.concatenate([p.scores for p in parts]), np.concatenate([p.exit for p in parts]))


def _counts(split: Split) -> NDArray[np.float64]:
    """What each sample counts, float64 [n], adding up to 1."""
    weights = np.ones(len(split)) if split.weights is None else split.weights
    return weights / weights.sum()


def balanced(answers: Array, labels: NDArray[np.int64], counts: NDArray[np.float64]) -> float:
    """Mean recall over the classes that are there; a sample counts `counts`."""
    recalls = [
        counts[here] @ (answers[here] == c) / counts[here].sum()
        for c in np.unique(labels)
        if counts[here := labels == c].sum() > 0
    ]
    return float(np.mean(recalls))


def _interleaved(
    base: Callable[[Array], object],
    eenn: Callable[[Array, int], object],
    x: Array,
    last: NDArray[np.int64],
    rows: NDArray[np.int64],
    progress: Progress,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Microseconds of every row's run, base and early-exit network by turns. last: the class that was answered before
    each sample, int64 [n].
    """
    samples = [np.ascontiguousarray(x[row : row + 1]) for row in rows]
    for sample in samples[:WARM_UP]:
        base(sample)
        eenn(sample, NO_CLASS)
    taken = np.empty((2, len(samples)))
    with task(progress, "latency", len(samples)) as number:
        for i, sample in enumerate(samples):
            # each is first half of the time: what runs second finds the sample in the processor's cache
            before = int(last[rows[i]])
            for which in (0, 1) if i % 2 else (1, 0):
                start = time.perf_counter_ns()
                if which:
                    eenn(sample, before)
                else:
                    base(sample)
                taken[which, i] = time.perf_counter_ns() - start
            progress.advance(number, 1)
    return taken[0] / 1000, taken[1] / 1000


def _latency(threads: int, base: NDArray[np.float64], eenn: NDArray[np.float64]) -> Latency:
    return Latency(
        samples=len(base),
        threads=threads,
        base_mean_us=float(base.mean()),
        base_median_us=float(np.median(base)),
        eenn_mean_us=float(eenn.mean()),
        eenn_median_us=float(np.median(eenn)),
        ratio=float(eenn.mean() / base.mean()),
    )


def _exit(
    number: int,
    session: HostSession,
    exit: Array,
    right: NDArray[np.bool_] | None,
    counts: NDArray[np.float64],
    timed: tuple[NDArray[np.int64], NDArray[np.float64]] | None,
) -> ExitMeasure:
    specs = session.manifest.exits
    here = exit == number
    any_here = counts[here].sum() > 0
    median = None
    if timed is not None:
        rows, times = timed
        mine = times[here[rows]]
        median = float(np.median(mine)) if len(mine) else None
    return ExitMeasure(
        exit=number,
        place=specs[number].place if number < len(specs) else "classifier",
        share=float(counts @ here),
        accuracy=float(counts[here] @ right[here] / counts[here].sum()) if right is not None and any_here else None,
        median_us=median,
    )
