from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_network import data, network, run

import eennc
from eennc.cli import main
from eennc.cli.result import result_text
from eennc.data.cache import Cache
from eennc.data.splits import Split, Splits
from eennc.driver import compile
from eennc.ir.cuts import exits_of
from eennc.ir.graph import Module
from eennc.ir.interpreter import run_stream
from eennc.ir.rules import STREAM
from eennc.ir.verifier import verify
from eennc.passes.base import Context, Results
from eennc.passes.exits.solve_stream import SolveStream
from eennc.passes.exits.solve_thresholds import SolveThresholds
from eennc.passes.exits.train_exits import TrainExits
from eennc.passes.quantise.calibrate import Calibrate
from eennc.passes.quantise.quantize_int8 import QuantizeInt8
from eennc.policy.stream_table import StreamSummary
from eennc.support.diagnostics import UserError


def in_order(split: Split) -> Split:
    """Classes that last some samples, in five sequences of unequal length."""
    rows = np.argsort(np.arange(len(split)) // 40 * 1000 + split.labels, kind="stable")
    groups = np.searchsorted([0, 30, 31, 120, 170], np.arange(len(split)), side="right").astype(np.int64)
    return Split(split.name, split.x[rows], split.labels[rows], groups=groups)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Module, Context]:
    found = data(400)
    splits = Splits(found.train, in_order(found.need("calibration", "")), in_order(found.need("test", "")))
    ctx = Context(data=splits, cache=Cache(tmp_path_factory.mktemp("cache")))
    return run(network(), ctx, TrainExits(epochs=3)), ctx


def solved(trained: tuple[Module, Context], **options: Any) -> tuple[Module, Context]:
    module, ctx = deepcopy(trained[0]), replace(trained[1], results=Results())
    assert SolveStream(**options).run(module, ctx)
    return module, ctx


@pytest.mark.parametrize("name", ["calibration", "test"])
def test_the_network_does_what_the_report_says(trained: tuple[Module, Context], name: str) -> None:
    module, ctx = solved(trained, limit=0.05, statistic="point")
    summary = ctx.results.get(StreamSummary)
    report = getattr(summary, name)
    split = ctx.data.need(name, "this")
    exits = exits_of(module.main)
    assert exits
    assert {exit.rule for exit in exits} == {STREAM}
    assert tuple(exit.threshold for exit in exits) == summary.thresholds
    outcome = run_stream(module, [split.x], starts=split.starts)
    assert split.starts.sum() == 5
    assert np.bincount(outcome.exit, minlength=len(exits) + 1).tolist() == list(report.counts)
    right = outcome.scores.argmax(axis=1) == split.labels
    assert report.accuracy == pytest.approx(right.mean())
    assert [row.share for row in report.exits] == pytest.approx([n / len(split) for n in report.counts])
    assert report.macs == pytest.approx(sum(row.macs * row.share for row in report.exits))
    assert report.loss.point == pytest.approx(report.base_accuracy - report.accuracy)
    assert summary.calibration.loss.point <= 0.05 + 1e-9
    assert report.saved > 0.1


def test_limits_are_kept_and_cost(trained: tuple[Module, Context]) -> None:
    saved = [solved(trained, limit=limit)[1].results.get(StreamSummary).calibration for limit in (0.0, 0.05, 0.3)]
    for found, limit in zip(saved, (0.0, 0.05, 0.3), strict=True):
        assert found.loss.upper95 <= limit + 1e-9 or found.saved == 0
    assert saved[2].saved >= saved[1].saved >= saved[0].saved


def test_solve_thresholds_refuses_the_rule(trained: tuple[Module, Context]) -> None:
    module, ctx = solved(trained, limit=0.3)
    assert exits_of(module.main)
    with pytest.raises(UserError, match="temporal-patience depends on the sample before"):
        SolveThresholds().run(module, ctx)
    assert SolveThresholds(rule="margin", limit=0.1).run(module, ctx)


