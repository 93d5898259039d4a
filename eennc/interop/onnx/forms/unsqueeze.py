"""nn.unsqueeze: ONNX `Unsqueeze` with constant axes."""

from __future__ import annotations

from eennc.interop.onnx.node import Node
from eennc.interop.onnx.registry import reads, writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.unsqueeze import Unsqueeze
from eennc.ir.values import Value


@reads("Unsqueeze")
def read(node: Node) -> Value:
    """Read it."""
    return node.add(Unsqueeze, x=node.input(0), axes=node.integers(1) or ())


@writes(Unsqueeze)
def write(op: Unsqueeze, emit: Emitter) -> str:
    """Write it."""
    return emit.node("Unsqueeze", [op.x, emit.integers(op.axes, "axes")])
