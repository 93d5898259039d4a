"""Padding of convolutions and pools as TFLite says it: SAME, VALID, or an operator in front."""

from __future__ import annotations

import numpy as np

from eennc.interop.tflite.builder import Subgraph, label
from eennc.ir.op import Op
from eennc.ir.types import TensorType
from eennc.ir.windows import Windows


def padding_of(windows: Windows) -> str | None:
    """`SAME` or `VALID` where TFLite's own padding is this one, else None."""
    if not any((*windows.begins, *windows.ends)):
        return "VALID"
    for i, size in enumerate(windows.spatial):
        reach = windows.dilations[i] * (windows.kernel[i] - 1) + 1
        places = -(-size // windows.strides[i])
        total = max((places - 1) * windows.strides[i] + reach - size, 0)
        if (windows.begins[i], windows.ends[i]) != (total // 2, total - total // 2):
            return None
    return "SAME"


def padded(op: Op, x: int, type: TensorType, windows: Windows, emit: Subgraph, value: float | None = None) -> int:
    """The tensor `x` of `type` with the windows' padding around it, as a new tensor: real zeros, or `value`."""
    pads = np.array([(0, 0), *zip(windows.begins, windows.ends, strict=True), (0, 0)], np.int32)
    shape = [size + int(grown) for size, grown in zip(type.concrete(1), pads.sum(axis=1), strict=True)]
    name = f"{label(op)}/pad"
    made = emit.tensor(type.with_shape(shape), name)
    widths = emit.constant(pads, f"{name}/widths")
    version = 1 if type.quant is None else 2
    if value is None:
        emit.operator("PAD", [x, widths], [made], ("PadOptions", {}), version=version)
    else:
        filler = emit.constant(np.array(value, type.dtype.numpy), f"{name}/value", quant=type.quant)
        emit.operator("PADV2", [x, widths, filler], [made], ("PadV2Options", {}), version=version)
    return made
