"""Scales that came with the network: a quantised ONNX model keeps its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from eennc.ir.given import GIVEN_SCALES
from eennc.ir.graph import Module
from eennc.ir.op import Op
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.q_dequantize import Dequantize
from eennc.ir.ops.q_quantize import Quantize
from eennc.ir.types import Quant
from eennc.ir.values import Value, Weight

EXACT = 1e-3
"""Of a step: how far a weight may lie from a multiple of its scale."""


@dataclass(frozen=True)
class Given:
    """quants: of values that were quantised and dequantised again. same: by what those two gave, the value itself."""

    quants: Mapping[Value, Quant]
    same: Mapping[Value, Value]


def absorb(module: Module) -> Given:
    """Take q.quantize and q.dequantize out of a float network: what they said comes back. The network then lacks the
    rounding, and the limits, that the integers will bring.
    """
    main = module.main
    quants: dict[Value, Quant] = {}
    same: dict[Value, Value] = {}
    kept: list[Op] = []
    for op in main.ops:
        if isinstance(op, Quantize):
            source = same.get(op.x, op.x)
            quants.setdefault(source, Quant(op.scale, op.zero_point))
            same[op.result] = source
        elif isinstance(op, Dequantize):
            same[op.result] = same[op.x]
        else:
            op.operands = [None if value is None else same.get(value, value) for value in op.operands]
            kept.append(op)
    main.ops = kept
    main.returns = [same.get(value, value) for value in main.returns]
    return Given(quants, same)


def given_scales(op: Conv | Dense) -> NDArray[np.float32] | None:
    """The scales that the weight of an op came with, float32 [outputs] or [1], or None where it is another by now."""
    noted = op.notes.get(GIVEN_SCALES)
    if noted is None:
        return None
    scales = np.array(cast("tuple[float, ...]", noted), np.float32)
    weight = cast(Weight, op.weight).array
    if len(scales) not in (1, len(weight)):
        return None
    steps = weight.reshape(len(weight), -1) / scales.astype(np.float64)[:, None]
    return scales if np.abs(steps - np.rint(steps)).max() < EXACT and np.abs(steps).max() < 128 + EXACT else None
