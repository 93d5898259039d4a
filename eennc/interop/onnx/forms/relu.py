"""nn.relu: ONNX `Relu`."""

from __future__ import annotations

from eennc.interop.onnx.node import Node
from eennc.interop.onnx.registry import reads, writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.relu import Relu
from eennc.ir.values import Value


@reads("Relu")
def read(node: Node) -> Value:
    """Read it."""
    return node.add(Relu, x=node.input(0))


@writes(Relu)
def write(op: Relu, emit: Emitter) -> str:
    """Write it."""
    return emit.node("Relu", [op.x])
