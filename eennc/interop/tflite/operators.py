"""The operators that are written: options, versions, and whether TFLite Micro has them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Operator:
    """options: name of the schema's table, without the T of its object form; None for none.

    version, integer_version: the lowest that covers what is written, on floats and where an operand is int8.
    """

    options: str | None
    version: int = 1
    integer_version: int = 2


OPERATORS: dict[str, Operator] = {
    "ADD": Operator("AddOptions"),
    "AVERAGE_POOL_2D": Operator("Pool2DOptions"),
    "CAST": Operator("CastOptions", integer_version=1),
    "CONCATENATION": Operator("ConcatenationOptions"),
    "CONV_2D": Operator("Conv2DOptions", integer_version=3),
    "DEPTHWISE_CONV_2D": Operator("DepthwiseConv2DOptions", version=2, integer_version=3),
    "DEQUANTIZE": Operator("DequantizeOptions"),
    "DIV": Operator("DivOptions", integer_version=1),
    "FULLY_CONNECTED": Operator("FullyConnectedOptions", integer_version=4),
    "GREATER": Operator("GreaterOptions"),
    "GREATER_EQUAL": Operator("GreaterEqualOptions"),
    "IF": Operator("IfOptions", integer_version=1),
    "LESS": Operator("LessOptions"),
    "LOG": Operator(None),
    "MAXIMUM": Operator("MaximumMinimumOptions"),
    "MAX_POOL_2D": Operator("Pool2DOptions"),
    "MEAN": Operator("ReducerOptions"),
    "MINIMUM": Operator("MaximumMinimumOptions"),
    "MUL": Operator("MulOptions"),
    "PAD": Operator("PadOptions"),
    "PADV2": Operator("PadV2Options"),
    "QUANTIZE": Operator("QuantizeOptions"),
    "REDUCE_MAX": Operator("ReducerOptions"),
    "RELU": Operator(None),
    "RELU6": Operator(None),
    "RESHAPE": Operator("ReshapeOptions", integer_version=1),
    "SLICE": Operator("SliceOptions"),
    "SOFTMAX": Operator("SoftmaxOptions"),
    "STRIDED_SLICE": Operator("StridedSliceOptions"),
    "SUB": Operator("SubOptions"),
    "SUM": Operator("ReducerOptions"),
    "TRANSPOSE": Operator("TransposeOptions"),
}
"""By the name that TFLite's schema gives them."""
