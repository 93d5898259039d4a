"""Real networks on real samples in integers: onnxruntime against the reference, layer by layer and as a whole."""

import numpy as np
import pytest
from real_integers import NETWORKS, build

from eennc.interop.onnx.execute import execute
from eennc.interop.onnx.session import Session
from eennc.interop.onnx.writer import OFFSET, plain_model
from eennc.ir.cuts import all_scores, without_exits
from eennc.ir.graph import Graph
from eennc.ir.interpreter import run_graph
from eennc.ir.values import Argument, Weight

ROWS = 24
AGREEMENT = {"dscnn_asc40": 0.995, "ecg_cnn_aami5": 0.995, "mlperftiny_resnet8_cifar10": 0.95}
"""Of classes. The last knows 3 of 4 images, so its two best classes are often as near as the layers' roundings."""


@pytest.mark.real
@pytest.mark.parametrize("name", NETWORKS)
def test_within_a_step_in_each_layer(name, shared_data) -> None:
    """Each op is fed the reference's own integers. As a whole, nearly all samples get the same class."""
    built = build(name, shared_data)
    main = all_scores(built.module.main)
    values = [result for op in main.ops for result in op.results]
    known = {main.arguments[0]: built.x[:ROWS]}
    whole = Graph("all", main.arguments, main.ops, values)
    known.update(zip(values, run_graph(built.module, whole, [built.x[:ROWS]]), strict=True))
    seen = 0
    for op in main.ops:
        if op.result.type.quant is None:
            continue
        inputs = list(dict.fromkeys(value for value in op.inputs if not isinstance(value, Weight)))
        arguments = {value: Argument(f"x{i}", value.type) for i, value in enumerate(inputs)}
        alone = op.rebuilt([arguments.get(value, value) for value in op.operands])
        model = plain_model(Graph("one", list(arguments.values()), [alone], [alone.result]), outputs=["y"], name="one")
        feeds = {f"x{i}": bytes_of(known[value]) for i, value in enumerate(inputs)}
        (found,) = Session(model).run(feeds)
        difference = np.abs(found.astype(int) - OFFSET - known[op.result])
        assert difference.max() <= 1, f"{op.name} {op.origin}"
        seen += 1
    assert seen > 20
    base = without_exits(built.module.main)
    (expected,) = run_graph(built.module, base, [built.x])
    (found,) = execute(base, built.x)
    agreement = (found.argmax(axis=1) == expected.argmax(axis=1)).mean()
    assert agreement >= AGREEMENT[name]


def bytes_of(array: np.ndarray) -> np.ndarray:
    """As ONNX has the integers."""
    return array if array.dtype != np.int8 else (array.astype(int) + OFFSET).astype(np.uint8)
