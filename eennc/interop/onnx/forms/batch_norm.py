"""nn.batch_norm: ONNX `BatchNormalization` at inference."""

from __future__ import annotations

from eennc.interop.onnx.layout import channels_first, laid_out
from eennc.interop.onnx.node import Node
from eennc.interop.onnx.registry import NotExpressible, reads, writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.batch_norm import BatchNorm
from eennc.ir.values import Value


@reads("BatchNormalization")
def read(node: Node) -> Value:
    """Read it."""
    node.only_first_output()
    if node.attr("training_mode", 0):
        raise NotExpressible("training mode")
    return node.add(
        BatchNorm,
        x=node.input(0),
        scale=node.weight(1),
        bias=node.weight(2),
        mean=node.weight(3),
        variance=node.weight(4),
        epsilon=node.number_attr("epsilon", 1e-5),
    )


@writes(BatchNorm)
def write(op: BatchNorm, emit: Emitter) -> str:
    """Write it."""
    y = emit.node(
        "BatchNormalization", [channels_first(emit, op.x), op.scale, op.bias, op.mean, op.variance], epsilon=op.epsilon
    )
    return laid_out(emit, y, op.result.type)
