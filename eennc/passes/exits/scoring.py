"""Scores of all exits on the splits: the joint tables that thresholds are solved on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from eennc.data.cache import key_of
from eennc.data.splits import Split
from eennc.ir.cuts import all_evidence, all_scores, exits_of
from eennc.ir.graph import Module
from eennc.ir.ops.exit import Exit
from eennc.ir.rules import STREAM, Kind, Rule
from eennc.ir.types import Array
from eennc.passes.base import Context
from eennc.passes.cost import costs_of, instructions_of
from eennc.passes.execution import answers
from eennc.passes.exits.patience import PatienceTable
from eennc.policy.table import CostMetric, ScoreTable, Tables
from eennc.support.diagnostics import UserError


def score_tables(module: Module, ctx: Context, cost: CostMetric = "macs") -> Tables:
    """What every exit and the last classifier answer to the calibration split, and to the test split if there is one.

    One pass over each split, every head run on every sample, whatever the thresholds are; kept under the content of
    network and split, so that another threshold option runs nothing. Raises UserError where there is no calibration
    split, or one has no labels; where calibration is of a single class; where nothing predicts instructions that are to
    be the cost.
    """
    calibration = ctx.data.need("calibration", "solving for thresholds")
    if len(calibration) > 1 and len(np.unique(calibration.labels)) == 1:
        raise UserError(
            f"all {len(calibration):,} samples of the calibration split are of class {int(calibration.labels[0])}: "
            "thresholds chosen on them would mean nothing for other classes",
            hint="shuffle the data before they are split",
        )
    test = ctx.data.test
    return Tables(
        places=tuple(exit.place for exit in exits_of(module.main)),
        costs=costs_of(module),
        calibration=score_table(module, calibration, ctx),
        test=None if test is None else score_table(module, test, ctx),
        priced=instructions_of(module, ctx.target) if cost == "instructions" and ctx.target else None,
    )


def score_table(module: Module, split: Split, ctx: Context) -> ScoreTable:
    """The scores on one split, [exits + 1, n, classes], and what the exits' rule looks at: float32, or the int8 of a
    quantised network, by which `confidence` takes the rule's integer form.

    Raises UserError where exits have different rules.
    """
    exits = exits_of(module.main)
    apart = any(exit.evidence is not exit.scores for exit in exits)
    graph = all_evidence(module.main) if apart else all_scores(module.main)
    labels = split.labels
    # thresholds and temperatures are in the exits, which this graph has not
    key = key_of("scores", 3, Module("scores", graph).fingerprint(), Split("", split.x).digest)
    stored = ctx.cache.arrays(
        "scores",
        key,
        lambda: {"scores": _stacked(answers(module, graph, split.x, ctx.progress))},
    )
    rule = one_rule(exits)
    return (PatienceTable if rule == "patience" else ScoreTable)(
        split=split.name,
        scores=stored["scores"][: len(exits) + 1],
        labels=labels,
        kind=cast(Kind, module.attributes["scores"]),
        groups=split.groups,
        weights=split.weights,
        rule=rule,
        evidence=stored["scores"][len(exits) + 1 :] if apart else None,
        unit=exits[0].unit if exits else 1.0,
    )


def _stacked(found: Sequence[Array]) -> Array:
    stacked = np.stack(found)
    return stacked if stacked.dtype == np.int8 else stacked.astype(np.float32, copy=False)


def one_rule(exits: Sequence[Exit]) -> Rule:
    """The rule that all exits have; raises UserError where they differ, and for one that no score table shows."""
    rules = sorted({exit.rule for exit in exits})
    if STREAM in rules:
        raise UserError(
            f"{STREAM} depends on the sample before, which a table of scores does not show",
            hint="take solve-stream, or another rule: solve-thresholds{rule=margin}",
        )
    if len(rules) > 1:
        raise UserError(
            f"the exits have different rules: {', '.join(rules)}", hint="say one: solve-thresholds{rule=...}"
        )
    return cast(Rule, rules[0]) if rules else "max_probability"
