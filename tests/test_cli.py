"""The command, from its arguments to its exit code and what lies on the disk afterwards."""

import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny_model import CLASSES, QUICK, images, write_all

import eennc
from eennc.backends.base import BACKENDS, Backend
from eennc.cli import main
from eennc.ir.rules import FORMS
from eennc.passes.base import PASSES, Pass

RECIPE = """\
data: {train: train.npz, calibration: calibration.npz, test: test.npz}
passes:
  - canonicalise
  - find-exits: {min_saving: 0, min_gap: 0}
  - insert-exits: {grid: 1, hidden: 8}
  - train-exits: {epochs: 2}
  - annotate-cost
  - solve-thresholds: {limit: 0.2}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a model, data, a recipe, and an artefact made from them."""
    folder = tmp_path_factory.mktemp("made")
    write_all(folder)
    (folder / "passes.yaml").write_text(RECIPE)
    arguments = [str(folder / "model.onnx"), "-p", str(folder / "passes.yaml"), "-o", str(folder / "build")]
    assert main([*arguments, "--cache-dir", str(folder / "cache"), "-q"]) == 0
    return folder


@pytest.fixture
def folder(made, monkeypatch) -> Path:
    monkeypatch.chdir(made)
    monkeypatch.setenv("XDG_CACHE_HOME", str(made / "xdg"))
    return made


