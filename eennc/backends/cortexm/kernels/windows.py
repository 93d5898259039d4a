"""The description of windows that convolutions and pools share."""

from __future__ import annotations

from eennc.backends.cortexm.form import LARGEST_SIDE
from eennc.ir.types import TensorType
from eennc.ir.windows import Windows


def windows_fields(x: TensorType, y: TensorType, windows: Windows) -> dict[str, object]:
    """The fields of eennc_windows_t for channels-last maps of two spatial axes."""
    _, in_height, in_width, in_channels = x.concrete(1)
    _, out_height, out_width, out_channels = y.concrete(1)
    return {
        "in_height": in_height,
        "in_width": in_width,
        "in_channels": in_channels,
        "out_height": out_height,
        "out_width": out_width,
        "out_channels": out_channels,
        "kernel_height": windows.kernel[0],
        "kernel_width": windows.kernel[1],
        "stride_height": windows.strides[0],
        "stride_width": windows.strides[1],
        "top": windows.begins[0],
        "left": windows.begins[1],
        "dilation_height": windows.dilations[0],
        "dilation_width": windows.dilations[1],
    }


def too_wide(windows: Windows) -> str | None:
    """The objection to windows that a description's 16 bits do not hold."""
    parts = (windows.kernel, windows.strides, windows.begins, windows.ends, windows.dilations)
    largest = max(max(part) for part in parts)
    return (
        f"its windows go by {largest:,} places, the kernels' limit is {LARGEST_SIDE:,}"
        if largest > LARGEST_SIDE
        else None
    )


def plane(windows: Windows) -> int:
    """Places that all windows together see: of a padded plane of one channel."""
    size = 1
    for count, stride, kernel, dilation in zip(
        windows.output, windows.strides, windows.kernel, windows.dilations, strict=True
    ):
        size *= (count - 1) * stride + (kernel - 1) * dilation + 1
    return size
