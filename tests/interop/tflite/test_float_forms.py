"""Float ops, brought to channels-last, in LiteRT and TFLite Micro against their numpy meaning."""

import numpy as np
import pytest
from tflite_runs import litert, micro, single

import eennc.ir.ops
from eennc.interop.tflite.registry import WRITINGS, load_forms, objection
from eennc.ir.graph import Graph, Module
from eennc.ir.interpreter import run_graph
from eennc.ir.op import OPS, Case
from eennc.ir.types import Layout, TensorType
from eennc.ir.values import Argument, Weight
from eennc.passes.base import Context
from eennc.passes.layout.channels_last import ChannelsLast
from eennc.support.registry import import_folder

import_folder(eennc.ir.ops)
load_forms()


def module_of(name: str, case: Case) -> tuple[Module, list[np.ndarray]]:
    random = np.random.default_rng(0)
    values, feeds = [], []
    for index, operand in enumerate(case.operands):
        if isinstance(operand, TensorType):
            values.append(Argument(f"x{index}", operand))
            drawn = random.uniform(case.low, case.high, operand.concrete(1))
            feeds.append((drawn if operand.dtype.is_float else np.abs(drawn * 50)).astype(operand.dtype.numpy))
        else:
            values.append(None if operand is None else Weight(f"w{index}", operand))
    cls = OPS.get(name)
    fields = {
        slot.name: values[i:] if slot.variadic else (values[i] if i < len(values) else None)
        for i, slot in enumerate(cls.operand_fields)
    }
    op = cls(**fields, **case.attrs)
    arguments = [value for value in values if isinstance(value, Argument)]
    return Module("case", Graph("main", arguments, [op], [op.result])), feeds


CASES = [
    pytest.param(name, case, id=f"{name}-{case.label}")
    for name in OPS
    if name.startswith("nn.") and name in WRITINGS
    for case in OPS.get(name).cases()
    # signals are channels-first; the pass gives them a second axis
    if not any(
        getattr(operand, "layout", None) is Layout.CHANNELS_LAST and operand.rank == 3 for operand in case.operands
    )
]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_what_the_op_means(name: str, case: Case) -> None:
    module, feeds = module_of(name, case)
    (op,) = module.main.ops
    if why := objection(op):
        assert len(why) > 10
        return
    (expected,) = run_graph(module, module.main, feeds)
    ChannelsLast().run(module, Context())
    model = single(module.main)
    for (found,) in (litert(model, feeds), litert(model, feeds, reference=False), micro(model, feeds)):
        if module.main.returns[0].type.layout is Layout.CHANNELS_LAST and case.operands[0].layout is None:
            found = np.moveaxis(found, -1, 1).reshape(expected.shape)
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * max(1, np.abs(expected).max()))


def test_what_there_is_no_form_for() -> None:
    missing = {name for name in OPS if name.startswith("nn.") and name not in WRITINGS}
    assert missing == {"nn.fill", "nn.gather", "nn.matmul"}