@pytest.fixture
def command(folder, capsys):
    def run(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def registries(monkeypatch):
    """What a test registers goes with it."""
    for registry in (PASSES, BACKENDS):
        monkeypatch.setattr(registry, "_things", dict(registry._things))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestCompile:
    def test_the_artefact(self, folder):
        manifest = json.loads((folder / "build/manifest.json").read_text())
        assert set(os.listdir(folder / "build")) == {"manifest.json", "report.json", "report.html", *manifest["files"]}
        assert manifest["source_file"] == "model.onnx"
        assert manifest["classes"] == CLASSES
        assert manifest["input"] == {"name": "input", "dtype": "float32", "shape": ["N", 1, 9, 9]}
        report = json.loads((folder / "build/report.json").read_text())
        assert report["data"]["test"]["samples"] == 150
        assert report["passes"][-1] == "form-segments"
        assert str(folder) not in (folder / "build/report.json").read_text()

    def test_figures_are_those_of_the_artefact(self, folder):
        """The report's test accuracy and shares against onnxruntime on the two models."""
        x, y = images(150, 3)
        test = json.loads((folder / "build/report.json").read_text())["result"]["test"]
        base = onnxruntime.InferenceSession(str(folder / "model.onnx")).run(None, {"input": x})[0].argmax(1)
        assert test["base"]["accuracy"] == pytest.approx((base == y).mean())
        prediction = eennc.load(folder / "build").predict(x)
        assert test["eenn"]["accuracy"] == pytest.approx((prediction.classes == y).mean())
        shares = [float((prediction.exit == row["exit"]).mean()) for row in test["exits"]]
        assert [row["share"] for row in test["exits"]] == pytest.approx(shares)

    def test_again_from_the_cache_is_equal_bytes(self, folder, command):
        before = content(folder / "build")
        code, out, err = command("compile", "model.onnx", "-p", "passes.yaml", "-o", "build", "--cache-dir", "cache")
        assert code == 0
        assert content(folder / "build") == before
        assert "from the cache" in err
        assert "model.onnx -> build/  (onnx)" in out
        for word in ("exit", "threshold", "final", "EENN", "best static cut", "base", "test, n = 150"):
            assert word in out

    def test_json_on_stdout_nothing_on_stderr(self, command):
        code, out, err = command("model.onnx", "-p", "passes.yaml", "-o", "b2", "--cache-dir", "cache", "--json", "-q")
        assert (code, err) == (0, "")
        report = json.loads(out)
        assert report["requirements_met"] is True
        assert report["result"]["test"]["samples"] == 150

    def test_inline_passes_with_data_as_options(self, command):
        data = [word for split in ("train", "calibration", "test") for word in (f"--{split}", f"{split}.npz")]
        code, out, _ = command(
            "model.onnx", "-p", QUICK, *data, "-o", "b3", "--cache-dir", "cache", "-b", "onnx{batch=free}"
        )
        assert code == 0
        assert "(onnx{batch=free})" in out

    def test_without_test_data(self, command):
        data = ["--train", "train.npz", "--calibration", "calibration.npz"]
        code, out, _ = command("model.onnx", "-p", QUICK, *data, "-o", "b4", "--cache-dir", "cache")
        assert code == 0
        assert "no test data: these samples chose the thresholds too" in out

    def test_a_guarantee_is_shown_and_reported(self, folder, command):
        for name, guarantee, words in (
            ("g1", "{epsilon=0.3}", "guarantee: with a probability of at least 95 %"),
            ("g2", "{epsilon=0.001,method=crc}", "guarantee: too few samples to certify a loss of at most 0.1 points"),
        ):
            passes = QUICK[: QUICK.index("solve-thresholds")] + f"solve-thresholds{{guarantee={guarantee}}}"
            data = [word for split in ("train", "calibration", "test") for word in (f"--{split}", f"{split}.npz")]
            code, out, err = command("model.onnx", "-p", passes, *data, "-o", name, "--cache-dir", "cache")
            assert code == 0
            assert words in out
            found = json.loads((folder / name / "report.json").read_text())["result"]["certificate"]
            assert found["certifying"] + found["ordering"] == 120
            assert (found["needed"] is None) == (found["certified"] > 0) == (name == "g1")
            assert ("warning: guarantee: too few samples" in err) == (name == "g2")
            if found["certified"]:
                assert f"ltt: p = {found['p_value']:.2g} on 84 samples, chosen on 36 others" in out
            assert " ".join(found["statement"].split()) in " ".join(out.split())

    def test_requirements(self, folder, command):
        for limit, code, word in ((1.5, 0, " ok "), (0.001, 2, " MISSED ")):
            (folder / "require.yaml").write_text(f"{RECIPE}require: {{mean_macs: {{max: {limit}}}}}\n")
            found, out, _ = command("model.onnx", "-p", "require.yaml", "-o", f"b5{code}", "--cache-dir", "cache", "-q")
            assert found == code
            assert word in out
            assert "95 % interval" in out
            assert (folder / f"b5{code}/manifest.json").exists()
        assert "a requirement is missed; the artefact was written to b52/ all the same" in out

    def test_balanced_limits_show_recall(self, folder, command):
        text = RECIPE.replace("{limit: 0.2}", "{limit: 0.2, metric: balanced-accuracy}")
        (folder / "balanced.yaml").write_text(f"{text}input: {{labels: [left, middle, right]}}\n")
        code, out, _ = command("model.onnx", "-p", "balanced.yaml", "-o", "b6", "--cache-dir", "cache", "-q")
        assert code == 0
        assert "recall on test" in out
        assert "  middle" in out
        assert eennc.load("b6").manifest.labels == ("left", "middle", "right")

    def test_data_as_they_are(self, folder, command):
        """The artefact of `input:` takes bytes and answers as the model does to what numpy makes of them."""
        for split, samples, seed in (("train", 300, 1), ("calibration", 120, 2), ("test", 150, 3)):
            x, y = images(samples, seed)
            np.savez(f"bytes_{split}.npz", x=np.clip(x * 20 + 100, 0, 255).astype(np.uint8)[:, 0], y=y)
        text = RECIPE
        for split in ("train", "calibration", "test"):
            text = text.replace(f"{split}.npz", f"bytes_{split}.npz")
        (folder / "bytes.yaml").write_text(f"{text}input: {{mean: 100, std: 20, dtype: uint8, layout: nhw}}\n")
        code, _, err = command("model.onnx", "-p", "bytes.yaml", "-o", "b7", "--cache-dir", "cache")
        assert code == 0, err
        with np.load("bytes_test.npz") as stored:
            x = stored["x"]
        session = eennc.load("b7")
        found = session.base_scores(x)
        normalised = ((x.astype(np.float32) - 100) / 20)[:, None]
        (expected,) = onnxruntime.InferenceSession("model.onnx").run(None, {"input": normalised})
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())

    def test_a_module_is_a_model(self, folder, command):
        code, out, _ = command("model.onnx", "-p", "canonicalise,find-exits", "--stop-after", "find-exits", "-q")
        assert code == 0
        assert out.startswith("eir 1\n")
        assert "ee.candidate" in out
        assert command("model.onnx", "-p", QUICK, "--stop-after", "canonicalise", "-o", "m.eir", "-q")[:2] == (0, "")
        code, _, err = command("m.eir", "-p", "passes.yaml", "-o", "b8", "--cache-dir", "cache", "-q")
        assert code == 0, err

    def test_looking_inside(self, folder, command):
        code, out, err = command(
            *("model.onnx", "-p", "canonicalise,find-exits", "--stop-after", "find-exits", "--time-passes"),
            *("--print-ir-before", "canonicalise", "--print-ir-after", "find-exits", "--dump-ir", "ir"),
        )
        assert code == 0
        assert "// ---- before simplify-shapes" in err
        assert "// ---- after find-exits" in err
        assert "seconds" in err
        assert "----" not in out
        assert len(os.listdir("ir")) == 10

    def test_a_pass_of_ones_own(self, folder, command, registries):
        Path("greeting.py").write_text(
            "from dataclasses import dataclass\nfrom eennc.passes.base import Pass\n\n\n"
            "@dataclass(frozen=True)\nclass SayHello(Pass):\n    '''Greets.'''\n\n"
            "    name = 'say-hello'\n    word: str = 'hello'\n    '''What it says.'''\n\n"
            "    def run(self, module, ctx):\n        ctx.progress.warn(self.word)\n        return False\n"
        )
        arguments = ["--load", "greeting.py", "-p", "say-hello{word=good}", "--stop-after", "say-hello"]
        code, _, err = command("model.onnx", *arguments)
        assert code == 0
        assert "warning: good" in err
        code, out, _ = command("--load", "greeting.py", "--explain", "say-hello")
        assert code == 0
        assert "What it says." in out


