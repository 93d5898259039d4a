"""nn.div: ONNX `Div`."""

from __future__ import annotations

from eennc.interop.onnx.node import Node
from eennc.interop.onnx.registry import reads, writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.div import Div
from eennc.ir.values import Value


@reads("Div")
def read(node: Node) -> Value:
    """Read it."""
    return node.add(Div, a=node.input(0), b=node.input(1))


@writes(Div)
def write(op: Div, emit: Emitter) -> str:
    """Write it."""
    return emit.node("Div", [op.a, op.b])
