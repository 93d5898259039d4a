"""Pools over windows, and means over all places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import numpy as np

from eennc.backends.cortexm.form import Form, computes
from eennc.backends.cortexm.kernels.elementwise import only_floats
from eennc.backends.cortexm.kernels.sums import check_sums
from eennc.backends.cortexm.kernels.windows import too_wide, windows_fields
from eennc.backends.cortexm.writer import Writer
from eennc.ir.axes import normal_axes
from eennc.ir.fixed_point import divided, quantise_multiplier
from eennc.ir.ops.average_pool import AveragePool
from eennc.ir.ops.global_average_pool import GlobalAveragePool
from eennc.ir.ops.global_max_pool import GlobalMaxPool
from eennc.ir.ops.max_pool import MaxPool
from eennc.ir.ops.q_average_pool import QAveragePool
from eennc.ir.ops.q_max_pool import QMaxPool
from eennc.ir.ops.q_mean import QMean
from eennc.ir.ops.reduce_mean import ReduceMean
from eennc.ir.pooling import Pool
from eennc.ir.quantised import quant_of
from eennc.ir.windows import spatial_axes


def apart(op: Pool) -> bool:
    """Whether no element is in two windows, so that what was written is not read again."""
    windows = op.windows()
    return not any((*windows.begins, *windows.ends)) and all(
        (kernel - 1) * dilation < stride
        for kernel, dilation, stride in zip(windows.kernel, windows.dilations, windows.strides, strict=True)
    )


class PoolForm(Form):
    """A kernel that takes windows; a subclass names it."""

    op: Pool
    kernel = ""

    def objection(self) -> str | None:
        """Windows that go too far."""
        return too_wide(self.op.windows())

    def in_place(self) -> tuple[int, ...]:
        """Where windows do not overlap."""
        return (0,) if apart(self.op) else ()

    def write(self, to: Writer) -> None:
        """The windows are all there is to say."""
        op = self.op
        fields = windows_fields(op.x.type, op.result.type, op.windows())
        to.call(self.kernel, to.description("eennc_windows_t", fields), to.at(op.x), to.at(op.result))


@computes(QMaxPool)
class QMaxPoolForm(PoolForm):
    """eennc_max_pool_s8."""

    kernel = "eennc_max_pool_s8"


@computes(QAveragePool)
class QAveragePoolForm(PoolForm):
    """eennc_average_pool_s8."""

    kernel = "eennc_average_pool_s8"

    def in_place(self) -> tuple[int, ...]:
        """Not: it goes channel by channel."""
        return ()


@computes(QMean)
class QMeanForm(Form):
    """eennc_mean_s8."""

    op: QMean

    def in_place(self) -> tuple[int, ...]:
        """A channel is read before its mean is written, and the means lie where the first place was."""
        return (0,)

    def write(self, to: Writer) -> None:
        """Division by the count is in the factor."""
        op = self.op
        channels = op.result.type.elements()
        places = op.x.type.elements() // channels
        multiplier, shift = divided(*quantise_multiplier(op.factor()), places)
        check_sums(op, np.array([255 * places]), np.array([shift]))
        fields = {
            "places": places,
            "channels": channels,
            "multiplier": multiplier,
            "shift": shift,
            "in_zero_point": quant_of(op, op.x.type, "x").zero_point,
            "zero_point": op.zero_point,
        }
        to.call("eennc_mean_s8", to.description("eennc_mean_s8_t", fields), to.at(op.x), to.at(op.result))


@computes(MaxPool)
class MaxPoolForm(PoolForm):
    """eennc_max_pool_f32."""

    kernel = "eennc_max_pool_f32"

    def objection(self) -> str | None:
        """Other numbers, too."""
        return only_floats(self) or super().objection()


@computes(AveragePool)
class AveragePoolForm(PoolForm):
    """eennc_average_pool_f32."""

    def in_place(self) -> tuple[int, ...]:
        """Not: it goes channel by channel."""
        return ()

    def write(self, to: Writer) -> None:
        """Whether padding counts."""
        op = cast(AveragePool, self.op)
        windows, counted = op.windows(), op.count_include_pad
        fields = {
            "windows": windows_fields(op.x.type, op.result.type, windows),
            "counted_bottom": windows.ends[0] if counted else 0,
            "counted_right": windows.ends[1] if counted else 0,
            "count_padding": int(counted),
        }
        described = to.description("eennc_average_pool_f32_t", fields)
        to.call("eennc_average_pool_f32", described, to.at(op.x), to.at(op.result))


@computes(GlobalMaxPool)
class GlobalMaxPoolForm(Form):
    """eennc_max_pool_f32 with one window."""

    op: GlobalMaxPool

    def in_place(self) -> tuple[int, ...]:
        """The one place is the first."""
        return (0,)

    def write(self, to: Writer) -> None:
        """A window as large as the map."""
        op = self.op
        _, height, width, channels = op.x.type.concrete(1)
        fields = {
            "in_height": height,
            "in_width": width,
            "in_channels": channels,
            "out_height": 1,
            "out_width": 1,
            "out_channels": channels,
            "kernel_height": height,
            "kernel_width": width,
            "stride_height": 1,
            "stride_width": 1,
            "dilation_height": 1,
            "dilation_width": 1,
        }
        to.call("eennc_max_pool_f32", to.description("eennc_windows_t", fields), to.at(op.x), to.at(op.result))


@computes(GlobalAveragePool, ReduceMean)
class MeanForm(Form):
    """eennc_mean_f32."""

    op: GlobalAveragePool | ReduceMean

    def axes(self) -> Sequence[int]:
        """Those that the mean is over."""
        op = self.op
        if isinstance(op, GlobalAveragePool):
            return spatial_axes(op.x.type)
        return sorted(normal_axes(op, op.axes, op.x.type.rank))

    def objection(self) -> str | None:
        """Axes with others between them."""
        shape = self.op.x.type.concrete(1)
        axes = [axis for axis in self.axes() if shape[axis] > 1]
        between = [axis for axis in range(min(axes, default=0), max(axes, default=-1) + 1) if shape[axis] > 1]
        return None if between == axes else "its axes are no neighbours"

    def write(self, to: Writer) -> None:
        """The axes before, between and behind."""
        op = self.op
        shape = op.x.type.concrete(1)
        axes = [axis for axis in self.axes() if shape[axis] > 1] or [0]
        fields = {
            "outer": math.prod(shape[: axes[0]]),
            "reduced": math.prod(shape[axes[0] : axes[-1] + 1]),
            "inner": math.prod(shape[axes[-1] + 1 :]),
        }
        to.call("eennc_mean_f32", to.description("eennc_mean_f32_t", fields), to.at(op.x), to.at(op.result))
