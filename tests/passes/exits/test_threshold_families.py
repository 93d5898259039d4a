"""Families of thresholds end to end: what stands in the IR, and what networks do with it."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from small_network import data, network, run

from eennc.backends.base import Backend, check_rules
from eennc.backends.onnx.emission import early_exit_model
from eennc.cli.result import _families, _threshold
from eennc.data.cache import Cache
from eennc.interop.onnx.session import Session
from eennc.ir.cuts import exits_of
from eennc.ir.graph import Module
from eennc.ir.interpreter import run_module
from eennc.passes.base import Context, Results
from eennc.passes.exits.find_exits import FindExits
from eennc.passes.exits.form_segments import FormSegments
from eennc.passes.exits.insert_exits import InsertExits
from eennc.passes.exits.solve_thresholds import SolveThresholds
from eennc.passes.exits.train_exits import TrainExits
from eennc.policy.evaluate import evaluate
from eennc.policy.solve import solve
from eennc.policy.summary import Summary
from eennc.policy.table import Policy, Tables
from eennc.support.diagnostics import UserError
from eennc.support.instruments import Silent

ACCURATE: dict[str, Any] = {"limit": None, "objective": "best-accuracy", "max_mean_cost": 0.95, "statistic": "point"}


class Notes(Silent):
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Module, Context]:
    ctx = Context(data=data(400), cache=Cache(tmp_path_factory.mktemp("cache")))
    return run(network(), ctx, TrainExits(epochs=3)), ctx


def solved(trained: tuple[Module, Context], rules: Any = None, **options: Any) -> tuple[Module, Context]:
    module, ctx = deepcopy(trained[0]), replace(trained[1], results=Results(), progress=Notes(), rules=rules)
    assert SolveThresholds(**{"limit": 0.1, **options}).run(module, ctx)
    return module, ctx


@pytest.fixture
def small_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 67 samples a class has enough."""
    monkeypatch.setattr("eennc.policy.solve.FEWEST", 30)


@pytest.mark.usefixtures("small_classes")
@pytest.mark.parametrize("rule", ["max_probability", "margin"])
def test_thresholds_per_class_are_what_networks_do(trained: tuple[Module, Context], rule: str) -> None:
    """The table's evaluation, the interpreter and onnxruntime agree on every sample of test."""
    module, ctx = solved(trained, thresholds="per-class", rule=rule, **ACCURATE)
    tables, policy, summary = ctx.results.get(Tables), ctx.results.get(Policy), ctx.results.get(Summary)
    exits = exits_of(module.main)
    kept = np.flatnonzero(policy.active)
    assert len(exits) == len(kept) >= 1
    row = policy.class_thresholds[kept[0]]
    assert len(set(row)) > 1
    assert all(exit.class_thresholds == row and exit.threshold == min(row) for exit in exits)
    assert tables.test is not None
    assert summary.test is not None
    assert summary.test.near_threshold == 0
    taken = np.searchsorted(np.append(kept, len(tables.places)), evaluate(tables.test, tables.costs, policy).exit)
    x = ctx.data.need("test", "this").x
    np.testing.assert_array_equal(run_module(module, [x]).exit, taken)
    # not what the exits' own thresholds alone would do
    plain = evaluate(tables.test, tables.costs, replace(policy, class_thresholds=())).exit
    assert (np.searchsorted(np.append(kept, len(tables.places)), plain) != taken).any()
    FormSegments().run(module, ctx)
    for free in (False, True):
        session = Session(early_exit_model(module, free=free, deepest=20), threads=1)
        runs = [x] if free else [x[i : i + 1] for i in range(len(x))]
        np.testing.assert_array_equal(np.concatenate([session.run(one)[1] for one in runs]), taken)
    shown = summary.test.exits[0]
    assert shown.class_thresholds == row
    assert _threshold(shown) == f"{min(row):.3f}..{max(row):.3f}"


