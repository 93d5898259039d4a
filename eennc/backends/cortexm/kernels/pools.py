"""Pools over windows, and means over all places."""

from __future__ import annotations

import numpy as np

from eennc.backends.cortexm.form import Form, computes
from eennc.backends.cortexm.kernels.sums import check_sums
from eennc.backends.cortexm.kernels.windows import windows_fields
from eennc.backends.cortexm.writer import Writer
from eennc.ir.fixed_point import divided, quantise_multiplier
from eennc.ir.ops.q_average_pool import QAveragePool
from eennc.ir.ops.q_max_pool import QMaxPool
from eennc.ir.ops.q_mean import QMean
from eennc.ir.pooling import Pool
from eennc.ir.quantised import quant_of


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
