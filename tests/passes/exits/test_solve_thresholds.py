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
from eennc.policy.candidates import divide
from eennc.policy.certificate import Guarantee
from eennc.policy.evaluate import evaluate
from eennc.policy.quantisation import FloatTables
from eennc.policy.risk_tests import paired_p_value
from eennc.policy.summary import Summary
from eennc.policy.table import Policy, Tables
from eennc.support.diagnostics import UserError
from eennc.support.instruments import Silent
from eennc.support.options import build, parse_inline, to_inline


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


def test_goals_through_the_pass(trained: tuple[Module, Context]) -> None:
    _, free = solved(trained, limit=0.1, statistic="point")
    cheapest = free.results.get(Summary).calibration.eenn
    _, ctx = solved(trained, objective="best-accuracy", max_mean_cost=1 - cheapest.saved, statistic="point")
    found = ctx.results.get(Summary)
    assert found.limit is None
    assert found.calibration.eenn.saved >= cheapest.saved - 1e-9
    assert found.calibration.eenn.loss.point <= cheapest.loss.point + 1e-9
    _, ctx = solved(trained, limit=0.1, limits={"worst-class": 0.0}, statistic="point")
    held = ctx.results.get(Summary).calibration
    assert all(e >= b - 1e-9 for e, b in zip(held.eenn.recall, held.base.recall, strict=True) if e is not None)
    _, ctx = solved(trained, objective="weighted-sum", price=1e6, statistic="point")
    assert ctx.results.get(Summary).calibration.eenn.loss.point <= 0
    with pytest.raises(UserError, match="no thresholds keep a loss of at most 0 "):
        solved(trained, limit=0, statistic="upper95", max_mean_cost=0.01)


def test_goals_that_do_not_fit_together_are_refused() -> None:
    for options, message in (
        ({"objective": "weighted-sum"}, "price"),
        ({"price": 2.0}, "price"),
        ({"objective": "best-accuracy"}, "max_mean_cost"),
        ({"limits": {"clas 1": 0.1}}, "no metric 'clas 1'"),
        ({"solver": "independent", "limits": {"worst-class": 0.1}}, "independent"),
    ):
        with pytest.raises(ValueError, match=message):
            SolveThresholds(**options)
    with pytest.raises(UserError, match="only the C backend predicts instructions"):
        SolveThresholds(cost="instructions").check_target(None)


def test_calibration_of_one_class_is_refused(trained: tuple[Module, Context]) -> None:
    split = trained[1].data.calibration
    assert split is not None
    assert split.y is not None
    one = replace(split, x=split.x[split.y == 1], y=split.y[split.y == 1])
    ctx = replace(trained[1], data=replace(trained[1].data, calibration=one), results=Results())
    with pytest.raises(UserError, match="calibration split are of class 1"):
        SolveThresholds().run(deepcopy(trained[0]), ctx)


@pytest.mark.parametrize("rule", ["max_probability", "patience", "entropy"])
def test_what_is_guaranteed_is_what_the_network_does(trained: tuple[Module, Context], rule: str) -> None:
    """The p-value again, from the answers of the finished network to the certifying part."""
    module, ctx = solved(trained, guarantee=Guarantee(0.2, 0.1), rule=rule)
    certificate = ctx.results.get(Summary).certificate
    assert certificate is not None
    assert certificate.certified > 0
    assert exits_of(module.main)
    assert ctx.results.get(Summary).limit == 0.2
    split = ctx.data.need("calibration", "this")
    _, rows = divide(ctx.results.get(Tables).calibration, "accuracy", ctx.seed)
    right = [
        run_module(network, [split.x[rows]]).scores.argmax(axis=1) == split.labels[rows]
        for network in (module, solved(trained, max_exits=0)[0])
    ]
    worse, better = int((right[1] & ~right[0]).sum()), int((right[0] & ~right[1]).sum())
    assert certificate.p_value == paired_p_value(worse, better, len(rows), 0.2, 0.1)
    assert certificate.observed == pytest.approx((worse - better) / len(rows))


@pytest.mark.parametrize("method", ["ucb", "crc"])
@pytest.mark.parametrize("rule", ["max_probability", "patience"])
def test_one_threshold_that_is_guaranteed(trained: tuple[Module, Context], method: str, rule: str) -> None:
    module, ctx = solved(trained, guarantee=Guarantee(0.3, method=method), rule=rule)
    assert len({exit.threshold for exit in exits_of(module.main)}) == 1
    if rule == "patience":
        assert exits_of(module.main)[0].threshold % 1 == 0
    assert ctx.results.get(Summary).certificate.bound <= 0.3


def test_too_few_samples_for_a_guarantee_are_warned_of(trained: tuple[Module, Context]) -> None:
    module, ctx = solved(trained, guarantee=Guarantee(0.001, method="ucb"))
    assert not exits_of(module.main)
    certificate = ctx.results.get(Summary).certificate
    assert any(f"at least {certificate.needed.least:,} are needed" in text for text in ctx.progress.texts)


def test_that_ranges_of_integers_were_chosen_on_the_same_samples_is_said(trained: tuple[Module, Context]) -> None:
    tables = solved(trained)[1].results.get(Tables)
    for quantised in (False, True):
        ctx = replace(trained[1], results=Results(), progress=Warnings())
        if quantised:
            ctx.results.put(FloatTables(tables))
        SolveThresholds(guarantee=Guarantee(0.2)).run(deepcopy(trained[0]), ctx)
        assert any("ranges of the integers" in text for text in ctx.progress.texts) == quantised


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0.02}, "takes the place of limit"),
        ({"statistic": "point"}, "takes the place of limit"),
        ({"points": {"saver": 0.1}}, "leave out points"),
        ({"guarantee": Guarantee(0.1, method="ucb"), "thresholds": "per-exit"}, "is for thresholds: shared"),
    ],
)
def test_options_that_a_guarantee_rules_out(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SolveThresholds(**{"guarantee": Guarantee(0.01), **options})


def test_a_guarantee_in_a_recipe() -> None:
    given = build(SolveThresholds, {"guarantee": {"epsilon": 0.01, "method": "crc"}}, what="pass")
    assert given.guarantee == Guarantee(0.01, None, "crc")
    assert parse_inline(to_inline(given)) == [
        ("solve-thresholds", {"guarantee": {"epsilon": 0.01, "delta": None, "method": "crc"}})
    ]
    for wrong, message in (
        ({"epsilon": 0.0}, "guarantee.epsilon"),
        ({"epsilon": 0.1, "delta": 0.9}, "guarantee.delta"),
        ({"epsilon": 0.1, "method": "rcps"}, "guarantee.method"),
        ({"epsilon": 0.1, "delta": 0.1, "method": "crc"}, "has no delta"),
    ):
        with pytest.raises(UserError, match=message):
            build(SolveThresholds, {"guarantee": wrong}, what="pass")
