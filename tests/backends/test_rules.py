"""The exits' rules in every backend, on the same logits, against what they mean in numpy."""

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import pytest
from bare_exits import answers, bare
from c_runs import HostC, emit
from c_runs import given as taken
from hypothesis import given, settings
from hypothesis import strategies as st
from random_eenns import eenn, samples, segmented
from tflite_runs import Micro

from eennc.backends.base import BACKENDS, Backend, check_rules
from eennc.backends.onnx.emission import early_exit_model
from eennc.backends.tflite.emission import early_exit_model as tflite_model
from eennc.cli.listing import rules
from eennc.interop.onnx.session import Session
from eennc.interop.tflite.session import LiteSession
from eennc.ir.cuts import exits_of
from eennc.ir.graph import Module
from eennc.ir.interpreter import run_module
from eennc.ir.op import VerifyError
from eennc.ir.rules import FORMS
from eennc.passes.base import Context
from eennc.passes.exits.prune import remove_exits
from eennc.passes.layout.channels_last import ChannelsLast
from eennc.plugins import load_plugins
from eennc.support.diagnostics import UserError

SAMPLES = 120


def in_onnx(module: Module, x: np.ndarray, *, free: bool, deepest: int = 20) -> np.ndarray:
    model = early_exit_model(segmented(module), free=free, deepest=deepest)
    onnx.checker.check_model(model, full_check=True)
    session = Session(model, threads=1)
    runs = [x] if free else [x[i : i + 1] for i in range(len(x))]
    return np.concatenate([session.run(run)[1] for run in runs])


def in_litert(module: Module, x: np.ndarray) -> np.ndarray:
    session = LiteSession(tflite_model(segmented(module)))
    return np.concatenate([session.run(x[i : i + 1])[1] for i in range(len(x))])


def in_micro(module: Module, x: np.ndarray) -> np.ndarray:
    interpreter = Micro(tflite_model(segmented(module)))
    return np.concatenate([interpreter.run([x[i : i + 1]], 2)[1] for i in range(len(x))])


def in_c(module: Module, x: np.ndarray, folder: Path) -> np.ndarray:
    spec = emit(module, folder)
    return HostC(folder, spec, int(module.attributes["classes"])).run(taken(x, spec))[1]


def check_all(module: Module, x: np.ndarray, wanted: np.ndarray, folder: Path) -> None:
    """Every backend lets every sample leave where it should."""
    np.testing.assert_array_equal(run_module(module, [x]).exit, wanted)
    for free in (False, True):
        for deepest in (1, 2, 20):
            np.testing.assert_array_equal(in_onnx(module, x, free=free, deepest=deepest), wanted)
    np.testing.assert_array_equal(in_litert(module, x), wanted)
    np.testing.assert_array_equal(in_micro(module, x), wanted)
    np.testing.assert_array_equal(in_c(module, x, folder), wanted)


def steps_of(x: np.ndarray, scale: float, classes: int) -> np.ndarray:
    """The logits of all exits as whole steps, int64 [n, exits + 1, classes]."""
    return np.rint(x.astype(np.float64) / scale).astype(np.int64).reshape(len(x), -1, classes)