class TestRun:
    def test_figures(self, folder, command):
        code, out, _ = command("run", "build", "--data", "test.npz", "--timed", "20")
        assert code == 0
        assert "n = 150" in out
        code, out, _ = command("run", "build", "--data", "test.npz", "--timed", "10", "--json", "-q")
        measured = json.loads(out)
        report = json.loads((folder / "build/report.json").read_text())["result"]["test"]
        assert measured["accuracy"] == pytest.approx(report["eenn"]["accuracy"])
        assert measured["base_accuracy"] == pytest.approx(report["base"]["accuracy"])
        assert measured["latency"]["ratio"] > 0

    def test_the_first_samples(self, command):
        code, out, _ = command("run", "build", "--data", "test.npz", "--samples", "30", "--timed", "0", "--json", "-q")
        assert code == 0
        assert json.loads(out)["samples"] == 30

    def test_operating_points(self, folder, command):
        text = RECIPE.replace("{limit: 0.2}", "{limit: 0.2, points: {saver: 0.6}}")
        (folder / "points.yaml").write_text(text)
        code, _, err = command("model.onnx", "-p", "points.yaml", "-o", "b7", "--cache-dir", "cache", "-q")
        assert (code, err) == (0, "")
        given = ("run", "b7", "--data", "test.npz", "--timed", "5", "-q")
        shares = {}
        for point in ("normal", "saver"):
            code, out, _ = command(*given, "--json", "--point", point)
            assert code == 0
            shares[point] = [row["share"] for row in json.loads(out)["exits"]]
        assert shares["saver"] != shares["normal"]
        assert shares["normal"] == [row["share"] for row in json.loads(command(*given, "--json")[1])["exits"]]
        assert "onnx, operating point saver)" in command(*given, "--point", "saver")[1]
        report = json.loads((folder / "b7/report.json").read_text())["result"]["points"]
        manifest = eennc.load("b7").manifest
        assert [point.name for point in manifest.points] == ["normal", "saver"]
        assert list(manifest.points[1].thresholds) == report[0]["thresholds"]
        assert manifest.points[0].thresholds == tuple(exit.threshold for exit in manifest.exits)
        code, out, err = command(*given, "--point", "savr")
        assert (code, out) == (1, "")
        assert "known: normal, saver" in err
        assert "did you mean 'saver'?" in err
        # refused before anything is trained
        code, out, err = command("model.onnx", "-p", "points.yaml", "-o", "b8", "-b", "tflite", "--cache-dir", "none")
        assert (code, out) == (1, "")
        assert "the tflite backend writes one operating point" in err
        assert not (folder / "none").exists()

    def test_bad_data(self, folder, command):
        x, y = images(4, 0)
        for arrays, message in (
            ({"x": x[:, 0]}, "shape"),
            ({"x": x.astype(np.float64)}, "float64"),
            ({"x": x * np.nan}, "NaN"),
            ({"x": x, "y": y + 2}, "label"),
        ):
            np.savez("bad.npz", **arrays)
            code, out, err = command("run", "build", "--data", "bad.npz", "-q")
            assert (code, out) == (1, "")
            assert message in err
        code, _, err = command("run", "xdg", "--data", "test.npz")
        assert code == 1


