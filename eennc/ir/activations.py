"""Activations that a convolution or dense op may carry."""

from __future__ import annotations

import numpy as np

from eennc.ir.fields import AttrField, choice
from eennc.ir.types import Array


def activation_field() -> AttrField[str]:
    """The attribute `activation`."""
    return choice("none", "relu", "relu6", default="none")


def activate(x: Array, activation: str) -> Array:
    """Apply it, in the dtype of `x`."""
    if activation == "none":
        return x
    return np.clip(x, x.dtype.type(0), x.dtype.type(6)) if activation == "relu6" else np.maximum(x, x.dtype.type(0))