@pytest.mark.parametrize(("classes", "scale"), [(2, 0.05), (10, 0.11), (400, 0.07)])
@pytest.mark.parametrize("temperature", [0.6, 1.0, 2.5])
def test_max_probability_in_integers(classes: int, scale: float, temperature: float, tmp_path: Path) -> None:
    x = answers(SAMPLES, classes, 2, 1, scale)
    steps = steps_of(x, scale, classes)
    behind = steps.max(axis=2, keepdims=True) - steps
    sums = np.rint(65536 * np.exp(-behind * scale / temperature)).sum(axis=2)
    # at a sum that a sample has: an exit fires there, and not a hair above
    limits = [np.sort(sums[:, 0])[SAMPLES // 3], np.sort(sums[:, 1])[SAMPLES // 2] - 1]
    thresholds = [float(np.float32(65536) / np.float32(limits[0])), float(np.float32(65536) / np.float32(limits[1]))]
    exits = [{"rule": "max_probability", "temperature": temperature, "threshold": t} for t in thresholds]
    wanted = np.where(sums[:, 0] <= limits[0], 0, np.where(sums[:, 1] <= limits[1], 1, 2))
    assert set(wanted) == {0, 1, 2}
    check_all(bare(classes, exits, scale), x, wanted, tmp_path)


@pytest.mark.parametrize("threshold", [2**-8, 0.0, -1.0])
def test_sums_that_are_cut_off(threshold: float, tmp_path: Path) -> None:
    """From 256 equal classes on the level is 0, which every such threshold lets leave."""
    module = bare(300, [{"rule": "max_probability", "threshold": threshold}], 0.1)
    x = np.zeros((3, 600), np.float32)
    x[1, :290] = 25.0
    x[2, 7] = 5.0
    for found in (in_onnx(module, x, free=True), in_litert(module, x), in_micro(module, x), in_c(module, x, tmp_path)):
        assert found.tolist() == [0, 0, 0]
    assert run_module(module, [x]).exit.tolist() == [0, 0, 0]


def patient(steps: np.ndarray, thresholds: list[float], others: dict[int, np.ndarray] | None = None) -> np.ndarray:
    """Sample by sample, as the rule says it: `others` says for exits of another rule whether they fire."""
    left = []
    for sample in range(len(steps)):
        named: list[int] = []
        exit = 0
        for exit, threshold in enumerate(thresholds):
            if threshold == np.inf:
                continue
            named.append(int(steps[sample, exit].argmax()))
            run = next((back for back, one in enumerate(reversed(named)) if one != named[-1]), len(named))
            fires = bool(others[exit][sample]) if others and exit in others else run >= threshold
            if fires:
                break
        else:
            exit = len(thresholds)
        left.append(exit)
    return np.array(left)


@pytest.mark.parametrize("scale", [None, 0.1])
@pytest.mark.parametrize(
    ("thresholds", "reached"),
    [
        ([1.0], {0}),
        ([3.0, 2.0, 2.0], {1, 2, 3}),
        ([2.0, 2.0, 2.0, 2.0], {1, 2, 3, 4}),
        ([2.0, np.inf, 3.0, 3.0, 2.0], {3, 4, 5}),
    ],
)
def test_patience(thresholds: list[float], reached: set[int], scale: float | None, tmp_path: Path) -> None:
    x = answers(SAMPLES, 4, len(thresholds), 2, scale)
    module = bare(4, [{"rule": "patience", "threshold": t} for t in thresholds], scale)
    wanted = patient(x.reshape(SAMPLES, -1, 4), thresholds)
    assert set(wanted) == reached
    check_all(module, x, wanted, tmp_path)


@pytest.mark.parametrize("scale", [None, 0.1])
def test_patience_counts_exits_of_other_rules(scale: float | None, tmp_path: Path) -> None:
    x = answers(SAMPLES, 3, 3, 3, scale)
    logits = x.reshape(SAMPLES, -1, 3)
    ordered = np.sort(logits, axis=2)
    fires = ordered[:, 0, -1] - ordered[:, 0, -2] >= 3.05
    exits = [{"rule": "margin", "threshold": 3.05}, *[{"rule": "patience", "threshold": 2.0}] * 2]
    wanted = patient(logits, [3.05, 2.0, 2.0], {0: fires})
    assert set(wanted) == {0, 1, 2, 3}
    check_all(bare(3, exits, scale), x, wanted, tmp_path)
    # the other way round nothing asks for the runs behind the exit
    reverse = bare(3, [{"rule": "patience", "threshold": 1.0 + (k == 0)} for k in range(2)], scale)
    np.testing.assert_array_equal(run_module(reverse, [x[:, :9]]).exit, 1)


@pytest.mark.parametrize("other", ["margin", "max_probability"])
def test_patience_counts_an_exit_that_nothing_reaches(other: str, tmp_path: Path) -> None:
    x = answers(SAMPLES, 3, 2, 6, 0.1)
    module = bare(3, [{"rule": other, "threshold": 1e6}, {"rule": "patience", "threshold": 2.0}], 0.1)
    wanted = patient(x.reshape(SAMPLES, -1, 3), [1e6, 2.0], {0: np.zeros(SAMPLES, bool)})
    assert set(wanted) == {1, 2}
    check_all(module, x, wanted, tmp_path)


@settings(max_examples=25)
@given(
    thresholds=st.lists(st.sampled_from([1.0, 2.0, 2.0, 3.0, np.inf]), min_size=1, max_size=6),
    classes=st.integers(2, 4),
    seed=st.integers(0, 99),
    free=st.booleans(),
    deepest=st.integers(1, 4),
    n=st.integers(1, 9),
)
def test_patience_of_any_exits(
    thresholds: list[float], classes: int, seed: int, free: bool, deepest: int, n: int
) -> None:
    x = answers(n, classes, len(thresholds), seed)
    module = bare(classes, [{"rule": "patience", "threshold": t} for t in thresholds])
    wanted = patient(x.reshape(n, -1, classes), thresholds)
    np.testing.assert_array_equal(run_module(module, [x]).exit, wanted)
    np.testing.assert_array_equal(in_onnx(module, x, free=free, deepest=deepest), wanted)
    np.testing.assert_array_equal(in_litert(module, x), wanted)


def test_a_removed_exit_is_not_counted() -> None:
    x = answers(SAMPLES, 3, 4, 5)
    module = bare(3, [{"rule": "patience", "threshold": 2.0} for _ in range(4)])
    remove_exits(module, [0, 2, 3])
    wanted = patient(x.reshape(SAMPLES, -1, 3)[:, [0, 2, 3, 4]], [2.0] * 3)
    np.testing.assert_array_equal(run_module(module, [x]).exit, wanted)
    np.testing.assert_array_equal(in_onnx(module, x, free=True), wanted)
    np.testing.assert_array_equal(in_litert(module, x), wanted)


def score_of(rule: str, logits: np.ndarray, temperature: float) -> np.ndarray:
    """What a float rule means, in float64: [n, exits]."""
    logits = logits.astype(np.float64) / temperature
    if rule == "margin":
        ordered = np.sort(logits, axis=2)
        return ordered[..., -1] - ordered[..., -2]
    parts = np.exp(logits - logits.max(axis=2, keepdims=True))
    parts /= parts.sum(axis=2, keepdims=True)
    if rule == "entropy":
        surprise = -np.log(np.maximum(parts, 1e-300))
        return 1 - (parts * surprise).sum(axis=2) / np.log(logits.shape[2])
    return parts.max(axis=2)


def between(scores: np.ndarray, share: float) -> float:
    """A threshold halfway between two scores that differ."""
    ordered = np.unique(scores.round(5))
    at = int(share * (len(ordered) - 1))
    return float(np.float32((ordered[at] + ordered[at + 1]) / 2))


@pytest.mark.parametrize("classes", [2, 10, 300])
@pytest.mark.parametrize("temperature", [0.7, 1.0, 3.0])
def test_entropy(classes: int, temperature: float, tmp_path: Path) -> None:
    x = answers(SAMPLES, classes, 2, 7)
    scores = score_of("entropy", x.reshape(SAMPLES, -1, classes), temperature)
    assert scores.min() >= 0
    assert scores.max() <= 1
    thresholds = [between(scores[:, 0], 0.6), between(scores[:, 1], 0.5)]
    exits = [{"rule": "entropy", "temperature": temperature, "threshold": t} for t in thresholds]
    wanted = np.where(scores[:, 0] >= thresholds[0], 0, np.where(scores[:, 1] >= thresholds[1], 1, 2))
    assert set(wanted) == {0, 1, 2}
    check_all(bare(classes, exits), x, wanted, tmp_path)


def test_entropy_of_probabilities_and_of_logits_beside_them(tmp_path: Path) -> None:
    for evident in (False, True):
        module = eenn(5, 3, kind="probabilities", rule="entropy", evident=evident)
        x = samples(40, seed=2)
        wanted = run_module(module, [x]).exit
        assert len(set(wanted)) == 4
        np.testing.assert_array_equal(in_onnx(module, x, free=True), wanted)
        np.testing.assert_array_equal(in_c(module, x, tmp_path / str(evident)), wanted)
        laid = module.copy()
        ChannelsLast().run(laid, Context())
        np.testing.assert_array_equal(in_litert(laid, x), wanted)


@pytest.mark.parametrize("scale", [None, 0.1])
@pytest.mark.parametrize("rule", ["max_probability", "margin", "entropy"])
def test_class_thresholds(rule: str, scale: float | None, tmp_path: Path) -> None:
    if rule not in FORMS["float" if scale is None else "int8"]:
        with pytest.raises(VerifyError, match="the rule entropy has no form for int8 logits"):
            bare(3, [{"rule": rule}], scale)
        return
    x = answers(SAMPLES, 4, 2, 8, scale)
    logits = x.reshape(SAMPLES, -1, 4)
    scores = score_of(rule, logits, 1.5)
    named = logits.argmax(axis=2)
    exits, fires = [], []
    for exit in range(2):
        # a class that never leaves, one below the threshold of all, two of their own
        all_classes = between(scores[:, exit], 0.2)
        own = [np.inf, 0.0, between(scores[:, exit], 0.3), between(scores[:, exit], 0.6)]
        exits.append({"rule": rule, "temperature": 1.5, "threshold": all_classes, "class_thresholds": own})
        fires.append(scores[:, exit] >= np.maximum(all_classes, own)[named[:, exit]])
    wanted = np.where(fires[0], 0, np.where(fires[1], 1, 2))
    assert set(wanted) == {0, 1, 2}
    check_all(bare(4, exits, scale), x, wanted, tmp_path)


def test_class_thresholds_in_c_stay_under_a_threshold_that_is_changed(tmp_path: Path) -> None:
    x = answers(SAMPLES, 3, 1, 9)
    module = bare(3, [{"rule": "margin", "threshold": 0.0, "class_thresholds": [1.0, 2.0, 3.0]}])
    spec = emit(module, tmp_path)
    host = HostC(tmp_path, spec, 3)
    for threshold in (1.5, 0.0, float("inf")):
        assert host.call("set_threshold", host.net, 0, ctypes.c_float(threshold)) == 0
        exits_of(module.main)[0].attrs["threshold"] = threshold
        np.testing.assert_array_equal(host.run(x)[1], run_module(module, [x]).exit)


@dataclass(frozen=True)
class Switched:
    """A network with operating points in the two backends that switch between them at run time."""

    module: Module
    folder: Path

    def check(self, x: np.ndarray, point: int, wanted: np.ndarray) -> None:
        for free in (False, True):
            for deepest in (1, 20):
                model = early_exit_model(segmented(self.module), free=free, deepest=deepest)
                session = Session(model, threads=1)
                runs = [x] if free else [x[i : i + 1] for i in range(len(x))]
                more = {"point": np.array(point)}
                found = np.concatenate([session.run({"input": run, **more})[1] for run in runs])
                np.testing.assert_array_equal(found, wanted)
        spec = emit(self.module, self.folder / str(point))
        host = HostC(self.folder / str(point), spec, int(self.module.attributes["classes"]))
        assert host.call("set_point", host.net, point) == 0
        np.testing.assert_array_equal(host.run(taken(x, spec))[1], wanted)


@pytest.mark.parametrize("scale", [None, 0.1])
def test_patience_counts_the_exits_that_are_on_at_the_point_in_force(scale: float | None, tmp_path: Path) -> None:
    never = np.inf
    points = [[2.0, 2.0, 2.0, 3.0], [never, 2.0, 2.0, 2.0], [never, 1.0, never, 2.0], [2.0, never, 2.0, never]]
    exits = [{"rule": "patience", "threshold": own, "points": more} for own, *more in zip(*points, strict=True)]
    x = answers(SAMPLES, 3, len(exits), 11, scale)
    module = bare(3, exits, scale)
    module.attributes["points"] = ("a", "b", "c")
    network = Switched(module, tmp_path)
    seen = []
    for point, thresholds in enumerate(points):
        wanted = patient(x.reshape(SAMPLES, -1, 3), thresholds)
        network.check(x, point, wanted)
        seen.append(tuple(wanted))
    assert len(set(seen)) == len(points)


@pytest.mark.parametrize(
    ("rule", "scale"),
    [(rule, scale) for rule in ("max_probability", "margin") for scale in (None, 0.1)] + [("entropy", None)],
)
def test_class_thresholds_stay_under_the_point_in_force(rule: str, scale: float | None, tmp_path: Path) -> None:
    x = answers(SAMPLES, 4, 1, 12, scale)
    logits = x.reshape(SAMPLES, -1, 4)
    scores = score_of(rule, logits, 1.5)[:, 0]
    own = np.array([np.inf, 0.0, between(scores, 0.3), between(scores, 0.6)])[logits[:, 0].argmax(axis=1)]
    thresholds = [between(scores, 0.2), between(scores, 0.5), float("inf")]
    classes = [np.inf, 0.0, between(scores, 0.3), between(scores, 0.6)]
    exit = {"rule": rule, "temperature": 1.5, "threshold": thresholds[0], "points": thresholds[1:]}
    module = bare(4, [{**exit, "class_thresholds": classes}], scale)
    module.attributes["points"] = ("saver", "off")
    network = Switched(module, tmp_path)
    for point, threshold in enumerate(thresholds):
        wanted = np.where(scores >= np.maximum(threshold, own), 0, 1)
        assert set(wanted) == ({0, 1} if point < 2 else {1})
        network.check(x, point, wanted)


def test_the_document_has_the_table_that_the_code_has() -> None:
    load_plugins()
    text = (Path(__file__).parents[2] / "docs" / "rules.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert [rows[0], *rows[2:]] == rules()
    assert all(f"## {form}\n" in text for form in FORMS["float"])


@dataclass(frozen=True)
class Poor(Backend):
    """Writes hardly anything."""

    name: ClassVar[str] = "poor"
    rules = {"float": ("margin",), "int8": ()}  # noqa: RUF012 - as every backend declares it


def test_what_a_backend_cannot_express_is_refused_by_name() -> None:
    check_rules(Poor(), bare(3, [{"rule": "margin"}]))
    check_rules(Poor(), bare(3, []))
    with pytest.raises(UserError) as caught:
        check_rules(Poor(), bare(3, [{"rule": "margin"}, {"rule": "patience"}]))
    assert caught.value.message == "the poor backend cannot write patience of float logits (exit 1, 'exit1')"
    assert caught.value.allowed == "its rules for float logits: margin"
    with pytest.raises(UserError, match="poor backend cannot write margin of int8 logits"):
        check_rules(Poor(), bare(3, [{"rule": "margin"}], 0.1))


def test_a_backend_that_says_nothing_writes_no_rule() -> None:
    with pytest.raises(UserError, match="cannot write margin"):
        check_rules(Backend(), bare(3, [{"rule": "margin"}]))


def test_no_backend_declares_what_there_is_not() -> None:
    load_plugins()
    for name in BACKENDS:
        declared = BACKENDS.get(name).rules
        assert all(set(declared[numbers]) <= set(FORMS[numbers]) for numbers in FORMS)
