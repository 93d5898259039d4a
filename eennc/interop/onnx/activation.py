"""Fused activations: ONNX has them as nodes of their own."""

from __future__ import annotations

from eennc.interop.onnx.forms.clip import clip
from eennc.interop.onnx.writer import Emitter
from eennc.ir.types import DType


def activated(emit: Emitter, y: str, activation: str, dtype: DType) -> str:
    """Write the activation of a convolution or dense op whose nodes give `y`."""
    if activation == "relu":
        return emit.node("Relu", [y])
    if activation == "relu6":
        return clip(emit, y, 0.0, 6.0, dtype)
    return y
