"""What quantising a network changed: the same samples, in float and in integers."""

from __future__ import annotations

from dataclasses import dataclass

from eennc.policy.statistics import Loss, Metric, metric_weights, paired_loss, strata
from eennc.policy.table import ScoreTable, Tables


@dataclass(frozen=True)
class FloatTables:
    """The tables of the network as it was before it was quantised."""

    tables: Tables


@dataclass(frozen=True)
class QuantisedRow:
    """An exit, or (`exit` = number of exits) the last classifier, on all samples of a split.

    loss: float minus int8, paired, in the metric. agreement: share of samples to which both give the same class.
    """

    exit: int
    place: str
    float_accuracy: float
    int8_accuracy: float
    loss: Loss
    agreement: float


@dataclass(frozen=True)
class QuantisationSummary:
    """Float against int8, on the samples of calibration and of test."""

    metric: Metric
    calibration: tuple[QuantisedRow, ...]
    test: tuple[QuantisedRow, ...] | None


def compare(before: Tables, after: Tables, metric: Metric) -> QuantisationSummary:
    """The tables of the float network and of its quantised form, exit by exit.

    Raises ValueError where they are not of the same exits and samples.
    """
    if before.places != after.places or (before.test is None) != (after.test is None):
        raise ValueError("the tables are of different networks")
    return QuantisationSummary(
        metric,
        _rows(before.calibration, after.calibration, after.places, metric),
        None if before.test is None or after.test is None else _rows(before.test, after.test, after.places, metric),
    )


def _rows(before: ScoreTable, after: ScoreTable, places: tuple[str, ...], metric: Metric) -> tuple[QuantisedRow, ...]:
    if before.scores.shape != after.scores.shape:
        raise ValueError(f"scores of shapes {before.scores.shape} and {after.scores.shape}")
    weights = metric_weights(after, metric)
    same = before.scores.argmax(axis=2) == after.scores.argmax(axis=2)
    return tuple(
        QuantisedRow(
            exit=k,
            place=place,
            float_accuracy=float(weights @ before.correct[k]),
            int8_accuracy=float(weights @ after.correct[k]),
            loss=paired_loss(before.correct[k], after.correct[k], weights, after.groups, strata(after, metric)),
            agreement=float(after.sample_weights @ same[k]),
        )
        for k, place in enumerate((*places, "classifier"))
    )
