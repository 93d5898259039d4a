"""nn.slice, q.slice: ONNX `Slice` with constant limits."""

from __future__ import annotations

from eennc.interop.onnx.node import Node
from eennc.interop.onnx.registry import NotExpressible, reads, writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.q_slice import QSlice
from eennc.ir.ops.slice import Slice
from eennc.ir.values import Value


@reads("Slice")
def read(node: Node) -> Value:
    """Read it; without axes the first ones are meant, without steps 1."""
    starts, ends = node.integers(1), node.integers(2)
    if starts is None or ends is None:
        raise NotExpressible("limits are left out")
    axes = node.integers(3) or tuple(range(len(starts)))
    steps = node.integers(4) or (1,) * len(starts)
    return node.add(Slice, x=node.input(0), starts=starts, ends=ends, axes=axes, steps=steps)


@writes(Slice, QSlice)
def write(op: Slice, emit: Emitter) -> str:
    """Write it."""
    limits = [emit.integers(getattr(op, name), name) for name in ("starts", "ends", "axes", "steps")]
    return emit.node("Slice", [op.x, *limits])
