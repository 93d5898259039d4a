"""nn.dense."""

from __future__ import annotations

import numpy as np

from eennc.ir.activations import activate, activation_field
from eennc.ir.fields import optional_tensor, tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.types import Array, TensorType


@op("nn.dense")
class Dense(Op):
    """x @ weight.T + bias over the last axis. ONNX `Gemm` / `MatMul` with a constant weight.

    weight: [out, in]; bias: [out].
    """

    x = tensor(floats=True)
    weight = tensor(rank=2, constant=True)
    bias = optional_tensor(rank=1, constant=True)
    activation = activation_field()

    def infer(self) -> TensorType:
        """[..., out]."""
        self.check_one_dtype()
        out, inputs = self.weight.type.concrete()
        if self.x.type.rank < 1 or self.x.type.shape[-1] not in (inputs, "?"):
            raise self.fail(f"operand 'x' must have {inputs} features in its last axis, not {self.x.type}")
        if self.bias is not None and self.bias.type.shape != (out,):
            raise self.fail(f"operand 'bias' must have shape [{out}], not {self.bias.type}")
        return self.x.type.with_shape((*self.x.type.shape[:-1], out))

    def evaluate(self, x: Array, weight: Array, bias: Array | None) -> Array:
        """The matrix product."""
        y = np.matmul(x, weight.T)
        return activate(y if bias is None else y + bias, self.activation)

    def macs(self) -> int:
        """Outputs times inputs."""
        return self.result.type.elements() * self.weight.type.concrete()[1]

    @classmethod
    def cases(cls) -> list[Case]:
        """With and without bias and activation, two and three axes."""
        random = np.random.default_rng(1)
        weight = random.normal(size=(4, 6)).astype(np.float32)
        bias = random.normal(size=4).astype(np.float32)
        rows, steps = TensorType(("N", 6)), TensorType(("N", 3, 6))
        return [
            Case("plain", (rows, weight, None)),
            Case("bias", (rows, weight, bias), {"activation": "relu"}),
            Case("steps", (steps, weight, bias)),
            Case("steps-plain", (steps, weight, None), {"activation": "relu6"}),
        ]
