"""Random networks in integers and in floats: .tflite against the interpreter."""

import sys
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, assume, event, given, settings
from tflite_runs import Micro

from eennc.backends.tflite.emission import plain_model
from eennc.data.splits import Split, Splits
from eennc.interop.tflite.registry import objection
from eennc.interop.tflite.session import LiteSession
from eennc.ir.graph import Module
from eennc.ir.interpreter import run_graph
from eennc.ir.ops.candidate import Candidate
from eennc.passes import register
from eennc.passes.base import Context
from eennc.passes.layout.channels_last import ChannelsLast
from eennc.passes.pipeline import Pipeline, build_passes
from eennc.support.diagnostics import UserError

sys.path.append(str(Path(__file__).resolve().parents[2] / "passes"))
from random_networks import networks

register()


def canonical(module: Module) -> Module:
    Pipeline(build_passes([("canonicalise", {})])).run(module, Context())
    module.main.ops = [op for op in module.main.ops if not isinstance(op, Candidate)]
    return module


def inputs(n: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(n, 4, 6, 6)).astype(np.float32)


@settings(max_examples=60, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(networks(exits=False))
def test_integers(module: Module) -> None:
    module = canonical(module)
    ctx = Context(data=Splits(calibration=Split("calibration", inputs(16))))
    try:
        Pipeline(build_passes([("calibrate", {}), ("quantize-int8", {})])).run(module, ctx)
    except UserError as error:
        event(error.message.partition("(")[0])
        if "quantize-int8: " not in error.message and "calibrate: " not in error.message:
            raise
        assume(False)
    x = inputs(4)
    (expected,) = run_graph(module, module.main, [x])
    quant = module.main.returns[0].type.quant
    real = (expected.astype(np.float32) - np.float32(quant.zero_point)) * np.float32(quant.scale)
    assume(all(objection(op) is None for op in module.main.ops))
    ChannelsLast().run(module, Context())
    event("compared")
    interpreter = Micro(plain_model(module.main))
    for row in range(len(x)):
        (found,) = interpreter.run([x[row : row + 1]], 1)
        np.testing.assert_array_equal(found[0], real[row])


@settings(max_examples=60, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(networks(exits=False))
def test_floats(module: Module) -> None:
    module = canonical(module)
    assume(all(objection(op) is None for op in module.main.ops))
    x = inputs(4)
    (expected,) = run_graph(module, module.main, [x])
    assume(np.isfinite(expected).all())
    ChannelsLast().run(module, Context())
    model = plain_model(module.main)
    event("compared")
    session = LiteSession(model, threads=1)
    interpreter = Micro(model)
    near = 1e-4 * max(1e-3, np.abs(expected).max())
    for row in range(len(x)):
        for found in (session.run(x[row : row + 1]), interpreter.run([x[row : row + 1]], 1)):
            np.testing.assert_allclose(found[0][0], expected[row], rtol=0, atol=near)
