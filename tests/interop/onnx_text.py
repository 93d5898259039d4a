"""Small ONNX models from their text form, with random weights."""

from collections.abc import Mapping

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
from numpy.typing import NDArray

from eennc.interop.onnx.reader import module_from_proto
from eennc.interop.onnx.session import Session
from eennc.interop.onnx.writer import plain_model
from eennc.ir.graph import Module
from eennc.ir.verifier import verify


def network(
    body: str,
    *,
    x: str = "float[N, 4]",
    y: str = "float[N, 3]",
    opset: int = 20,
    ir: int = 8,
    domains: str = "",
    weights: Mapping[str, NDArray[np.generic] | tuple[int, ...]] | None = None,
) -> onnx.ModelProto:
    """`body` is the nodes, between input `x` and output `y`; a weight given by its shape is random."""
    model = onnx.parser.parse_model(
        f'<ir_version: {ir}, opset_import: ["" : {opset}{domains}]> net ({x} x) => ({y} y) {{ {body} }}'
    )
    random = np.random.default_rng(0)
    for name, given in (weights or {}).items():
        array = random.standard_normal(given).astype(np.float32) if isinstance(given, tuple) else given
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        if ir < 4:
            model.graph.input.append(
                onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            )
    return model


def names_of(module: Module) -> list[str]:
    """The ops in order."""
    return [op.attrs["op_type"] if op.name == "onnx.opaque" else op.name for op in module.main.ops]


def imported(model: onnx.ModelProto, *shapes: tuple[int, ...], tolerance: float = 1e-5) -> Module:
    """The module of a model; checks that it, written again, gives what the source gives for inputs of the shapes, and
    that it reads again as what it was.
    """
    module = module_from_proto(model, "net")
    verify(module)
    written = plain_model(module.main, outputs=["y"], name="net")
    onnx.checker.check_model(written, full_check=True)
    random = np.random.default_rng(1)
    source, ours = Session(model, threads=1), Session(written, threads=1)
    for shape in shapes:
        x = random.standard_normal(shape).astype(np.float32)
        (expected,), (found,) = source.run(x), ours.run(x)
        assert np.isfinite(expected).all()
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    again = module_from_proto(written, "net")
    verify(again)
    assert names_of(again) == names_of(module)
    assert [op.results[0].type for op in again.main.ops] == [op.results[0].type for op in module.main.ops]
    return module
