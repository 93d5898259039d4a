"""Values of the IR: graph arguments, op results, weights. Each is defined once (SSA) and compared by identity."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from eennc.ir.types import Array, TensorType, type_of

if TYPE_CHECKING:
    from eennc.ir.op import Op


class Value:
    """Something an op can take; `type` says what it is."""

    type: TensorType

    def __init__(self, type: TensorType) -> None:
        self.type = type


class Argument(Value):
    """A graph's argument."""

    def __init__(self, name: str, type: TensorType) -> None:
        super().__init__(type)
        self.name = name


class Result(Value):
    """One result of an op."""

    def __init__(self, op: Op, index: int, type: TensorType) -> None:
        super().__init__(type)
        self.op = op
        self.index = index


class Weight(Value):
    """A named constant. The array is read-only, so modules may share it; a new value is a new Weight."""

    def __init__(self, name: str, array: Array) -> None:
        # ascontiguousarray would make a 0-d array 1-d
        array = np.asarray(array, order="C")
        super().__init__(type_of(array))
        if array.flags.writeable:
            array = array.view()
            array.flags.writeable = False
        self.name = name
        self.array = array

    @cached_property
    def digest(self) -> str:
        """SHA-256 of type and content, hexadecimal."""
        digest = hashlib.sha256(str(self.type).encode())
        digest.update(self.array.reshape(-1).view(np.uint8).data)
        return digest.hexdigest()
