"""shape.reshape."""

from __future__ import annotations

import numpy as np

from eennc.ir.fields import tensor
from eennc.ir.op import Op, op
from eennc.ir.types import Array, DType


@op("shape.reshape")
class DynamicReshape(Op):
    """x in a shape that is computed. ONNX `Reshape`; `simplify-shapes` makes it an `nn.reshape`."""

    explicit_types = True

    x = tensor()
    shape = tensor(rank=1, dtype=DType.I64)

    def verify(self) -> None:
        """One result, of the dtype of x."""
        if [result.type.dtype for result in self.results] != [self.x.type.dtype]:
            raise self.fail(f"must have one result, {self.x.type.dtype} as 'x' is")

    def evaluate(self, x: Array, shape: Array) -> Array:
        """The numpy meaning; 0 takes the size of x's axis."""
        return np.reshape(x, [x.shape[i] if size == 0 else int(size) for i, size in enumerate(shape)])