class TestCheck:
    @pytest.fixture
    def counted(self, folder, command) -> Path:
        code, _, err = command("run", "build", "--data", "test.npz", "--timed", "0", "-q", "--counts", "counts.json")
        assert (code, err) == (0, "")
        return folder / "counts.json"

    def test_counts_are_those_of_the_network(self, folder, counted):
        session = eennc.load("build")
        exits = session.predict(images(150, 3)[0]).exit
        manifest = json.loads((folder / "build/manifest.json").read_text())
        wanted = np.bincount(exits, minlength=len(manifest["exits"]) + 1).tolist()
        assert json.loads(counted.read_text()) == {
            "build": manifest["build"],
            "counts": {"normal": wanted},
            "schema": 1,
        }
        assert session.counts() == {"normal": tuple(wanted)}
        session.predict(images(150, 3)[0][:7])
        assert sum(session.counts()["normal"]) == 157
        session.reset_counts()
        assert session.counts() == {}
        # the calibration samples, through onnxruntime
        session.predict(images(120, 2)[0])
        assert manifest["points"][0]["calibration"] == list(session.counts()["normal"])

    def test_test_data_fit(self, command, counted):
        code, out, err = command("check", "build", "--counts", "counts.json")
        assert (code, err) == (0, "")
        for word in ("calibration", "field", "chi-square", "level 0.01", "fits calibration", "150", "120"):
            assert word in out
        code, out, _ = command("check", "build", "--counts", "counts.json", "--json", "--level", "0.05")
        found = json.loads(out)
        assert code == 0
        assert (found["fits"], found["level"], found["point"]) == (True, 0.05, "normal")

    def test_other_shares_are_drift(self, folder, command, counted):
        content = json.loads(counted.read_text())
        calibration = json.loads((folder / "build/manifest.json").read_text())["points"][0]["calibration"]
        content["counts"]["normal"] = [n * 5 for n in calibration]
        counted.write_text(json.dumps(content))
        assert command("check", "build", "--counts", "counts.json")[0] == 0
        content["counts"]["normal"] = [500 if n == min(calibration) else 10 for n in calibration]
        # a firmware may leave the build away
        del content["build"]
        counted.write_text(json.dumps(content))
        code, out, err = command("check", "build", "--counts", "counts.json")
        assert (code, err) == (2, "")
        assert "DRIFT: shares differ, most at" in out

    def test_bad_counts(self, folder, command, counted):
        good = json.loads(counted.read_text())["counts"]["normal"]

        def counts(values: object) -> str:
            return json.dumps({"counts": {"normal": values}})

        for text, message in (
            ("{", "not readable as JSON"),
            ("[1, 2]", "not a file of counts"),
            ("{}", "not a file of counts"),
            (json.dumps({"counts": good}), "not a file of counts"),
            (json.dumps({"build": "0" * 16, "counts": {"normal": good}}), "counts of another build"),
            (json.dumps({"counts": {"normal": good}, "schema": 2}), "counts of schema 2: this eennc reads 1"),
            (json.dumps({"counts": {"normal": good}, "schema": "1"}), "counts of schema '1'"),
            (json.dumps({"counts": {"saver": good}}), "unknown operating point 'saver'"),
            (counts([*good, 1]), f"has {len(good) + 1} counts; the build has {len(good) - 1} exits"),
            (counts([-1, *good[1:]]), "whole numbers from 0 on"),
            (counts([1.5, *good[1:]]), "whole numbers from 0 on"),
            (counts([True, *good[1:]]), "whole numbers from 0 on"),
            (counts("many"), "whole numbers from 0 on"),
            (counts([0] * len(good)), "nothing was counted"),
            (json.dumps({"counts": {}}), "nothing was counted"),
            (counts([2**32 - 1, *good[1:]]), "counters of 32 bits"),
        ):
            counted.write_text(text)
            code, out, err = command("check", "build", "--counts", "counts.json")
            assert (code, out) == (1, ""), text
            assert message in err
            assert err.count("error:") == 1
        assert "no such file" in command("check", "build", "--counts", "gone.json")[2]
        assert "build: error: not readable: Is a directory" in command("check", "build", "--counts", "build")[2]
        counted.write_text(counts(good))
        for option, message in (
            (("--level", "1"), "between 0 and 1"),
            (("--level", "nan"), "between 0 and 1"),
            (("--point", "saver"), "unknown operating point 'saver'"),
        ):
            code, _, err = command("check", "build", "--counts", "counts.json", *option)
            assert code == 1
            assert message in err
        manifest = json.loads((folder / "build/manifest.json").read_text())
        shutil.copytree("build", "old", dirs_exist_ok=True)
        manifest["points"][0]["calibration"] = None
        (folder / "old/manifest.json").write_text(json.dumps(manifest))
        code, _, err = command("check", "old", "--counts", "counts.json")
        assert code == 1
        assert "does not hold how often" in err


