"""nn.sub: ONNX `Sub`."""

from __future__ import annotations

from eennc.interop.onnx.node import Node
from eennc.interop.onnx.registry import reads, writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.sub import Sub
from eennc.ir.values import Value


@reads("Sub")
def read(node: Node) -> Value:
    """Read it."""
    return node.add(Sub, a=node.input(0), b=node.input(1))


@writes(Sub)
def write(op: Sub, emit: Emitter) -> str:
    """Write it."""
    return emit.node("Sub", [op.a, op.b])
