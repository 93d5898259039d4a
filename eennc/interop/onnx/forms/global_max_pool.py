"""nn.global_max_pool: ONNX `GlobalMaxPool`."""

from __future__ import annotations

from eennc.interop.onnx.layout import channels_first, laid_out
from eennc.interop.onnx.node import Node
from eennc.interop.onnx.registry import reads, writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.global_max_pool import GlobalMaxPool
from eennc.ir.values import Value


@reads("GlobalMaxPool")
def read(node: Node) -> Value:
    """Read it."""
    return node.add(GlobalMaxPool, x=node.input(0))


@writes(GlobalMaxPool)
def write(op: GlobalMaxPool, emit: Emitter) -> str:
    """Write it."""
    y = emit.node("GlobalMaxPool", [channels_first(emit, op.x)])
    return laid_out(emit, y, op.result.type)
