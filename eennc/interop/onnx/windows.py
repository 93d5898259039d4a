"""Padding of convolutions and pools as ONNX says it."""

from __future__ import annotations

from collections.abc import Sequence

from eennc.interop.onnx.node import Node
from eennc.interop.onnx.registry import NotExpressible
from eennc.support.diagnostics import UserError


def pads_of(node: Node, kernel: Sequence[int]) -> tuple[int, ...]:
    """The explicit pads, begins then ends; `auto_pad` is worked out from the input's shape (ONNX, operator Conv).

    Raises UserError for steps below 1 and for an `auto_pad` that ONNX does not have.
    """
    mode = node.attr("auto_pad", "NOTSET")
    if min((*node.attr("strides", ()), *node.attr("dilations", ()), *kernel), default=1) < 1:
        raise UserError(f"{node.origin}: kernel, strides and dilations must be at least 1")
    if mode not in ("NOTSET", "", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise UserError(f"{node.origin}: auto_pad cannot be '{mode}'")
    if mode in ("NOTSET", ""):
        return tuple(node.attr("pads", ()))
    if mode == "VALID":
        return ()
    rank = len(kernel)
    spatial = node.input(0).type.shape[2:]
    strides = node.attr("strides") or [1] * rank
    dilations = node.attr("dilations") or [1] * rank
    if not len(spatial) == len(strides) == len(dilations) == rank:
        raise NotExpressible("kernel, strides and input have different ranks")
    begins: list[int] = []
    ends: list[int] = []
    for size, window, stride, dilation in zip(spatial, kernel, strides, dilations, strict=True):
        if not isinstance(size, int):
            raise NotExpressible("auto_pad of an axis of unknown size")
        windows = -(-size // stride)
        total = max((windows - 1) * stride + dilation * (window - 1) + 1 - size, 0)
        small, large = total // 2, total - total // 2
        begins.append(small if mode == "SAME_UPPER" else large)
        ends.append(large if mode == "SAME_UPPER" else small)
    return (*begins, *ends)
