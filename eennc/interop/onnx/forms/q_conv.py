"""q.conv: ONNX `Conv` between DequantizeLinear and QuantizeLinear."""

from __future__ import annotations

from typing import cast

import numpy as np

from eennc.interop.onnx.qdq import dequantised, quantised, real_weight
from eennc.interop.onnx.registry import writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.q_conv import QConv
from eennc.ir.values import Weight


@writes(QConv)
def write(op: QConv, emit: Emitter) -> str:
    """Write it."""
    weight, scales, bias = (cast("Weight | None", value) for value in op.operands[1:])
    assert weight is not None
    assert scales is not None
    assert op.x.type.quant is not None
    inputs = [
        dequantised(emit, op.x, first=True),
        real_weight(emit, weight.array, scales.array, weight.name),
    ]
    if bias is not None:
        units = np.float32(op.x.type.quant.scale) * scales.array
        inputs.append(real_weight(emit, bias.array, units, bias.name))
    y = emit.node(
        "Conv",
        inputs,
        kernel_shape=op.kernel,
        strides=op.strides or None,
        pads=op.pads or None,
        dilations=op.dilations or None,
        group=op.groups,
    )
    return quantised(emit, op, y, op.activation, first=True)
