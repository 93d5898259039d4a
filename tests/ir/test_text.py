"""The text form: round trips, files, and messages with line and column."""

import contextlib
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eennc.ir.graph import Graph, Module
from eennc.ir.op import Origin
from eennc.ir.ops.add import Add
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.exit import Exit
from eennc.ir.ops.gather import Gather
from eennc.ir.ops.opaque import Opaque
from eennc.ir.ops.relu import Relu
from eennc.ir.parser import parse_module, parse_type
from eennc.ir.printer import print_module
from eennc.ir.text import load_module, save_module, weights_path
from eennc.ir.types import DType, Layout, Quant, TensorType
from eennc.ir.values import Argument, Value, Weight
from eennc.support.diagnostics import UserError

names = st.one_of(
    st.sampled_from(
        ["w", "layer1.0/conv", "onnx::Conv_335", "0", "a b", 'quote"s', "back\\slash", "%x", "ünïcode", "\n"]
    ),
    st.text(min_size=1, max_size=12),
)
notes = st.dictionaries(
    st.one_of(st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True), st.sampled_from(["inf", "nan", "2nd", "a b", ""])),
    st.one_of(
        st.integers(-(2**40), 2**40),
        st.floats(allow_nan=False),
        st.floats(allow_nan=False, width=32).map(np.float32),
        st.booleans(),
        st.text(max_size=8),
        st.lists(st.integers(-5, 5), max_size=3).map(tuple),
    ),
    max_size=3,
)


@st.composite
def modules(draw) -> Module:
    """A chain of ops with odd names, notes, origins and every kind of attribute."""
    width = draw(st.integers(1, 4))
    argument = Argument(draw(names), TensorType(("N", width)))
    value: Value = argument
    taken: set[str] = set()
    graph = Graph("main", [argument])
    exits = 0

    def weight(array: np.ndarray) -> Weight:
        name = draw(names.filter(lambda name: name not in taken))
        taken.add(name)
        return Weight(name, array)

    for _ in range(draw(st.integers(1, 6))):
        origin = Origin(draw(names), draw(st.text(max_size=6)), tuple(draw(st.lists(names, max_size=2))))
        extra = {"origin": origin, "notes": draw(notes)}
        match draw(st.integers(0, 4)):
            case 0:
                op = Relu(x=value, **extra)
            case 1:
                bias = weight(np.arange(width, dtype=np.float32)) if draw(st.booleans()) else None
                op = Dense(x=value, weight=weight(np.eye(width, dtype=np.float32)), bias=bias, **extra)
            case 2:
                threshold = draw(st.floats(0, 1)) if draw(st.booleans()) else math.inf
                op = Exit(scores=value, carry=[value], exit=exits, place=draw(names), threshold=threshold, **extra)
                exits += 1
            case 3:
                indices = weight(np.arange(width, dtype=np.int64))
                op = Gather(x=value, indices=indices, axis=1, **extra)
            case _:
                op = Opaque(
                    operands_in=[value],
                    op_type="Foo",
                    names=draw(st.lists(names, max_size=2)),
                    node=draw(st.binary(max_size=9)),
                    types=[value.type],
                    **extra,
                )
        graph.add(op)
        value = op.results[0]
    graph.returns = [value]
    attributes = {"classes": width, "labels": tuple(draw(st.lists(names, max_size=2)))}
    return Module(draw(names), graph, stage="exits-placed", attributes=attributes)


@settings(max_examples=150)
@given(modules())
def test_round_trip(module):
    text = print_module(module, origins=True)
    weights = {weight.name: weight.array for weight in module.weights()}
    again = parse_module(text, weights)
    assert print_module(again, origins=True) == text
    assert again.fingerprint() == module.fingerprint()
    assert again.attributes == module.attributes
    for old, new in zip(module.main.ops, again.main.ops, strict=True):
        assert (old.attrs, old.notes, old.origin) == (new.attrs, new.notes, new.origin)


@pytest.mark.parametrize("name", ["\0", "w\0", "w ", "\u2028", "ü"])
def test_names_of_weights_come_back_from_files(name: str, tmp_path: Path) -> None:
    x = Argument("x", TensorType(("N", 300)))
    graph = Graph("main", [x])
    # too large to stand in the text
    graph.returns = [graph.add(Add(a=x, b=Weight(name, np.arange(300, dtype=np.float32)))).result]
    save_module(Module("m", graph), tmp_path / "m.eir")
    (weight,) = load_module(tmp_path / "m.eir").weights()
    assert weight.name == name
    np.testing.assert_array_equal(weight.array, np.arange(300))


@settings(max_examples=25)
@given(modules())
def test_files(tmp_path_factory, module):
    path = tmp_path_factory.mktemp("eir") / "model.eir"
    save_module(module, path)
    assert load_module(path).fingerprint() == module.fingerprint()


