"""nn.max_pool, q.max_pool: ONNX `MaxPool`."""

from __future__ import annotations

from eennc.interop.onnx.layout import channels_first, laid_out
from eennc.interop.onnx.node import Node
from eennc.interop.onnx.registry import reads, writes
from eennc.interop.onnx.windows import pads_of
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.max_pool import MaxPool
from eennc.ir.ops.q_max_pool import QMaxPool
from eennc.ir.values import Value


@reads("MaxPool")
def read(node: Node) -> Value:
    """Read it, while nothing takes the indices."""
    node.only_first_output()
    kernel = node.attr("kernel_shape")
    return node.add(
        MaxPool,
        x=node.input(0),
        kernel=kernel,
        strides=node.attr("strides", ()),
        pads=pads_of(node, kernel),
        dilations=node.attr("dilations", ()),
        ceil=bool(node.attr("ceil_mode", 0)),
    )


@writes(MaxPool, QMaxPool)
def write(op: MaxPool, emit: Emitter) -> str:
    """Write it."""
    y = emit.node(
        "MaxPool",
        [channels_first(emit, op.x)],
        kernel_shape=op.kernel,
        strides=op.strides or None,
        pads=op.pads or None,
        dilations=op.dilations or None,
        ceil_mode=int(op.ceil) or None,
    )
    return laid_out(emit, y, op.result.type)
