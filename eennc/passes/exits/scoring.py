"""Scores of all exits on the splits: the joint tables that thresholds are solved on."""

from __future__ import annotations

from typing import cast

import numpy as np

from eennc.data.cache import key_of
from eennc.data.splits import Split
from eennc.interop.onnx.execute import execute
from eennc.ir.cuts import all_scores
from eennc.ir.graph import Module
from eennc.passes.base import Context
from eennc.passes.cost import costs_of
from eennc.passes.exits.heads import heads_of
from eennc.policy.table import Kind, ScoreTable, Tables


def score_tables(module: Module, ctx: Context) -> Tables:
    """What every exit and the last classifier answer to the calibration split, and to the test split if there is one.

    One pass over each split, every head run on every sample, whatever the thresholds are; kept under the content of
    network and split, so that another threshold option runs nothing. Raises UserError where there is no calibration
    split, or one has no labels.
    """
    calibration = ctx.data.need("calibration", "solving for thresholds")
    test = ctx.data.test
    return Tables(
        places=tuple(head.place for head in heads_of(module)),
        costs=costs_of(module),
        calibration=score_table(module, calibration, ctx),
        test=None if test is None else score_table(module, test, ctx),
    )


def score_table(module: Module, split: Split, ctx: Context) -> ScoreTable:
    """The scores on one split, float32 [exits + 1, n, classes]."""
    graph = all_scores(module.main)
    labels = split.labels
    # thresholds and temperatures are in the exits, which this graph has not
    key = key_of("scores", 1, Module("scores", graph).fingerprint(), split.digest)
    stored = ctx.cache.arrays(
        "scores",
        key,
        lambda: {"scores": np.stack(execute(graph, split.x, progress=ctx.progress)).astype(np.float32)},
    )
    return ScoreTable(
        split=split.name,
        scores=stored["scores"],
        labels=labels,
        kind=cast(Kind, module.attributes["scores"]),
        groups=split.groups,
        weights=split.weights,
    )