@pytest.mark.parametrize(
    "type",
    [
        TensorType(()),
        TensorType(("N", 3), DType.I8),
        TensorType(("?", 2, 3, 4), DType.F32, Layout.CHANNELS_LAST),
        TensorType(("N", 3), DType.I8, None, Quant(0.1, -128)),
        TensorType(("N", 2, 3, 4), DType.I8, Layout.CHANNELS_LAST, Quant(1e-30, 127)),
    ],
)
def test_types(type):
    assert parse_type(str(type)) == type


GOOD = """eir 1
module @net stage imported {
  weight @w : tensor<2x3xf32>
  weight @i : tensor<2xi64> = [0, 1]
  graph @main(%x: tensor<Nx3xf32>) -> tensor<Nx2xf32> {
    %0 = nn.dense %x, @w : tensor<Nx2xf32>
    return %0
  }
}
"""
WEIGHTS = {"w": np.ones((2, 3), np.float32)}


def test_the_good_text_parses():
    module = parse_module(GOOD, WEIGHTS)
    assert [op.name for op in module.main.ops] == ["nn.dense"]


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("nn.dense", "nn.dens", (6, 10), "unknown op 'nn.dens'"),
        ("%x, @w", "%y, @w", (6, 19), "value '%y' is not defined"),
        ("%x, @w", "%x, @v", (6, 23), "weight '@v' is not declared"),
        ("@w : tensor<Nx2xf32>", "@w : tensor<Nx3xf32>", (6, 5), "result types"),
        ("@w : tensor<Nx2xf32>", "@w {activation = gelu} : tensor<Nx2xf32>", (6, 5), "must be one of none"),
        ("eir 1", "eir 2", (1, 1), "format version 2"),
        ("2x3xf32", "2x4xf32", None, "in the weights file, not"),
        ("@w : tensor<2x3", "@u : tensor<2x3", None, "no content in the weights file"),
        ("tensor<Nx3xf32>)", "tensor<Mx3xf32>)", (5, 19), "not a tensor type"),
        ("return %0", "return", (8, 3), "expected"),
        ("%0 = nn.dense", "%0 = $", (6, 10), "unexpected character"),
        ("-> tensor<Nx2xf32> {", "-> tensor<Nx9xf32> {", None, "returns other types"),
        ("@i : tensor<2xi64>", "@w : tensor<2xi64>", (4, 10), "weight '@w' is defined twice"),
        ("= [0, 1]", "= [0, 1, 2]", None, "weight 'i' is not tensor<2xi64>"),
        ("= [0, 1]", '= ["a", 1]', None, "weight 'i' is not tensor<2xi64>"),
        ("tensor<2xi64>", "tensor<Nxi64>", None, "must have a static shape"),
        ("    return", "    %0 = nn.relu %0 : tensor<Nx2xf32>\n    return", (7, 5), "value '%0' is defined twice"),
        ("@w : tensor<Nx2xf32>", "@w {activatoin = relu} : tensor<Nx2xf32>", (6, 27), "did you mean 'activation'?"),
        ("stage imported {", "stage imported attributes {a = 1, a = 2} {", (2, 47), "'a' is given twice"),
        ("stage imported {", 'stage imported attributes {a = "\\q"} {', (2, 44), "not a string of JSON"),
        ("stage imported {", 'stage imported attributes {a = base64"=A"} {', (2, 44), ""),
        ("graph @main", "graph @other", None, "needs a graph '@main'"),
    ],
)
def test_messages_have_a_place(old, new, place, message):
    with pytest.raises(UserError) as caught:
        parse_module(GOOD.replace(old, new, 1), WEIGHTS, file="net.eir")
    assert message in caught.value.render()
    found = caught.value.place
    assert found is not None
    assert found.file == "net.eir"
    if place is not None:
        assert (found.line, found.column) == place


def test_an_unknown_op_has_a_hint():
    with pytest.raises(UserError) as caught:
        parse_module(GOOD.replace("nn.dense", "nn.dens"), WEIGHTS)
    assert "did you mean 'nn.dense'?" in caught.value.render()


@settings(max_examples=200)
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 6), st.text(max_size=4))
def test_damage_is_never_more_than_a_message(at, length, text):
    with contextlib.suppress(UserError):
        parse_module(GOOD[:at] + text + GOOD[at + length :], WEIGHTS)


def test_damaged_files(tmp_path):
    path = tmp_path / "net.eir"
    save_module(parse_module(GOOD, WEIGHTS), path)
    stored = weights_path(path).read_bytes()
    weights_path(path).write_bytes(stored[:100])
    with pytest.raises(UserError):
        load_module(path)
    for at in range(0, len(stored), 7):
        weights_path(path).write_bytes(stored[:at] + bytes([stored[at] ^ 0xFF]) + stored[at + 1 :])
        with contextlib.suppress(UserError):
            load_module(path)
    with weights_path(path).open("wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(UserError, match="not an archive"):
        load_module(path)
    weights_path(path).unlink()
    with pytest.raises(UserError, match="no such file"):
        load_module(path)
    path.write_bytes(b"\xff\xfe")
    weights_path(path).write_bytes(stored)
    with pytest.raises(UserError, match="not a module"):
        load_module(path)
