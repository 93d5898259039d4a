"""nn.matmul: ONNX `MatMul` of two values; with a constant matrix on the right it is nn.dense."""

from __future__ import annotations

from eennc.interop.onnx.forms.dense import transposed
from eennc.interop.onnx.node import Node
from eennc.interop.onnx.registry import reads, writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.matmul import MatMul
from eennc.ir.values import Value, Weight


@reads("MatMul")
def read(node: Node) -> Value:
    """Read it."""
    a, b = node.input(0), node.input(1)
    if isinstance(b, Weight) and b.type.rank == 2 and not isinstance(a, Weight):
        return node.add(Dense, x=a, weight=transposed(node, b))
    return node.add(MatMul, a=a, b=b)


@writes(MatMul)
def write(op: MatMul, emit: Emitter) -> str:
    """Write it."""
    return emit.node("MatMul", [op.a, op.b])
