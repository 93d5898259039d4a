"""nn.fill: ONNX `ConstantOfShape` with a constant shape."""

from __future__ import annotations

import numpy as np
import onnx.numpy_helper

from eennc.interop.onnx.node import Node
from eennc.interop.onnx.registry import NotExpressible, reads, writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.fill import Fill
from eennc.ir.types import DType
from eennc.ir.values import Value


@reads("ConstantOfShape")
def read(node: Node) -> Value:
    """Read it; the default value is a float 0."""
    given = node.array_attr("value")
    value = np.zeros(1, np.float32) if given is None else given
    if value.size != 1:
        raise NotExpressible("the value is not a scalar")
    return node.add(
        Fill, shape=node.integers(0) or (), value=value.reshape(-1)[0].item(), dtype=DType.of(value.dtype).value
    )


@writes(Fill)
def write(op: Fill, emit: Emitter) -> str:
    """Write it."""
    value = onnx.numpy_helper.from_array(np.array([op.value], DType(op.dtype).numpy))
    return emit.node("ConstantOfShape", [emit.integers(op.shape, "shape")], value=value)
