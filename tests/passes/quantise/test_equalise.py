"""equalise: the function stays, and integers of one scale per tensor fit better."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eennc.data.splits import Split, Splits
from eennc.interop.onnx.execute import execute
from eennc.ir.cuts import exit_free
from eennc.ir.graph import Graph, Module
from eennc.ir.interpreter import run_graph
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.flatten import Flatten
from eennc.ir.ops.global_average_pool import GlobalAveragePool
from eennc.ir.ops.max_pool import MaxPool
from eennc.ir.types import TensorType
from eennc.ir.values import Argument, Weight
from eennc.passes.base import Context
from eennc.passes.quantise.calibrate import Calibrate
from eennc.passes.quantise.equalise import Equalise
from eennc.passes.quantise.quantize_int8 import QuantizeInt8


def network(seed: int, activation: str = "relu", spread: float = 3.0) -> Module:
    """Convolution, depthwise, pointwise, dense; channels of very different sizes."""
    random = np.random.default_rng(seed)
    count = 0

    def weight(*shape: int) -> Weight:
        nonlocal count
        count += 1
        rows = np.exp(random.normal(size=(shape[0], *[1] * (len(shape) - 1))) * spread)
        return Weight(f"w{count}", (random.normal(size=shape) * rows).astype(np.float32))

    x = Argument("x", TensorType(("N", 2, 8, 8)))
    ops = [Conv(x=x, weight=weight(6, 2, 3, 3), bias=weight(6), pads=(1,) * 4, activation=activation)]
    ops.append(Conv(x=ops[-1].result, weight=weight(12, 1, 3, 3), bias=weight(12), groups=6, activation=activation))
    ops.append(MaxPool(x=ops[-1].result, kernel=(2, 2), strides=(2, 2)))
    ops.append(Conv(x=ops[-1].result, weight=weight(5, 12, 1, 1), activation=activation))
    ops.append(GlobalAveragePool(x=ops[-1].result))
    ops.append(Flatten(x=ops[-1].result))
    ops.append(Dense(x=ops[-1].result, weight=Weight("w", random.normal(size=(3, 5)).astype(np.float32))))
    return Module("uneven", Graph("main", [x], ops, [ops[-1].result]), attributes={"classes": 3, "scores": "logits"})


def inputs(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 2, 8, 8)).astype(np.float32)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.sampled_from(["none", "relu"]))
def test_the_function_stays(seed: int, activation: str) -> None:
    module = network(seed, activation)
    x = inputs(8)
    (expected,) = execute(module.main, x)
    assert Equalise().run(module, Context())
    (found,) = execute(module.main, x)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-5 * np.abs(expected).max())
    first, second = (op.weight.array for op in module.main.ops[:2])
    mine, theirs = np.abs(first).max(axis=(1, 2, 3)), np.abs(second.reshape(6, -1)).max(axis=1)
    np.testing.assert_allclose(mine, theirs, rtol=0.1)
    assert not Equalise().run(module, Context())


def test_relu6_stays_alone() -> None:
    module = network(0, "relu6")
    assert not Equalise().run(module, Context())


@pytest.mark.parametrize("seed", range(6))
def test_one_scale_per_tensor_is_enough(seed: int) -> None:
    """Errors of the features, each as part of what its channel varies by."""
    errors = []
    x = inputs(200)
    for passes in ([], [Equalise()]):
        module = network(seed, spread=2.0)
        ctx = Context(data=Splits(calibration=Split("calibration", inputs(64, 1))))
        for p in passes:
            p.run(module, ctx)
        (expected,) = run_graph(module, exit_free(module.main, [module.main.ops[-1].x]), [x])
        for p in (Calibrate(), QuantizeInt8(per_channel="none", weights="max", correct_bias=False)):
            p.run(module, ctx)
        features = module.main.ops[-1].x
        (found,) = run_graph(module, exit_free(module.main, [features]), [x])
        quant = features.type.quant
        error = np.abs((found.astype(float) - quant.zero_point) * quant.scale - expected).mean(axis=0)
        varies = expected.std(axis=0)
        errors.append((error[varies > 0] / varies[varies > 0]).mean())
    assert errors[1] < 0.8 * errors[0]
