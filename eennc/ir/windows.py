"""Sliding windows: what convolutions and pools share. Feature maps are [n, c, spatial...], or [n, spatial..., c] where
their layout says channels-last; arrays are worked on channels-first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from eennc.ir.op import Op
from eennc.ir.types import LARGEST, Array, Dim, Layout, TensorType


def canonical(given: Sequence[int], default: int) -> tuple[int, ...]:
    """`()` for a list of nothing but the default, so that one meaning has one form."""
    return () if all(item == default for item in given) else tuple(given)


def expanded(stored: Sequence[int], length: int, default: int) -> tuple[int, ...]:
    """The list that `canonical` may have shortened."""
    return tuple(stored) or (default,) * length


def spatial_shape(op: Op, type: TensorType, operand: str) -> tuple[int, ...]:
    """The spatial dimensions of a feature map; raises VerifyError where it is not one, or not static."""
    if type.rank not in (3, 4):
        raise op.fail(f"operand '{operand}' must be a feature map of one or two spatial axes, not {type}")
    shape = type.shape[1:-1] if type.layout is Layout.CHANNELS_LAST else type.shape[2:]
    if not all(isinstance(dim, int) for dim in shape):
        raise op.fail(f"operand '{operand}' must have static spatial dimensions, not {type}")
    return tuple(int(dim) for dim in shape)


def output_length(
    size: int, kernel: int, stride: int, begin: int, end: int, dilation: int = 1, *, ceil: bool = False
) -> int:
    """Windows along one axis, as ONNX counts. In ceil mode the last must start in the input or the left padding."""
    reach = size + begin + end - dilation * (kernel - 1) - 1
    if reach < 0:
        return 0
    count = (-(-reach // stride) if ceil else reach // stride) + 1
    if ceil and (count - 1) * stride >= size + begin:
        count -= 1
    return count


class Windows:
    """The geometry of windows over spatial axes."""

    def __init__(
        self,
        op: Op,
        spatial: tuple[int, ...],
        kernel: Sequence[int],
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        *,
        ceil: bool = False,
    ) -> None:
        rank = len(spatial)
        for name, given, length in (
            ("kernel", kernel, rank),
            ("strides", strides, rank),
            ("dilations", dilations, rank),
            ("pads", pads, 2 * rank),
        ):
            if len(given) != length and (given or name == "kernel"):
                raise op.fail(f"{name} must have {length} entries for {rank} spatial axes, not {len(given)}")
        if min(kernel) < 1:
            raise op.fail(f"the kernel {list(kernel)} is empty")
        self.spatial = spatial
        self.kernel = tuple(kernel)
        self.strides = expanded(strides, rank, 1)
        self.dilations = expanded(dilations, rank, 1)
        pads = expanded(pads, 2 * rank, 0)
        self.begins, self.ends = pads[:rank], pads[rank:]
        if math.prod(sum(axis) for axis in zip(spatial, self.begins, self.ends, strict=True)) > LARGEST:
            raise op.fail(f"pads {list(pads)} make more than {LARGEST} elements")
        self.output = tuple(
            output_length(
                spatial[i], self.kernel[i], self.strides[i], self.begins[i], self.ends[i], self.dilations[i], ceil=ceil
            )
            for i in range(rank)
        )
        if min(self.output) < 1:
            raise op.fail(f"the window {list(self.kernel)} is larger than the padded input {list(spatial)}")

    @property
    def blind(self) -> bool:
        """Whether a window takes nothing from the input."""
        for i, size in enumerate(self.spatial):
            starts = np.arange(self.output[i]) * self.strides[i] - self.begins[i]
            taps = starts[:, None] + np.arange(self.kernel[i]) * self.dilations[i]
            if not ((taps >= 0) & (taps < size)).any(axis=1).all():
                return True
        return False

    def padded(self, x: Array, value: float) -> Array:
        """`x` with the padding, and beyond it what the last window of ceil mode reaches."""
        widths = [(0, 0), (0, 0)]
        for i, size in enumerate(self.spatial):
            needed = (self.output[i] - 1) * self.strides[i] + self.dilations[i] * (self.kernel[i] - 1) + 1
            widths.append((self.begins[i], max(self.ends[i], needed - size - self.begins[i])))
        return np.pad(x, widths, constant_values=value)

    def views(self, padded: Array) -> Array:
        """[n, c, outputs..., kernel...] without a copy."""
        rank = len(self.spatial)
        reach = tuple(d * (k - 1) + 1 for d, k in zip(self.dilations, self.kernel, strict=True))
        views = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=tuple(range(2, 2 + rank)))
        places = tuple(slice(0, o * s, s) for o, s in zip(self.output, self.strides, strict=True))
        taps = tuple(slice(None, None, d) for d in self.dilations)
        return views[(slice(None), slice(None), *places, *taps)]


def channels_of(x: TensorType) -> Dim:
    """The number of channels of a feature map."""
    return x.shape[-1 if x.layout is Layout.CHANNELS_LAST else 1]


def spatial_axes(x: TensorType) -> tuple[int, ...]:
    """The axes of a feature map that are neither batch nor channels."""
    return tuple(range(1, x.rank - 1) if x.layout is Layout.CHANNELS_LAST else range(2, x.rank))


def feature_map(x: TensorType, channels: Dim, spatial: Sequence[int]) -> TensorType:
    """The type of a feature map made from `x`."""
    inner = (*spatial, channels) if x.layout is Layout.CHANNELS_LAST else (channels, *spatial)
    return x.with_shape((x.shape[0], *inner))


def channels_first(array: Array, type: TensorType) -> Array:
    """A view of a feature map of `type` as [n, c, spatial...]."""
    return np.moveaxis(array, -1, 1) if type.layout is Layout.CHANNELS_LAST else array


def laid_out(array: Array, type: TensorType) -> Array:
    """[n, c, spatial...] as an array of `type`."""
    return np.ascontiguousarray(np.moveaxis(array, 1, -1) if type.layout is Layout.CHANNELS_LAST else array)
