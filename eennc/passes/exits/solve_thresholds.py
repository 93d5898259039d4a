"""solve-thresholds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le

from eennc.ir.cuts import exits_of
from eennc.ir.graph import Module
from eennc.ir.rules import CLASS_THRESHOLDS, STREAM, Rule
from eennc.passes.base import Context, Pass
from eennc.passes.cost import annotate
from eennc.passes.exits.patience import PatienceTable, solve_patience
from eennc.passes.exits.prune import remove_exits
from eennc.passes.exits.scoring import one_rule, score_tables
from eennc.passes.exits.set_rule import forget_figures, set_rule
from eennc.passes.target import Target
from eennc.policy.certificate import Guarantee
from eennc.policy.choice import FAMILIES, Family, FamilyChoice
from eennc.policy.goal import Goal, Objective
from eennc.policy.guarantee import guaranteed
from eennc.policy.quantisation import FloatTables, compare
from eennc.policy.statistics import METRICS, SLACK, Limit, Metric, Statistic, is_metric
from eennc.policy.summary import TIED, OperatingPoint, operating_point, summarise
from eennc.policy.table import Policy, ScoreTable, Tables
from eennc.support.diagnostics import UserError

NORMAL = "normal"
"""The operating point of the limit itself."""
DEFAULT_LIMIT = 0.01
"""Of the loss, where the least cost is looked for."""


@dataclass(frozen=True)
class SolveThresholds(Pass):
    """Choose which exits stay, and their temperatures and thresholds: by default least mean cost under a limit on the
    loss.

    Everything is chosen on the calibration split's joint table of samples, and reported on calibration and test. Exits
    that never pay are removed with their heads.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"exits", "trained-heads"})
    ensures: ClassVar[frozenset[str]] = frozenset({"thresholds"})
    needs: ClassVar[frozenset[str]] = frozenset({"calibration"})
    labelled: ClassVar[frozenset[str]] = frozenset({"calibration", "test"})

    objective: Objective = "least-cost"
    """Least mean cost under the limits; the least loss with at most `max_mean_cost`; or the least sum of mean cost and
    `price` times the loss, under the limits."""
    cost: Literal["macs", "instructions"] = "macs"
    """What a sample costs: multiply-accumulates, or the instructions that the kernels of -b cortexm are predicted to
    execute for it (int8 networks)."""
    limit: Annotated[float, Ge(0), Le(1)] | None = None
    """Largest loss against the base network, as a share: 0.01 is one point. none: 0.01 for least-cost, else any."""
    metric: Metric = "accuracy"
    """What the limit is on."""
    limits: dict[str, Annotated[float, Ge(0), Le(1)]] = field(default_factory=dict[str, float])
    """More limits, kept at once, by what they are on: accuracy, balanced-accuracy, worst-class (on every class's own
    samples) or class N, counted from 0. Such as {worst-class: 0.05}."""
    max_mean_cost: Annotated[float, Gt(0), Le(1)] | None = None
    """Largest mean cost, as a share of the base network's; an error where no thresholds keep it and the limits."""
    max_worst_cost: Annotated[float, Ge(1)] | None = None
    """Largest cost of any sample, as a share of the base network's: what heads may add for one that no exit stops."""
    price: Annotated[float, Gt(0)] | None = None
    """For weighted-sum: what a loss of 1 counts, in base networks. With 5, a point of accuracy is worth 5 % of its
    cost."""
    statistic: Literal["point", "upper95", "held-out95"] = "held-out95"
    """What must keep the limits. point: the loss on calibration. upper95: its one-sided 95 % upper bound. That is of
    the policy on the samples that chose it, the choice not accounted for: on new data the limit is broken more often
    than in 5 % of cases, the more so the more exits and the fewer samples there are. held-out95: that bound on samples
    that had no part in choosing, by cross-validation; keeps the limit far more often. Of patience, of objective:
    best-accuracy and of solver: independent it is upper95."""
    rule: Rule | None = None
    """How an exit decides (`eennc --list rules`), at a temperature that is fitted; none: by the rule that the exits
    have. patience has one threshold, and exits are left out at the end of the network only."""
    thresholds: Literal["auto", "shared", "grouped", "per-exit", "per-class"] = "auto"
    """One threshold on temperature-scaled confidence; two, for the first exits and the rest; one per exit; or one for
    each class that an exit names, the same at all exits. auto: what does best on calibration samples that had no part
    in choosing it, by cross-validation (docs/thresholds.md)."""
    solver: Literal["auto", "exact", "descent", "independent"] = "auto"
    """For thresholds per exit. auto: descent, and with one limit on the point how far from the optimum that is. exact:
    until the optimum on the grid is proven, or an error after some minutes. independent: the paper's method, which
    takes exits as independent and has a grid of 13 thresholds per exit, whatever `thresholds` and `steps` say."""
    steps: Annotated[int, Ge(2), Le(100_000)] = 100
    """Thresholds that are tried per exit, where they are per exit."""
    max_exits: Annotated[int, Ge(0)] | None = None
    """Most exits that stay; none: as many as pay."""
    min_gain: Annotated[float, Ge(0), Le(1)] = 0.005
    """Share of the base network's cost that each exit must save to stay; but for solver: exact, which has them all."""
    guarantee: Guarantee | None = None
    """A limit on the loss that holds on new data, such as {epsilon: 0.01, delta: 0.05}, in the place of `limit` and
    `statistic`. Part of calibration chooses candidates, the rest certifies one of them or says how many samples are
    missing; docs/guarantees.md has what is promised and what it assumes."""

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
        if (self.objective == "weighted-sum") != (self.price is not None):
            raise ValueError("price: is for objective: weighted-sum, which needs it")
        if self.objective == "best-accuracy" and self.max_mean_cost is None:
            raise ValueError("max_mean_cost: objective: best-accuracy needs it")
        if self.solver == "independent" and (self.objective != "least-cost" or self.limits):
            raise ValueError("solver: independent, the paper's method, knows one limit and objective: least-cost")
        for metric in self.limits:
            if not is_metric(metric):
                raise ValueError(f"limits: there is no metric '{metric}'; take {METRICS}")
        if self.rule == STREAM:
            raise ValueError(f"rule: the thresholds of {STREAM} are chosen by solve-stream")
        if self.thresholds != "per-exit" and self.solver in ("exact", "descent"):
            raise ValueError(f"solver: {self.solver} is for thresholds: per-exit")
        if self.thresholds == "per-class" and self.points:
            raise ValueError("points: they are other thresholds of exits, not of classes; take thresholds: shared")
        if self.guarantee is not None:
            other = self.objective != "least-cost" or self.max_mean_cost is not None or self.limits
            if self.limit is not None or self.statistic != "held-out95" or other:
                raise ValueError(
                    "guarantee: its epsilon takes the place of limit and statistic, and it knows no other goal or limit"
                )
            if self.points:
                raise ValueError("guarantee: it is for one set of thresholds; leave out points")
            if self.guarantee.method != "ltt" and self.thresholds not in ("auto", "shared"):
                raise ValueError(f"guarantee: method {self.guarantee.method} is for thresholds: shared")

    @property
    def goal(self) -> Goal:
        """What the thresholds are to achieve."""
        limit = DEFAULT_LIMIT if self.limit is None and self.objective == "least-cost" else self.limit
        bound: Statistic = "point" if self.statistic == "point" else "upper95"
        held_out = self.statistic == "held-out95" and self.objective != "best-accuracy"
        return Goal(
            limit=limit if self.guarantee is None else self.guarantee.epsilon,
            metric=self.metric,
            statistic=bound,
            held_out=held_out and self.solver != "independent" and self.guarantee is None,
            objective=self.objective,
            more=tuple(Limit(metric, limit, bound) for metric, limit in self.limits.items()),
            budget=self.max_mean_cost,
            worst=self.max_worst_cost,
            price=self.price or 0.0,
        )

    def preview(self, module: Module) -> Module:
        """With the rule set, thresholds of classes where they are asked for, and the names of the operating points: not
        every backend writes all of that.
        """
        copy = module.copy()
        if self.rule is not None:
            set_rule(copy, self.rule)
        self._check_patience(one_rule(exits_of(copy.main)))
        for exit in exits_of(copy.main):
            exit.attrs["points"] = (exit.threshold,) * len(self.points)
            if self.thresholds == "per-class":
                exit.attrs["class_thresholds"] = (0.0,) * exit.classes
        self._name(copy, tuple(self.points))
        return copy

    def check_target(self, target: Target | None) -> None:
        """Instructions are those of a device."""
        if self.cost == "instructions" and target is None:
            raise UserError(
                "solve-thresholds: only the C backend predicts instructions",
                hint="compile with -b cortexm --device DEVICE, or take cost: macs",
            )

    def run(self, module: Module, ctx: Context) -> bool:
        """Set thresholds and temperatures, and remove the exits that do not stay."""
        from eennc.policy.solve import solve  # numba is slow to import

        self.check_target(ctx.target)
        if module.stage == "segmented":
            raise UserError("solve-thresholds: the module is segmented already", hint="put it before form-segments")
        if self.rule is not None:
            set_rule(module, self.rule)
        forget_figures(ctx)
        tables = score_tables(module, ctx, self.cost)
        patient = isinstance(tables.calibration, PatienceTable)
        self._check_patience(tables.calibration.rule)
        choice = None
        chosen = not patient and self.solver != "independent" and tables.calibration.exits > 0
        if chosen and self.guarantee is None:
            choice = self._choose(tables, module, ctx)

        def solve_for(goal: Goal, known: Policy | None = None, among: Tables = tables) -> Policy:
            if isinstance(among.calibration, PatienceTable):
                return solve_patience(among.calibration, among.solved, goal, self.max_exits)
            return solve(
                among.calibration,
                among.solved,
                goal if choice is None else choice.goal(goal),
                family="per-exit" if choice is None else choice.family,
                solver=self.solver,
                steps=self.steps,
                max_exits=0 if choice is not None and choice.share is None else self.max_exits,
                min_gain=self.min_gain,
                seed=ctx.seed,
                fitted=None if known is None else known.temperatures,
                thorough=known is None,
            )

        goal, certificate = self.goal, None
        if self.guarantee is None:
            policy = solve_for(goal)
        else:

            def fit(part: ScoreTable, limit: float, known: Policy | None) -> Policy:
                # what certifies must have no part in the choice of a family
                nonlocal choice
                ordering = dataclasses.replace(tables, calibration=part)
                if chosen and choice is None:
                    choice = self._choose(ordering, module, ctx)
                return solve_for(goal.within(limit).losing(1.0), known, ordering)

            policy, certificate = guaranteed(
                tables.calibration, tables.solved, self.guarantee, self.metric, fit, ctx.seed
            )
        kept: list[int] = []
        for k, exit in enumerate(exits_of(module.main)):
            exit.attrs["temperature"] = policy.temperatures[k]
            exit.attrs["threshold"] = policy.thresholds[k]
            exit.attrs["class_thresholds"] = policy.class_thresholds[k] if policy.class_thresholds else ()
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
        summary = summarise(tables, policy, goal, lambda other: solve_for(other, policy))
        summary = dataclasses.replace(summary, points=points, certificate=certificate, families=choice)
        if certificate is not None:
            if not certificate.certified:
                ctx.progress.warn(f"guarantee: {certificate.statement}")
            elif ctx.results.find(FloatTables) is not None:
                ctx.progress.warn(
                    "guarantee: the inputs of the calibration samples chose the ranges of the integers, and so are not "
                    "quite as new to the network as the guarantee takes them to be"
                )
        elif not kept:
            under = "" if goal.limit is None else f" under a limit of {goal.limit:g}"
            advice = "; more calibration samples, or statistic: point, would allow some" * (self.statistic != "point")
            ctx.progress.warn(f"no exit pays{under}: the network stays whole{advice}")
        elif (value := summary.calibration.eenn.loss_in(self.metric).of(goal.statistic)) > goal.limits[0].limit + SLACK:
            ctx.progress.warn(
                f"the {policy.solver} solver's thresholds lose {value:.4f} ({goal.statistic}) on calibration, "
                f"more than the limit of {goal.limits[0].limit:g}"
            )
        expected = None if choice is None else choice.expected
        if kept and expected is not None and expected.loss.point > goal.limits[0].limit + SLACK:
            ctx.progress.warn(
                f"on new data a loss of {expected.loss.point:.4f} is to be expected, more than the limit of "
                f"{goal.limits[0].limit:g}: more calibration samples or fewer exits (max_exits) would help"
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
        if rule == "patience" and (self.thresholds not in ("auto", "shared") or self.solver != "auto"):
            raise UserError("solve-thresholds: patience is one number of exits", hint="leave out thresholds and solver")

    @staticmethod
    def _name(module: Module, points: tuple[str, ...]) -> None:
        module.attributes.pop("points", None)
        if points:
            module.attributes["points"] = points

    def _choose(self, tables: Tables, module: Module, ctx: Context) -> FamilyChoice:
        """The family, of those that the backend can write, and what to expect of it."""
        from eennc.policy.families import Settings, choose_family  # numba is slow to import

        families: tuple[Family, ...] = FAMILIES if self.thresholds == "auto" else (self.thresholds,)
        if self.guarantee is not None and self.guarantee.method != "ltt":
            families = ("shared",)
        written = ctx.rules is None or all(CLASS_THRESHOLDS in ctx.rules[e.numbers] for e in exits_of(module.main))
        if self.thresholds == "auto" and (self.points or not written):
            families = tuple(family for family in families if family != "per-class")
        settings = Settings(self.steps, self.max_exits, self.min_gain, ctx.seed)
        choice = choose_family(tables.calibration, tables.solved, self.goal, families, settings)
        ctx.progress.note(f"thresholds: {choice.family}: {choice.why}")
        if self.goal.held_out and choice.expected is None:
            ctx.progress.warn(f"{choice.why}: the limit is kept on calibration alone, by its upper 95 % bound")
        return choice

    def _points(
        self, tables: Tables, policy: Policy, kept: list[int], solve_for: Callable[[Goal, Policy, Tables], Policy]
    ) -> tuple[OperatingPoint, ...]:
        """The other operating points of the exits that stay."""
        known = policy.only(kept)
        return tuple(
            operating_point(name, limit, tables, solve_for(self.goal.within(limit), known, tables))
            for name, limit in self.points.items()
        )
