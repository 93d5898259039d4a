"""passes.yaml: what it becomes, and the text of every message."""

from pathlib import Path

import pytest

from eennc.backends.null import NullBackend
from eennc.backends.onnx import OnnxBackend
from eennc.passes.exits.find_exits import FindExits
from eennc.passes.exits.solve_thresholds import SolveThresholds
from eennc.passes.fold_input import FoldInput
from eennc.plugins import load_plugins
from eennc.policy.requirements import Requirement
from eennc.recipe import build_backend, recipe_of
from eennc.support.diagnostics import UserError

load_plugins()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(folder: Path, text: str):
    (folder / "passes.yaml").write_text(text)
    return recipe_of("passes.yaml")


def message(folder: Path, text: str) -> str:
    with pytest.raises(UserError) as error:
        read(folder, text)
    return error.value.render()


def test_a_whole_file(folder):
    (folder / "names.txt").write_text("cat\n\ndog \n")
    recipe = read(
        folder,
        """
data:
  train: train.npz
  calibration: {x: a.npy, y: b.npy}
  test: data:test
input: {mean: [1, 2.5], std: 3, dtype: uint8, layout: nhwc, labels: names.txt}
seed: 7
passes:
  - canonicalise
  - find-exits:
  - solve-thresholds: {limit: 0.02, metric: balanced-accuracy}
require:
  accuracy_drop: {max: 0.01, statistic: upper95}
  mean_macs: {max: 1, split: calibration}
backend: {onnx: {batch: free}}
""",
    )
    assert recipe.passes[-2:] == (FindExits(), SolveThresholds(limit=0.02, metric="balanced-accuracy"))
    assert len(recipe.passes) == 10
    assert recipe.input == FoldInput((1.0, 2.5), 3.0, "uint8", "nhwc")
    assert recipe.labels == ("cat", "dog")
    assert recipe.seed == 7
    assert [requirement for requirement, _ in recipe.requirements] == [
        Requirement("accuracy_drop", 0.01, "test", "upper95"),
        Requirement("mean_macs", 1.0, "calibration", "point"),
    ]
    assert str(recipe.requirements[1][1]) == "passes.yaml:14:3"
    assert recipe.backend == OnnxBackend(batch="free")
    assert recipe.sources["train"].spec == "train.npz"
    assert recipe.sources["calibration"].spec == {"x": "a.npy", "y": "b.npy"}
    assert str(recipe.sources["test"].place) == "passes.yaml:5:9"


def test_little_is_enough(folder):
    recipe = read(folder, "seed: 1\n")
    assert recipe.passes == recipe_of(None).passes
    assert recipe.input is recipe.labels is recipe.backend is None
    assert not recipe.requirements


def test_requirements_as_a_list(folder):
    recipe = read(folder, "require:\n  - accuracy: {min: 0.8}\n  - accuracy: {min: 0.7, split: calibration}\n")
    assert [requirement.limit for requirement, _ in recipe.requirements] == [0.8, 0.7]


def test_numbers_are_labels_too(folder):
    assert read(folder, "input: {labels: [0, 1, yes]}").labels == ("0", "1", "yes")


@pytest.mark.parametrize("name", ["passes.yaml", "x.yml", "sub/recipe"])
def test_a_path(folder, name):
    (folder / "sub").mkdir()
    (folder / name).write_text("passes: [find-exits]\n")
    assert recipe_of(name).passes == (FindExits(),)
    assert recipe_of(folder / name).passes == (FindExits(),)


def test_inline_text():
    assert recipe_of("find-exits, solve-thresholds{limit=0.1}").passes == (FindExits(), SolveThresholds(limit=0.1))
    # a separator inside an option makes no path of it
    assert recipe_of('find-exits{places=["a/b"]}').passes == (FindExits(places=("a/b",)),)
    assert recipe_of([FindExits()]).passes == (FindExits(),)
    for wrong, text in (("", "no pass is named"), ("find-exist", "unknown pass"), ("find-exits{", "expected")):
        with pytest.raises(UserError, match=text):
            recipe_of(wrong)


def test_backends():
    assert build_backend("null") == NullBackend()
    assert build_backend("onnx{batch=free}") == OnnxBackend(batch="free")
    for wrong in ("onx", "onnx,null", "", "onnx{bach=1}", "onnx{batch=3}"):
        with pytest.raises(UserError) as error:
            build_backend(wrong)
        assert str(error.value.place).startswith("-b")


