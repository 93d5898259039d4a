"""C kernels against the ops' meaning: int8 bit for bit, float to 1e-5; whatever lies in memory before."""

import shutil

import numpy as np
import pytest
from c_runs import Cases
from host_c import PLAIN, SANITIZED, Program, calls_of, shown, the_op
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import eennc.ir.ops
from eennc.backends.cortexm.form import FORMS, form_of, load_forms, objection
from eennc.ir.graph import Graph, Module
from eennc.ir.op import OPS, Case, Op, VerifyError
from eennc.ir.ops.add import Add
from eennc.ir.ops.average_pool import AveragePool
from eennc.ir.ops.batch_norm import BatchNorm
from eennc.ir.ops.clip import Clip
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.div import Div
from eennc.ir.ops.max_pool import MaxPool
from eennc.ir.ops.mul import Mul
from eennc.ir.ops.pad import Pad
from eennc.ir.ops.q_add import QAdd
from eennc.ir.ops.q_average_pool import QAveragePool
from eennc.ir.ops.q_conv import QConv
from eennc.ir.ops.q_dense import QDense
from eennc.ir.ops.q_max_pool import QMaxPool
from eennc.ir.ops.q_mul import QMul
from eennc.ir.ops.q_pad import QPad
from eennc.ir.ops.q_softmax import QSoftmax
from eennc.ir.ops.q_sub import QSub
from eennc.ir.ops.reduce_mean import ReduceMean
from eennc.ir.ops.softmax import Softmax
from eennc.ir.ops.sub import Sub
from eennc.ir.types import DType, Layout, Quant, TensorType
from eennc.ir.values import Argument, Value, Weight
from eennc.passes.base import Context
from eennc.passes.layout.channels_last import ChannelsLast
from eennc.support.registry import import_folder

import_folder(eennc.ir.ops)
load_forms()
pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")

