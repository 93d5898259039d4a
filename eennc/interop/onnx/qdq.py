"""Integer tensors around ONNX operators on floats: runtimes fuse DequantizeLinear, operator and QuantizeLinear.

Activations are uint8 in ONNX, 128 more than the dialect's int8, and weights int8: onnxruntime has fast kernels for this
pairing everywhere, and on x86 takes 4 times as long with int8 for both.
"""

from __future__ import annotations

import numpy as np

from eennc.interop.onnx.activation import activated
from eennc.interop.onnx.layout import channels_first, laid_out
from eennc.interop.onnx.writer import OFFSET, Emitter
from eennc.ir.op import Op
from eennc.ir.types import Array, DType, Quant
from eennc.ir.values import Value


def dequantised(emit: Emitter, value: Value, *, first: bool = False) -> str:
    """The name of a quantised value's real numbers; with `first` its channels are brought to the front."""
    quant = value.type.quant
    assert quant is not None  # as the dialect's ops ask
    name = channels_first(emit, value) if first else emit.name_of(value)
    return emit.node("DequantizeLinear", [name, *_parameters(emit, quant)], hint=f"{name}.real")


def real_weight(emit: Emitter, array: Array, scales: Array, name: str) -> str:
    """The name of a symmetric constant's real numbers, by one scale or one for each entry of the first axis."""
    each = len(scales) > 1
    scale = scales if each else scales.reshape(())
    inputs = [
        emit.constant(array, name),
        emit.constant(scale.astype(np.float32), f"{name}.scale"),
        emit.constant(np.zeros(scale.shape, array.dtype), f"{name}.zero"),
    ]
    return emit.node("DequantizeLinear", inputs, hint=f"{name}.real", axis=0 if each else None)


def quantised(emit: Emitter, op: Op, real: str, activation: str = "none", *, first: bool = False) -> str:
    """The name of an op's integer result, from its real one before the activation; with `first` channels are there."""
    type = op.result.type
    assert type.quant is not None
    real = activated(emit, real, activation, DType.F32)
    name = emit.node("QuantizeLinear", [real, *_parameters(emit, type.quant)])
    return laid_out(emit, name, type) if first else name


def _parameters(emit: Emitter, quant: Quant) -> list[str]:
    zero_point = quant.zero_point + OFFSET
    return [emit.scalar(quant.scale, DType.F32, "scale"), emit.scalar(zero_point, DType.U8, "zero_point")]
