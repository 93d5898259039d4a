"""nn.global_average_pool: ONNX `GlobalAveragePool`."""

from __future__ import annotations

from eennc.interop.onnx.layout import channels_first, laid_out
from eennc.interop.onnx.node import Node
from eennc.interop.onnx.registry import reads, writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.global_average_pool import GlobalAveragePool
from eennc.ir.values import Value


@reads("GlobalAveragePool")
def read(node: Node) -> Value:
    """Read it."""
    return node.add(GlobalAveragePool, x=node.input(0))


@writes(GlobalAveragePool)
def write(op: GlobalAveragePool, emit: Emitter) -> str:
    """Write it."""
    y = emit.node("GlobalAveragePool", [channels_first(emit, op.x)])
    return laid_out(emit, y, op.result.type)
