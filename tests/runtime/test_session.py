"""Artefacts written by the ONNX backend, loaded and run by the runtime."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from random_eenns import CLASSES, eenn, samples, segmented

from eennc import artifact
from eennc.backends.onnx import OnnxBackend
from eennc.data.splits import Split
from eennc.ir.cuts import exits_of, without_exits
from eennc.ir.graph import Module
from eennc.ir.interpreter import run_graph, run_module
from eennc.passes.exits.points import operating_points
from eennc.runtime import load
from eennc.runtime.measure import balanced, measure
from eennc.runtime.session import CHUNK
from eennc.support.diagnostics import UserError


def build(folder: Path, module: Module, **options: object) -> Path:
    folder.mkdir(exist_ok=True)
    emitted = OnnxBackend(**options).emit(segmented(module), without_exits(module.main), folder)
    names = [file.name for file in folder.iterdir()]
    shape = module.main.arguments[0].type.shape
    exits = tuple(
        artifact.ExitSpec(exit.exit, exit.place, exit.rule, exit.temperature, exit.threshold)
        for exit in exits_of(module.main)
    )
    manifest = artifact.Manifest(
        schema=artifact.SCHEMA,
        eennc="0",
        name=module.name,
        backend="onnx",
        source_file="x.onnx",
        source_sha256="0" * 64,
        model=emitted.model,
        base=emitted.base,
        batch=emitted.batch,
        input=artifact.TensorSpec("input", "float32", tuple(shape)),
        scores="logits",
        classes=CLASSES,
        labels=None,
        exits=exits,
        files=artifact.hash_files(folder, names),
        points=tuple(artifact.PointSpec(name, tuple(found)) for name, found in operating_points(module).items()),
        point_input=emitted.point_input,
    )
    artifact.write_manifest(manifest, folder)
    return folder


@pytest.mark.parametrize("options", [{}, {"batch": "free"}, {"external_above": 1000}])
@pytest.mark.parametrize("n", [1, 13, CHUNK + 3])
def test_predicts_any_number_of_samples(options: dict[str, object], n: int, tmp_path: Path) -> None:
    module = eenn(0, 2)
    session = load(build(tmp_path / "build", module, **options))
    x = samples(n)
    prediction = session.predict(x)
    expected = run_module(module, [x])
    near = 1e-4 * np.abs(expected.scores).max()
    # the set is large enough for a sample to lie on a threshold
    same = prediction.exit == expected.exit
    assert same.mean() > 0.99
    np.testing.assert_allclose(prediction.scores[same], expected.scores[same], rtol=0, atol=near)
    assert prediction.exit.dtype == np.int64
    np.testing.assert_array_equal(prediction.classes, prediction.scores.argmax(axis=1))
    base = run_graph(module, without_exits(module.main), [x])[0]
    np.testing.assert_allclose(session.base_scores(x), base, rtol=0, atol=near)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 3, 8, 5), np.float32), r"samples of shape \['n', 3, 8, 6\], not \[2, 3, 8, 5\]"),
        (np.zeros((3, 8, 6), np.float32), "samples of shape"),
        (np.zeros((2, 3, 8, 6)), "takes float32, not float64"),
        (np.zeros((0, 3, 8, 6), np.float32), "no sample"),
    ],
)
def test_refuses_what_does_not_fit(x: np.ndarray, message: str, tmp_path: Path) -> None:
    session = load(build(tmp_path / "build", eenn(0, 1)))
    with pytest.raises(UserError, match=message):
        session.predict(x)
    with pytest.raises(UserError, match=message):
        session.base_scores(x)


def test_damaged_artefacts_are_refused(tmp_path: Path) -> None:
    folder = build(tmp_path / "build", eenn(0, 1), external_above=1000)
    manifest = (folder / "manifest.json").read_text()

    def refused(message: str) -> None:
        with pytest.raises(UserError, match=message):
            load(folder)

    for name in ("model.onnx", "model.onnx.data", "base.onnx"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        refused("not the one that was written")
        (folder / name).unlink()
        refused("missing")
        (folder / name).write_bytes(content)
    load(folder)
    for wrong, message in (
        ("{", "not readable as JSON"),
        ("[]", "no schema version"),
        (manifest.replace('"classes": 5', '"classes": "five"'), "classes"),
        (json.dumps({**json.loads(manifest), "schema": 99}), "newer eennc"),
        (json.dumps({**json.loads(manifest), "model": "../model.onnx"}), "not the name of a file"),
        (json.dumps({**json.loads(manifest), "model": "gone.onnx", "files": {}}), "onnxruntime cannot load"),
        (json.dumps({**json.loads(manifest), "model": "model.eir", "backend": "null"}), "null backend does not run"),
    ):
        (folder / "manifest.json").write_text(wrong)
        refused(message)
    (folder / "manifest.json").unlink()
    refused("not an artefact")
    with pytest.raises(UserError, match="no such folder"):
        load(tmp_path / "nowhere")


def test_a_damaged_model_with_its_own_hash_is_refused(tmp_path: Path) -> None:
    folder = build(tmp_path / "build", eenn(0, 1))
    content = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(content[: len(content) // 2])
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = artifact.hash_files(folder, manifest["files"])
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="onnxruntime cannot load"):
        load(folder)


def test_measures_accuracy_and_exits(tmp_path: Path) -> None:
    module = eenn(0, 2)
    session = load(build(tmp_path / "build", module))
    x = samples(64)
    expected = run_module(module, [x])
    y = expected.scores.argmax(axis=1)
    y[:16] = (y[:16] + 1) % CLASSES
    measured = measure(session, Split("test", x, y), timed=10)
    assert measured.samples == 64
    assert measured.accuracy == 0.75
    base = run_graph(module, without_exits(module.main), [x])[0].argmax(axis=1)
    assert measured.base_accuracy == pytest.approx((base == y).mean())
    assert measured.balanced_accuracy == pytest.approx(
        balanced(expected.scores.argmax(axis=1), y, np.full(len(y), 1 / len(y)))
    )
    shares = np.bincount(expected.exit, minlength=3) / 64
    assert [exit.share for exit in measured.exits] == pytest.approx(list(shares))
    assert [exit.place for exit in measured.exits] == ["block0", "block1", "classifier"]
    for exit in measured.exits:
        here = expected.exit == exit.exit
        assert exit.accuracy == pytest.approx((expected.scores.argmax(axis=1) == y)[here].mean())
    latency = measured.latency
    assert latency is not None
    assert (latency.samples, latency.threads) == (10, 1)
    assert latency.ratio == pytest.approx(latency.eenn_mean_us / latency.base_mean_us)
    assert 0 < latency.base_median_us < 1e6


def test_measures_without_labels_and_without_a_clock(tmp_path: Path) -> None:
    session = load(build(tmp_path / "build", eenn(0, 1), batch="free"))
    measured = measure(session, Split("test", samples(9)), timed=0)
    assert measured.latency is None
    assert measured.accuracy is None
    assert all(exit.median_us is None and exit.accuracy is None for exit in measured.exits)
    assert sum(exit.share for exit in measured.exits) == pytest.approx(1)


def with_points(module: Module) -> Module:
    """Besides its own, `saver` leaves earlier and `never` at no exit."""
    module.attributes["points"] = ("saver", "never")
    for exit in exits_of(module.main):
        exit.attrs["points"] = (exit.threshold * 0.8, float("inf"))
    return module


def at_point(module: Module, number: int) -> Module:
    """The same network with the point's thresholds as the exits' own; 0 is as it is."""
    module = module.copy()
    for exit in exits_of(module.main):
        exit.attrs["threshold"] = (exit.threshold, *exit.points)[number]
    return module


@pytest.mark.parametrize("batch", [1, "free"])
def test_operating_points(batch: int | str, tmp_path: Path) -> None:
    module = with_points(eenn(0, 3))
    session = load(build(tmp_path / "build", module, batch=batch))
    assert session.points == ("normal", "saver", "never")
    assert session.manifest.points[2].thresholds == (float("inf"),) * 3
    x = samples(40)
    taken = set()
    for number, name in enumerate(session.points):
        expected = run_module(at_point(module, number), [x])
        found = session.predict(x, point=name)
        np.testing.assert_array_equal(found.exit, expected.exit)
        taken.add(tuple(found.exit))
        # to the bit what a model of those thresholds alone gives
        alone = at_point(module, number)
        del alone.attributes["points"]
        own = load(build(tmp_path / name, alone, batch=batch)).predict(x)
        np.testing.assert_array_equal(found.scores, own.scores)
        run_one = session.one_by_one(name)
        assert [run_one(x[i : i + 1], -1)[1] for i in range(5)] == list(expected.exit[:5])
    assert len(taken) == 3
    np.testing.assert_array_equal(session.predict(x).exit, session.predict(x, point="normal").exit)
    for wrong in ("Saver", "", "saver "):
        with pytest.raises(UserError, match="known: never, normal, saver"):
            session.predict(x, point=wrong)


def test_one_operating_point_has_a_name_too(tmp_path: Path) -> None:
    session = load(build(tmp_path / "build", eenn(0, 1)))
    assert session.manifest.point_input is None
    x = samples(4)
    np.testing.assert_array_equal(session.predict(x, point="normal").exit, session.predict(x).exit)
    with pytest.raises(UserError, match="unknown operating point 'saver'"):
        session.predict(x, point="saver")


def test_balanced_accuracy_is_the_mean_recall() -> None:
    even = np.full(4, 0.25)
    assert balanced(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), even) == 0.75
    assert balanced(np.array([0, 0, 0, 0]), np.array([0, 0, 0, 2]), even) == 0.5
    assert balanced(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), np.array([0.1, 0.1, 0.2, 0.6])) == pytest.approx(
        0.875
    )
    # a class that counts nothing is not there
    assert balanced(np.array([0, 0, 0, 0]), np.array([0, 0, 0, 2]), np.array([0.5, 0.25, 0.25, 0])) == 1


def test_runs_without_torch(tmp_path: Path) -> None:
    folder = build(tmp_path / "build", eenn(0, 1))
    code = (
        "import sys, numpy as np, eennc\n"
        "session = eennc.load(sys.argv[1])\n"
        "print(session.predict(np.zeros((2, 3, 8, 6), np.float32)).scores.shape)\n"
        "heavy = {'torch', 'numba', 'scipy', 'networkx', 'eennc.backends'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"(2, {CLASSES})"


def test_weights_count(tmp_path: Path) -> None:
    """A sample of weight 3 is as three samples."""
    session = load(build(tmp_path / "build", eenn(0, 2), batch="free"))
    x = samples(12)
    y = (session.predict(x).classes + (np.arange(12) % 3 == 0)) % CLASSES
    weights = np.where(np.arange(12) < 4, 3.0, 1.0)
    rows = np.repeat(np.arange(12), weights.astype(int))
    once = measure(session, Split("test", x, y, weights=weights), timed=0)
    often = measure(session, Split("test", x[rows], y[rows]), timed=0)
    for name in ("accuracy", "base_accuracy", "balanced_accuracy", "base_balanced_accuracy"):
        assert getattr(once, name) == pytest.approx(getattr(often, name))
    assert [exit.share for exit in once.exits] == pytest.approx([exit.share for exit in often.exits])
    assert [exit.accuracy for exit in once.exits] == pytest.approx([exit.accuracy for exit in often.exits])
