"""nn.batch_norm."""

from __future__ import annotations

from typing import cast

import numpy as np

from eennc.ir.fields import number, tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.types import Array, DType, Layout, TensorType
from eennc.ir.values import Weight
from eennc.ir.windows import channels_of


@op("nn.batch_norm")
class BatchNorm(Op):
    """(x - mean) / sqrt(variance + epsilon) * scale + bias per channel. ONNX `BatchNormalization`."""

    x = tensor(floats=True)
    scale = tensor(rank=1, constant=True)
    bias = tensor(rank=1, constant=True)
    mean = tensor(rank=1, constant=True)
    variance = tensor(rank=1, constant=True)
    epsilon = number(1e-5)

    def infer(self) -> TensorType:
        """The operand's type."""
        type = self.x.type
        if type.rank < 2:
            raise self.fail(f"operand 'x' must have a channel axis, not {type}")
        channels = channels_of(type)
        for name in ("scale", "bias", "mean", "variance"):
            found = getattr(self, name).type
            if found.shape != (channels,) and channels != "?":
                raise self.fail(f"operand '{name}' must have shape [{channels}], not {found}")
        return type

    def factors(self) -> tuple[Array, Array]:
        """float64 (factor, shift), each [channels], with x * factor + shift the op's meaning."""
        weights = cast(list[Weight], self.inputs[1:])
        scale, bias, mean, variance = (np.asarray(weight.array, np.float64) for weight in weights)
        factor = scale / np.sqrt(variance + self.epsilon)
        return factor, bias - mean * factor

    def evaluate(self, x: Array, scale: Array, bias: Array, mean: Array, variance: Array) -> Array:
        """The formula."""
        last = self.x.type.layout is Layout.CHANNELS_LAST
        shape = (-1,) if last else (1, -1, *[1] * (x.ndim - 2))
        scale, bias, mean, variance = (part.reshape(shape) for part in (scale, bias, mean, variance))
        return ((x - mean) / np.sqrt(variance + np.float32(self.epsilon)) * scale + bias).astype(x.dtype)

    @classmethod
    def cases(cls) -> list[Case]:
        """A map, a signal, a vector."""
        random = np.random.default_rng(3)
        parts = [random.normal(size=4).astype(np.float32) for _ in range(3)]
        parts.append(random.uniform(0.5, 2, 4).astype(np.float32))
        return [
            Case("map", (TensorType(("N", 4, 3, 2)), *parts)),
            Case("signal", (TensorType(("N", 4, 5)), *parts), {"epsilon": 1e-3}),
            Case("last", (TensorType(("N", 3, 2, 4), DType.F32, Layout.CHANNELS_LAST), *parts)),
            Case("vector", (TensorType(("N", 4)), *parts)),
        ]
