"""nn.squeeze: ONNX `Squeeze` with constant axes."""

from __future__ import annotations

from eennc.interop.onnx.node import Node
from eennc.interop.onnx.registry import NotExpressible, reads, writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.squeeze import Squeeze
from eennc.ir.values import Value


@reads("Squeeze")
def read(node: Node) -> Value:
    """Read it; without axes all of size 1 go, if it is known which these are."""
    x = node.input(0)
    axes = node.integers(1)
    if axes is None:
        if not x.type.known or x.type.batched:
            raise NotExpressible("the axes of size 1 are not known")
        axes = tuple(axis for axis, size in enumerate(x.type.shape) if size == 1)
    return node.add(Squeeze, x=x, axes=axes)


@writes(Squeeze)
def write(op: Squeeze, emit: Emitter) -> str:
    """Write it."""
    return emit.node("Squeeze", [op.x, emit.integers(op.axes, "axes")])
