"""What stands in the emitted files: skipped work, where weights are, names, metadata, bytes."""

import collections
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx.shape_inference
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from random_eenns import eenn, samples, segmented
from random_networks import networks

from eennc.backends.base import BACKENDS
from eennc.backends.onnx import OnnxBackend
from eennc.backends.onnx.emission import early_exit_model
from eennc.interop.onnx.execute import run_opaque
from eennc.interop.onnx.session import Session
from eennc.ir.cuts import exits_of, without_exits
from eennc.ir.graph import Module
from eennc.ir.interpreter import run_module


def emitted(module: Module, folder: Path, **options: object) -> onnx.ModelProto:
    OnnxBackend(**options).emit(segmented(module), without_exits(module.main), folder)
    return onnx.load(folder / "model.onnx")


def graphs_of(graph: onnx.GraphProto, depth: int = 0) -> Iterator[tuple[int, onnx.GraphProto]]:
    """The graph and those in it, with their depths."""
    yield depth, graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs_of(attribute.g, depth + 1)


def executed(model: onnx.ModelProto, x: np.ndarray, folder: Path) -> collections.Counter[str]:
    """How often nodes of each kind ran, by onnxruntime's own profile, its optimiser off."""
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    session.run(None, {session.get_inputs()[0].name: x})
    events = json.loads(Path(session.end_profiling()).read_text())
    return collections.Counter(
        event["args"]["op_name"]
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
    )


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("deepest", [1, 20])
def test_what_an_exit_skips_does_not_run(free: bool, deepest: int, tmp_path: Path) -> None:
    module = eenn(0, 3)
    x = samples(3 if free else 1)
    # the stem, two convolutions a block, one before the last classifier; a head has one Gemm
    for leaving, convolutions, gemms in ((0, 3, 1), (1, 5, 2), (2, 7, 3), (3, 8, 4)):
        for exit in exits_of(module.main):
            exit.attrs["threshold"] = 0.0 if exit.exit == leaving else float("inf")
        counts = executed(early_exit_model(segmented(module), free=free, deepest=deepest), x, tmp_path)
        assert (counts["Conv"], counts["Gemm"]) == (convolutions, gemms)


@pytest.mark.parametrize("batch", [1, "free"])
def test_weights_are_initializers_of_the_branch_that_uses_them(batch: int | str, tmp_path: Path) -> None:
    model = emitted(eenn(0, 3), tmp_path, batch=batch)
    convolutions = collections.Counter[int]()
    for depth, graph in graphs_of(model.graph):
        own = {tensor.name for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type in ("Conv", "Gemm"):
                assert set(node.input[1:]) <= own
                convolutions[depth] += node.op_type == "Conv"
    assert convolutions == {0: 3, 1: 2, 2: 2, 3: 1}


def test_a_residual_block_behind_an_exit_is_fused(tmp_path: Path) -> None:
    """The carried value is brought into the blocked layout once: see Form.carried."""
    (tmp_path / "model.onnx").write_bytes(
        early_exit_model(segmented(eenn(0, 1, width=32)), free=False).SerializeToString()
    )
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), options, providers=["CPUExecutionProvider"])
    kinds = collections.Counter(
        node.op_type for _, graph in graphs_of(onnx.load(options.optimized_model_filepath).graph) for node in graph.node
    )
    if "ReorderInput" not in kinds:
        pytest.skip("onnxruntime has no blocked layout on this processor")
    assert kinds["Add"] == 0
    assert kinds["ReorderInput"] == 1


def test_no_copy_where_nothing_is_added() -> None:
    model = early_exit_model(segmented(eenn(0, 1, width=8)), free=False)
    assert "MaxPool" not in {node.op_type for _, graph in graphs_of(model.graph) for node in graph.node}


@pytest.mark.parametrize("batch", [1, "free"])
def test_external_data(batch: int | str, tmp_path: Path) -> None:
    module = eenn(0, 3)
    model = emitted(module, tmp_path, batch=batch, external_above=1000)
    files = sorted(file.name for file in tmp_path.iterdir())
    assert files == ["base.onnx", "base.onnx.data", "model.onnx", "model.onnx.data"]
    raw = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    inside = sum(len(t.raw_data) for _, graph in graphs_of(raw.graph) for t in graph.initializer)
    assert inside < 4096
    assert sum(len(t.raw_data) for _, graph in graphs_of(model.graph) for t in graph.initializer) > 30_000
    onnx.checker.check_model(str(tmp_path / "model.onnx"), full_check=True)
    x = samples(1)
    scores, exit = Session(tmp_path / "model.onnx").run(x)
    expected = run_module(module, [x])
    np.testing.assert_allclose(scores, expected.scores, atol=1e-4 * np.abs(expected.scores).max())
    assert exit == expected.exit


