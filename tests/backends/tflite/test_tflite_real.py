"""Real networks: floats against onnxruntime; integers, on real samples, bit for bit in TFLite Micro and LiteRT."""

import numpy as np
import pytest
from real_floats import NETWORKS as FLOATS
from real_floats import known
from real_integers import NETWORKS, Built, build
from tflite_runs import Micro

from eennc.backends.tflite.emission import early_exit_model
from eennc.interop.tflite.session import LiteSession
from eennc.ir.cuts import exits_of
from eennc.ir.graph import Module
from eennc.ir.values import Weight
from eennc.passes.base import Context
from eennc.passes.exits.form_segments import FormSegments
from eennc.passes.layout.channels_last import ChannelsLast


def lowered(module: Module) -> bytes:
    copy = module.copy()
    for p in (ChannelsLast(), FormSegments()):
        p.run(copy, Context())
    return early_exit_model(copy)


@pytest.fixture(scope="module", params=NETWORKS)
def built(request, shared_data) -> Built:
    return build(request.param, shared_data)


def in_micro(module: Module, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores in steps, and exits."""
    interpreter = Micro(lowered(module))
    runs = [interpreter.run([x[i : i + 1]], 2) for i in range(len(x))]
    real, exit = (np.concatenate(column) for column in zip(*runs, strict=True))
    return steps(module, real), exit


def steps(module: Module, real: np.ndarray) -> np.ndarray:
    quant = module.main.returns[0].type.quant
    return np.rint(real / np.float32(quant.scale)).astype(int) + quant.zero_point


@pytest.mark.real
@pytest.mark.parametrize("name", FLOATS)
def test_floats_are_onnxruntimes(name, shared_data) -> None:
    network = known(name, shared_data)
    session = LiteSession(lowered(network.module), threads=1)
    runs = [session.run(network.x[i : i + 1]) for i in range(len(network.x))]
    network.agrees(*(np.concatenate(parts) for parts in zip(*runs, strict=True)))


@pytest.mark.real
def test_tflite_micro_gives_every_bit(built) -> None:
    scores, exit = in_micro(built.module, built.x)
    np.testing.assert_array_equal(exit, built.exit)
    np.testing.assert_array_equal(scores, built.scores)


@pytest.mark.real
def test_litert_differs_by_one_rounding(built) -> None:
    """Its reference kernel of FULLY_CONNECTED rounds once, the specification's arithmetic twice."""
    session = LiteSession(lowered(built.module), reference=True)
    runs = [session.run(built.x[i : i + 1]) for i in range(len(built.x))]
    real, exit = (np.concatenate(column) for column in zip(*runs, strict=True))
    same = exit == built.exit
    assert same.mean() > 0.99
    difference = np.abs(steps(built.module, real)[same] - built.scores[same])
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.02


@pytest.mark.real
@pytest.mark.parametrize("what", ["threshold", "weight", "bias"])
def test_one_step_is_seen(built, what: str) -> None:
    """The threshold of the most used exit, or a weight or a bias of the first convolution."""
    module = built.module.copy()
    if what == "threshold":
        exit = exits_of(module.main)[int(np.bincount(built.exit)[:-1].argmax())]
        exit.attrs["threshold"] = float(exit.threshold + exit.unit / exit.temperature)
    else:
        conv = next(op for op in module.main.ops if op.name == "q.conv")
        given = getattr(conv, what)
        array = given.array.copy()
        array.flat[0] += 1 if array.flat[0] < 127 else -1
        conv.operands[conv.operand_index(what)] = Weight(given.name, array)
    scores, taken = in_micro(module, built.x)
    assert (scores != built.scores).any() or (taken != built.exit).any()
