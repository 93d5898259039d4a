"""Activations as TFLite's fused ones."""

from __future__ import annotations

from eennc.interop.tflite.builder import enum


def fused(activation: str) -> int:
    """The number of a fused activation."""
    return enum("ActivationFunctionType", activation.upper())
