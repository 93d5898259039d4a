"""nn.average_pool: ONNX `AveragePool`."""

from __future__ import annotations

from eennc.interop.onnx.layout import channels_first, laid_out
from eennc.interop.onnx.node import Node
from eennc.interop.onnx.registry import reads, writes
from eennc.interop.onnx.windows import pads_of
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.average_pool import AveragePool
from eennc.ir.values import Value


@reads("AveragePool")
def read(node: Node) -> Value:
    """Read it."""
    kernel = node.attr("kernel_shape")
    return node.add(
        AveragePool,
        x=node.input(0),
        kernel=kernel,
        strides=node.attr("strides", ()),
        pads=pads_of(node, kernel),
        dilations=node.attr("dilations", ()),
        ceil=bool(node.attr("ceil_mode", 0)),
        count_include_pad=bool(node.attr("count_include_pad", 0)),
    )


@writes(AveragePool)
def write(op: AveragePool, emit: Emitter) -> str:
    """Write it."""
    y = emit.node(
        "AveragePool",
        [channels_first(emit, op.x)],
        kernel_shape=op.kernel,
        strides=op.strides or None,
        pads=op.pads or None,
        dilations=op.dilations or None,
        ceil_mode=int(op.ceil) or None,
        count_include_pad=int(op.count_include_pad) or None,
    )
    return laid_out(emit, y, op.result.type)
