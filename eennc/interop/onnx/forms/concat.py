"""nn.concat, q.concat: ONNX `Concat`."""

from __future__ import annotations

from eennc.interop.onnx.node import Node
from eennc.interop.onnx.registry import reads, writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.concat import Concat
from eennc.ir.ops.q_concat import QConcat
from eennc.ir.values import Value


@reads("Concat")
def read(node: Node) -> Value:
    """Read it."""
    xs = [node.input(index) for index in range(len(node.inputs))]
    return node.add(Concat, xs=xs, axis=node.attr("axis"))


@writes(Concat, QConcat)
def write(op: Concat, emit: Emitter) -> str:
    """Write it."""
    return emit.node("Concat", op.xs, axis=op.axis)
