"""solve-stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Le

from eennc.data.splits import Split
from eennc.ir.cuts import exits_of
from eennc.ir.graph import Module
from eennc.ir.rules import STREAM
from eennc.passes.base import Context, Pass
from eennc.passes.cost import annotate
from eennc.passes.exits.prune import remove_exits
from eennc.passes.exits.scoring import score_tables
from eennc.passes.exits.set_rule import forget_figures, set_rule
from eennc.policy.statistics import Statistic
from eennc.policy.stream_table import StreamSplit, StreamSummary, StreamTable
from eennc.policy.table import ScoreTable
from eennc.support.diagnostics import UserError


@dataclass(frozen=True)
class SolveStream(Pass):
    """Choose which exits stay, and their thresholds, for samples that come one after the other: temporal-patience.

    An exit answers where the lead of its largest logit reaches its threshold and it names the class that was answered
    to the sample before. The samples of calibration and test are taken in their order, a new sequence wherever the
    group changes. Takes the place of solve-thresholds; docs/streams.md has more.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"exits", "trained-heads"})
    ensures: ClassVar[frozenset[str]] = frozenset({"stream-thresholds"})
    needs: ClassVar[frozenset[str]] = frozenset({"calibration"})
    labelled: ClassVar[frozenset[str]] = frozenset({"calibration", "test"})

    limit: Annotated[float, Ge(0), Le(1)] = 0.01
    """Largest loss of accuracy against the base network, as a share: 0.01 is one point."""
    statistic: Statistic = "upper95"
    """What must keep the limit: the loss on calibration (point), or its one-sided 95 % upper bound, by sequences. With
    one sequence the bound takes samples for independent, and is too sure."""
    steps: Annotated[int, Ge(2), Le(10_000)] = 50
    """Thresholds that are tried per exit."""

    def preview(self, module: Module) -> Module:
        """The module with its rule, which not every backend can write."""
        copy = module.copy()
        set_rule(copy, STREAM)
        return copy

    def run(self, module: Module, ctx: Context) -> bool:
        """Set rule and thresholds, and remove the exits that do not stay."""
        from eennc.policy.stream import solve_stream, stream_split  # numba is slow to import

        if module.stage == "segmented":
            raise UserError("solve-stream: the module is segmented already", hint="put it before form-segments")
        forget_figures(ctx)
        set_rule(module, STREAM)
        module.attributes.pop("points", None)
        for exit in exits_of(module.main):
            # the number that temporal-patience goes by
            exit.attrs.update(rule="margin", temperature=1.0, class_thresholds=(), points=())
        tables = score_tables(module, ctx)
        calibration = ctx.data.need("calibration", self.name)
        table = _stream(tables.calibration, calibration)
        thresholds = solve_stream(table, tables.costs, limit=self.limit, statistic=self.statistic, steps=self.steps)
        kept = [int(k) for k in np.flatnonzero(np.isfinite(thresholds))]
        for exit, threshold in zip(exits_of(module.main), thresholds, strict=True):
            exit.attrs.update(rule=STREAM, threshold=float(threshold))
            exit.origin = exit.origin.via(self.name)
        annotated = any("macs_to_here" in exit.notes for exit in exits_of(module.main))
        remove_exits(module, kept)
        if annotated:
            annotate(module)  # without the heads that are gone
        if not kept:
            ctx.progress.warn(f"no exit pays under a limit of {self.limit:g}: the network stays whole")

        def played(split: Split, scores: ScoreTable) -> StreamSplit:
            return stream_split(
                split.name, _stream(scores, split), tables.costs, thresholds, tables.places, split.sequences
            )

        test = ctx.data.test
        ctx.results.put(
            StreamSummary(
                limit=self.limit,
                statistic=self.statistic,
                thresholds=tuple(float(thresholds[k]) for k in kept),
                calibration=played(calibration, tables.calibration),
                test=None if test is None or tables.test is None else played(test, tables.test),
            )
        )
        return True


def _stream(table: ScoreTable, split: Split) -> StreamTable:
    return StreamTable(
        confidences=table.confidences((1.0,) * table.exits),
        predictions=table.scores.argmax(axis=2).astype(np.int32),
        labels=table.labels,
        starts=split.starts,
        weights=table.weights,
    )