def network(*nodes, inputs=(("input", ("N", 1, 9, 9)),), output=("N", 3), weights=()) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "bad",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def bad_models(folder: Path) -> None:
    node = helper.make_node
    onnx.save(network(node("Relu", ["input"], ["output"]), output=("N", 1, 9, 9)), str(folder / "autoencoder.onnx"))
    flat = node("Flatten", ["input"], ["flat"])
    gemm = node("Gemm", ["flat", "w"], ["output"])
    onnx.save(network(flat, gemm, weights=[("w", np.ones((81, 3)))]), str(folder / "single.onnx"))
    both = (("input", ("N", 3)), ("other", ("N", 3)))
    onnx.save(network(node("Add", ["input", "other"], ["output"]), inputs=both), str(folder / "two.onnx"))
    model = onnx.load(str(folder / "model.onnx"))
    onnx.save(model, str(folder / "external.onnx"), save_as_external_data=True, location="gone.bin", size_threshold=0)
    (folder / "gone.bin").unlink()
    model = onnx.load(str(folder / "external.onnx"), load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = "../../etc/passwd" if entry.key == "location" else entry.value
    (folder / "outside.onnx").write_bytes(model.SerializeToString())
    (folder / "text.onnx").write_text("not a model")
    whole = (folder / "model.onnx").read_bytes()
    (folder / "short.onnx").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.onnx").write_bytes(b"")


BAD_MODELS = {
    "nowhere.onnx": "no such file",
    "text.onnx": "not an ONNX model",
    "short.onnx": "truncated or damaged",
    "empty.onnx": "empty",
    "external.onnx": "'gone.bin' of tensor 'w1' is missing",
    "outside.onnx": "lies outside the model's folder",
    "autoencoder.onnx": "the model's output",
    "single.onnx": "no place for an exit",
    "two.onnx": "2 inputs",
    "nowhere.eir": "no such file",
}


@pytest.mark.parametrize(("model", "message"), BAD_MODELS.items())
def test_bad_models(folder, command, model, message):
    if not (folder / "text.onnx").exists():
        bad_models(folder)
    before = content(folder)
    arguments = ["-p", "canonicalise,find-exits{min_gap=0},insert-exits", "-o", "build", "--cache-dir", "cache"]
    code, out, err = command(model, *arguments, "-q")
    assert (code, out) == (1, "")
    assert err.count("error:") == 1
    assert message in err
    assert content(folder) == before


def spoiled(split: str = "train", **changes: object):
    def spoil(folder: Path) -> str:
        x, y = images(30, 5)
        arrays = {"x": x, "y": y, **changes}
        for name, change in changes.items():
            if callable(change):
                arrays[name] = change({"x": x, "y": y}[name])
        np.savez(folder / "bad.npz", **arrays)
        return RECIPE.replace(f"{split}.npz", "bad.npz")

    return spoil


def edited(old: str, new: str):
    return lambda folder: RECIPE.replace(old, new)


def set_to_nan(x: np.ndarray) -> np.ndarray:
    x[7, 0, 0, 0] = np.nan
    return x


BAD_RECIPES = {
    "shape": (spoiled(x=lambda x: x[:, 0]), "bad.yaml:1:15: error: train data: 'x' has shape [30, 9, 9]"),
    "dtype": (spoiled("test", x=lambda x: x.astype(np.float64)), "bad.yaml:1:62: error: test data: 'x' is float64"),
    "classes": (spoiled(y=lambda y: y + 1), "train data: sample 2 has label 3, the model has 3 classes"),
    "negative": (spoiled("calibration", y=lambda y: y - 1), "calibration data: sample 0 has label -1"),
    "nan": (spoiled("calibration", x=set_to_nan), "calibration data: sample 7 holds NaN or infinity"),
    "empty": (spoiled("test", x=lambda x: x[:0], y=lambda y: y[:0]), "test data: it is empty"),
    "lengths": (spoiled(y=lambda y: y[:20]), "train data: 'x' has 30 samples and 'y' 20"),
    "float labels": (spoiled(y=lambda y: y / 1), "train data: 'y' is float64"),
    "unknown array": (spoiled(z=np.ones(3)), "'bad.npz' has an unknown array 'z'"),
    "no data file": (edited("train.npz", "gone.npz"), "bad.yaml:1:15: error: train data: no such file: 'gone.npz'"),
    "no calibration": (edited("calibration: calibration.npz, ", ""), "no calibration data"),
    "no train": (edited("train: train.npz, ", ""), "no train data, which train-exits needs"),
    "unknown pass": (edited("find-exits", "find-exist"), "bad.yaml:4:5: error: unknown pass 'find-exist'"),
    "unknown option": (edited("hidden", "hiden"), "bad.yaml:5:29: error: pass 'insert-exits' has no option 'hiden'"),
    "ill-typed": (edited("epochs: 2", "epochs: two"), "bad.yaml:6:27: error: option 'epochs' of pass 'train-exits'"),
    "order": (edited("  - annotate-cost\n", "  - insert-exits\n"), "requires 'candidates'"),
    "labels": (lambda f: RECIPE + "input: {labels: [a]}\n", "bad.yaml:9:1: error: input: 1 labels for a model with 3"),
    "channels": (lambda f: RECIPE + "input: {mean: [1, 2]}\n", "bad.yaml:9:1: error: input: mean has 2 numbers for 1"),
    "layout": (lambda f: RECIPE + "input: {layout: ncw}\n", "bad.yaml:9:1: error: input: layout ncw does not fit"),
    "require": (
        lambda f: RECIPE.replace(", test: test.npz", "") + "require: {accuracy: {min: 0.5}}\n",
        "bad.yaml:9:11: error: 'accuracy' is required on test data, which are not given",
    ),
    "backend": (lambda f: RECIPE + "backend: tflitt\n", "bad.yaml:9:10: error: unknown backend 'tflitt'"),
}


@pytest.mark.parametrize(("spoil", "message"), BAD_RECIPES.values(), ids=BAD_RECIPES)
def test_bad_recipes_and_data(folder, command, spoil, message):
    (folder / "bad.yaml").write_text(spoil(folder))
    before = content(folder)
    code, out, err = command("model.onnx", "-p", "bad.yaml", "-o", "build", "--cache-dir", "cache", "-q")
    assert (code, out) == (1, "")
    assert message in err
    assert err.count("error:") == 1
    assert content(folder) == before


def test_data_of_the_command_line_are_not_blamed_on_the_recipe(folder, command):
    np.savez(folder / "bad.npz", x=np.zeros((4, 9, 9), np.float32), y=np.zeros(4, np.int64))
    _, _, err = command("model.onnx", "-p", "passes.yaml", "--test", "bad.npz", "-o", "b", "--cache-dir", "cache", "-q")
    assert err.startswith("error: test data: 'x' has shape")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no model is given"),
        (["model.onnx", "--sed", "1"], "error: unknown option '--sed'\n  hint: did you mean '--seed'?"),
        (["model.onnx", "--seed", "x"], "invalid number value: 'x'"),
        (["model.onnx", "other.onnx"], "what is 'other.onnx'?"),
        (["model.onnx", "-b", "onx"], "unknown backend 'onx'"),
        (["model.onnx", "-p", "find-exist"], "unknown pass 'find-exist'"),
        (["model.onnx", "-p", "gone.yaml"], "gone.yaml: error: no such file"),
        (["model.onnx", "-p", "find-exits", "--print-ir-after", "find"], "unknown pass 'find'"),
        (["model.onnx", "-p", "find-exits", "--stop-after", "cse"], "unknown pass of this pipeline 'cse'"),
        (["model.onnx", "-p", "find-exits", "--stop-after", "find-exits", "-o", "b"], "-o names an .eir file"),
        (["model.onnx", "-p", "find-exits", "-o", "."], "which eennc did not write"),
        (["model.onnx", "-p", "find-exits", "-o", "model.onnx"], "this is a file"),
        (["model.onnx", "-p", "find-exits", "-o", "build", "--dump-ir", "build/ir"], "--dump-ir lies inside"),
        (["model.onnx", "--load", "gone.py"], "gone.py: error: no such file"),
        (["model.onnx", "--train", "gone.npz"], "no such file: 'gone.npz'"),
        (
            ["--list", "pases"],
            "--list takes no 'pases'\n  known: passes, ops, backends, devices, rules\n  hint: did you mean",
        ),
        (["--explain", "find"], "unknown pass 'find'"),
        (["run"], "the following arguments are required: FOLDER, --data"),
        (["run", "build"], "the following arguments are required: --data"),
        (["run", "gone", "--data", "test.npz"], "gone: error: no such folder"),
    ],
)
def test_bad_arguments(folder, command, arguments, message):
    before = content(folder)
    code, out, err = command(*arguments)
    assert (code, out) == (1, "")
    assert message in err
    assert content(folder) == before


