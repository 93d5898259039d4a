"""nn.conv: ONNX `Conv` with constant weights."""

from __future__ import annotations

from eennc.interop.onnx.activation import activated
from eennc.interop.onnx.layout import channels_first, laid_out
from eennc.interop.onnx.node import Node
from eennc.interop.onnx.registry import reads, writes
from eennc.interop.onnx.windows import pads_of
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.conv import Conv
from eennc.ir.values import Value


@reads("Conv")
def read(node: Node) -> Value:
    """Read it."""
    weight = node.weight(1)
    kernel = weight.array.shape[2:]
    return node.add(
        Conv,
        x=node.input(0),
        weight=weight,
        bias=node.optional_weight(2),
        strides=node.attr("strides", ()),
        pads=pads_of(node, kernel),
        dilations=node.attr("dilations", ()),
        groups=node.attr("group", 1),
    )


@writes(Conv)
def write(op: Conv, emit: Emitter) -> str:
    """Write it."""
    y = emit.node(
        "Conv",
        [channels_first(emit, op.x), op.weight, op.bias],
        kernel_shape=op.kernel,
        strides=op.strides or None,
        pads=op.pads or None,
        dilations=op.dilations or None,
        group=op.groups,
    )
    return laid_out(emit, activated(emit, y, op.activation, op.x.type.dtype), op.result.type)
