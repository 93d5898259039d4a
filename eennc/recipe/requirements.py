"""Requirements on the result: `require:` in passes.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from eennc.policy.statistics import Loss, Statistic
from eennc.policy.summary import Outcome, Summary
from eennc.support.diagnostics import UserError

UPPER = ("accuracy_drop", "balanced_accuracy_drop", "mean_macs")
"""What may have a maximum: losses against the base network, and the mean MACs as a share of the base network's."""
LOWER = ("accuracy", "balanced_accuracy")
"""What may have a minimum."""
DROPS = ("accuracy_drop", "balanced_accuracy_drop")
"""What has an interval, and so an upper bound."""


@dataclass(frozen=True)
class Bound:
    """A requirement as it stands in passes.yaml."""

    split: Literal["calibration", "test"]
    """The split that it is checked on."""
    statistic: Statistic
    """point: the figure itself. upper95: its one-sided 95 % upper bound, for drops."""
    max: float | None = None
    """The largest value allowed, for drops and mean_macs."""
    min: float | None = None
    """The smallest value allowed, for accuracies."""


@dataclass(frozen=True)
class Requirement:
    """A bound on one figure."""

    figure: str
    bound: Bound


@dataclass(frozen=True)
class Verdict:
    """Whether a requirement is met. `value` is what was compared, `interval` the 95 % interval where there is one."""

    requirement: Requirement
    value: float
    interval: tuple[float, float] | None
    met: bool

    def __str__(self) -> str:
        bound = self.requirement.bound
        limit = f"<= {bound.max:g}" if bound.max is not None else f">= {bound.min:g}"
        inside = f", 95 % interval {self.interval[0]:.4f} to {self.interval[1]:.4f}" if self.interval else ""
        return (
            f"{self.requirement.figure} {limit} ({bound.split}, {bound.statistic}): "
            f"{'ok' if self.met else 'MISSED'} ({self.value:.4f}{inside})"
        )


def requirement(figure: str, bound: Bound) -> Requirement:
    """A requirement whose parts go together; raises UserError."""
    wanted, other = ("max", "min") if figure in UPPER else ("min", "max")
    if getattr(bound, wanted) is None or getattr(bound, other) is not None:
        raise UserError(
            f"requirement '{figure}' takes '{wanted}'", hint=f"{figure}: {{{wanted}: ..., split: test, ...}}"
        )
    if bound.statistic == "upper95" and figure not in DROPS:
        raise UserError(f"requirement '{figure}' has no upper bound", allowed=f"upper95 is for {' and '.join(DROPS)}")
    return Requirement(figure, bound)


def check(requirements: tuple[Requirement, ...], summary: Summary) -> list[Verdict]:
    """The verdict on each requirement; raises UserError where its split is missing."""
    return [_verdict(asked, summary) for asked in requirements]


def _verdict(asked: Requirement, summary: Summary) -> Verdict:
    bound = asked.bound
    split = summary.calibration if bound.split == "calibration" else summary.test
    if split is None:
        raise UserError(f"requirement '{asked.figure}' is on {bound.split}, but there is no {bound.split} data")
    value, loss = _figure(asked.figure, split.eenn)
    if loss is not None:
        value = loss.point if bound.statistic == "point" else loss.upper95
    met = value <= bound.max + 1e-12 if bound.max is not None else bound.min is not None and value >= bound.min - 1e-12
    return Verdict(asked, value, None if loss is None else (loss.lower, loss.upper), met)


def _figure(name: str, outcome: Outcome) -> tuple[float, Loss | None]:
    match name:
        case "accuracy_drop":
            return outcome.loss.point, outcome.loss
        case "balanced_accuracy_drop":
            return outcome.balanced_loss.point, outcome.balanced_loss
        case "mean_macs":
            return 1 - outcome.saved, None
        case "accuracy":
            return outcome.accuracy, None
        case _:
            return outcome.balanced_accuracy, None
