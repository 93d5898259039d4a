"""q.dense."""

from __future__ import annotations

from typing import cast

import numpy as np

from eennc.ir.activations import activation_field
from eennc.ir.fields import optional_tensor, tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.quantised import multipliers, quant_of, quantised, scale_field, stored, zero_point_field
from eennc.ir.types import Array, DType, Quant, TensorType
from eennc.ir.values import Weight


@op("q.dense")
class QDense(Op):
    """x @ weight.T + bias over the last axis in int8, with int32 sums. TFLite `FULLY_CONNECTED`.

    weight: int8 [out, in], symmetric, real = scales * weight. scales: float32 [1], or [out], one per output. bias:
    int32 [out], in units of x's scale * scales.
    """

    x = tensor()
    weight = tensor(rank=2, dtype=DType.I8, constant=True)
    scales = tensor(rank=1, dtype=DType.F32, constant=True)
    bias = optional_tensor(rank=1, dtype=DType.I32, constant=True)
    activation = activation_field()
    scale = scale_field()
    zero_point = zero_point_field()

    def verify(self) -> None:
        """All factors must fit."""
        out = self.weight.type.concrete()[0]
        if self.scales.type.shape not in ((out,), (1,)):
            raise self.fail(f"operand 'scales' must have shape [1] or [{out}], not {self.scales.type}")
        multipliers(self, self.factors())

    def factors(self) -> list[float]:
        """From sums to the result: x's scale * the weight's over the result's; for one scale the product is rounded to
        float32, as TensorFlow Lite does.
        """
        x, y = quant_of(self, self.x.type, "x").scale, Quant(self.scale).scale
        scales = cast(Weight, self.scales).array
        if len(scales) == 1:
            return [float(np.float32(x) * scales[0]) / y]
        return [x * float(scale) / y for scale in scales]

    def infer(self) -> TensorType:
        """[..., out]."""
        out, inputs = self.weight.type.concrete()
        if self.x.type.rank < 1 or self.x.type.shape[-1] != inputs:
            raise self.fail(f"operand 'x' must have {inputs} features in its last axis, not {self.x.type}")
        if self.bias is not None and self.bias.type.shape != (out,):
            raise self.fail(f"operand 'bias' must have shape [{out}], not {self.bias.type}")
        return quantised(self, self.x.type.with_shape((*self.x.type.shape[:-1], out)), self.scale, self.zero_point)

    def evaluate(self, x: Array, weight: Array, scales: Array, bias: Array | None) -> Array:
        """Sums in float64, which holds them exactly."""
        quant = quant_of(self, self.x.type, "x")
        total = np.matmul(x.astype(np.float64) - quant.zero_point, weight.T.astype(np.float64)).astype(np.int64)
        if bias is not None:
            total += bias
        return stored(self, total, self.factors(), Quant(self.scale, self.zero_point), self.activation)

    def macs(self) -> int:
        """Outputs times inputs."""
        return self.result.type.elements() * self.weight.type.concrete()[1]

    @classmethod
    def cases(cls) -> list[Case]:
        """One scale and one per output, with and without bias and activation."""
        random = np.random.default_rng(1)
        weight = random.integers(-127, 128, (4, 6)).astype(np.int8)
        bias = random.integers(-2000, 2000, 4).astype(np.int32)
        one, each = np.array([0.01], np.float32), random.uniform(0.005, 0.02, 4).astype(np.float32)
        rows = TensorType(("N", 6), DType.I8, None, Quant(0.04, 11))
        return [
            Case("plain", (rows, weight, one, None), {"scale": 0.2, "zero_point": -4}),
            Case("bias", (rows, weight, one, bias), {"scale": 0.1, "zero_point": -128, "activation": "relu"}),
            Case("each", (rows, weight, each, bias), {"scale": 0.15}),
        ]
