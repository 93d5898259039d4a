"""Convolutions."""

from __future__ import annotations

import math
from typing import cast

import numpy as np

from eennc.backends.cortexm.form import Form, computes
from eennc.backends.cortexm.kernels.sums import float_rows_fields, rows_fields, too_deep
from eennc.backends.cortexm.kernels.windows import plane, too_wide, windows_fields
from eennc.backends.cortexm.writer import Writer
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.q_conv import QConv
from eennc.ir.quantised import quant_of
from eennc.ir.types import Layout
from eennc.ir.values import Weight
from eennc.ir.windows import channels_of

SPARE = 4
"""Bytes behind a plane that eennc_depthwise_s8 may read."""


class ConvForm(Form):
    """What both kinds of numbers share."""

    @property
    def depthwise(self) -> bool:
        """Whether each channel has filters of its own."""
        return self.op.groups > 1 and self.op.groups == channels_of(self.op.x.type)

    def objection(self) -> str | None:
        """Windows that go too far."""
        return too_wide(self.op.windows())

    def in_place(self) -> tuple[int, ...]:
        """Depthwise channel by channel, and 1x1 convolutions row by row."""
        op, windows = self.op, self.op.windows()
        if self.depthwise:
            once = channels_of(op.result.type) == channels_of(op.x.type)
            smaller = math.prod(windows.output) <= math.prod(windows.spatial)
            return (0,) if once and smaller else ()
        plain = all(k == 1 for k in windows.kernel) and all(s == 1 for s in windows.strides)
        unpadded = not any((*windows.begins, *windows.ends))
        fewer = op.result.type.elements() <= op.x.type.elements()
        return (0,) if plain and unpadded and fewer and op.groups == 1 else ()


@computes(QConv)
class QConvForm(ConvForm):
    """eennc_conv_s8, or eennc_depthwise_s8."""

    op: QConv

    def objection(self) -> str | None:
        """Sums that do not fit, too."""
        return too_deep(math.prod(self.op.weight.type.concrete()[1:])) or super().objection()

    def scratch(self, *, dsp: bool) -> int:
        """Depthwise a plane and its taps, or padding for all channels; else two windows, and both in 16 bits."""
        op = self.op
        if self.depthwise:
            return max(plane(op.windows()) + SPARE + math.prod(op.kernel), op.x.type.concrete(1)[-1])
        depth = math.prod(op.weight.type.concrete()[1:])
        return 2 * depth + (depth // 4 * 16 if dsp else 0)

    def write(self, to: Writer) -> None:
        """Weights with channels last."""
        op = self.op
        assert op.x.type.layout is Layout.CHANNELS_LAST
        array = cast(Weight, op.weight).array
        fields: dict[str, object] = {"windows": windows_fields(op.x.type, op.result.type, op.windows())}
        out = array.shape[0]
        if self.depthwise:
            kernel, weights = "eennc_depthwise_s8", np.moveaxis(array[:, 0], 0, -1)
            rows = rows_fields(op, array, to, outputs=out, depth=math.prod(op.kernel))
        else:
            kernel, weights = "eennc_conv_s8", np.moveaxis(array, 1, -1)
            rows = rows_fields(op, array, to, outputs=out // op.groups, depth=math.prod(array.shape[1:]))
        fields["rows"] = {"weights": to.constant(weights, "weights"), **rows}
        if not self.depthwise:
            fields["groups"] = op.groups
        fields["fill"] = quant_of(op, op.x.type, "x").zero_point
        described = to.description(f"{kernel}_t", fields)
        scratch = to.scratch("int8_t" if self.depthwise else "uint32_t")
        to.call(kernel, described, to.at(op.x), to.at(op.result), scratch)


@computes(Conv)
class FloatConvForm(ConvForm):
    """eennc_conv_f32, or eennc_depthwise_f32."""

    op: Conv

    def scratch(self, *, dsp: bool) -> int:
        """Depthwise a plane and its taps, else two windows."""
        op = self.op
        if self.depthwise:
            return 4 * (plane(op.windows()) + math.prod(op.kernel))
        return 8 * math.prod(op.weight.type.concrete()[1:])

    def write(self, to: Writer) -> None:
        """Weights with channels last."""
        op = self.op
        assert op.x.type.layout is Layout.CHANNELS_LAST
        array = cast(Weight, op.weight).array
        kernel = "eennc_depthwise_f32" if self.depthwise else "eennc_conv_f32"
        weights = np.moveaxis(array[:, 0], 0, -1) if self.depthwise else np.moveaxis(array, 1, -1)
        outputs = len(array) if self.depthwise else len(array) // op.groups
        rows = float_rows_fields(op, weights, to, outputs=outputs, depth=math.prod(array.shape[1:]))
        fields: dict[str, object] = {"windows": windows_fields(op.x.type, op.result.type, op.windows()), "rows": rows}
        if not self.depthwise:
            fields["groups"] = op.groups
        described = to.description(f"{kernel}_t", fields)
        to.call(kernel, described, to.at(op.x), to.at(op.result), to.scratch("float"))
