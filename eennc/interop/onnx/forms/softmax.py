"""nn.softmax: ONNX `Softmax`."""

from __future__ import annotations

from eennc.interop.onnx.node import Node
from eennc.interop.onnx.registry import reads, writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.softmax import Softmax
from eennc.ir.values import Value


@reads("Softmax")
def read(node: Node) -> Value:
    """Read it."""
    return node.add(Softmax, x=node.input(0), axis=node.attr("axis", -1))


@writes(Softmax)
def write(op: Softmax, emit: Emitter) -> str:
    """Write it."""
    return emit.node("Softmax", [op.x], axis=op.axis)
