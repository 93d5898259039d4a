import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from eennc.artifact import (
    SCHEMA,
    ExitSpec,
    Manifest,
    PointSpec,
    TensorSpec,
    check_replaceable,
    hash_files,
    read_manifest,
    read_report,
    to_json,
    write_manifest,
    write_report,
)
from eennc.support.diagnostics import UserError

MANIFEST = Manifest(
    schema=SCHEMA,
    eennc="0.1.0",
    name="net",
    backend="onnx",
    source_file="net.onnx",
    source_sha256="0" * 64,
    model="model.onnx",
    base="base.onnx",
    batch=None,
    input=TensorSpec("x", "uint8", ("N", 3, 8, 8)),
    scores="logits",
    classes=10,
    labels=("a", "ü"),
    exits=(
        ExitSpec(0, "block1", "max_probability", 1.25, 0.1 + 0.2),
        ExitSpec(1, "b2", "max_probability", 1, math.inf),
    ),
    files={"model.onnx": "1" * 64},
)


def changed(folder: Path, **entries: object) -> None:
    content = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**content, **entries}))


def test_points_that_do_not_fit_the_exits_are_refused(tmp_path: Path) -> None:
    good = PointSpec("normal", (0.5, math.inf), (3, 2, 1))
    write_manifest(dataclasses.replace(MANIFEST, points=(good,)), tmp_path)
    assert read_manifest(tmp_path).points == (good,)
    for name, thresholds, calibration in (
        ("saver", [0.5], None),
        ("saver", [0.5, "inf"], [1, 2]),
        ("saver", [0.5, "inf"], [1, 2, -3]),
        ("normal", [0.5, "inf"], None),
    ):
        point = {"name": name, "thresholds": thresholds, "calibration": calibration}
        changed(tmp_path, points=[dataclasses.asdict(good) | {"thresholds": [0.5, "inf"]}, point])
        with pytest.raises(UserError, match="points: ") as caught:
            read_manifest(tmp_path)
        assert caught.value.hint == "compile the model again"


def test_a_manifest_comes_back_as_it_was(tmp_path):
    path = write_manifest(MANIFEST, tmp_path)
    assert read_manifest(tmp_path) == MANIFEST
    # strict JSON: other readers know no Infinity
    assert json.loads(path.read_text(), parse_constant=pytest.fail)["exits"][1]["threshold"] == "inf"
    for name, value in (("base", None), ("labels", None), ("batch", 8)):
        other = dataclasses.replace(MANIFEST, **{name: value})
        write_manifest(other, tmp_path)
        assert read_manifest(tmp_path) == other


def test_equal_content_is_equal_bytes(tmp_path):
    one = to_json({"b": np.float32(0.1), "a": (np.int64(3), math.nan, -math.inf), "c": np.arange(2), "d": True})
    two = to_json({"d": True, "c": [0, 1], "a": [3, "nan", "-inf"], "b": float(np.float32(0.1))})
    assert one == two
    with pytest.raises(TypeError, match="set has no JSON form"):
        to_json({"a": {1}})


def test_a_report_carries_the_schema(tmp_path):
    write_report({"accuracy": 0.5}, tmp_path)
    assert read_report(tmp_path) == {"accuracy": 0.5, "schema": SCHEMA}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "manifest.json").unlink(), "not an artefact of eennc: it has no manifest.json"),
        (lambda f: (f / "manifest.json").write_text("{"), "not readable as JSON"),
        (lambda f: (f / "manifest.json").write_bytes(b"\xff"), "not readable as JSON"),
        (lambda f: (f / "manifest.json").write_text("[1]"), "not a file of eennc: it has no schema version"),
        (lambda f: changed(f, schema=SCHEMA + 1), "written by a newer eennc: schema 2, this one reads up to 1"),
        (lambda f: changed(f, classes="ten"), "option 'classes' of the manifest must be integer, not ten"),
        (lambda f: changed(f, exits=3), "option 'exits' of the manifest"),
        (lambda f: changed(f, model="../model.onnx"), "'../model.onnx' is not the name of a file in the folder"),
        (lambda f: changed(f, files={"a/b": "0"}), "'a/b' is not the name of a file in the folder"),
    ],
)
def test_a_damaged_manifest_is_refused(tmp_path, spoil, message):
    write_manifest(MANIFEST, tmp_path)
    spoil(tmp_path)
    with pytest.raises(UserError) as error:
        read_manifest(tmp_path)
    assert message in error.value.message
    assert str(error.value.place).startswith(str(tmp_path))


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        read_manifest(tmp_path / "nowhere")


def test_only_what_eennc_wrote_may_be_replaced(tmp_path):
    check_replaceable(tmp_path / "new")
    folder = tmp_path / "build"
    folder.mkdir()
    check_replaceable(folder)
    (folder / "model.onnx").write_bytes(b"")
    with pytest.raises(UserError, match=r"holds 'model\.onnx', which eennc did not write"):
        check_replaceable(folder)
    write_manifest(MANIFEST, folder)
    write_report({}, folder)
    check_replaceable(folder)
    (folder / "notes.txt").touch()
    with pytest.raises(UserError, match=r"holds 'notes\.txt'"):
        check_replaceable(folder)
    with pytest.raises(UserError, match="this is a file"):
        check_replaceable(folder / "notes.txt")


def test_hashes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert hash_files(tmp_path, ["a"]) == {"a": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}
