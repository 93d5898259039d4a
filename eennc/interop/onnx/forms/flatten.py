"""nn.flatten: ONNX `Flatten`."""

from __future__ import annotations

from eennc.interop.onnx.node import Node
from eennc.interop.onnx.registry import reads, writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.flatten import Flatten
from eennc.ir.values import Value


@reads("Flatten")
def read(node: Node) -> Value:
    """Read it."""
    return node.add(Flatten, x=node.input(0), axis=node.attr("axis", 1))


@writes(Flatten)
def write(op: Flatten, emit: Emitter) -> str:
    """Write it."""
    return emit.node("Flatten", [op.x], axis=op.axis)
