"""temporal-patience in every backend that has it, against its meaning sample by sample in numpy."""

import ctypes
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from bare_exits import answers, bare
from c_runs import HostC, emit, given
from quantised_eenns import quantised
from random_eenns import CLASSES, eenn, samples, segmented

from eennc.backends.onnx import OnnxBackend
from eennc.backends.onnx.emission import early_exit_model
from eennc.backends.tflite import TfliteBackend
from eennc.data.splits import Split
from eennc.driver import compile
from eennc.interop.onnx.session import Session
from eennc.ir.cuts import all_evidence, exits_of
from eennc.ir.graph import Module
from eennc.ir.interpreter import run_graph, run_module, run_stream
from eennc.ir.rules import STREAM
from eennc.runtime import load
from eennc.runtime.measure import measure
from eennc.support.diagnostics import UserError


def network(exits: int = 3, *, integer: bool = False, kind: str = "logits", **options: object) -> Module:
    module = eenn(34, exits, kind=kind, rule="margin", share=0.6, **options)
    module = quantised(module, 2) if integer else module
    for exit in exits_of(module.main):
        exit.attrs["rule"] = STREAM
    return module


def sequence(n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Samples that stay alike for a while, and where sequences begin, bool [n]."""
    random = np.random.default_rng(8)
    scenes = samples(1 + n // 6, seed=5)
    x = np.repeat(scenes, 6, axis=0)[:n] + random.normal(0, 0.15, (n, *scenes.shape[1:])).astype(np.float32)
    starts = np.zeros(n, bool)
    starts[[0, 17, 18, 40]] = True
    return x, starts


def meaning(module: Module, x: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Exits and classes, from the scores and the evidence of all exits."""
    exits = exits_of(module.main)
    found = run_graph(module, all_evidence(module.main), [x])
    scores, evidence = found[: len(exits) + 1], found[len(exits) + 1 :]
    taken, classes, last = [], [], -1
    for i in range(len(x)):
        last = -1 if starts[i] else last
        left = len(exits)
        for exit in reversed(exits):
            logits = evidence[exit.exit][i].astype(np.float64)
            if exit.evidence_kind == "probabilities":
                logits = np.log(np.maximum(logits, 1e-30))
            second, first = np.sort(logits * exit.unit)[-2:]
            sure = (first - second) / exit.temperature >= exit.threshold * (1 - 1e-6)
            if sure and int(scores[exit.exit][i].argmax()) == last:
                left = exit.exit
        last = int(scores[left][i].argmax())
        taken.append(left)
        classes.append(last)
    return np.array(taken), np.array(classes)


@pytest.mark.parametrize("integer", [False, True])
@pytest.mark.parametrize("exits", [0, 1, 3])
def test_the_interpreter(exits: int, integer: bool) -> None:
    module = network(exits, integer=integer)
    x, starts = sequence()
    wanted, classes = meaning(module, x, starts)
    found = run_stream(module, [x], starts=starts)
    np.testing.assert_array_equal(found.exit, wanted)
    np.testing.assert_array_equal(found.scores.argmax(axis=1), classes)
    assert set(wanted) == set(range(exits + 1))
    # a sequence begins with a full answer, and nothing is answered without a state
    assert (found.exit[starts] == exits).all()
    assert (run_module(module, [x]).exit == exits).all()
    last = np.where(starts, -1, np.roll(classes, 1))
    np.testing.assert_array_equal(run_module(module, [x], last=last).exit, wanted)
    if exits:
        assert (run_stream(module, [x]).exit != wanted).any()


def built(module: Module, folder: Path, **options: object) -> Path:
    compile(module, passes=(), backend=OnnxBackend(**options), output=folder)
    return folder


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_onnx(kind: str, tmp_path: Path) -> None:
    module = network(kind=kind)
    x, starts = sequence()
    wanted, classes = meaning(module, x, starts)
    session = load(built(module, tmp_path / "build"))
    assert session.streams
    parts = []
    for part in np.split(x, np.flatnonzero(starts)[1:]):
        session.reset()
        # a sequence goes on from call to call
        parts += [session.predict(piece) for piece in np.array_split(part, min(3, len(part)))]
    np.testing.assert_array_equal(np.concatenate([p.exit for p in parts]), wanted)
    np.testing.assert_array_equal(np.concatenate([p.classes for p in parts]), classes)
    run_one = session.one_by_one()
    last = np.where(starts, -1, np.roll(classes, 1))
    assert [run_one(x[i : i + 1], int(last[i]))[1] for i in range(30)] == list(wanted[:30])


@pytest.mark.parametrize("integer", [False, True])
@pytest.mark.parametrize("deepest", [1, 20])
@pytest.mark.parametrize("input_name", ["input", "state"])
def test_onnx_by_its_state(input_name: str, deepest: int, integer: bool) -> None:
    module = network(integer=integer, input_name=input_name)
    x, starts = sequence()
    model = early_exit_model(segmented(module), free=False, deepest=deepest)
    onnx.checker.check_model(model, full_check=True)
    assert [info.name for info in model.graph.input] == [input_name, "state_1" if input_name == "state" else "state"]
    session = Session(model, threads=1)
    assert [port.name for port in session.inputs] == [input_name]
    # without a state no exit fires
    assert {int(session.run(x[i : i + 1])[1][0]) for i in range(20)} == {3}
    _, classes = meaning(module, x, starts)
    differ = 0
    for i, last in enumerate(np.where(starts, -1, np.roll(classes, 1))):
        found = session.run({input_name: x[i : i + 1], model.graph.input[1].name: np.array(last)})
        wanted = run_module(module, [x[i : i + 1]], last=np.array([last]))
        differ += int(found[1][0] != wanted.exit[0])
    # onnxruntime computes QDQ in floats: a step of the logits may be another one
    assert differ <= (len(x) // 10 if integer else 0)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
@pytest.mark.parametrize("integer", [False, True])
@pytest.mark.parametrize("counts", [False, True])
def test_c(integer: bool, counts: bool, tmp_path: Path) -> None:
    module = network(integer=integer)
    x, starts = sequence()
    wanted, classes = meaning(module, x, starts)
    spec = emit(module, tmp_path, counts=counts)
    host = HostC(tmp_path, spec, CLASSES)
    taken = given(x, spec)
    found = []
    for part in np.split(taken, np.flatnonzero(starts)[1:]):
        assert host.call("reset", host.net) == 0
        found.append(host.run(part))
    np.testing.assert_array_equal(np.concatenate([part[1] for part in found]), wanted)
    np.testing.assert_array_equal(np.concatenate([part[0] for part in found]), classes)
    # an answer that was stopped is none
    host.call("reset", host.net)
    kept = [np.ascontiguousarray(taken[i]) for i in (18, 19)]
    pointers = [ctypes.c_void_p(one.ctypes.data) for one in kept]
    asked = [0]

    def second(_: object) -> int:
        asked[0] += 1
        return asked[0] == 2

    stop = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(second)
    assert host.call("run_until", host.net, pointers[0], stop, None, host.result) == 2
    assert host.call("run", host.net, pointers[1], host.result) == 0
    assert host.answer()[1] == 3
    assert host.call("reset", None) == -1
    assert host.call("reset", (ctypes.c_uint64 * 1024)()) == -4
    other = emit(eenn(0, 1), tmp_path / "other")
    assert f"{other.prefix}_reset" not in (tmp_path / "other/model.h").read_text()


def test_measured_by_sequences(tmp_path: Path) -> None:
    module = network()
    x, starts = sequence()
    wanted, classes = meaning(module, x, starts)
    split = Split("test", x, classes.astype(np.int64), groups=starts.cumsum().astype(np.int64))
    np.testing.assert_array_equal(split.starts, starts)
    session = load(built(module, tmp_path / "build"))
    session.predict(x[:9])
    session.reset_counts()
    measured = measure(session, split, timed=20)
    assert measured.accuracy == pytest.approx(1)
    assert [exit.share for exit in measured.exits] == pytest.approx(list(np.bincount(wanted, minlength=4) / len(x)))
    assert session.counts() == {"normal": tuple(np.bincount(wanted, minlength=4))}


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        (TfliteBackend(), "tflite backend cannot write temporal-patience of float logits"),
        (OnnxBackend(batch="free"), "one sample after"),
    ],
)
def test_refused_by_name(backend: TfliteBackend | OnnxBackend, message: str, tmp_path: Path) -> None:
    module = network()
    with pytest.raises(UserError, match=message) as error:
        compile(module, passes=(), backend=backend, output=tmp_path / "build")
    assert error.value.hint
    assert not (tmp_path / "build").exists()


