"""Every bad ONNX file gives one UserError that says what is wrong, and nothing else."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx_text import network

from eennc.interop.onnx.reader import module_from_proto, read_model
from eennc.interop.onnx.writer import save_model
from eennc.support.diagnostics import UserError

BIG = {"w": (64, 64), "v": (64, 3)}


def good(**changes: object) -> onnx.ModelProto:
    options = {"x": "float[N, 64]", "weights": BIG, **changes}
    return network("a = Gemm (x, w) b = Relu (a) y = MatMul (b, v)", **options)  # type: ignore[arg-type]


def refused(path: Path) -> UserError:
    with pytest.raises(UserError) as caught:
        read_model(path)
    assert caught.value.place is not None
    assert caught.value.place.file == str(path)
    return caught.value


def test_no_such_file(tmp_path: Path) -> None:
    assert refused(tmp_path / "missing.onnx").message == "no such file"


def test_a_folder(tmp_path: Path) -> None:
    assert "folder" in refused(tmp_path).message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"PK\x03\x04 a zip file of torch", "not an ONNX model"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(40), "not an ONNX model"),
        (b"hello, world, this is text", "not an ONNX model"),
        (bytes(100), "not an ONNX model"),
        (b"\x08\x08", "not an ONNX model"),
        (good().SerializeToString()[:-100], "truncated"),
        (good().SerializeToString()[:50], "truncated"),
    ],
)
def test_what_is_not_an_onnx_model(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    error = refused(path)
    assert said in error.message
    if b"TFL3" in content:
        assert "TensorFlow Lite" in (error.hint or "")


def external(tmp_path: Path) -> tuple[Path, Path]:
    path = tmp_path / "model.onnx"
    _, beside = save_model(good(), path, external_above=0)
    return path, beside


def test_external_data_is_read(tmp_path: Path) -> None:
    path, _ = external(tmp_path)
    module = read_model(path)
    inside = module_from_proto(good(), "model")
    assert module.fingerprint() == inside.fingerprint()


def test_external_data_missing(tmp_path: Path) -> None:
    path, beside = external(tmp_path)
    beside.unlink()
    error = refused(path)
    assert "model.onnx.data" in error.message
    assert "missing" in error.message


def test_external_data_too_short(tmp_path: Path) -> None:
    path, beside = external(tmp_path)
    beside.write_bytes(beside.read_bytes()[:1000])
    assert "does not fit" in refused(path).message


@pytest.mark.parametrize("location", ["../weights.data", "/etc/passwd", "sub/../../weights.data", "link.data"])
def test_external_data_outside_of_the_folder(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    path, beside = external(folder)
    beside.rename(tmp_path / "weights.data")
    (folder / "link.data").symlink_to(tmp_path / "weights.data")
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())
    assert "outside the model's folder" in refused(path).message


@pytest.mark.parametrize(("key", "value"), [("offset", "x"), ("offset", "-8"), ("length", "12"), ("location", "")])
def test_external_data_that_is_damaged(key: str, value: str, tmp_path: Path) -> None:
    path, _ = external(tmp_path)
    model = onnx.load(path, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == key:
            entry.value = value
    path.write_bytes(model.SerializeToString())
    refused(path)


def test_external_data_of_a_model_in_memory(tmp_path: Path) -> None:
    path, _ = external(tmp_path)
    with pytest.raises(UserError, match="without the model's file"):
        module_from_proto(onnx.load(path, load_external_data=False), "net")


def empty_graph(model: onnx.ModelProto) -> None:
    del model.graph.node[:]


def no_opset(model: onnx.ModelProto) -> None:
    del model.opset_import[:]


def old_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 6


def future_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 99


def two_inputs(model: onnx.ModelProto) -> None:
    model.graph.input.add().CopyFrom(model.graph.input[0])
    model.graph.input[-1].name = "mask"


def no_input(model: onnx.ModelProto) -> None:
    del model.graph.input[:]


def two_outputs(model: onnx.ModelProto) -> None:
    model.graph.output.add(name="b")


def no_output(model: onnx.ModelProto) -> None:
    del model.graph.output[:]


def bfloat_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.BFLOAT16


def string_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.STRING


def sequence_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].CopyFrom(onnx.helper.make_tensor_sequence_value_info("x", onnx.TensorProto.FLOAT, [1, 64]))


def no_shape(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.ClearField("shape")


def free_feature(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "length"


def sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add()


def unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[1].op_type = "Quelu"


def unknown_domain(model: onnx.ModelProto) -> None:
    model.opset_import.add(domain="acme", version=1)
    model.graph.node[1].domain = "acme"


def undefined_tensor(model: onnx.ModelProto) -> None:
    del model.graph.initializer[0]


def short_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data = bytes(100)


def bfloat_weight(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_type = onnx.TensorProto.BFLOAT16
    tensor.raw_data = bytes(2 * 64 * 64)


def sequence_inside(model: onnx.ModelProto) -> None:
    model.graph.node.insert(1, onnx.helper.make_node("SequenceConstruct", ["a"], ["q"]))
    model.graph.node.insert(2, onnx.helper.make_node("SequenceAt", ["q", "zero"], ["r"]))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(0, np.int64), "zero"))
    model.graph.node[3].input[0] = "r"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (empty_graph, "empty graph"),
        (no_opset, "which opset"),
        (old_opset, "opset 6; 7 is the oldest"),
        (future_opset, "opset 99"),
        (two_inputs, "2 inputs: 'x', 'mask'"),
        (no_input, "no input"),
        (two_outputs, "2 outputs: 'y', 'b'"),
        (no_output, "no output"),
        (bfloat_input, "bfloat16"),
        (string_input, "string"),
        (sequence_input, "not a tensor"),
        (no_shape, "no shape"),
        (free_feature, "[N, length]"),
        (sparse, "sparse"),
        (unknown_operator, "Quelu"),
        (unknown_domain, "cannot be inferred"),
        (undefined_tensor, "'w'"),
        (short_weight, "damaged"),
        (bfloat_weight, "bfloat16"),
        (sequence_inside, "sequence"),
    ],
    ids=lambda given: given.__name__ if callable(given) else "",
)
def test_models_that_cannot_be_compiled(spoil: Callable[[onnx.ModelProto], None], said: str, tmp_path: Path) -> None:
    model = good()
    spoil(model)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    error = refused(path)
    assert said in error.message
    assert "\n" not in error.message


CONTENT = network(
    """
    c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w)
    d = LRN <size = 3> (c)
    p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (d)
    s = Reshape (p, shape)
    g = Gemm (s, v)
    y = Softmax (g)
    """,
    x="float[N, 2, 4, 4]",
    opset=11,
    weights={"w": (2, 2, 3, 3), "shape": np.array([0, -1], np.int64), "v": (8, 3)},
).SerializeToString()
FUZZ = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def reads_or_refuses(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    with contextlib.suppress(UserError):
        read_model(path)


@FUZZ
@given(length=st.integers(0, len(CONTENT) - 1))
def test_a_truncated_model_is_refused(length: int, tmp_path: Path) -> None:
    reads_or_refuses(CONTENT[:length], tmp_path / "model.onnx")


@FUZZ
@given(content=st.binary(max_size=200))
def test_random_bytes_are_refused(content: bytes, tmp_path: Path) -> None:
    reads_or_refuses(content, tmp_path / "model.onnx")


@FUZZ
@given(changes=st.lists(st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_bytes_are_refused_or_read(changes: list[tuple[int, int]], tmp_path: Path) -> None:
    content = bytearray(CONTENT)
    for place, byte in changes:
        content[place] = byte
    reads_or_refuses(bytes(content), tmp_path / "model.onnx")