@dataclass(frozen=True)
class Failing(Backend):
    """Writes half and fails."""

    name: ClassVar[str] = "failing"
    rules = FORMS
    error: ClassVar[BaseException] = KeyboardInterrupt()

    def emit(self, module, base, folder):
        (folder / "model.onnx").write_bytes(b"half")
        raise self.error


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(errno.ENOSPC, "No space left on device", "model.onnx"), 1, "error: No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "model.onnx"), 1, "error: Permission denied 'model.onnx'"),
        (ZeroDivisionError("oops"), 70, "internal error: backend 'failing' failed: ZeroDivisionError: oops"),
    ],
)
def test_what_was_there_stays(folder, command, registries, monkeypatch, error, code, message):
    BACKENDS.add("failing", Failing)
    monkeypatch.setattr(Failing, "error", error)
    before = content(folder / "build")
    there = set(os.listdir(folder))
    found, out, err = command("model.onnx", "-p", "passes.yaml", "-b", "failing", "-o", "build", "--cache-dir", "cache")
    assert (found, out) == (code, "")
    assert message in err
    assert "Traceback" not in err
    assert content(folder / "build") == before
    new = set(os.listdir(folder)) - there
    assert not {name for name in new if not name.startswith("reproducer-")}
    assert bool(new) == (code == 70)
    if code == 70:
        (name,) = new
        assert str(folder / name) in err
        assert "ZeroDivisionError" in (folder / name / "error.txt").read_text()
        # the reproducer is a module that goes in again
        text = (folder / name / "pipeline.txt").read_text().strip()
        assert command(f"{name}/module.eir", "-p", text, "-b", "null", "-o", "again", "-q")[0] == 0


