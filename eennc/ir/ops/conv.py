"""nn.conv."""

from __future__ import annotations

import math

import numpy as np

from eennc.ir.activations import activate, activation_field
from eennc.ir.fields import integer, ints, optional_tensor, tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.types import Array, DType, Layout, TensorType
from eennc.ir.windows import Windows, canonical, channels_first, channels_of, feature_map, laid_out, spatial_shape


@op("nn.conv")
class Conv(Op):
    """Convolution over one or two spatial axes, in the layout of x. ONNX `Conv`.

    weight: [out_channels, in_channels / groups, kernel...]; bias: [out_channels]; pads: begins, then ends. Depthwise
    is `groups` = channels. `strides`, `pads` and `dilations` of `()` mean all ones, zeros, ones.
    """

    x = tensor(floats=True)
    weight = tensor(constant=True)
    bias = optional_tensor(rank=1, constant=True)
    strides = ints((), minimum=1)
    pads = ints((), minimum=0)
    dilations = ints((), minimum=1)
    groups = integer(1, minimum=1)
    activation = activation_field()

    def normalise(self) -> None:
        """One meaning, one form."""
        self.attrs["strides"] = canonical(self.strides, 1)
        self.attrs["pads"] = canonical(self.pads, 0)
        self.attrs["dilations"] = canonical(self.dilations, 1)

    @property
    def kernel(self) -> tuple[int, ...]:
        """Spatial dimensions of the weight."""
        return self.weight.type.concrete()[2:]

    def windows(self) -> Windows:
        """The geometry."""
        spatial = spatial_shape(self, self.x.type, "x")
        if self.weight.type.rank != self.x.type.rank:
            raise self.fail(f"operand 'weight' must have rank {self.x.type.rank}, not {self.weight.type}")
        return Windows(self, spatial, self.kernel, self.strides, self.pads, self.dilations)

    def infer(self) -> TensorType:
        """[n, out_channels, spatial...]."""
        self.check_one_dtype()
        windows = self.windows()
        channels = channels_of(self.x.type)
        out, per_group = self.weight.type.concrete()[:2]
        if channels != per_group * self.groups:
            raise self.fail(f"operand 'weight' takes {per_group} x {self.groups} groups of channels, x has {channels}")
        if out % self.groups:
            raise self.fail(f"{out} output channels are not divisible by {self.groups} groups")
        if self.bias is not None and self.bias.type.shape != (out,):
            raise self.fail(f"operand 'bias' must have shape [{out}], not {self.bias.type}")
        return feature_map(self.x.type, out, windows.output)

    def evaluate(self, x: Array, weight: Array, bias: Array | None) -> Array:
        """Windows times weights, group by group."""
        windows = self.windows()
        views = windows.views(windows.padded(channels_first(x, self.x.type), 0))
        rank = len(windows.spatial)
        n, groups = x.shape[0], self.groups
        out, per_group = weight.shape[:2]
        # [n, g, c/g, outputs..., kernel...] -> [g, n * outputs, c/g * kernel]
        views = views.reshape(n, groups, per_group, *views.shape[2:])
        order = (1, 0, *range(3, 3 + rank), 2, *range(3 + rank, 3 + 2 * rank))
        rows = views.transpose(order).reshape(groups, n * math.prod(windows.output), -1)
        columns = weight.reshape(groups, out // groups, -1).transpose(0, 2, 1)
        y = np.matmul(rows, columns).reshape(groups, n, *windows.output, out // groups)
        y = np.moveaxis(y, (1, 0, -1), (0, 1, 2)).reshape(n, out, *windows.output)
        if bias is not None:
            y = y + bias.reshape(1, -1, *[1] * rank)
        return laid_out(activate(y, self.activation), self.result.type)

    def macs(self) -> int:
        """Outputs times the weights that make one."""
        return self.result.type.elements() * math.prod(self.weight.type.concrete()[1:])

    @classmethod
    def cases(cls) -> list[Case]:
        """Plain, padded, strided, dilated, grouped, depthwise, activated; 1-D and 2-D."""
        random = np.random.default_rng(0)

        def weight(*shape: int) -> Array:
            return random.normal(size=shape).astype(np.float32)

        image, signal = TensorType(("N", 4, 7, 6)), TensorType(("N", 4, 11))
        image_last = TensorType(("N", 7, 6, 4), DType.F32, Layout.CHANNELS_LAST)
        signal_last = TensorType(("N", 11, 4), DType.F32, Layout.CHANNELS_LAST)
        return [
            Case("plain", (image, weight(3, 4, 3, 3), None)),
            Case("bias", (image, weight(3, 4, 3, 3), weight(3)), {"pads": (1, 1, 1, 1)}),
            Case("asymmetric", (image, weight(3, 4, 3, 2), weight(3)), {"pads": (0, 1, 2, 0), "strides": (2, 1)}),
            Case("dilated", (image, weight(3, 4, 3, 2), None), {"dilations": (2, 3)}),
            Case("grouped", (image, weight(6, 2, 3, 3), weight(6)), {"groups": 2, "activation": "relu"}),
            Case("depthwise", (image, weight(4, 1, 3, 3), weight(4)), {"groups": 4, "pads": (1, 1, 1, 1)}),
            Case("pointwise", (image, weight(5, 4, 1, 1), weight(5)), {"activation": "relu6"}),
            Case(
                "last",
                (image_last, weight(6, 2, 3, 2), weight(6)),
                {"groups": 2, "pads": (0, 1, 2, 0), "strides": (2, 1)},
            ),
            Case("signal-last", (signal_last, weight(5, 4, 3), weight(5)), {"strides": (2,), "pads": (1, 0)}),
            Case("signal", (signal, weight(5, 4, 3), weight(5)), {"strides": (2,), "pads": (1, 0)}),
            Case("signal-depthwise", (signal, weight(8, 1, 5), None), {"groups": 4, "dilations": (2,)}),
        ]
