"""q.mean."""

from __future__ import annotations

import math

import numpy as np

from eennc.ir.fields import tensor
from eennc.ir.fixed_point import divided, quantise_multiplier, requantise
from eennc.ir.op import Case, Op, op
from eennc.ir.quantised import clamped, multipliers, quant_of, quantised, scale_field, zero_point_field
from eennc.ir.types import Array, DType, Layout, Quant, TensorType
from eennc.ir.windows import channels_of, feature_map, spatial_axes, spatial_shape


@op("q.mean")
class QMean(Op):
    """Mean over the spatial axes, which stay as ones. TFLite `MEAN` over height and width."""

    x = tensor()
    scale = scale_field()
    zero_point = zero_point_field()

    def verify(self) -> None:
        """The factor must fit."""
        multipliers(self, [self.factor()])

    def factor(self) -> float:
        """The old scale over the new one."""
        return quant_of(self, self.x.type, "x").scale / Quant(self.scale).scale

    def infer(self) -> TensorType:
        """One place for each channel."""
        spatial = spatial_shape(self, self.x.type, "x")
        pooled = feature_map(self.x.type, channels_of(self.x.type), [1] * len(spatial))
        return quantised(self, pooled, self.scale, self.zero_point)

    def evaluate(self, x: Array) -> Array:
        """Sums times scale over count."""
        quant = quant_of(self, self.x.type, "x")
        count = math.prod(spatial_shape(self, self.x.type, "x"))
        multiplier, shift = divided(*quantise_multiplier(self.factor()), count)
        sums = (x.astype(np.int64) - quant.zero_point).sum(axis=spatial_axes(self.x.type), keepdims=True)
        return clamped(requantise(sums, multiplier, shift) + self.zero_point, Quant(self.scale, self.zero_point))

    @classmethod
    def cases(cls) -> list[Case]:
        """Both layouts, a signal."""
        y = {"scale": 0.06, "zero_point": 9}
        quant = Quant(0.1, -20)
        return [
            Case("map", (TensorType(("N", 3, 4, 5), DType.I8, None, quant),), y),
            Case("last", (TensorType(("N", 4, 5, 3), DType.I8, Layout.CHANNELS_LAST, quant),), y),
            Case("signal", (TensorType(("N", 3, 7), DType.I8, None, quant),), y),
        ]
