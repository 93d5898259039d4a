"""solve-thresholds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Le

from eennc.ir.cuts import exits_of
from eennc.ir.graph import Module
from eennc.ir.rules import STREAM, Rule
from eennc.passes.base import Context, Pass
from eennc.passes.cost import annotate
from eennc.passes.exits.patience import PatienceTable, solve_patience
from eennc.passes.exits.prune import remove_exits
from eennc.passes.exits.scoring import one_rule, score_tables
from eennc.passes.exits.set_rule import forget_figures, set_rule
from eennc.policy.quantisation import FloatTables, compare
from eennc.policy.statistics import SLACK, Metric, Statistic
from eennc.policy.summary import TIED, OperatingPoint, operating_point, summarise
from eennc.policy.table import Policy, Tables
from eennc.support.diagnostics import UserError

NORMAL = "normal"
"""The operating point of the limit itself."""


@dataclass(frozen=True)
class SolveThresholds(Pass):
    """Choose which exits stay, and their temperatures and thresholds: least mean MACs under a limit on the loss.

    Everything is chosen on the calibration split's joint table of samples, and reported on calibration and test. Exits
    that never pay are removed with their heads.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"exits", "trained-heads"})
    ensures: ClassVar[frozenset[str]] = frozenset({"thresholds"})
    needs: ClassVar[frozenset[str]] = frozenset({"calibration"})
    labelled: ClassVar[frozenset[str]] = frozenset({"calibration", "test"})

    limit: Annotated[float, Ge(0), Le(1)] = 0.01
    """Largest loss against the base network, as a share: 0.01 is one point."""
    metric: Metric = "accuracy"
    """What the limit is on."""
    statistic: Statistic = "upper95"
    """What must keep the limit: the loss on calibration (point), or its one-sided 95 % upper bound. The bound is of the
    policy on the samples that chose it, the choice not accounted for: on new data the limit is broken more often than
    in 5 % of cases, the more so the more exits and the fewer samples there are."""
    rule: Rule | None = None
    """How an exit decides (`eennc --list rules`), at a temperature that is fitted; none: by the rule that the exits
    have. patience has one threshold, and exits are left out at the end of the network only."""
    thresholds: Literal["shared", "per-exit"] = "shared"
    """One threshold on temperature-scaled confidence, or one per exit."""
    solver: Literal["auto", "exact", "descent", "independent"] = "auto"
    """For thresholds per exit: by size, enumeration, or descent. independent: the paper's method, which takes exits as
    independent and has a grid of 13 thresholds per exit, whatever `thresholds` and `steps` say."""
    steps: Annotated[int, Ge(2), Le(100_000)] = 100
    """Thresholds that are tried per exit, where they are per exit."""
    max_exits: Annotated[int, Ge(0)] | None = None
    """Most exits that stay; none: as many as pay."""
    min_gain: Annotated[float, Ge(0), Le(1)] = 0.005
    """Share of the base network's MACs that each exit must save to stay, where the threshold is shared."""

    points: dict[str, Annotated[float, Ge(0), Le(1)]] = field(default_factory=dict[str, float])
    """More operating points, by name their limits, such as {saver: 0.03, accurate: 0.002}: other thresholds for the
    exits that stay, between which ONNX models and C code are switched at run time. The limit's own is called normal."""

    def __post_init__(self) -> None:
        if NORMAL in self.points:
            raise ValueError(f"points: '{NORMAL}' is the one of limit")
        for name in self.points:
            # it stands on command lines, in messages and in comments of C
            if not name or name != name.strip() or not name.isprintable():
                raise ValueError(f"points: {name!r} is no name")
        if self.rule == STREAM:
            raise ValueError(f"rule: the thresholds of {STREAM} are chosen by solve-stream")
        if self.thresholds == "shared" and self.solver in ("exact", "descent"):
            raise ValueError(f"solver: {self.solver} is for thresholds: per-exit")

    def preview(self, module: Module) -> Module:
        """With the rule set, and the names of the operating points: not every backend can switch between them."""
        copy = module.copy()
        if self.rule is not None:
            set_rule(copy, self.rule)
        self._check_patience(one_rule(exits_of(copy.main)))
        for exit in exits_of(copy.main):
            exit.attrs["points"] = (exit.threshold,) * len(self.points)
        self._name(copy, tuple(self.points))
        return copy

    def run(self, module: Module, ctx: Context) -> bool:
        """Set thresholds and temperatures, and remove the exits that do not stay."""
        from eennc.policy.solve import solve  # numba is slow to import

        if module.stage == "segmented":
            raise UserError("solve-thresholds: the module is segmented already", hint="put it before form-segments")
        if self.rule is not None:
            set_rule(module, self.rule)
        forget_figures(ctx)
        tables = score_tables(module, ctx)
        patient = isinstance(tables.calibration, PatienceTable)
        self._check_patience(tables.calibration.rule)

        def solve_for(limit: float, known: Policy | None = None, among: Tables = tables) -> Policy:
            if isinstance(among.calibration, PatienceTable):
                return solve_patience(
                    among.calibration,
                    among.costs,
                    limit=limit,
                    metric=self.metric,
                    statistic=self.statistic,
                    max_exits=self.max_exits,
                )
            return solve(
                among.calibration,
                among.costs,
                limit=limit,
                metric=self.metric,
                statistic=self.statistic,
                family=self.thresholds,
                solver=self.solver,
                steps=self.steps,
                max_exits=self.max_exits,
                min_gain=self.min_gain,
                seed=ctx.seed,
                fitted=None if known is None else known.temperatures,
                thorough=known is None,
            )

        policy = solve_for(self.limit)
        kept: list[int] = []
        for exit, threshold, temperature in zip(
            exits_of(module.main), policy.thresholds, policy.temperatures, strict=True
        ):
            exit.attrs["temperature"] = temperature
            exit.attrs["threshold"] = threshold
            exit.attrs["class_thresholds"] = ()
            exit.origin = exit.origin.via(self.name)
            if policy.active[exit.exit]:
                kept.append(exit.exit)
        points = self._points(tables.only(kept), policy, kept, solve_for)
        for number, k in enumerate(kept):
            exits_of(module.main)[k].attrs["points"] = tuple(point.thresholds[number] for point in points)
        self._name(module, tuple(self.points))
        annotated = any("macs_to_here" in exit.notes for exit in exits_of(module.main))
        remove_exits(module, kept)
        if annotated:
            annotate(module)  # without the heads that are gone
        summary = summarise(
            tables, policy, self.metric, self.limit, self.statistic, lambda limit: solve_for(limit, policy)
        )
        summary = dataclasses.replace(summary, points=points)
        if not kept:
            advice = "; more calibration samples, or statistic: point, would allow some" * (self.statistic == "upper95")
            ctx.progress.warn(f"no exit pays under a limit of {self.limit:g}: the network stays whole{advice}")
        elif (value := summary.calibration.eenn.loss_in(self.metric).of(self.statistic)) > self.limit + SLACK:
            ctx.progress.warn(
                f"the {policy.solver} solver's thresholds lose {value:.4f} ({self.statistic}) on calibration, "
                f"more than the limit of {self.limit:g}"
            )
        for head in summary.calibration.heads:
            if head.kept and head.tied > TIED and not patient:
                ctx.progress.warn(
                    f"exit '{head.place}': {head.tied:.0%} of the calibration samples share the highest confidence: "
                    "no threshold can tell them apart"
                )
        before = ctx.results.find(FloatTables)
        if before is not None:
            ctx.results.put(compare(before.tables, tables, self.metric))
        ctx.results.put(tables)
        ctx.results.put(policy)
        ctx.results.put(summary)
        return True

    def _check_patience(self, rule: Rule) -> None:
        if rule == "patience" and (self.thresholds != "shared" or self.solver != "auto"):
            raise UserError("solve-thresholds: patience is one number of exits", hint="leave out thresholds and solver")

    @staticmethod
    def _name(module: Module, points: tuple[str, ...]) -> None:
        module.attributes.pop("points", None)
        if points:
            module.attributes["points"] = points

    def _points(
        self, tables: Tables, policy: Policy, kept: list[int], solve_for: Callable[[float, Policy, Tables], Policy]
    ) -> tuple[OperatingPoint, ...]:
        """The other operating points of the exits that stay."""
        known = dataclasses.replace(
            policy,
            thresholds=tuple(policy.thresholds[k] for k in kept),
            temperatures=tuple(policy.temperatures[k] for k in kept),
        )
        return tuple(
            operating_point(name, limit, tables, solve_for(limit, known, tables)) for name, limit in self.points.items()
        )
