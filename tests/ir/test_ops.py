"""Every op, over its own cases. That the meanings are ONNX's is tested in tests/interop."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eennc.ir.parser  # imports all ops  # noqa: F401
from eennc.ir.graph import Graph, Module
from eennc.ir.op import OPS, Case, Op, VerifyError
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.exit import Exit
from eennc.ir.ops.fill import Fill
from eennc.ir.ops.reshape import Reshape
from eennc.ir.parser import parse_module
from eennc.ir.printer import print_module
from eennc.ir.rules import NEVER, confidence, levels
from eennc.ir.types import Array, DType, Layout, Quant, TensorType
from eennc.ir.values import Argument, Value, Weight
from eennc.ir.verifier import verify

CASES = [pytest.param(name, case, id=f"{name}-{case.label}") for name in OPS for case in OPS.get(name).cases()]


def instance(name: str, case: Case) -> tuple[Op, Module, list[Array | None]]:
    """The op of a case in a module of its own, and arrays for its operands."""
    cls, random = OPS.get(name), np.random.default_rng(0)
    values: list[Value | None] = []
    arrays: list[Array | None] = []
    for index, operand in enumerate(case.operands):
        if operand is None:
            values.append(None)
            arrays.append(None)
        elif isinstance(operand, TensorType):
            values.append(Argument(f"x{index}", operand))
            shape = operand.concrete(case.batch)
            low, high = (-128, 127) if operand.quant else (case.low, case.high)
            arrays.append(random.uniform(low, high, shape).astype(operand.dtype.numpy))
        else:
            values.append(Weight(f"w{index}", operand))
            arrays.append(operand)
    fields = {
        slot.name: values[index:] if slot.variadic else (values[index] if index < len(values) else None)
        for index, slot in enumerate(cls.operand_fields)
    }
    op = cls(**fields, **case.attrs)
    arguments = [value for value in values if isinstance(value, Argument)]
    stage = "quantised" if name.startswith("q.") else "imported"
    return op, Module("case", Graph("main", arguments, [op], [op.result]), stage=stage), arrays


def test_every_op_has_cases():
    without = {name for name in OPS if not OPS.get(name).cases()}
    assert without == {"ee.call", "ee.candidate", "ee.exit", "onnx.opaque", "shape.reshape"}


@pytest.mark.parametrize(("name", "case"), CASES)
def test_meaning_has_the_inferred_type_and_leaves_operands_alone(name, case):
    op, module, arrays = instance(name, case)
    verify(module)
    before = [None if array is None else array.copy() for array in arrays]
    answer = op.evaluate(*arrays)
    assert op.result.type.accepts(answer), (op.result.type, answer.shape, answer.dtype)
    for old, new in zip(before, arrays, strict=True):
        assert old is None or np.array_equal(old, new)
    assert op.macs() >= 0


@pytest.mark.parametrize(("name", "case"), CASES)
def test_text_round_trip(name, case):
    _, module, _ = instance(name, case)
    text = print_module(module)
    again = parse_module(text, {weight.name: weight.array for weight in module.weights()})
    assert print_module(again) == text
    assert again.fingerprint() == module.fingerprint()


def test_lists_that_say_nothing_have_one_form():
    x, w = Argument("x", TensorType(("N", 2, 5, 5))), Weight("w", np.zeros((3, 2, 3, 3), np.float32))
    assert Conv(x=x, weight=w, strides=[1, 1], pads=[0] * 4, dilations=(1, 1)).attrs == Conv(x=x, weight=w).attrs


X = Argument("x", TensorType(("N", 2, 5, 5)))
ROWS = Argument("rows", TensorType(("N", 4)))
INTEGERS = Argument("integers", TensorType(("N", 4), DType.I8))
QUANTISED = Argument("quantised", TensorType(("N", 4), DType.I8, None, Quant(0.1)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Conv(x=X, weight=Weight("w", np.zeros((3, 1, 3, 3), np.float32))), "operand 'weight'"),
        (lambda: Conv(x=X, weight=X), "operand 'weight' must be a weight"),
        (lambda: Conv(x=X, weight=Weight("w", np.zeros((3, 2, 7, 7), np.float32))), "larger than the padded input"),
        (lambda: Conv(x=X), "needs operand 'weight'"),
        (lambda: Conv(x=X, weight=Weight("w", np.zeros((3, 2, 1, 1), np.float32)), strides=(0, 1)), "at least 1"),
        (lambda: Conv(x=X, weight=Weight("w", np.zeros((3, 2, 1, 1), np.float32)), stride=2), "'stride'"),
        (lambda: Conv(x=X, weight=Weight("w", np.zeros((3, 2, 1, 1), np.float32)), activation="gelu"), "one of none"),
        (lambda: Dense(x=ROWS, weight=Weight("w", np.zeros((3, 5), np.float32))), "operand 'x' must have 5 features"),
        (lambda: Reshape(x=X, shape=(-1, -1)), "one -1"),
        (lambda: Reshape(x=X, shape=(-1, 25)), "mix samples"),
        (lambda: Fill(shape=(1 << 20, 1 << 20)), "more than"),
        (lambda: Exit(scores=ROWS, exit=0), "carry at least one value"),
        (lambda: Exit(scores=ROWS, carry=[ROWS], exit=0, temperature=0), "temperature"),
        (lambda: Exit(scores=ROWS, carry=[ROWS], exit=0, threshold=math.nan), "threshold"),
        (lambda: Exit(scores=ROWS, logits=X, carry=[ROWS], exit=0), "operand 'logits' must have"),
        (lambda: Exit(scores=INTEGERS, carry=[ROWS], exit=0), "must be floats or quantised"),
        (lambda: Exit(scores=QUANTISED, carry=[ROWS], exit=0, kind="probabilities"), "the rule must look at logits"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(build, message):
    with pytest.raises(VerifyError) as caught:
        build()
    assert message in str(caught.value)


SPATIAL = ("conv", "max_pool", "average_pool", "global_average_pool", "global_max_pool", "batch_norm")


@pytest.mark.parametrize(
    ("name", "case"),
    [
        param
        for param in CASES
        if param.values[0].partition(".")[2] in SPATIAL
        and param.values[1].operands[0].layout is None
        and param.values[1].operands[0].rank > 2
    ],
)
def test_both_layouts_mean_the_same(name, case):
    op, _, arrays = instance(name, case)
    first = case.operands[0]
    order = [0, *range(2, first.rank), 1]
    last = TensorType(tuple(first.shape[i] for i in order), first.dtype, Layout.CHANNELS_LAST, first.quant)
    other, _, _ = instance(name, Case("last", (last, *case.operands[1:]), case.attrs))
    found = other.evaluate(arrays[0].transpose(order), *arrays[1:])
    np.testing.assert_array_equal(found, op.evaluate(*arrays).transpose(order))
    assert other.result.type.accepts(found)
    assert other.macs() == op.macs()


def test_fields_are_for_reading():
    """Else an assignment would hide the field and change nothing."""
    op = Dense(x=Argument("x", TensorType((2, 3))), weight=Weight("w", np.zeros((4, 3), np.float32)))
    for name in ("x", "activation"):
        with pytest.raises(AttributeError, match=r"op\.(operands|attrs)"):
            setattr(op, name, 1)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_confidence_is_the_largest_softmax(temperature):
    logits = np.random.default_rng(1).normal(0, 4, (50, 7))
    softened = np.exp(logits / temperature)
    expected = (softened / softened.sum(axis=1, keepdims=True)).max(axis=1)
    found = confidence("max_probability", logits.astype(np.float32), "logits", temperature)
    assert found == pytest.approx(expected, rel=1e-5)
    plain = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = confidence("max_probability", plain.astype(np.float32), "probabilities", temperature)
    assert found == pytest.approx(expected, rel=1e-4)
    assert found.dtype == np.float32


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_margin_is_the_lead_of_the_largest_logit(temperature):
    logits = np.random.default_rng(1).normal(0, 4, (50, 7))
    ordered = np.sort(logits, axis=1)
    expected = (ordered[:, -1] - ordered[:, -2]) / temperature
    assert confidence("margin", logits.astype(np.float32), "logits", temperature) == pytest.approx(expected, rel=1e-5)
    plain = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = confidence("margin", plain.astype(np.float32), "probabilities", temperature)
    assert found == pytest.approx(expected, rel=1e-4)


RULES = st.sampled_from(["max_probability", "margin"])
SCALES = st.floats(2**-20, 2**13, width=32)
TEMPERATURES = st.floats(0.0625, 20, width=32)


def quantised_exit(scale, classes, **attrs):
    scores = Argument("scores", TensorType(("N", classes), DType.I8, None, Quant(scale, 5)))
    return Exit(scores=scores, carry=[scores], exit=0, **attrs)


@given(RULES, SCALES, TEMPERATURES, st.data())
def test_levels_fire_as_the_confidence_does(rule, scale, temperature, data):
    classes = data.draw(st.sampled_from([2, 3, 10, 300, 1000]))
    top = st.one_of(st.integers(-128, 127), st.just(-128))
    few = np.array(data.draw(st.lists(top, min_size=2, max_size=classes)), np.int8)
    integers = np.resize(few, (1, classes))
    op = quantised_exit(scale, classes, rule=rule, temperature=temperature)
    score = op.confidence(integers)[0]
    near = [float(np.nextafter(score, np.float32(way))) for way in (-np.inf, np.inf)]
    other = st.one_of(st.floats(0, 1, width=32), st.floats(0, 1e5, width=32))
    for threshold in (float(score), *near, math.inf, data.draw(other)):
        fires = bool(score >= np.float32(threshold))
        assert fires == bool(levels(rule, integers, temperature, scale)[0] >= op.levels(threshold))
    assert op.levels(math.inf) == NEVER[rule]


def test_rules_without_such_a_score_say_so():
    integers = np.zeros((1, 3), np.int8)
    with pytest.raises(ValueError, match="entropy has no integer form"):
        confidence("entropy", integers, "logits", 1.0, 0.1)
    for rule in ("patience", "temporal-patience"):
        with pytest.raises(ValueError, match=f"{rule} looks at more than one exit's answer"):
            confidence(rule, integers, "logits", 1.0, 0.1)


@given(SCALES, TEMPERATURES, st.integers(0, 2**32 - 1), st.sampled_from([2, 5, 100, 1000]))
def test_max_probability_of_integers_is_that_of_what_they_stand_for(scale, temperature, seed, classes):
    integers = np.random.default_rng(seed).integers(-128, 128, (20, classes)).astype(np.int8)
    found = confidence("max_probability", integers, "logits", temperature, scale)
    real = integers.astype(np.float64) * scale / temperature
    real -= real.max(axis=1, keepdims=True)
    # each class's part is rounded to 2^-17 of the largest; from 256 equal classes on nothing is told apart
    expected = np.maximum(1 / np.exp(real).sum(axis=1), 2**-8)
    np.testing.assert_allclose(1 / found, 1 / expected, atol=classes * 2**-17, rtol=1e-6)
    assert found.dtype == np.float32
