"""C kernels against the ops' meaning: int8 bit for bit, float to 1e-5; whatever lies in memory before."""

import shutil

import numpy as np
import pytest
from c_runs import Cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import eennc.ir.ops
from eennc.backends.cortexm.form import FORMS, load_forms, objection
from eennc.ir.graph import Graph, Module
from eennc.ir.op import OPS, Case, Op, VerifyError
from eennc.ir.ops.average_pool import AveragePool
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.max_pool import MaxPool
from eennc.ir.ops.q_average_pool import QAveragePool
from eennc.ir.ops.q_conv import QConv
from eennc.ir.ops.q_max_pool import QMaxPool
from eennc.ir.types import DType, Quant, TensorType
from eennc.ir.values import Argument, Weight
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
