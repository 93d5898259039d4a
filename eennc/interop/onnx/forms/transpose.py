"""nn.transpose, q.transpose: ONNX `Transpose`."""

from __future__ import annotations

from eennc.interop.onnx.node import Node
from eennc.interop.onnx.registry import reads, writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.q_transpose import QTranspose
from eennc.ir.ops.transpose import Transpose
from eennc.ir.values import Value


@reads("Transpose")
def read(node: Node) -> Value:
    """Read it; without `perm` the axes are reversed."""
    x = node.input(0)
    return node.add(Transpose, x=x, perm=node.attr("perm") or range(x.type.rank)[::-1])


@writes(Transpose, QTranspose)
def write(op: Transpose, emit: Emitter) -> str:
    """Write it."""
    return emit.node("Transpose", [op.x], perm=op.perm)
