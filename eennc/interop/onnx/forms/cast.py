"""nn.cast: ONNX `Cast`."""

from __future__ import annotations

import onnx.helper

from eennc.interop.onnx.node import Node, ir_dtype
from eennc.interop.onnx.registry import reads, writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.cast import Cast
from eennc.ir.types import DType
from eennc.ir.values import Value


@reads("Cast")
def read(node: Node) -> Value:
    """Read it."""
    return node.add(Cast, x=node.input(0), to=ir_dtype(node.attr("to")).value)


@writes(Cast)
def write(op: Cast, emit: Emitter) -> str:
    """Write it."""
    return emit.node("Cast", [op.x], to=onnx.helper.np_dtype_to_tensor_dtype(DType(op.to).numpy))
