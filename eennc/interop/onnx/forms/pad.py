"""nn.pad, q.pad: ONNX `Pad` with constants around."""

from __future__ import annotations

from eennc.interop.onnx.node import Node, axes_of
from eennc.interop.onnx.registry import NotExpressible, reads, writes
from eennc.interop.onnx.writer import OFFSET, Emitter
from eennc.ir.ops.pad import Pad
from eennc.ir.ops.q_pad import QPad
from eennc.ir.types import DType
from eennc.ir.values import Value


@reads("Pad")
def read(node: Node) -> Value:
    """Read it; pads of some axes only are spread over all."""
    x = node.input(0)
    pads = node.integers(1) or ()
    if node.attr("mode", "constant") != "constant":
        raise NotExpressible("another mode than constant")
    if node.optional(3) is not None:
        given, rank = node.integers(3) or (), x.type.rank
        spread = [0] * (2 * rank)
        if len(pads) != 2 * len(given) or len(axes_of(given, rank)) != len(given):
            raise NotExpressible("pads and axes do not fit")
        for index, axis in enumerate(given):
            spread[axis % rank] = pads[index]
            spread[axis % rank + rank] = pads[index + len(given)]
        pads = tuple(spread)
    return node.add(Pad, x=x, pads=pads, value=node.scalar(2, 0.0))


@writes(Pad)
def write(op: Pad, emit: Emitter) -> str:
    """Write it."""
    value = emit.scalar(op.value, op.x.type.dtype, "value") if op.value else None
    return emit.node("Pad", [op.x, emit.integers(op.pads, "pads"), value])


@writes(QPad)
def write_quantised(op: QPad, emit: Emitter) -> str:
    """Write it: real zeros are zero points."""
    assert op.x.type.quant is not None  # as the op asks
    zero = emit.scalar(op.x.type.quant.zero_point + OFFSET, DType.U8, "zero_point")
    return emit.node("Pad", [op.x, emit.integers(op.pads, "pads"), zero])