@dataclass(frozen=True)
class Crash(Pass):
    """Fails."""

    name: ClassVar[str] = "crash"

    def run(self, module, ctx):
        raise IndexError("by its own fault")


def test_a_pass_that_fails(folder, command, registries):
    PASSES.add("crash", Crash)
    code, out, err = command("model.onnx", "-p", "canonicalise,crash,cse", "-o", "b9", "-q")
    assert (code, out) == (70, "")
    assert "internal error: pass 'crash' failed: IndexError: by its own fault" in err
    assert "reproducer-crash" in err
    assert (folder / "reproducer-crash/pipeline.txt").read_text().startswith("crash,cse")
    assert not (folder / "b9").exists()


def test_an_error_anywhere_else(folder, command, monkeypatch):
    monkeypatch.setattr("eennc.driver.warn_of_shared_samples", lambda *_: 1 / 0)
    code, out, err = command("model.onnx", "-p", "canonicalise", "-o", "b9", "-q")
    assert (code, out) == (70, "")
    assert "internal error: ZeroDivisionError" in err
    assert "Traceback" not in err
    assert "ZeroDivisionError" in Path("reproducer-crash.txt").read_text()


def test_lists(command):
    for what, words in {
        "passes": ("solve-thresholds", "canonicalise"),
        "ops": ("nn.conv", "Conv", "ee.exit"),
        "backends": ("onnx", "null"),
        "devices": ("host", "onnx"),
        "rules": ("margin", "patience", "cortexm", "float, int8"),
    }.items():
        code, out, err = command("--list", what)
        assert (code, err) == (0, "")
        assert all(word in out for word in words)


