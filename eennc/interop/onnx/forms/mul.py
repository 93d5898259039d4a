"""nn.mul: ONNX `Mul`."""

from __future__ import annotations

from eennc.interop.onnx.node import Node
from eennc.interop.onnx.registry import reads, writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.mul import Mul
from eennc.ir.values import Value


@reads("Mul")
def read(node: Node) -> Value:
    """Read it."""
    return node.add(Mul, a=node.input(0), b=node.input(1))


@writes(Mul)
def write(op: Mul, emit: Emitter) -> str:
    """Write it."""
    return emit.node("Mul", [op.a, op.b])
