"""shape.of: ONNX `Shape`."""

from __future__ import annotations

from eennc.interop.onnx.node import Node
from eennc.interop.onnx.registry import reads, writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.shape_of import ShapeOf
from eennc.ir.ops.slice import Slice
from eennc.ir.values import Value


@reads("Shape")
def read(node: Node) -> Value:
    """Read it; `start` and `end` become a slice."""
    x = node.input(0)
    start, end, rank = node.attr("start", 0), node.attr("end"), x.type.rank
    shape = node.add(ShapeOf, x=x)
    if start == 0 and (end is None or end >= rank):
        return shape
    return node.add(Slice, x=shape, starts=(start,), ends=(rank if end is None else end,), axes=(0,), steps=(1,))


@writes(ShapeOf)
def write(op: ShapeOf, emit: Emitter) -> str:
    """Write it."""
    return emit.node("Shape", [op.x])
