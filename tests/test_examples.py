"""The examples, as the README and the comments in their recipes say to run them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
QUICKSTART = REPO / "examples/quickstart"


def eennc(*arguments: str, cwd: Path = REPO) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "eennc", *arguments], cwd=cwd, capture_output=True, text=True, timeout=600
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def quickstart(cache, tmp_path_factory) -> Path:
    """The quickstart's artefact."""
    folder = tmp_path_factory.mktemp("quickstart") / "build"
    recipe = str(QUICKSTART / "passes.yaml")
    done = eennc(str(QUICKSTART / "fashion.onnx"), "-p", recipe, "-o", str(folder), "--cache-dir", cache)
    assert done.returncode == 0, done.stderr
    assert "require: accuracy_drop <= 0.02 on test ok" in done.stdout
    return folder


@pytest.mark.slow
def test_the_quickstart_saves_more_than_half_and_loses_little(quickstart):
    result = json.loads((quickstart / "report.json").read_text())["result"]
    test = result["test"]
    assert test["samples"] == 1500
    assert test["eenn"]["saved"] > 0.5
    assert test["eenn"]["saved"] > test["static"]["saved"]


@pytest.mark.slow
def test_the_artefact_runs_as_the_report_says(quickstart):
    done = eennc("run", str(quickstart), "--data", str(QUICKSTART / "test.npz"), "--json", "--timed", "20")
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    reported = json.loads((quickstart / "report.json").read_text())["result"]["test"]
    # samples within 1e-4 of a threshold may leave elsewhere
    tolerance = (reported["near_threshold"] + 0.5) / reported["samples"]
    assert measured["accuracy"] == pytest.approx(reported["eenn"]["accuracy"], abs=tolerance)
    assert measured["base_accuracy"] == pytest.approx(reported["base"]["accuracy"], abs=tolerance)
    shares = [row["share"] for row in reported["exits"]]
    assert [row["share"] for row in measured["exits"]] == pytest.approx(shares, abs=tolerance)


@pytest.mark.slow
def test_int8_in_one_tflite(quickstart, cache, tmp_path):
    """After `quickstart`, whose heads it takes."""
    folder = tmp_path / "build"
    model = str(QUICKSTART / "fashion.onnx")
    done = eennc(model, "-p", str(QUICKSTART / "int8.yaml"), "-o", str(folder), "--cache-dir", cache)
    assert done.returncode == 0, done.stderr
    report = json.loads((folder / "report.json").read_text())
    assert report["result"]["test"]["eenn"]["saved"] > 0.5
    floats = json.loads((quickstart / "report.json").read_text())
    base = report["quantisation"]["test"][-1]
    assert base["float_accuracy"] == pytest.approx(floats["result"]["test"]["base"]["accuracy"])
    assert base["loss"]["point"] < 0.01
    assert (folder / "model.tflite").stat().st_size < 0.4 * floats["cost"]["total"]["weight_bytes"]
    done = eennc(
        "diff", str(folder), model, "--data", str(QUICKSTART / "test.npz"), "--samples", "64", "--limit", "15", "-q"
    )
    assert done.returncode == 0, done.stderr
    assert "no layer is below 15 dB" in done.stdout


@pytest.mark.slow
def test_c_on_an_emulated_core(quickstart, cache, tmp_path):
    """After `quickstart`, whose heads it takes."""
    for tool in ("arm-none-eabi-gcc", "qemu-system-arm"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    folder = tmp_path / "build"
    compiled = ("-b", "cortexm", "--device", "cortex-m4", "-o", str(folder), "--cache-dir", cache)
    done = eennc(str(QUICKSTART / "fashion.onnx"), "-p", str(QUICKSTART / "int8.yaml"), *compiled)
    assert done.returncode == 0, done.stderr
    assert "arena " in done.stdout
    data = ("--data", str(QUICKSTART / "test.npz"), "--samples", "100")
    done = eennc("run", str(folder), "--on", "qemu", *data, "--json", "-q")
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert measured["saved"] > 0.5
    assert abs(measured["saved"] - measured["predicted_saved"]) < 0.05
    assert measured["arena"] == json.loads((folder / "report.json").read_text())["memory"]["arena"]


@pytest.mark.slow
def test_the_custom_pass(quickstart, cache, tmp_path):
    # after `quickstart`: the heads that both have come from the cache
    folder = REPO / "examples/custom_pass"
    model = "../quickstart/fashion.onnx"
    output = str(tmp_path / "build")
    done = eennc(model, "--load", "my_pass.py", "-p", "passes.yaml", "-o", output, "--cache-dir", cache, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "drop-late-exits: no exit behind" in done.stderr


@pytest.mark.real
@pytest.mark.parametrize(
    ("example", "model", "exits"),
    [
        ("speech", "dscnn_asc40.onnx", 4),
        ("ecg", "ecg_cnn_aami5.onnx", 5),
        ("cifar10", "resnet20_cifar10jpegft.onnx", 9),
        ("cifar10", "resnet56_cifar10jpegft.onnx", 27),
    ],
)
def test_recipes_for_the_real_data_read_their_data(shared_data, example, model, exits):
    recipe = str(REPO / "examples" / example / "passes.yaml")
    done = eennc(str(shared_data / "models" / model), "-p", recipe, "--stop-after", "insert-exits", "-q")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("= ee.exit ") == exits


@pytest.mark.real
@pytest.mark.slow
def test_speech_keeps_the_promise(shared_data, cache, tmp_path):
    """Less than a point lost and three quarters of the MACs saved, on speakers that nothing has seen."""
    recipe, output = str(REPO / "examples/speech/passes.yaml"), str(tmp_path / "build")
    model = str(shared_data / "models/dscnn_asc40.onnx")
    done = eennc(model, "-p", recipe, "-o", output, "--cache-dir", cache, "--json", "-q")
    assert done.returncode == 0, done.stderr
    test = json.loads(done.stdout)["result"]["test"]
    assert test["eenn"]["loss"]["point"] <= 0.01
    assert test["eenn"]["saved"] >= 0.75


def test_each_example_with_a_recipe_says_how_to_run_it():
    for recipe in (REPO / "examples").glob("*/passes.yaml"):
        assert recipe.read_text().startswith("# "), recipe
    assert os.access(REPO / "scripts/quickstart", os.X_OK)
