"""nn.add: ONNX `Add`, and `Sum` as a chain."""

from __future__ import annotations

from eennc.interop.onnx.node import Node
from eennc.interop.onnx.registry import reads, writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.add import Add
from eennc.ir.ops.identity import Identity
from eennc.ir.values import Value


@reads("Add")
def read(node: Node) -> Value:
    """Read it."""
    return node.add(Add, a=node.input(0), b=node.input(1))


@reads("Sum")
def read_sum(node: Node) -> Value:
    """Read a sum of any number of operands, from the left."""
    total = node.input(0)
    if len(node.inputs) == 1:
        return node.add(Identity, x=total)
    for index in range(1, len(node.inputs)):
        total = node.add(Add, a=total, b=node.input(index))
    return total


@writes(Add)
def write(op: Add, emit: Emitter) -> str:
    """Write it."""
    return emit.node("Add", [op.a, op.b])