VARIANTS = {"optimised": ("-O2",), "undefined": ("-O1", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error")}


def module_of(name: str, case: Case) -> Module | None:
    """One op; None for a case that is channels-last already (another has it channels-first) or has no kernel."""
    cls = OPS.get(name)
    arguments, values, fields = [], [], {}
    for index, operand in enumerate(case.operands):
        if isinstance(operand, TensorType):
            arguments.append(Argument(f"x{index}", operand))
            values.append(arguments[-1])
        else:
            values.append(None if operand is None else Weight(f"w{index}", np.asarray(operand)))
    for index, slot in enumerate(cls.operand_fields):
        fields[slot.name] = values[index:] if slot.variadic else (values[index] if index < len(values) else None)
    op = cls(**fields, **case.attrs)
    if any(argument.type.layout is not None for argument in arguments) or objection(op):
        return None
    stage = "quantised" if name.startswith("q.") else "imported"
    return Module("case", Graph("main", arguments, [op], list(op.results)), stage=stage)


def feeds(module: Module, low: float = -2.0, high: float = 2.0, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    found = []
    for argument in module.main.arguments:
        shape, dtype = argument.type.concrete(1), argument.type.dtype.numpy
        if argument.type.dtype.is_float:
            found.append(random.uniform(low, high, shape).astype(dtype))
        else:
            limits = np.iinfo(dtype)
            found.append(random.integers(limits.min, limits.max + 1, shape).astype(dtype))
    return found


def expected(module: Module, inputs: list[np.ndarray]) -> np.ndarray:
    (op,) = module.main.ops
    values = dict(zip(module.main.arguments, inputs, strict=True))
    operands = [None if v is None else v.array if isinstance(v, Weight) else values[v] for v in op.operands]
    return op.evaluate(*operands)


def compare(found: np.ndarray, wanted: np.ndarray) -> None:
    assert found.shape == wanted.shape
    if wanted.dtype == np.float32:
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * max(np.abs(wanted).max(), 1e-30))
    else:
        np.testing.assert_array_equal(found, wanted)


CASES = [
    (f"{name}-{case.label}", module, case)
    for name in OPS
    if name in FORMS
    for case in OPS.get(name).cases()
    if (module := module_of(name, case)) is not None
]


def test_every_form_has_cases() -> None:
    covered = {label.rpartition("-")[0].partition("-")[0] for label, _, _ in CASES}
    assert set(FORMS) - covered == set()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("device", ["cortex-m0", "cortex-m4"])
def test_cases(variant: str, device: str, tmp_path) -> None:
    cases = Cases(tmp_path, [module for _, module, _ in CASES], device, VARIANTS[variant])
    for number, (label, module, case) in enumerate(CASES):
        for seed in range(3):
            inputs = feeds(module, case.low, case.high, seed)
            try:
                compare(cases.run(number, inputs, seed=seed), expected(module, inputs))
            except AssertionError as error:
                raise AssertionError(f"{label}: {error}") from None


sizes = st.integers(1, 7)


@st.composite
def windowed(draw) -> Module | None:
    """A random convolution or pool, in int8 or float; None where the window does not fit."""
    kind = draw(st.sampled_from(["conv", "depthwise", "grouped", "max", "average"]))
    integers = draw(st.booleans())
    height, width = draw(sizes), draw(sizes)
    kernel = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    attrs = {
        "strides": (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        "pads": tuple(draw(st.integers(0, 2)) for _ in range(4)),
        "dilations": (draw(st.integers(1, 2)), draw(st.integers(1, 2))),
    }
    groups = draw(st.integers(2, 9)) if kind == "depthwise" else draw(st.integers(2, 3)) if kind == "grouped" else 1
    channels = groups if kind == "depthwise" else groups * draw(st.integers(1, 5))
    out = groups * draw(st.integers(1, 3 if kind == "depthwise" else 6))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    quant = Quant(0.05, draw(st.integers(-128, 127))) if integers else None
    x = Argument("x", TensorType(("N", channels, height, width), DType.I8 if integers else DType.F32, None, quant))
    try:
        if kind in ("max", "average"):
            pools = {("max", False): MaxPool, ("max", True): QMaxPool, ("average", True): QAveragePool}
            cls = pools.get((kind, integers), AveragePool)
            attrs["ceil"] = draw(st.booleans())
            if cls is AveragePool:
                attrs["count_include_pad"] = draw(st.booleans())
            op: Op = cls(x=x, kernel=kernel, **attrs)
        else:
            shape = (out, channels // groups, *kernel)
            activation = draw(st.sampled_from(["none", "relu", "relu6"]))
            if integers:
                weights = random.integers(-127, 128, shape).astype(np.int8)
                # the product of scales from far below 1 to above it
                scales = (10 ** random.uniform(-5, 0.5, out)).astype(np.float32)
                bias = Weight("b", random.integers(-9999, 9999, out).astype(np.int32))
                op = QConv(
                    x=x,
                    weight=Weight("w", weights),
                    scales=Weight("s", scales),
                    bias=draw(st.sampled_from([bias, None])),
                    groups=groups,
                    activation=activation,
                    scale=0.05,
                    zero_point=draw(st.integers(-128, 127)),
                    **attrs,
                )
            else:
                weight, bias = random.normal(size=shape), random.normal(size=out)
                op = Conv(
                    x=x,
                    weight=Weight("w", weight.astype(np.float32)),
                    bias=draw(st.sampled_from([Weight("b", bias.astype(np.float32)), None])),
                    groups=groups,
                    activation=activation,
                    **attrs,
                )
    except VerifyError:
        return None
    return Module("case", Graph("main", [x], [op], list(op.results)), stage="quantised" if integers else "imported")


@settings(max_examples=6, suppress_health_check=list(HealthCheck))
@given(st.lists(windowed(), min_size=40, max_size=40), st.sampled_from(["cortex-m0", "cortex-m4", "cortex-m55"]))
def test_random_windows(tmp_path_factory, modules: list[Module | None], device: str) -> None:
    modules = [module for module in modules if module is not None and objection(module.main.ops[0]) is None]
    cases = Cases(tmp_path_factory.mktemp("cases"), modules, device)
    for number, module in enumerate(modules):
        inputs = feeds(module, seed=number)
        try:
            compare(cases.run(number, inputs), expected(module, inputs))
        except AssertionError as error:
            raise AssertionError(f"{module.main.ops[0].name} {module.main.ops[0].attrs}: {error}") from None


def of_op(op: Op) -> Module:
    """The op by itself."""
    arguments = {value: None for value in op.inputs if isinstance(value, Argument)}
    return Module("case", Graph("main", list(arguments), [op], list(op.results)))


def parts(module: Module) -> list[Module]:
    """Each op that the channels-last form of a module computes, by itself."""
    module = module.copy()
    ChannelsLast().run(module, Context())
    found: list[Module] = []
    for op in module.main.ops:
        if form_of(op).view:
            continue
        taken: dict[Value, Value] = {
            value: value if isinstance(value, Weight) else Argument(f"x{number}", value.type)
            for number, value in enumerate(op.inputs)
        }
        found.append(of_op(op.rebuilt([None if value is None else taken[value] for value in op.operands])))
    return found


def check_alone(folder, modules: list[Module], flags: tuple[str, ...], reach: float = 2.0) -> None:
    """The ops in memory of exactly their size, with and without writing over operands, twice."""
    calls = [call for module in modules for call in calls_of(module)]
    program = Program(folder, calls, flags)
    for seed in range(2):
        # divisors are above 0
        lows = [0.5 if isinstance(the_op(call.module), Div) else -reach for call in calls]
        inputs = [feeds(call.module, low, reach, seed) for call, low in zip(calls, lows, strict=True)]
        for call, given_, found in zip(calls, inputs, program.run(inputs), strict=True):
            try:
                compare(found, expected(call.module, given_))
            except AssertionError as error:
                raise AssertionError(f"{shown(call)}: {error}") from None


ALONE = {"sanitized": SANITIZED, "plain": PLAIN}


@pytest.mark.parametrize("flags", ALONE)
def test_cases_alone(flags: str, tmp_path) -> None:
    modules = [part for _, module, _ in CASES for part in parts(module)]
    assert any(call.over is not None for module in modules for call in calls_of(module))
    check_alone(tmp_path, modules, ALONE[flags])


def int8(shape: tuple[int, ...], quant: Quant) -> TensorType:
    return TensorType(("N", *shape), DType.I8, None, quant)


quants = st.builds(Quant, st.floats(0.01, 1.0), st.integers(-128, 127))


@st.composite
def plain(draw) -> Module | None:
    """A random op without windows, in int8 or float; None for one that there is none of."""
    kind = draw(st.sampled_from(["dense", "sum", "mean", "softmax", "pad", "norm"]))
    integers = draw(st.booleans())
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    quant = draw(quants)
    made = {"scale": draw(st.floats(0.01, 1.0)), "zero_point": draw(st.integers(-128, 127))}
    activation = draw(st.sampled_from(["none", "relu", "relu6"]))
    shape = tuple(draw(st.lists(sizes, min_size=1, max_size=3)))
    x = Argument("x", int8(shape, quant) if integers else TensorType(("N", *shape)))
    try:
        if kind == "dense":
            weight = random.normal(size=(draw(st.integers(1, 20)), shape[-1])).astype(np.float32)
            bias = random.normal(size=len(weight)).astype(np.float32)
            if not integers:
                biases = st.sampled_from([Weight("b", bias), None])
                return of_op(Dense(x=x, weight=Weight("w", weight), bias=draw(biases), activation=activation))
            return of_op(
                QDense(
                    x=Argument("x", int8(shape[-1:], quant)),
                    weight=Weight("w", np.clip(weight * 64, -127, 127).astype(np.int8)),
                    scales=Weight("s", (10 ** random.uniform(-5, 0.5, len(weight))).astype(np.float32)),
                    bias=draw(st.sampled_from([Weight("b", (bias * 5000).astype(np.int32)), None])),
                    activation=activation,
                    **made,
                )
            )
        if kind == "sum":
            other = tuple(1 if draw(st.integers(0, 3)) == 0 else size for size in shape)
            if integers:
                b = Argument("b", int8(other, draw(quants)))
                cls = draw(st.sampled_from([QAdd, QSub, QMul]))
                return of_op(cls(a=x, b=draw(st.sampled_from([b, x])), activation=activation, **made))
            constant = Weight("b", random.uniform(0.5, 2, other).astype(np.float32))
            b = draw(st.sampled_from([Argument("b", TensorType(("N", *other))), constant, x]))
            operands = draw(st.permutations([x, b]))
            return of_op(draw(st.sampled_from([Add, Sub, Mul, Div]))(a=operands[0], b=operands[1]))
        if kind == "softmax":
            return of_op(QSoftmax(x=x) if integers else Softmax(x=x, axis=draw(st.integers(1, len(shape)))))
        if kind == "pad":
            ends = st.integers(0 if integers else -8, 3)
            pads = [0, *(draw(ends) for _ in shape), 0, *(draw(ends) for _ in shape)]
            return of_op(QPad(x=x, pads=pads) if integers else Pad(x=x, pads=pads, value=1.5))
        if kind == "mean":
            axes = draw(st.lists(st.integers(1, len(shape)), min_size=1, unique=True))
            return of_op(
                ReduceMean(x=Argument("x", TensorType(("N", *shape))), axes=axes, keepdims=draw(st.booleans()))
            )
        names = ("scale", "bias", "mean", "variance")
        values = {name: Weight(name, random.uniform(0.5, 2, shape[-1]).astype(np.float32)) for name in names}
        last = TensorType(("N", 3, 2, shape[-1]), DType.F32, Layout.CHANNELS_LAST)
        return of_op(BatchNorm(x=Argument("x", last), **values))
    except VerifyError:
        return None


# the first example is the smallest op many times; a failure names its op, so that nothing has to be shrunk
@pytest.mark.parametrize("flags", ALONE)
@settings(
    max_examples=12, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.reuse, Phase.generate]
)
@given(st.lists(st.one_of(windowed(), plain()), min_size=80, max_size=80))
def test_random_alone(tmp_path_factory, flags: str, modules: list[Module | None]) -> None:
    alone = [part for module in modules if module is not None and accepted(module) for part in parts(module)]
    check_alone(tmp_path_factory.mktemp("alone"), alone, ALONE[flags])


def accepted(module: Module) -> bool:
    return objection(the_op(module)) is None


def test_limits_that_cross_and_all_cropped(tmp_path) -> None:
    x = Argument("x", TensorType(("N", 3, 5)))
    crops = [(0, 0, -6, 0, 0, 4), (0, -4, 0, 0, 3, 0), (0, 0, 2, 0, 0, -6), (0, -3, 0, 0, 3, 0)]
    modules = [of_op(Pad(x=x, pads=pads, value=1.5)) for pads in crops]
    check_alone(tmp_path, [of_op(Clip(x=x, minimum=1.0, maximum=-0.5)), *modules], SANITIZED)


def test_softmax_of_far_logits(tmp_path) -> None:
    x = Argument("x", TensorType(("N", 4, 5)))
    check_alone(tmp_path, [of_op(Softmax(x=x, axis=axis)) for axis in (1, 2)], SANITIZED, 500.0)


def test_refusals() -> None:
    image = Argument("x", TensorType(("N", 2, 4, 4)))
    weight = Weight("w", np.ones((2, 2, 1, 1), np.float32))
    assert "float32, not u8" in str(
        objection(MaxPool(x=Argument("x", TensorType(("N", 2, 4, 4), DType.U8)), kernel=(2, 2)))
    )
    assert "40,000 places" in str(objection(Conv(x=image, weight=weight, strides=(40000, 1))))
    assert "40,000 places" in str(objection(MaxPool(x=image, kernel=(1, 1), strides=(1, 40000))))
    parts = {name: Weight(name, np.ones(2, np.float32)) for name in ("scale", "bias", "mean", "variance")}
    assert "four axes" in str(objection(BatchNorm(x=Argument("x", TensorType(("N", 2, 3, 3, 3))), **parts)))
    assert "neighbours" in str(objection(ReduceMean(x=image, axes=(1, 3))))
