"""nn.conv, q.conv: TFLite `CONV_2D`, `DEPTHWISE_CONV_2D`."""

from __future__ import annotations

from typing import cast

import numpy as np

from eennc.interop.tflite.activation import fused
from eennc.interop.tflite.builder import Subgraph, enum, label
from eennc.interop.tflite.registry import writes
from eennc.interop.tflite.windows import padded, padding_of
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.q_conv import QConv
from eennc.ir.types import Array
from eennc.ir.values import Weight
from eennc.ir.windows import channels_of


@writes(Conv, QConv)
def write(op: Conv | QConv, emit: Subgraph) -> None:
    """Write it; weights become [out, height, width, in], or [1, height, width, out] where depthwise."""
    windows = op.windows()
    x, padding = emit.of(op.x), padding_of(windows)
    if padding is None:
        x, padding = padded(op, x, op.x.type, windows, emit), "VALID"
    depthwise = op.groups > 1 and op.groups == channels_of(op.x.type)
    weight = cast(Weight, op.weight).array.transpose(*((1, 2, 3, 0) if depthwise else (0, 2, 3, 1)))
    scales = cast(Weight, op.scales).array if isinstance(op, QConv) else None
    bias = _bias(op)
    options = {
        "padding": enum("Padding", padding),
        "strideH": windows.strides[0],
        "strideW": windows.strides[1],
        "dilationHFactor": windows.dilations[0],
        "dilationWFactor": windows.dilations[1],
        "fusedActivationFunction": fused(op.activation),
    }
    if depthwise:
        options["depthMultiplier"] = weight.shape[-1] // op.groups
    inputs = [
        x,
        emit.constant(weight, cast(Weight, op.weight).name, scales=scales, axis=3 if depthwise else 0),
        emit.constant(bias, f"{label(op)}/bias", scales=_bias_scales(op)),
    ]
    kind, table = ("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions") if depthwise else ("CONV_2D", "Conv2DOptions")
    grouped = op.groups > 1 and not depthwise
    version = 6 if grouped else 3 if scales is not None else 2 if depthwise else 1
    emit.operator(kind, inputs, emit.results(op), (table, options), version=version)


def _bias(op: Conv | QConv) -> Array:
    if op.bias is not None:
        return cast(Weight, op.bias).array
    return np.zeros(op.weight.type.concrete()[0], np.int32 if isinstance(op, QConv) else np.float32)


def _bias_scales(op: Conv | QConv) -> Array | None:
    if not isinstance(op, QConv) or op.x.type.quant is None:
        return None
    return np.float32(op.x.type.quant.scale) * cast(Weight, op.scales).array
