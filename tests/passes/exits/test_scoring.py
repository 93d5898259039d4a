import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_network import data, network, run

from eennc.data.cache import Cache
from eennc.ir.cuts import all_scores, exits_of
from eennc.ir.graph import Module
from eennc.ir.interpreter import run_graph
from eennc.passes.base import Context
from eennc.passes.exits.scoring import score_tables
from eennc.passes.exits.train_exits import TrainExits
from eennc.support.diagnostics import UserError


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Module, Context]:
    ctx = Context(data=data(200), cache=Cache(tmp_path))
    return run(network(), ctx, TrainExits(epochs=2)), ctx


def test_scores_are_those_of_the_interpreter(trained: tuple[Module, Context]) -> None:
    module, ctx = trained
    tables = score_tables(module, ctx)
    assert tables.places == tuple(exit.place for exit in exits_of(module.main))
    for table, split in ((tables.calibration, ctx.data.calibration), (tables.test, ctx.data.test)):
        assert table is not None
        assert split is not None
        expected = np.stack(run_graph(module, all_scores(module.main), [split.x]))
        np.testing.assert_allclose(table.scores, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
        assert table.scores.dtype == np.float32
        assert table.split == split.name
        np.testing.assert_array_equal(table.labels, split.labels)


def test_another_threshold_runs_nothing(trained: tuple[Module, Context], monkeypatch: pytest.MonkeyPatch) -> None:
    module, ctx = trained
    first = score_tables(module, ctx)
    for exit in exits_of(module.main):
        exit.attrs["threshold"], exit.attrs["temperature"] = 0.5, 2.0
    monkeypatch.setitem(sys.modules, "eennc.interop.onnx.execute", None)
    second = score_tables(module, ctx)
    np.testing.assert_array_equal(first.calibration.scores, second.calibration.scores)


def test_splits_that_are_missing(trained: tuple[Module, Context]) -> None:
    module, ctx = trained
    assert score_tables(module, replace(ctx, data=replace(ctx.data, test=None))).test is None
    with pytest.raises(UserError, match="no calibration data"):
        score_tables(module, replace(ctx, data=replace(ctx.data, calibration=None)))
    unlabelled = replace(ctx.data, calibration=replace(ctx.data.need("calibration", "this"), y=None))
    with pytest.raises(UserError, match="no labels"):
        score_tables(module, replace(ctx, data=unlabelled))