@pytest.mark.parametrize("name", ["train-exits", "fold-input", "canonicalise", "onnx"])
def test_explanations(command, name):
    code, out, _ = command("--explain", name)
    assert code == 0
    assert out.startswith(name)


@pytest.mark.parametrize("arguments", [["--help"], ["compile", "--help"], ["run", "--help"], ["--version"]])
def test_help(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    assert "eennc" in capsys.readouterr().out


def test_the_command_imports_nothing_slow():
    """Half of `eennc --help` answering at once; how fast it is, is measured in benchmarks/."""
    code = (
        "import sys, eennc, eennc.cli\n"
        "try: eennc.cli.main(['--help'])\nexcept SystemExit: pass\n"
        "slow = {'torch', 'onnx', 'onnxruntime', 'numpy', 'numba', 'scipy', 'pydantic', 'rich', 'networkx', 'ruamel'}\n"
        "print(sorted(slow & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_loading_imports_no_torch(folder):
    code = "import sys, eennc; eennc.load('build'); print('torch' in sys.modules, 'onnx_graphsurgeon' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    assert done.stdout.split()[0] == "False"


def test_a_reader_that_goes_away(folder):
    """`eennc ... | head -1` ends without a word about the pipe."""
    command = f"{sys.executable} -m eennc --list ops | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, cwd=folder)
    assert done.stderr == ""
