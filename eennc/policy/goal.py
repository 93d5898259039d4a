"""What thresholds are chosen for: the objective and its limits. docs/thresholds.md states the problem."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from eennc.policy.statistics import Limit, Metric, Statistic

Objective = Literal["least-cost", "best-accuracy", "weighted-sum"]


@dataclass(frozen=True)
class Goal:
    """What a policy is to achieve on a table. Losses are shares (0.01 is one point); costs are shares of the base
    network's.

    least-cost: the least mean cost under the limits. best-accuracy: the least `statistic` of the loss in `metric` with
    a mean cost of at most `budget`, and of those the cheapest. weighted-sum: the least mean cost + `price` * loss.

    limit: the largest loss in `metric` that `statistic` may show, None for any. more: further limits, all kept at once.
    held_out: whether limits are to be kept on samples that had no part in choosing, which `choose_family` sees to.
    gains: whether samples that an exit gets right, and the network wrong, make up for those that it loses.
    budget: the largest mean cost; worst: the largest cost of any sample; None for any. share: of the limits that were
    asked for, what these are.
    Raises ValueError for what makes no sense together.
    """

    limit: float | None = None
    metric: Metric = "accuracy"
    statistic: Statistic = "point"
    objective: Objective = "least-cost"
    more: tuple[Limit, ...] = ()
    budget: float | None = None
    worst: float | None = None
    price: float = 0.0
    held_out: bool = False
    gains: bool = True
    share: float = 1.0

    def __post_init__(self) -> None:
        if self.objective == "best-accuracy" and self.budget is None:
            raise ValueError("the best accuracy needs a largest mean cost")
        if (self.price > 0) != (self.objective == "weighted-sum"):
            raise ValueError("a price of losses is what a weighted sum needs, and nothing else")

    @property
    def limits(self) -> tuple[Limit, ...]:
        """All limits on losses, that in `metric` first; a loss of 1 breaks none."""
        return Limit(self.metric, 1.0 if self.limit is None else self.limit, self.statistic), *self.more

    def losing(self, share: float) -> Goal:
        """Samples lost may come to `share` of every limit, and gains make up for none; where losses have a price, gains
        have one too, and count.
        """
        more = tuple(Limit(one.metric, share * one.limit) for one in self.more)
        limit = None if self.limit is None else share * self.limit
        return dataclasses.replace(
            self, limit=limit, statistic="point", more=more, gains=self.price > 0, share=share * self.share
        )

    def within(self, limit: float) -> Goal:
        """The least cost under another limit in `metric`; the further limits on losses stay."""
        return dataclasses.replace(self, limit=limit, objective="least-cost", price=0.0, budget=None)
