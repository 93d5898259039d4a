"""nn.dense, q.dense: TFLite `FULLY_CONNECTED`."""

from __future__ import annotations

from typing import cast

import numpy as np

from eennc.interop.tflite.activation import fused
from eennc.interop.tflite.builder import Subgraph, label
from eennc.interop.tflite.registry import writes
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.q_dense import QDense
from eennc.ir.values import Weight

PER_TENSOR, PER_OUTPUT = 4, 12
"""Versions of the operator."""


@writes(Dense, QDense)
def write(op: Dense | QDense, emit: Subgraph) -> None:
    """Write it."""
    inputs = [emit.of(op.x)]
    options = {"fusedActivationFunction": fused(op.activation), "keepNumDims": op.x.type.rank > 2}
    weight = cast(Weight, op.weight)
    bias = cast("Weight | None", op.bias)
    if isinstance(op, QDense):
        assert op.x.type.quant is not None
        scales = cast(Weight, op.scales).array
        array = np.zeros(weight.array.shape[0], np.int32) if bias is None else bias.array
        inputs.append(emit.constant(weight.array, weight.name, scales=scales))
        steps = np.float32(op.x.type.quant.scale) * scales
        inputs.append(emit.constant(array, f"{label(op)}/bias", scales=steps))
        version = PER_TENSOR if len(scales) == 1 else PER_OUTPUT
    else:
        inputs += [emit.of(weight), -1 if bias is None else emit.of(bias)]
        version = 1 if op.x.type.rank == 2 else 5
    emit.operator("FULLY_CONNECTED", inputs, emit.results(op), ("FullyConnectedOptions", options), version=version)
