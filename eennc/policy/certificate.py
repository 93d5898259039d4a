"""What is asked of a guarantee, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Gt, Le, Lt

from eennc.policy.statistics import Metric

Method = Literal["ltt", "ucb", "crc"]
Unit = Literal["sample", "group"]
DELTA = 0.05
"""Where none is given."""


@dataclass(frozen=True)
class Guarantee:
    """A limit on the loss that holds on new data, with a probability or in expectation."""

    epsilon: Annotated[float, Gt(0), Lt(1)]
    """Largest loss of the population against the base network, as a share: 0.01 is one point."""
    delta: Annotated[float, Gt(0), Le(0.5)] | None = None
    """Largest probability that the loss is above epsilon all the same, 0.05 where none is given. crc has none."""
    method: Method = "ltt"
    """ltt: candidates are tested one after the other, the most careful first, up to the first that fails. ucb: the
    lowest shared threshold at which an upper bound on the share of samples ever made worse keeps epsilon. crc: the same
    in expectation, without a probability."""

    def __post_init__(self) -> None:
        if self.method == "crc" and self.delta is not None:
            raise ValueError("method crc holds in expectation and has no delta")

    @property
    def level(self) -> float:
        """Delta, or its default."""
        return DELTA if self.delta is None else self.delta


@dataclass(frozen=True)
class Needed:
    """How many units in all of calibration would do. least: if none of them lost anything; for balanced accuracy, of
    each class. estimate: at the losses seen with the most careful candidate, in all, never below `least`; None where
    those are not clearly below epsilon, or play no role.
    """

    least: int
    estimate: int | None


@dataclass(frozen=True)
class Certificate:
    """What holds for a policy on the population that calibration was drawn from.

    unit: what was drawn independently. ordering, certifying: how many units chose the candidates, and tested them.
    certified: the number of the candidate that was taken, from 1, in the order of tests; 0 is never-exit, which loses
    nothing and needs no test. tested: how many were. p_value: of the one taken (ltt on plain accuracy); bound: on its
    loss (ltt on balanced accuracy, and ucb), or its loss corrected for one sample more (crc), the worst class's; both
    None for never-exit. observed: its loss on the certifying part, each unit counting the same. needed: where tests
    allowed no exit. statement: the whole in words. delta is None for crc.
    """

    method: Method
    epsilon: float
    delta: float | None
    metric: Metric
    unit: Unit
    ordering: int
    certifying: int
    certified: int
    tested: int
    p_value: float | None
    bound: float | None
    observed: float
    needed: Needed | None
    statement: str
