from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from small_network import data, network, run

from eennc.data.cache import Cache
from eennc.ir.cuts import exits_of
from eennc.ir.graph import Module
from eennc.ir.interpreter import run_module
from eennc.passes.base import Context, Results
from eennc.passes.cost import AnnotateCost, module_cost
from eennc.passes.exits.form_segments import FormSegments
from eennc.passes.exits.points import operating_points
from eennc.passes.exits.prune import remove_exits
from eennc.passes.exits.set_rule import SetRule
from eennc.passes.exits.solve_thresholds import SolveThresholds
from eennc.passes.exits.train_exits import TrainExits
from eennc.policy.evaluate import evaluate
from eennc.policy.summary import Summary
from eennc.policy.table import Policy, Tables
from eennc.support.diagnostics import UserError
from eennc.support.instruments import Silent


class Warnings(Silent):
    """Keeps what is warned of."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def warn(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Module, Context]:
    ctx = Context(data=data(400), cache=Cache(tmp_path_factory.mktemp("cache")))
    return run(network(), ctx, TrainExits(epochs=3)), ctx


def solved(trained: tuple[Module, Context], **options: Any) -> tuple[Module, Context]:
    module, ctx = deepcopy(trained[0]), replace(trained[1], results=Results(), progress=Warnings())
    assert SolveThresholds(**options).run(module, ctx)
    return module, ctx


@pytest.mark.parametrize("thresholds", ["shared", "per-exit"])
@pytest.mark.parametrize("split", ["calibration", "test"])
def test_the_network_does_what_the_tables_say(trained: tuple[Module, Context], thresholds: str, split: str) -> None:
    module, ctx = solved(trained, limit=0.1, thresholds=thresholds)
    tables, policy, summary = ctx.results.get(Tables), ctx.results.get(Policy), ctx.results.get(Summary)
    kept = np.flatnonzero(policy.active)
    assert len(kept)
    assert [exit.exit for exit in exits_of(module.main)] == list(range(len(kept)))
    assert [exit.place for exit in exits_of(module.main)] == [tables.places[k] for k in kept]
    table = tables.calibration if split == "calibration" else tables.test
    assert table is not None
    taken = evaluate(table, tables.costs, policy).exit
    outcome = run_module(module, [ctx.data.need(split, "this").x])
    report = summary.calibration if split == "calibration" else summary.test
    assert report is not None
    differ = np.searchsorted(np.append(kept, len(tables.places)), taken) != outcome.exit
    assert differ.sum() <= report.near_threshold
    assert report.eenn.macs < report.base.macs


def test_test_data_decides_nothing(trained: tuple[Module, Context]) -> None:
    _, ctx = solved(trained, limit=0.05)
    test = trained[1].data.need("test", "this")
    other = replace(trained[1].data, test=replace(test, x=test.x[::-1].copy(), y=np.roll(test.labels, 1)))
    for changed in (other, replace(other, test=None)):
        _, again = solved((trained[0], replace(trained[1], data=changed)), limit=0.05)
        assert again.results.get(Policy) == ctx.results.get(Policy)
        assert again.results.get(Summary).static_place == ctx.results.get(Summary).static_place
        assert again.results.get(Summary).calibration == ctx.results.get(Summary).calibration


def test_a_network_that_no_exit_helps_stays_whole(trained: tuple[Module, Context]) -> None:
    module, ctx = solved(trained, max_exits=0)
    assert not exits_of(module.main)
    assert module.stage == "imported"
    assert ctx.results.get(Summary).calibration.eenn.saved == 0
    assert any("stays whole" in text for text in ctx.progress.texts)


def test_a_limit_that_the_papers_method_breaks_is_warned_of(trained: tuple[Module, Context]) -> None:
    for limit in (0.0, 0.01, 0.02, 0.05):
        _, ctx = solved(trained, limit=limit, solver="independent")
        broken = ctx.results.get(Summary).calibration.eenn.loss.point > limit + 1e-9
        assert any("more than the limit" in text for text in ctx.progress.texts) == broken


def test_costs_that_were_annotated_stay_true(trained: tuple[Module, Context]) -> None:
    annotated = deepcopy(trained[0])
    AnnotateCost().run(annotated, trained[1])
    for max_exits in (0, 1, None):
        module, _ = solved((annotated, trained[1]), limit=0.1, max_exits=max_exits)
        costs = [cost.path.macs for cost in module_cost(module).exits]
        assert [exit.notes["macs_to_here"] for exit in exits_of(module.main)] == costs


def test_options_that_would_do_nothing_are_refused() -> None:
    for solver in ("exact", "descent"):
        with pytest.raises(ValueError, match="is for thresholds: per-exit"):
            SolveThresholds(solver=solver)
        SolveThresholds(solver=solver, thresholds="per-exit")


def test_a_segmented_module_is_refused(trained: tuple[Module, Context]) -> None:
    module = deepcopy(trained[0])
    FormSegments().run(module, trained[1])
    with pytest.raises(UserError, match="segmented already"):
        SolveThresholds().run(module, trained[1])


@pytest.mark.parametrize("rule", ["margin", "max_probability", "patience", "entropy"])
def test_rules(trained: tuple[Module, Context], rule: str) -> None:
    module, ctx = solved(trained, limit=0.1, rule=rule)
    assert {exit.rule for exit in exits_of(module.main)} == {rule}
    table = ctx.results.get(Tables).test
    assert table is not None
    assert table.rule == rule
    outcome = run_module(module, [ctx.data.need("test", "this").x])
    policy = ctx.results.get(Policy)
    taken = evaluate(table, ctx.results.get(Tables).costs, policy).exit
    differ = np.searchsorted(np.append(np.flatnonzero(policy.active), len(policy.active)), taken) != outcome.exit
    assert differ.sum() <= ctx.results.get(Summary).test.near_threshold


def test_patience_keeps_the_exits_that_it_counts(trained: tuple[Module, Context]) -> None:
    """All patiences and cuts of the network, one by one in the interpreter: the cheapest that keeps the limit."""
    module, ctx = solved(trained, limit=0.2, statistic="point", rule="patience")
    tables, summary = ctx.results.get(Tables), ctx.results.get(Summary)
    split = ctx.data.need("calibration", "this")
    base = run_module(trained[0], [split.x]).scores.argmax(axis=1) == split.labels
    best = float(tables.costs.backbone[-1])
    for stay in range(1, len(tables.places) + 1):
        for patience in range(1, stay + 1):
            other = deepcopy(trained[0])
            remove_exits(other, range(stay))
            SetRule("patience", float(patience)).run(other, trained[1])
            found = run_module(other, [split.x])
            costs = tables.costs.only(range(stay)).stopping(np.ones(stay, bool))
            if base.mean() - (found.scores.argmax(axis=1) == split.labels).mean() <= 0.2 + 1e-9:
                best = min(best, costs[found.exit].mean())
    assert summary.calibration.eenn.macs == pytest.approx(best)
    assert best < tables.costs.backbone[-1]
    assert len({exit.threshold for exit in exits_of(module.main)}) == 1
    assert not any("tell them apart" in text for text in ctx.progress.texts)
    with pytest.raises(UserError, match="patience is one number of exits"):
        solved(trained, rule="patience", thresholds="per-exit")
    with pytest.raises(UserError, match="patience is one number of exits"):
        SolveThresholds(rule="patience", thresholds="per-exit").preview(trained[0])


def test_operating_points_are_other_thresholds_for_the_exits_that_stay(trained: tuple[Module, Context]) -> None:
    alone, _ = solved(trained, limit=0.1)
    module, ctx = solved(trained, limit=0.1, points={"saver": 0.3, "accurate": 0.0})
    exits = exits_of(module.main)
    assert module.attributes["points"] == ("saver", "accurate")
    assert [exit.threshold for exit in exits] == [exit.threshold for exit in exits_of(alone.main)]
    summary = ctx.results.get(Summary)
    saver, accurate = summary.points
    assert [point.thresholds for point in summary.points] == [tuple(e.points[k] for e in exits) for k in range(2)]
    assert saver.calibration.saved >= summary.calibration.eenn.saved >= accurate.calibration.saved
    assert accurate.calibration.loss.upper <= 0 or accurate.calibration.saved == 0
    # what is reported is what the network does with those thresholds
    for number, point in enumerate(summary.points):
        for exit in exits:
            exit.attrs["threshold"] = exit.points[number]
        test = ctx.data.need("test", "this")
        outcome = run_module(module, [test.x])
        assert point.test is not None
        assert np.mean(outcome.scores.argmax(axis=1) == test.labels) == pytest.approx(point.test.accuracy)


def test_operating_points_go_with_the_thresholds_that_they_were_solved_with(trained: tuple[Module, Context]) -> None:
    module, ctx = solved(trained, limit=0.1, points={"saver": 0.3})
    for again in (SolveThresholds(limit=0.1), SetRule("patience", 1)):
        copy = module.copy()
        again.run(copy, ctx)
        assert operating_points(copy) == {"normal": [exit.threshold for exit in exits_of(copy.main)]}


def test_thresholds_of_a_stream_are_not_for_this_pass(trained: tuple[Module, Context]) -> None:
    with pytest.raises(ValueError, match="are chosen by solve-stream"):
        SolveThresholds(rule="temporal-patience")
    module, _ = trained
    stream = SetRule("temporal-patience", 1.0).preview(module)
    # before anything is trained
    with pytest.raises(UserError, match="temporal-patience depends on the sample before"):
        SolveThresholds().preview(stream)
    assert SolveThresholds(rule="margin").preview(stream) is not stream


def test_the_limits_own_point_has_its_name() -> None:
    with pytest.raises(ValueError, match="'normal' is the one of limit"):
        SolveThresholds(points={"normal": 0.1})
    for name in ("", " saver", "a\nb", "a\0"):
        with pytest.raises(ValueError, match="is no name"):
            SolveThresholds(points={name: 0.1})