def test_its_state_goes_with_operating_points(tmp_path: Path) -> None:
    module = network()
    module.attributes["points"] = ("saver",)
    for exit in exits_of(module.main):
        exit.attrs["points"] = (exit.threshold / 4,)
    other = module.copy()
    for exit in exits_of(other.main):
        exit.attrs["threshold"] = exit.points[0]
    x, starts = sequence()
    starts[1:] = False
    session = load(built(module, tmp_path / "build"))
    np.testing.assert_array_equal(session.predict(x, point="saver").exit, meaning(other, x, starts)[0])
    session.reset()
    np.testing.assert_array_equal(session.predict(x).exit, meaning(module, x, starts)[0])


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
@pytest.mark.parametrize("scale", [None, 0.1])
def test_class_thresholds_of_a_stream(scale: float | None, tmp_path: Path) -> None:
    n, own = 150, np.array([np.inf, 0.05, 2.05, 4.05])
    x = answers(n, 4, 1, 13, scale)
    # the classes stay for a while, so that some samples are of the last one
    x = np.concatenate([x[np.argsort(x[:, 4:].argmax(axis=1), kind="stable")], x[:30]])
    logits = x.reshape(len(x), 2, 4)
    ordered = np.sort(logits, axis=2)
    lead, named = (ordered[..., -1] - ordered[..., -2])[:, 0], logits.argmax(axis=2)
    wanted, last = [], -1
    for i in range(len(x)):
        fires = named[i, 0] == last and lead[i] >= max(1.05, own[named[i, 0]])
        wanted.append(0 if fires else 1)
        last = named[i, wanted[-1]]
    assert 20 < sum(wanted) < len(x) - 20
    module = bare(4, [{"rule": STREAM, "threshold": 1.05, "class_thresholds": own}], scale)
    assert run_stream(module, [x]).exit.tolist() == wanted
    session = load(built(module, tmp_path / "onnx"))
    assert session.predict(x).exit.tolist() == wanted
    spec = emit(module, tmp_path / "c")
    assert HostC(tmp_path / "c", spec, 4).run(given(x, spec))[1].tolist() == wanted
