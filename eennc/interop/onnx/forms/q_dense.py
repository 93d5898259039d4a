"""q.dense: ONNX `Gemm`, or `MatMul` and `Add`, between DequantizeLinear and QuantizeLinear."""

from __future__ import annotations

from typing import cast

import numpy as np

from eennc.interop.onnx.qdq import dequantised, quantised, real_weight
from eennc.interop.onnx.registry import writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.q_dense import QDense
from eennc.ir.values import Weight


@writes(QDense)
def write(op: QDense, emit: Emitter) -> str:
    """Write it."""
    weight, scales, bias = (cast("Weight | None", value) for value in op.operands[1:])
    assert weight is not None
    assert scales is not None
    assert op.x.type.quant is not None
    x = dequantised(emit, op.x)
    units = np.float32(op.x.type.quant.scale) * scales.array
    added = [] if bias is None else [real_weight(emit, bias.array, units, bias.name)]
    if op.x.type.rank == 2:
        real = real_weight(emit, weight.array, scales.array, weight.name)
        y = emit.node("Gemm", [x, real, *added], transB=1)
    else:
        real = real_weight(emit, weight.array, scales.array, weight.name)
        y = emit.node("MatMul", [x, emit.node("Transpose", [real], perm=[1, 0])])
        if added:
            y = emit.node("Add", [y, *added])
    return quantised(emit, op, y, op.activation)