def test_from_the_model_to_the_artefact(
    trained: tuple[Module, Context], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module, ctx = trained
    compiled = compile(
        module, passes="solve-stream{limit=0.1}", output=tmp_path / "build", data=ctx.data, cache=tmp_path / "cache"
    )
    report = compiled.report["stream"]
    text = result_text(compiled, "m.onnx", "build/", "onnx")
    for word in ("on test, n = 200, in their order", "5 sequences", "final", "EENN", "base", "mean MACs"):
        assert word in text
    session = eennc.load(tmp_path / "build")
    assert session.streams
    test = ctx.data.need("test", "this")
    np.savez(tmp_path / "test.npz", x=test.x, y=test.labels, groups=test.groups)
    run_it = ["run", str(tmp_path / "build"), "--data", str(tmp_path / "test.npz"), "--timed", "5", "-q"]
    assert main([*run_it, "--counts", str(tmp_path / "counts.json"), "--json"]) == 0
    assert compiled.manifest is not None
    assert compiled.manifest.points[0].calibration == tuple(report["calibration"]["counts"])
    capsys.readouterr()
    assert main(["check", str(tmp_path / "build"), "--counts", str(tmp_path / "counts.json")]) in (0, 2)
    out = capsys.readouterr().out
    assert "in sequences" in out
    assert all(f"{n}" in out for n in report["test"]["counts"])


@pytest.mark.parametrize("backend", ["tflite", "onnx{batch=free}"])
def test_what_cannot_be_written_is_refused_before_anything_is_solved(
    trained: tuple[Module, Context], backend: str, tmp_path: Path
) -> None:
    module, ctx = trained
    with pytest.raises(UserError, match="temporal-patience"):
        compile(module, passes="solve-stream", backend=backend, output=tmp_path / "b", data=ctx.data, cache=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("passes", "message"),
    [
        ("solve-stream", "the last thresholds are those of solve-stream"),
        ("solve-thresholds, solve-stream", "the last thresholds are those of solve-stream"),
        ("solve-thresholds, set-rule: {rule: margin, threshold: 1}", "the last thresholds are those of set-rule"),
        ("annotate-cost", "no pass solves thresholds"),
    ],
)
def test_what_is_not_solved_for_cannot_be_required(
    trained: tuple[Module, Context], passes: str, message: str, tmp_path: Path
) -> None:
    recipe = tmp_path / "passes.yaml"
    recipe.write_text(f"passes: [{passes}]\nrequire: {{mean_macs: {{max: 1.0}}}}\n")
    with pytest.raises(UserError, match=f"'mean_macs' is required, but {message}") as error:
        compile(trained[0], passes=recipe, output=tmp_path / "b", data=trained[1].data, cache=tmp_path / "cache")
    assert str(error.value.place).endswith("passes.yaml:2:11")
    assert "solve-thresholds" in (error.value.hint or "")


def test_only_the_last_thresholds_are_reported(trained: tuple[Module, Context], tmp_path: Path) -> None:
    module, ctx = trained
    margin = "set-rule{rule=margin,threshold=1}"
    for passes, kept in (
        ("solve-thresholds{limit=0.1},solve-stream{limit=0.1}", "stream"),
        ("solve-stream{limit=0.1},solve-thresholds{limit=0.1,rule=margin}", "result"),
        (f"solve-thresholds{{limit=0.1}},{margin}", ""),
        (f"solve-stream{{limit=0.1}},{margin}", ""),
    ):
        output = tmp_path / "build"
        compiled = compile(module, passes=passes, output=output, data=ctx.data, cache=tmp_path / "cache")
        assert [name for name in ("result", "stream") if compiled.report[name]] == [kept] * bool(kept)
        assert compiled.manifest is not None
        assert (compiled.manifest.points[0].calibration is None) == (not kept)


def test_a_network_is_quantised_after_it_was_solved_for_a_stream(trained: tuple[Module, Context]) -> None:
    module, ctx = solved(trained, limit=0.3)
    assert exits_of(module.main)
    for p in (Calibrate(), QuantizeInt8()):
        p.run(module, ctx)
    # other numbers need other thresholds
    assert {(exit.rule, exit.threshold) for exit in exits_of(module.main)} == {("margin", np.inf)}
    assert SolveStream(limit=0.3).run(module, ctx)
    verify(module)
