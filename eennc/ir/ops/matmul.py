"""nn.matmul."""

from __future__ import annotations

import numpy as np

from eennc.ir.axes import broadcast, keep_samples
from eennc.ir.fields import tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.types import Array, TensorType


@op("nn.matmul")
class MatMul(Op):
    """a @ b with numpy's broadcasting of the leading axes. ONNX `MatMul`, operands of two or more axes."""

    a = tensor(floats=True)
    b = tensor(floats=True)

    def infer(self) -> TensorType:
        """[..., rows of a, columns of b]."""
        a, b = self.a.type, self.b.type
        if a.rank < 2 or b.rank < 2:
            raise self.fail(f"operands must have two axes or more, not {a} and {b}")
        self.check_one_dtype()
        keep_samples(self, a, (-1,))
        keep_samples(self, b, (-2,))
        if "?" not in (a.shape[-1], b.shape[-2]) and a.shape[-1] != b.shape[-2]:
            raise self.fail(f"operands do not fit: {a} and {b}")
        leading = broadcast(a.shape[:-2], b.shape[:-2])
        if leading is None:
            raise self.fail(f"operands do not broadcast: {a} and {b}")
        return TensorType((*leading, a.shape[-2], b.shape[-1]), a.dtype)

    def evaluate(self, a: Array, b: Array) -> Array:
        """The matrix product."""
        return np.matmul(a, b)

    def macs(self) -> int:
        """Outputs times the common axis."""
        common = self.a.type.concrete()[-1]
        return self.result.type.elements() * common

    @classmethod
    def cases(cls) -> list[Case]:
        """Two values, and a constant."""
        constant = np.random.default_rng(2).normal(size=(3, 5, 4)).astype(np.float32)
        return [
            Case("values", (TensorType(("N", 3, 5)), TensorType(("N", 5, 2)))),
            Case("constant", (TensorType(("N", 3, 2, 5)), constant)),
        ]
