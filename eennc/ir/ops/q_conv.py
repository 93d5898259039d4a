"""q.conv."""

from __future__ import annotations

import math
from typing import cast

import numpy as np

from eennc.ir.activations import activation_field
from eennc.ir.fields import integer, ints, optional_tensor, tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.quantised import multipliers, quant_of, quantised, scale_field, stored, zero_point_field
from eennc.ir.types import Array, DType, Layout, Quant, TensorType
from eennc.ir.values import Weight
from eennc.ir.windows import Windows, canonical, channels_first, channels_of, feature_map, spatial_shape


@op("q.conv")
class QConv(Op):
    """Convolution of int8, as `nn.conv` with int32 sums. TFLite `CONV_2D`, `DEPTHWISE_CONV_2D`.

    weight: int8 [out_channels, in_channels / groups, kernel...], symmetric, real = scales[out_channel] * weight. bias:
    int32 [out_channels], in units of x's scale * scales. Padding stands for real zeros.
    """

    x = tensor()
    weight = tensor(dtype=DType.I8, constant=True)
    scales = tensor(rank=1, dtype=DType.F32, constant=True)
    bias = optional_tensor(rank=1, dtype=DType.I32, constant=True)
    strides = ints((), minimum=1)
    pads = ints((), minimum=0)
    dilations = ints((), minimum=1)
    groups = integer(1, minimum=1)
    activation = activation_field()
    scale = scale_field()
    zero_point = zero_point_field()

    def normalise(self) -> None:
        """One meaning, one form."""
        self.attrs["strides"] = canonical(self.strides, 1)
        self.attrs["pads"] = canonical(self.pads, 0)
        self.attrs["dilations"] = canonical(self.dilations, 1)

    def verify(self) -> None:
        """All factors must fit."""
        out = self.weight.type.concrete()[0]
        if self.scales.type.shape != (out,):
            raise self.fail(f"operand 'scales' must have shape [{out}], not {self.scales.type}")
        multipliers(self, self.factors())

    @property
    def kernel(self) -> tuple[int, ...]:
        """Spatial dimensions of the weight."""
        return self.weight.type.concrete()[2:]

    @property
    def depthwise(self) -> bool:
        """Whether each channel has filters of its own."""
        return self.groups > 1 and self.groups == channels_of(self.x.type)

    def factors(self) -> list[float]:
        """From sums to the result, per output channel: x's scale * the weight's over the result's."""
        x, y = quant_of(self, self.x.type, "x").scale, Quant(self.scale).scale
        return [x * float(scale) / y for scale in cast(Weight, self.scales).array]

    def windows(self) -> Windows:
        """The geometry."""
        spatial = spatial_shape(self, self.x.type, "x")
        if self.weight.type.rank != self.x.type.rank:
            raise self.fail(f"operand 'weight' must have rank {self.x.type.rank}, not {self.weight.type}")
        return Windows(self, spatial, self.kernel, self.strides, self.pads, self.dilations)

    def infer(self) -> TensorType:
        """A feature map of out_channels."""
        windows = self.windows()
        channels = channels_of(self.x.type)
        out, per_group = self.weight.type.concrete()[:2]
        if channels != per_group * self.groups:
            raise self.fail(f"operand 'weight' takes {per_group} x {self.groups} groups of channels, x has {channels}")
        if out % self.groups:
            raise self.fail(f"{out} output channels are not divisible by {self.groups} groups")
        if self.bias is not None and self.bias.type.shape != (out,):
            raise self.fail(f"operand 'bias' must have shape [{out}], not {self.bias.type}")
        return quantised(self, feature_map(self.x.type, out, windows.output), self.scale, self.zero_point)

    def evaluate(self, x: Array, weight: Array, scales: Array, bias: Array | None) -> Array:
        """Sums in floats that hold them exactly, so that matrix products may make them."""
        quant = quant_of(self, self.x.type, "x")
        windows = self.windows()
        real = channels_first(x, self.x.type).astype(np.float32)
        padded = windows.padded(real - np.float32(quant.zero_point), 0)
        kernel: Array = weight.astype(np.float64 if _deep(weight) else np.float32)
        sums = _depthwise(windows, padded, kernel) if self.depthwise else _grouped(windows, padded, kernel, self.groups)
        total = sums.astype(np.int64)
        if bias is not None:
            total += bias
        answer = stored(self, total, self.factors(), Quant(self.scale, self.zero_point), self.activation)
        last = self.x.type.layout is Layout.CHANNELS_LAST
        return answer if last else np.ascontiguousarray(np.moveaxis(answer, -1, 1))

    def macs(self) -> int:
        """Outputs times the weights that make one."""
        return self.result.type.elements() * math.prod(self.weight.type.concrete()[1:])

    @classmethod
    def cases(cls) -> list[Case]:
        """Plain, padded, strided, dilated, grouped, depthwise, activated; 1-D and 2-D; both layouts."""
        random = np.random.default_rng(0)

        def weights(*shape: int) -> tuple[Array, Array, Array]:
            return (
                random.integers(-127, 128, shape).astype(np.int8),
                random.uniform(0.001, 0.02, shape[0]).astype(np.float32),
                random.integers(-3000, 3000, shape[0]).astype(np.int32),
            )

        quant = Quant(0.05, -3)
        image, signal = (
            TensorType(("N", 4, 7, 6), DType.I8, None, quant),
            TensorType(("N", 4, 11), DType.I8, None, quant),
        )
        last = TensorType(("N", 7, 6, 4), DType.I8, Layout.CHANNELS_LAST, quant)
        y = {"scale": 0.3, "zero_point": 7}
        relu = {"scale": 0.2, "zero_point": -128, "activation": "relu"}
        return [
            Case("plain", (image, *weights(3, 4, 3, 3)[:2], None), y),
            Case("padded", (image, *weights(3, 4, 3, 2)), {"pads": (0, 1, 2, 0), "strides": (2, 1), **relu}),
            Case("dilated", (image, *weights(3, 4, 3, 2)), {"dilations": (2, 3), **y}),
            Case("grouped", (image, *weights(6, 2, 3, 3)), {"groups": 2, **relu}),
            Case("depthwise", (image, *weights(8, 1, 3, 3)), {"groups": 4, "pads": (1, 1, 1, 1), **y}),
            Case("last", (last, *weights(5, 4, 3, 3)), {"pads": (1, 1, 1, 1), "strides": (2, 2), **relu}),
            Case("signal", (signal, *weights(5, 4, 3)), {"strides": (2,), "pads": (1, 0), **y}),
        ]