def test_the_default_is_chosen_and_reported(trained: tuple[Module, Context]) -> None:
    module, ctx = solved(trained)
    summary, policy = ctx.results.get(Summary), ctx.results.get(Policy)
    choice = summary.families
    assert choice is not None
    assert [row.family for row in choice.rows] == ["shared", "grouped", "per-exit", "per-class"]
    assert any(text == f"thresholds: {choice.family}: {choice.why}" for text in ctx.progress.texts)
    assert choice.expected in choice.rows
    alone, fixed = solved(trained, thresholds=choice.family)
    assert fixed.results.get(Policy) == policy
    of_one = fixed.results.get(Summary).families
    assert of_one is not None
    assert (len(of_one.rows), of_one.family) == (1, choice.family)
    lines = _families(choice, summary)
    assert lines[0] == f"thresholds {choice.family}: {choice.why}"
    assert lines[1].startswith("expected on new data: ")
    assert "5 parts of calibration" in lines[1]
    assert len(lines) == 2 + 1 + 4
    assert len(exits_of(alone.main)) or not len(exits_of(module.main))


def test_what_auto_may_choose_from(trained: tuple[Module, Context]) -> None:
    """Not what the backend cannot write, nor what operating points cannot say."""
    poor = {"float": ("max_probability", "margin"), "int8": ()}
    for options in ({"rules": poor}, {"points": {"saver": 0.3}}):
        _, ctx = solved(trained, **options)
        choice = ctx.results.get(Summary).families
        assert choice is not None
        assert [row.family for row in choice.rows] == ["shared", "grouped", "per-exit"]
    with pytest.raises(ValueError, match="other thresholds of exits, not of classes"):
        SolveThresholds(thresholds="per-class", points={"saver": 0.3})


def test_no_choice_where_there_is_one_way(trained: tuple[Module, Context]) -> None:
    for options in ({"rule": "patience"}, {"solver": "independent"}):
        _, ctx = solved(trained, **options)
        assert ctx.results.get(Summary).families is None


def test_the_backend_is_asked_before_training() -> None:
    class Poor(Backend):
        name = "poor"
        rules: ClassVar = {"float": ("max_probability", "patience"), "int8": ()}

    module = network()
    for step in (FindExits(), InsertExits(grid=2, hidden=8)):
        step.run(module, Context())
    for thresholds in ("auto", "shared", "grouped", "per-exit"):
        check_rules(Poor(), SolveThresholds(thresholds=thresholds).preview(module))
    with pytest.raises(UserError, match="the poor backend cannot write class_thresholds of float logits"):
        check_rules(Poor(), SolveThresholds(thresholds="per-class").preview(module))
    with pytest.raises(UserError, match="patience is one number of exits"):
        SolveThresholds(thresholds="per-class", rule="patience").preview(module)
    assert not any(exit.class_thresholds for exit in exits_of(module.main))


def test_calibration_in_few_groups_takes_a_shared_threshold(trained: tuple[Module, Context], tmp_path: Path) -> None:
    ctx = trained[1]
    assert ctx.data.calibration is not None
    two = replace(ctx.data.calibration, groups=np.arange(200) % 2)
    _, found = solved((trained[0], replace(ctx, data=replace(ctx.data, calibration=two), cache=Cache(tmp_path))))
    choice = found.results.get(Summary).families
    assert choice is not None
    assert (choice.family, choice.expected) == ("shared", None)
    assert _families(choice, found.results.get(Summary)) == [
        "thresholds shared: 2 groups are too few for cross-validation"
    ]


def test_limits_that_held_out_samples_keep(trained: tuple[Module, Context]) -> None:
    """The policy is that which may lose the share of the limit that the report says."""
    _, ctx = solved(trained, limit=0.1, statistic="held-out95", thresholds="shared")
    found = ctx.results.get(Summary)
    assert found.families is not None
    assert found.families.share is not None
    assert found.families.expected is not None
    assert found.families.expected.loss.upper95 <= 0.1
    tables, policy = ctx.results.get(Tables), ctx.results.get(Policy)
    assert policy.active.any()
    goal = SolveThresholds(limit=0.1).goal.losing(found.families.share)
    assert policy == solve(tables.calibration, tables.solved, goal, min_gain=SolveThresholds().min_gain)
    assert SolveThresholds().goal.held_out
    assert not SolveThresholds(objective="best-accuracy", max_mean_cost=0.5).goal.held_out
