"""The q dialect against TFLite Micro and LiteRT's reference kernels, bit for bit."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tflite_runs import litert, micro, single

import eennc.ir.ops
from eennc.ir.graph import Graph
from eennc.ir.op import OPS, Case, Op, VerifyError
from eennc.ir.ops.q_add import QAdd
from eennc.ir.ops.q_average_pool import QAveragePool
from eennc.ir.ops.q_conv import QConv
from eennc.ir.ops.q_dense import QDense
from eennc.ir.ops.q_max_pool import QMaxPool
from eennc.ir.ops.q_mean import QMean
from eennc.ir.ops.q_mul import QMul
from eennc.ir.ops.q_requantize import Requantize
from eennc.ir.ops.q_softmax import QSoftmax
from eennc.ir.ops.q_sub import QSub
from eennc.ir.types import DType, Layout, Quant, TensorType
from eennc.ir.values import Argument, Weight
from eennc.support.registry import import_folder

import_folder(eennc.ir.ops)
SPATIAL = ("q.conv", "q.max_pool", "q.average_pool", "q.mean")

scales = st.floats(-12, 4).map(lambda power: float(np.float32(2.0**power)))
quants = st.builds(Quant, scales, st.integers(-128, 127))
seeds = st.integers(0, 2**32 - 1)


def image(height: int, width: int, channels: int, quant: Quant) -> Argument:
    return Argument("x", TensorType(("N", height, width, channels), DType.I8, Layout.CHANNELS_LAST, quant))


def drawn(type: TensorType, seed: int) -> np.ndarray:
    """Some of them at the ends of the range."""
    random = np.random.default_rng(seed)
    if not type.dtype.is_float:
        values = random.integers(-128, 128, type.concrete(1))
        return np.where(random.random(values.shape) < 0.2, random.choice([-128, 127], values.shape), values).astype(
            np.int8
        )
    return random.normal(0, 3, type.concrete(1)).astype(np.float32)


def compared(op: Op, seed: int = 0, *, off_by_one: bool = False) -> None:
    """`off_by_one`: LiteRT rounds once in FULLY_CONNECTED."""
    arguments = list(dict.fromkeys(value for value in op.inputs if isinstance(value, Argument)))
    inputs = {argument: drawn(argument.type, seed + i) for i, argument in enumerate(arguments)}
    arrays = [None if v is None else v.array if isinstance(v, Weight) else inputs[v] for v in op.operands]
    expected = op.evaluate(*arrays)
    model = single(Graph("main", arguments, [op], [op.result]))
    (other,) = litert(model, list(inputs.values()))
    if off_by_one:
        assert np.abs(other.astype(int) - expected).max() <= 1
    else:
        np.testing.assert_array_equal(other, expected)
    np.testing.assert_array_equal(micro(model, list(inputs.values()))[0], expected)


def cases() -> list:
    found = []
    for name in OPS:
        for case in OPS.get(name).cases() if name.startswith("q.") and name != "q.table" else ():
            if name not in SPATIAL or case.operands[0].layout is Layout.CHANNELS_LAST:
                found.append(pytest.param(name, case, id=f"{name}-{case.label}"))
    return found


@pytest.mark.parametrize(("name", "case"), cases())
def test_cases(name: str, case: Case) -> None:
    values = [
        None if o is None else Argument(f"x{i}", o) if isinstance(o, TensorType) else Weight(f"w{i}", o)
        for i, o in enumerate(case.operands)
    ]
    cls = OPS.get(name)
    fields = {
        slot.name: values[i:] if slot.variadic else (values[i] if i < len(values) else None)
        for i, slot in enumerate(cls.operand_fields)
    }
    compared(cls(**fields, **case.attrs), off_by_one=name == "q.dense")


@settings(max_examples=60)
@given(st.data(), seeds)
def test_conv(data, seed) -> None:
    random = np.random.default_rng(seed)
    height, width = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 8))
    kernel = tuple(data.draw(st.integers(1, 4)) for _ in range(2))
    kind = data.draw(st.sampled_from(["plain", "depthwise", "grouped"]))
    groups = 1 if kind == "plain" else data.draw(st.integers(2, 4))
    per_group = 1 if kind == "depthwise" else data.draw(st.integers(1, 5)) + (kind == "grouped")
    out = groups * data.draw(st.integers(1, 3))
    x, y = data.draw(quants), data.draw(quants)
    weight_scales = np.float32(2.0) ** random.uniform(-14, -2, out).astype(np.float32)
    limit = 2**28 if data.draw(st.booleans()) else 5000
    bias = Weight("bias", random.integers(-limit, limit, out).astype(np.int32))
    try:
        op = QConv(
            x=image(height, width, groups * per_group, x),
            weight=Weight("w", random.integers(-127, 128, (out, per_group, *kernel)).astype(np.int8)),
            scales=Weight("scales", weight_scales),
            bias=bias if data.draw(st.booleans()) else None,
            strides=[data.draw(st.integers(1, 3)) for _ in range(2)],
            pads=[data.draw(st.integers(0, 3)) for _ in range(4)],
            dilations=[data.draw(st.integers(1, 2)) for _ in range(2)],
            groups=groups,
            activation=data.draw(st.sampled_from(["none", "relu", "relu6"])),
            scale=y.scale,
            zero_point=y.zero_point,
        )
    except VerifyError:
        assume(False)
    # TensorFlow Lite shifts left in int32, where sums so large would wrap
    assume(max(op.factors()) * (limit + math.prod(op.weight.type.shape[1:]) * 255 * 127) < 2**31)
    compared(op, seed)


@settings(max_examples=40)
@given(st.integers(1, 70), st.integers(1, 9), quants, quants, scales, st.sampled_from(["none", "relu", "relu6"]), seeds)
def test_dense(inputs, out, x, y, scale, activation, seed) -> None:
    random = np.random.default_rng(seed)
    weight_scales = np.float32(scale) * random.uniform(0.5, 2, out if random.random() < 0.5 else 1)
    try:
        op = QDense(
            x=Argument("x", TensorType(("N", inputs), DType.I8, None, x)),
            weight=Weight("w", random.integers(-127, 128, (out, inputs)).astype(np.int8)),
            scales=Weight("scales", weight_scales.astype(np.float32)),
            bias=Weight("bias", random.integers(-9000, 9000, out).astype(np.int32)) if random.random() < 0.5 else None,
            activation=activation,
            scale=y.scale,
            zero_point=y.zero_point,
        )
    except VerifyError:
        assume(False)
    assume(max(op.factors()) * (9000 + inputs * 255 * 127) < 2**31)
    compared(op, seed, off_by_one=True)


@settings(max_examples=40)
@given(st.sampled_from([QAdd, QSub, QMul]), quants, quants, quants, st.sampled_from(["none", "relu", "relu6"]), seeds)
def test_elementwise(cls, a, b, y, activation, seed) -> None:
    shape = ("N", 3, 2, 5)
    other = shape if seed % 2 else ("N", 1, 1, 5)
    try:
        op = cls(
            a=Argument("a", TensorType(shape, DType.I8, Layout.CHANNELS_LAST, a)),
            b=Argument("b", TensorType(other, DType.I8, Layout.CHANNELS_LAST, b)),
            activation=activation,
            scale=y.scale,
            zero_point=y.zero_point,
        )
    except VerifyError:
        assume(False)
    if cls is QMul:
        assume(op.factor() * 255 * 255 < 2**31)
    compared(op, seed)


@settings(max_examples=40)
@given(st.sampled_from([QMaxPool, QAveragePool]), st.data(), quants, seeds)
def test_pools(cls, data, quant, seed) -> None:
    side = data.draw(st.integers(1, 8))
    kernel = [data.draw(st.integers(1, 4)) for _ in range(2)]
    strides = [data.draw(st.integers(1, 3)) for _ in range(2)]
    pads = [data.draw(st.integers(0, size - 1)) for size in kernel] * 2 if cls is QMaxPool else (0,) * 4
    if cls is QAveragePool and data.draw(st.booleans()):
        totals = [max((-(-side // s) - 1) * s + k - side, 0) for k, s in zip(kernel, strides, strict=True)]
        pads = [*(total // 2 for total in totals), *(total - total // 2 for total in totals)]
    try:
        op = cls(x=image(side, side, 3, quant), kernel=kernel, strides=strides, pads=pads)
    except VerifyError:
        assume(False)
    compared(op, seed)


@settings(max_examples=40)
@given(st.integers(1, 12), st.integers(1, 12), quants, quants, seeds)
def test_mean(height, width, x, y, seed) -> None:
    try:
        op = QMean(x=image(height, width, 3, x), scale=y.scale, zero_point=y.zero_point)
    except VerifyError:
        assume(False)
    assume(op.factor() * height * width * 255 < 2**31)
    compared(op, seed)


@settings(max_examples=40)
@given(quants, quants, st.sampled_from(["none", "relu", "relu6"]), seeds)
def test_requantize(x, y, activation, seed) -> None:
    argument = Argument("x", TensorType(("N", 40), DType.I8, None, x))
    try:
        op = Requantize(x=argument, activation=activation, scale=y.scale, zero_point=y.zero_point)
    except VerifyError:
        assume(False)
    assume(op.factor() * 255 < 2**31)
    compared(op, seed)


@settings(max_examples=60)
@given(st.integers(2, 50), scales, st.floats(0.05, 20), seeds)
def test_softmax(classes, scale, beta, seed) -> None:
    argument = Argument("x", TensorType(("N", classes), DType.I8, None, Quant(scale, 3)))
    try:
        op = QSoftmax(x=argument, beta=float(np.float32(beta)))
    except VerifyError:
        assume(False)
    compared(op, seed)


def test_constants_are_aligned() -> None:
    """Each array of odd size is found at a multiple of 16 in the file."""
    random = np.random.default_rng(0)
    x = Argument("x", TensorType(("N", 7), DType.I8, None, Quant(0.1)))
    weights = random.integers(-127, 128, (3, 7)).astype(np.int8)
    bias = random.integers(-900, 900, 3).astype(np.int32)
    op = QDense(
        x=x,
        weight=Weight("w", weights),
        scales=Weight("scales", np.array([0.01], np.float32)),
        bias=Weight("bias", bias),
        scale=0.1,
    )
    model = single(Graph("main", [x], [op], [op.result]))
    for array in (weights, bias):
        assert model.index(array.tobytes()) % 16 == 0
