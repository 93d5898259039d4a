"""From a float op to its twin of the q dialect, one function per kind of op."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from eennc.ir.axes import normal_axes
from eennc.ir.op import Op
from eennc.ir.ops.add import Add
from eennc.ir.ops.average_pool import AveragePool
from eennc.ir.ops.batch_norm import BatchNorm
from eennc.ir.ops.clip import Clip
from eennc.ir.ops.concat import Concat
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.div import Div
from eennc.ir.ops.flatten import Flatten
from eennc.ir.ops.global_average_pool import GlobalAveragePool
from eennc.ir.ops.global_max_pool import GlobalMaxPool
from eennc.ir.ops.identity import Identity
from eennc.ir.ops.max_pool import MaxPool
from eennc.ir.ops.mul import Mul
from eennc.ir.ops.opaque import WHY, Opaque
from eennc.ir.ops.pad import Pad
from eennc.ir.ops.q_add import QAdd
from eennc.ir.ops.q_average_pool import QAveragePool
from eennc.ir.ops.q_concat import QConcat
from eennc.ir.ops.q_conv import QConv
from eennc.ir.ops.q_dense import QDense
from eennc.ir.ops.q_max_pool import QMaxPool
from eennc.ir.ops.q_mean import QMean
from eennc.ir.ops.q_mul import QMul
from eennc.ir.ops.q_pad import QPad
from eennc.ir.ops.q_requantize import Requantize
from eennc.ir.ops.q_reshape import QReshape
from eennc.ir.ops.q_slice import QSlice
from eennc.ir.ops.q_softmax import QSoftmax
from eennc.ir.ops.q_sub import QSub
from eennc.ir.ops.q_transpose import QTranspose
from eennc.ir.ops.reduce_mean import ReduceMean
from eennc.ir.ops.relu import Relu
from eennc.ir.ops.reshape import Reshape
from eennc.ir.ops.slice import Slice
from eennc.ir.ops.softmax import Softmax
from eennc.ir.ops.squeeze import Squeeze
from eennc.ir.ops.sub import Sub
from eennc.ir.ops.transpose import Transpose
from eennc.ir.ops.unsqueeze import Unsqueeze
from eennc.ir.types import BATCH, Layout, Quant, TensorType
from eennc.ir.values import Value, Weight
from eennc.ir.windows import channels_of, spatial_axes, spatial_shape
from eennc.passes.canonicalise.affine import affine_of, source_of
from eennc.passes.canonicalise.fuse_activation import activation_of
from eennc.passes.quantise.given import given_scales
from eennc.passes.quantise.moments import Moments
from eennc.passes.quantise.parameters import given_weight, quantised_weight
from eennc.support.diagnostics import UserError

Conversion = Callable[["Converter", Any], Value]
CONVERSIONS: dict[type[Op], Conversion] = {}


FLOAT_OP = "float_op"
"""The note that says which op of the float network, by its number, gives the same value."""


class Converter:
    """What a conversion may ask and do: `q` the converted form of a value, `quants` what each float value is to have,
    `names` for new weights, `moments` of what weighted ops take, `places` of the float ops; `add` appends an op.
    """

    def __init__(
        self,
        q: Callable[[Value], Value],
        quants: Mapping[Value, Quant],
        names: Callable[[str, str], str],
        moments: Mapping[Value, Moments],
        *,
        places: Mapping[Op, int],
        conv_per_output: bool,
        dense_per_output: bool,
        correct_bias: bool,
    ) -> None:
        self.q = q
        self.quants = quants
        self.names = names
        self.moments = moments
        self.places = places
        self.correct_bias = correct_bias
        self.conv_per_output = conv_per_output
        self.dense_per_output = dense_per_output
        self.ops: list[Op] = []
        self.origin_of: Op | None = None
        self.behind: Op | None = None

    def add(self, op: Op) -> Value:
        """Append an op; it comes from where the op that is being converted came from."""
        assert self.origin_of is not None
        op.origin = self.origin_of.origin.via("quantize-int8")
        op.notes.update({name: note for name, note in self.origin_of.notes.items() if name in ("head", "reduction")})
        op.notes[FLOAT_OP] = self.places[self.behind or self.origin_of]
        self.ops.append(op)
        return op.result

    def convert(self, op: Op, behind: Op | None = None) -> Value:
        """The twin of an op, with the ReLU `behind` it. Raises UserError for an op without a twin."""
        self.origin_of = op
        self.behind = behind
        if type(op) not in CONVERSIONS:
            why = f": {op.notes[WHY]}" if WHY in op.notes else ""
            raise UserError(f"quantize-int8: {_named(op)} has no form in integers{why}")
        return CONVERSIONS[type(op)](self, op)

    def brought(self, x: Value, wanted: Value) -> Value:
        """An integer value by the scale and zero point that a float value is to have."""
        quant = self.quants[wanted]
        if x.type.quant == quant:
            return x
        return self.add(Requantize(x=x, scale=shortest(quant.scale), zero_point=quant.zero_point))

    @property
    def activation(self) -> str:
        """That of the ReLU behind the op which is being converted, or `none`."""
        return "none" if self.behind is None else activation_of(self.behind) or "none"

    def result(self, op: Op) -> dict[str, Any]:
        """The attributes for the quantisation of an op's result, or of the activation's behind it."""
        quant = self.quants[(self.behind or op).result]
        return {"scale": shortest(quant.scale), "zero_point": quant.zero_point}


def converts(*ops: type[Op]) -> Callable[[Conversion], Conversion]:
    """Decorator: the function converts these ops."""

    def register(conversion: Conversion) -> Conversion:
        CONVERSIONS.update(dict.fromkeys(ops, conversion))
        return conversion

    return register


def _named(op: Op) -> str:
    name = f"ONNX {op.op_type}" if isinstance(op, Opaque) else op.name
    return f"{name} ({op.origin})" if str(op.origin) else name


@converts(Conv, Dense)
def _weighted(given: Converter, op: Conv | Dense) -> Value:
    x = given.q(op.x)
    weight, bias = cast(Weight, op.weight), cast("Weight | None", op.bias)
    for part in (weight, bias):
        if part is not None and not np.isfinite(part.array).all():
            raise UserError(f"quantize-int8: weight '{part.name}' of {_named(op)} holds NaN or infinity")
    y = given.quants[op.result]
    assert x.type.quant is not None
    per_output = given.conv_per_output if isinstance(op, Conv) else given.dense_per_output
    moments = given.moments.get(op.x)
    own = given_scales(op)
    if own is not None:
        found = given_weight(weight.array, None if bias is None else bias.array, x.type.quant, own)
    else:
        found = quantised_weight(
            weight.array,
            None if bias is None else bias.array,
            x.type.quant,
            y,
            per_output=per_output,
            moments=None if moments is None else moments.of_weight(op),
            correct=given.correct_bias,
        )
    scales = found.scales
    if isinstance(op, Conv) and len(scales) == 1:
        scales = np.repeat(scales, len(weight.array))
    operands: dict[str, Any] = {
        "x": x,
        "weight": Weight(given.names(weight.name, "int8"), found.weight),
        "scales": Weight(given.names(weight.name, "scales"), scales),
        "bias": None if found.bias is None else Weight(given.names(_bias_name(op), "int32"), found.bias),
        "activation": op.activation,
        **given.result(op),
    }
    if isinstance(op, Dense):
        return given.add(QDense(**operands))
    shape: dict[str, Any] = {name: op.attrs[name] for name in ("strides", "pads", "dilations", "groups")}
    return given.add(QConv(**operands, **shape))


def _bias_name(op: Conv | Dense) -> str:
    return (cast("Weight | None", op.bias) or cast(Weight, op.weight)).name


_SUMS: dict[type[Op], type[QAdd | QSub | QMul]] = {Add: QAdd, Sub: QSub, Mul: QMul}


@converts(Add, Sub, Mul)
def _elementwise(given: Converter, op: Add | Sub | Mul) -> Value:
    if any(isinstance(value, Weight) for value in op.inputs):
        return _affine(given, op)
    cls = _SUMS[type(op)]
    operands = {"a": given.q(op.a), "b": given.q(op.b)}
    return given.add(cls(**operands, activation=given.activation, **given.result(op)))


@converts(BatchNorm, Div)
def _affine(given: Converter, op: Op) -> Value:
    """Channels with a factor and a shift each: a depthwise convolution of one cell, whose scales are per channel."""
    source = source_of(op)
    last = source is not None and source.type.layout is Layout.CHANNELS_LAST
    found = None
    if source is not None and source.type.rank in (3, 4) and op.result.type.shape == source.type.shape:
        found = affine_of(op, source.type.rank - 1 if last else 1)
    if source is None or found is None:
        raise UserError(f"quantize-int8: {_named(op)} has no form in integers: it is no factor and shift per channel")
    x, channels = given.q(source), int(channels_of(source.type))
    factor, shift = (np.broadcast_to(part, channels) for part in found)
    assert x.type.quant is not None
    stored = quantised_weight(
        factor.reshape(channels, 1),
        shift,
        x.type.quant,
        given.quants[(given.behind or op).result],
        per_output=True,
        moments=None,
        correct=False,
    )
    assert stored.bias is not None
    kernel = stored.weight.reshape(channels, *[1] * (source.type.rank - 1))
    name = next((value.name for value in op.inputs if isinstance(value, Weight)), "factor")
    return given.add(
        QConv(
            x=x,
            weight=Weight(given.names(name, "int8"), kernel),
            scales=Weight(given.names(name, "scales"), stored.scales),
            bias=Weight(given.names(name, "int32"), stored.bias),
            groups=channels,
            activation=given.activation,
            **given.result(op),
        )
    )


@converts(Relu, Clip)
def _relu(given: Converter, op: Relu | Clip) -> Value:
    activation = activation_of(op)
    if activation is None:
        raise UserError(f"quantize-int8: {_named(op)} is neither ReLU nor ReLU6")
    return given.add(Requantize(x=given.q(op.inputs[0]), activation=activation, **given.result(op)))


@converts(MaxPool, AveragePool)
def _pool(given: Converter, op: MaxPool | AveragePool) -> Value:
    if isinstance(op, AveragePool) and op.count_include_pad and any(op.pads):
        return _padded_average(given, op)
    cls = QMaxPool if isinstance(op, MaxPool) else QAveragePool
    shape: dict[str, Any] = {name: op.attrs[name] for name in ("kernel", "strides", "pads", "dilations", "ceil")}
    return given.brought(given.add(cls(x=given.q(op.x), **shape)), op.result)


def _padded_average(given: Converter, op: AveragePool) -> Value:
    """An average that counts its padding is a depthwise convolution of ones."""
    if op.ceil:
        raise UserError(f"quantize-int8: {_named(op)} counts its padding and rounds up, which has no form in integers")
    channels = int(channels_of(op.x.type))
    ones = np.ones((channels, 1, *op.kernel), np.int8)
    share = np.full(channels, 1 / math.prod(op.kernel), np.float32)
    shape: dict[str, Any] = {name: op.attrs[name] for name in ("strides", "pads", "dilations")}
    return given.add(
        QConv(
            x=given.q(op.x),
            weight=Weight(given.names("average", "int8"), ones),
            scales=Weight(given.names("average", "scales"), share),
            groups=channels,
            **shape,
            **given.result(op),
        )
    )


@converts(GlobalMaxPool)
def _global_max(given: Converter, op: GlobalMaxPool) -> Value:
    x = given.q(op.x)
    return given.brought(given.add(QMaxPool(x=x, kernel=spatial_shape(op, x.type, "x"))), op.result)


@converts(GlobalAveragePool)
def _global_average(given: Converter, op: GlobalAveragePool) -> Value:
    return given.add(QMean(x=given.q(op.x), **given.result(op)))


@converts(ReduceMean)
def _reduce_mean(given: Converter, op: ReduceMean) -> Value:
    type = op.x.type
    if type.rank not in (3, 4) or sorted(normal_axes(op, op.axes, type.rank)) != list(spatial_axes(type)):
        raise UserError(f"quantize-int8: {_named(op)} is a mean over other axes than the spatial ones")
    mean = given.add(QMean(x=given.q(op.x), **given.result(op)))
    return mean if op.keepdims else given.add(QReshape(x=mean, shape=static_shape(op.result.type)))


@converts(Softmax)
def _softmax(given: Converter, op: Softmax) -> Value:
    if op.axis % op.x.type.rank != op.x.type.rank - 1:
        raise UserError(f"quantize-int8: {_named(op)} is not along the last axis")
    return given.add(QSoftmax(x=given.q(op.x)))


@converts(Flatten, Reshape, Squeeze, Unsqueeze)
def _reshape(given: Converter, op: Op) -> Value:
    return given.brought(given.add(QReshape(x=given.q(op.inputs[0]), shape=static_shape(op.result.type))), op.result)


@converts(Identity)
def _identity(given: Converter, op: Identity) -> Value:
    return given.brought(given.q(op.x), op.result)


@converts(Transpose)
def _transpose(given: Converter, op: Transpose) -> Value:
    return given.brought(given.add(QTranspose(x=given.q(op.x), perm=op.perm)), op.result)


@converts(Slice)
def _slice(given: Converter, op: Slice) -> Value:
    made = QSlice(x=given.q(op.x), starts=op.starts, ends=op.ends, axes=op.axes, steps=op.steps)
    return given.brought(given.add(made), op.result)


@converts(Pad)
def _pad(given: Converter, op: Pad) -> Value:
    if op.value != 0 or min(op.pads, default=0) < 0:
        raise UserError(f"quantize-int8: {_named(op)} puts in other numbers than zeros, or crops")
    return given.brought(given.add(QPad(x=given.q(op.x), pads=op.pads)), op.result)


@converts(Concat)
def _concat(given: Converter, op: Concat) -> Value:
    return given.add(QConcat(xs=[given.brought(given.q(x), op.result) for x in op.xs], axis=op.axis))


def shortest(scale: float) -> float:
    """The number of fewest digits that is the same in float32."""
    return float(str(np.float32(scale)))


def static_shape(type: TensorType) -> Sequence[int]:
    """A shape for a reshape: -1 stands for the batch."""
    return [-1 if dim == BATCH else int(dim) for dim in type.shape]