def test_the_golden_message(folder):
    found = message(folder, "data: {}\npasses:\n  - insert-exits: {redaction: max}\n").splitlines()
    assert found[:3] == [
        "passes.yaml:3:20: error: pass 'insert-exits' has no option 'redaction'",
        "  3 |   - insert-exits: {redaction: max}",
        "    |                    ^^^^^^^^^",
    ]
    assert found[3].startswith("  options: head (mlp | linear | blueprint, default mlp), reduction (")
    assert found[4] == "  hint: did you mean 'reduction'?"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "passes.yaml: error: the file is empty\n  entries: data, input, seed, passes, require, backend"),
        ("- a\n", "passes.yaml:1:1: error: passes.yaml must be a mapping, not [a]\n  1 | - a\n    | ^"),
        (
            "pases: []",
            "passes.yaml:1:1: error: unknown entry 'pases'\n  1 | pases: []\n    | ^^^^^\n"
            "  known: backend, data, input, passes, require, seed\n  hint: did you mean 'passes'?",
        ),
        ("seed: 1\nseed: 2", "passes.yaml:2:1: error: 'seed' is given twice\n  2 | seed: 2\n    | ^^^^"),
        (
            "seed: -1",
            "passes.yaml:1:7: error: 'seed' must be an integer, at least 0, not -1\n  1 | seed: -1\n    |       ^^",
        ),
        (
            "passes: find-exits",
            "passes.yaml:1:9: error: 'passes' must be a list, not find-exits\n  1 | passes: find-exits\n"
            "    |         ^^^^^^^^^^\n  hint: write `- name`, or `- name: {option: value}`, for each pass",
        ),
        (
            "passes: [{find-exits: 3}]",
            "passes.yaml:1:23: error: the options of 'find-exits' must be a mapping, not 3\n"
            "  1 | passes: [{find-exits: 3}]\n    |                       ^",
        ),
        (
            "passes:\n  - train-exits: {epochs: three}",
            "passes.yaml:2:27: error: option 'epochs' of pass 'train-exits' must be integer >= 1 <= 100000 or none, "
            "not three\n  2 |   - train-exits: {epochs: three}\n    |                           ^^^^^",
        ),
        (
            "data: {trian: a.npz}",
            "passes.yaml:1:8: error: unknown split 'trian'\n  1 | data: {trian: a.npz}\n    |        ^^^^^\n"
            "  known: calibration, test, train\n  hint: did you mean 'train'?",
        ),
        (
            "input: {std: 0}",
            "passes.yaml:1:1: error: input: std must be finite and above 0\n"
            "  1 | input: {std: 0}\n    | ^^^^^\n  options: ",
        ),
        (
            "input: {dtype: unit8}",
            "passes.yaml:1:16: error: option 'dtype' of input must be uint8 | int8 | int16 | int32 | float16 | "
            "float32 | float64 or none, not unit8\n  1 | input: {dtype: unit8}\n    |                ^^^^^\n"
            "  hint: did you mean 'uint8'?",
        ),
        (
            "require: {accuracy_drop: {min: 1}}",
            "passes.yaml:1:11: error: requirement 'accuracy_drop' takes 'max', one finite number\n"
            "  1 | require: {accuracy_drop: {min: 1}}\n    |           ^^^^^^^^^^^^^\n"
            "  hint: for instance accuracy_drop: {max: 0.01, split: test}",
        ),
        (
            "require: {accuracy: {min: 1, split: tset}}",
            "passes.yaml:1:37: error: option 'split' of requirement 'accuracy' must be calibration | test, not tset\n"
            "  1 | require: {accuracy: {min: 1, split: tset}}\n    |                                     ^^^^\n"
            "  hint: did you mean 'test'?",
        ),
        (
            "backend: {onnx: {bach: 1}}",
            "passes.yaml:1:18: error: backend 'onnx' has no option 'bach'\n  1 | backend: {onnx: {bach: 1}}\n"
            "    |                  ^^^^\n  options: batch (1 | free, default 1)",
        ),
        ("input: {labels: [a, a]}", "passes.yaml:1:17: error: two classes are called 'a'"),
        ("input: {labels: no.txt}", "passes.yaml:1:17: error: the labels in 'no.txt' cannot be read: No such file"),
        ("a: [1,", "passes.yaml:1:7: error: not valid YAML"),
        ("require: {acuracy: {min: 1}}", "passes.yaml:1:11: error: unknown requirement 'acuracy'"),
        ("backend: onx", "passes.yaml:1:10: error: unknown backend 'onx'"),
        ("data: {train: 3}", "passes.yaml:1:15: error: the train data must be a file, a mapping or a function, not 3"),
        ("passes: [find-exit]", "passes.yaml:1:10: error: unknown pass 'find-exit'"),
        ("passes:\n - canonicalise: {x: 1}", "passes.yaml:2:"),
        ("passes: [{a: {}, b: {}}]", "passes.yaml:1:10: error: an item of 'passes' must be a name or one `name"),
    ],
)
def test_messages(folder, text, expected):
    assert message(folder, text).startswith(expected)