@pytest.mark.parametrize("options", [{}, {"batch": "free"}, {"external_above": 1000}])
def test_same_bytes_twice(options: dict[str, object], tmp_path: Path) -> None:
    digests: list[dict[str, str]] = []
    for run in ("a", "b"):
        (tmp_path / run).mkdir()
        emitted(eenn(7, 3), tmp_path / run, **options)
        files = (tmp_path / run).iterdir()
        digests.append({file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files})
    assert digests[0] == digests[1]


HOSTILE = (
    "/a/b", "../../etc/passwd", "ünï/ćode 中", 'quote"\'', "scores", "exit", "same", "same", "", " ", "a\nb", "%s{}",
    "exit.0", "scores_1", "input",
)  # fmt: skip


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("name", ["input", "scores", "exit", '/in put"é'])
def test_hostile_names(name: str, free: bool, tmp_path: Path) -> None:
    module = eenn(0, 3, input_name=name, names=HOSTILE)
    model = emitted(module, tmp_path, batch="free" if free else 1)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["base.onnx", "model.onnx"]
    assert model.graph.input[0].name == name
    outputs = [output.name for output in model.graph.output]
    assert outputs == [wanted if wanted != name else f"{wanted}_1" for wanted in ("scores", "exit")]
    x = samples(1)
    expected = run_module(module, [x])
    scores, exit = Session(tmp_path / "model.onnx").run(x)
    np.testing.assert_allclose(scores, expected.scores, atol=1e-4 * np.abs(expected.scores).max())
    assert exit == expected.exit
    assert Session(tmp_path / "base.onnx").inputs[0].name == name


def test_metadata_says_what_the_exits_are(tmp_path: Path) -> None:
    module = eenn(0, 2)
    exits_of(module.main)[1].attrs["threshold"] = float("inf")
    model = emitted(module, tmp_path)
    found = {entry.key: entry.value for entry in model.metadata_props}
    assert found["eennc.scores"] == "logits"
    assert found["eennc.version"]
    first, second = exits_of(module.main)
    assert json.loads(found["eennc.exits"]) == [
        {
            "exit": 0,
            "place": "block0",
            "rule": "max_probability",
            "temperature": first.temperature,
            "threshold": first.threshold,
        },
        {
            "exit": 1,
            "place": "block1",
            "rule": "max_probability",
            "temperature": second.temperature,
            "threshold": "inf",
        },
    ]


def test_model_says_little_more_than_the_network(tmp_path: Path) -> None:
    model = emitted(eenn(0, 1), tmp_path)
    assert model.ir_version == 10
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 20)]
    assert len([node for _, graph in graphs_of(model.graph) for node in graph.node if node.op_type == "If"]) == 1


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(module=networks(exits=True))
def test_networks_of_every_shape_of_op(module: Module) -> None:
    x = np.random.default_rng(1).normal(size=(5, 4, 6, 6)).astype(np.float32)
    expected = run_module(module, [x], opaque=run_opaque)
    for free in (False, True):
        model = early_exit_model(segmented(module), free=free)
        onnx.checker.check_model(model, full_check=True)
        runs = [x] if free else [x[i : i + 1] for i in range(len(x))]
        session = Session(model, threads=1)
        scores, exit = (np.concatenate(parts) for parts in zip(*(session.run(run) for run in runs), strict=True))
        if not np.isfinite(expected.scores).all():
            return
        same = exit == expected.exit
        # a confidence may lie on the threshold of 0.6
        assert same.mean() >= 0.8
        atol = 1e-4 * max(1.0, float(np.abs(expected.scores).max()))
        np.testing.assert_allclose(scores[same], expected.scores[same], rtol=0, atol=atol)


def test_backends_are_registered() -> None:
    from eennc.backends import register

    register()
    register()
    assert list(BACKENDS) == ["cortexm", "null", "onnx", "tflite"]
    for name in BACKENDS:
        line = (BACKENDS.get(name).__doc__ or "").strip().splitlines()[0]
        assert 10 < len(line) < 120