def _deep(weight: Array) -> bool:
    """Whether a sum may need more than the 24 bits of float32."""
    return math.prod(weight.shape[1:]) * 255 * 127 >= 2**24


def _grouped(windows: Windows, padded: Array, weight: Array, groups: int) -> Array:
    """[n, outputs..., out_channels]: windows times weights, group by group."""
    views = windows.views(padded)
    rank = len(windows.spatial)
    n, out = padded.shape[0], weight.shape[0]
    views = views.reshape(n, groups, weight.shape[1], *views.shape[2:])
    # [n, g, c/g, outputs..., kernel...] -> [g, n * outputs, c/g * kernel]
    order = (1, 0, *range(3, 3 + rank), 2, *range(3 + rank, 3 + 2 * rank))
    rows = views.transpose(order).reshape(groups, n * math.prod(windows.output), -1).astype(weight.dtype, copy=False)
    columns = weight.reshape(groups, out // groups, -1).transpose(0, 2, 1)
    sums = np.matmul(rows, columns).reshape(groups, n, *windows.output, out // groups)
    return np.moveaxis(sums, 0, -2).reshape(n, *windows.output, out)


def _depthwise(windows: Windows, padded: Array, weight: Array) -> Array:
    """[n, outputs..., out_channels]: one product per tap for all channels at once."""
    channels = padded.shape[1]
    repeats = weight.shape[0] // channels
    last = np.ascontiguousarray(np.moveaxis(padded, 1, -1), weight.dtype)
    sums = np.zeros((padded.shape[0], *windows.output, channels, repeats), weight.dtype)
    for tap in np.ndindex(*windows.kernel):
        places = tuple(
            slice(t * d, t * d + (size - 1) * s + 1, s)
            for t, d, s, size in zip(tap, windows.dilations, windows.strides, windows.output, strict=True)
        )
        factors = weight[(slice(None), 0, *tap)].reshape(channels, repeats)
        sums += last[(slice(None), *places)][..., None] * factors
    return sums.reshape(*sums.shape[:-2], channels * repeats)
