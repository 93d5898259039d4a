"""nn.gather: ONNX `Gather`."""

from __future__ import annotations

from eennc.interop.onnx.node import Node
from eennc.interop.onnx.registry import reads, writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.gather import Gather
from eennc.ir.values import Value


@reads("Gather")
def read(node: Node) -> Value:
    """Read it."""
    return node.add(Gather, x=node.input(0), indices=node.input(1), axis=node.attr("axis", 0))


@writes(Gather)
def write(op: Gather, emit: Emitter) -> str:
    """Write it."""
    return emit.node("Gather", [op.x, op.indices], axis=op.axis)
