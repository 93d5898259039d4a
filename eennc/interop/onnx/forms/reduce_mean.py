"""nn.reduce_mean: ONNX `ReduceMean` with constant axes."""

from __future__ import annotations

from eennc.interop.onnx.node import Node, axes_of
from eennc.interop.onnx.registry import reads, writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.identity import Identity
from eennc.ir.ops.reduce_mean import ReduceMean
from eennc.ir.values import Value


@reads("ReduceMean")
def read(node: Node) -> Value:
    """Read it; no axes mean all, or none where `noop_with_empty_axes` is set."""
    x = node.input(0)
    axes = axes_of(node.integers(1) or (), x.type.rank)
    if not axes:
        if node.attr("noop_with_empty_axes", 0):
            return node.add(Identity, x=x)
        axes = tuple(range(x.type.rank))
    return node.add(ReduceMean, x=x, axes=axes, keepdims=bool(node.attr("keepdims", 1)))


@writes(ReduceMean)
def write(op: ReduceMean, emit: Emitter) -> str:
    """Write it."""
    return emit.node("ReduceMean", [op.x, emit.integers(op.axes, "axes")], keepdims=int(op.keepdims))
