"""Tensor types: shape, dtype, layout. The batch axis is symbolic, the rest static once shapes are simplified."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
FloatArray = NDArray[np.float32]

BATCH = "N"
"""The symbolic batch dimension."""
UNKNOWN = "?"
"""A dimension that is not known before shapes are simplified."""
Dim = int | str
LARGEST = 2**31
"""Elements per sample above which an op's result is refused: a model file is untrusted input."""
DEEPEST = 32
"""Axes above which an op's result is refused; numpy 1 has no more."""


class DType(enum.StrEnum):
    """Element types, by the names that the text format uses."""

    F64 = "f64"
    F32 = "f32"
    F16 = "f16"
    I64 = "i64"
    I32 = "i32"
    I16 = "i16"
    I8 = "i8"
    U8 = "u8"
    BOOL = "bool"

    @property
    def numpy(self) -> np.dtype[np.generic]:
        """The numpy dtype."""
        return np.dtype(_NUMPY[self])

    @property
    def bytes(self) -> int:
        """Bytes per element."""
        return self.numpy.itemsize

    @property
    def is_float(self) -> bool:
        """Whether elements are floating point."""
        return self in (DType.F64, DType.F32, DType.F16)

    @classmethod
    def of(cls, dtype: object) -> DType:
        """The DType of a numpy dtype; raises ValueError for one that the IR has not."""
        name = np.dtype(dtype).name  # type: ignore[call-overload]
        for ours, theirs in _NUMPY.items():
            if theirs == name:
                return ours
        raise ValueError(f"dtype {name} is not one of {', '.join(DType)}")


_NUMPY = {
    DType.F64: "float64",
    DType.F32: "float32",
    DType.F16: "float16",
    DType.I64: "int64",
    DType.I32: "int32",
    DType.I16: "int16",
    DType.I8: "int8",
    DType.U8: "uint8",
    DType.BOOL: "bool",
}


def holds(dtype: DType, number: float) -> bool:
    """Whether a dtype has a number: floats have all of them, rounded; integers their range."""
    if dtype.is_float:
        return True
    if dtype is DType.BOOL:
        return number in (0, 1)
    limits = np.iinfo(dtype.numpy.name)
    return math.isfinite(number) and number == int(number) and limits.min <= int(number) <= limits.max


class Layout(enum.StrEnum):
    """Where the channel axis of a feature map stands."""

    CHANNELS_FIRST = "nchw"
    CHANNELS_LAST = "nhwc"


@dataclass(frozen=True, slots=True)
class Quant:
    """What the integers of a tensor stand for: real = scale * (integer - zero_point). Printed as `0.0235:-3`.

    `scale` is rounded to float32, as the formats that hold it do. Raises ValueError for a scale that is not positive
    and finite.
    """

    scale: float
    zero_point: int = 0

    def __post_init__(self) -> None:
        with np.errstate(over="ignore"):
            rounded = float(np.float32(self.scale))
        if not 0 < rounded < math.inf:
            raise ValueError(f"a scale must be positive and finite in float32, not {self.scale}")
        object.__setattr__(self, "scale", rounded)

    @classmethod
    def parse(cls, text: str) -> Quant:
        """The inverse of `str`; raises ValueError."""
        scale, _, zero_point = text.partition(":")
        return cls(float(scale), int(zero_point))

    def __str__(self) -> str:
        # the shortest digits that float32 reads back
        return f"{np.float32(self.scale)!s}:{self.zero_point}"


@dataclass(frozen=True, slots=True)
class TensorType:
    """The type of a value. Printed as `tensor<Nx8x16x16xf32>`, with `, nhwc` inside where a layout is set, and
    `, 0.0235:-3` where a tensor of integers stands for real numbers.

    A dimension is an int, `"N"` (the batch) or `"?"` (not known yet). `layout` None means that axes have no
    spatial meaning or follow the channels-first convention of the `nn.*` dialect.
    """

    shape: tuple[Dim, ...]
    dtype: DType = DType.F32
    layout: Layout | None = None
    quant: Quant | None = None

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def batched(self) -> bool:
        """Whether the first axis is the symbolic batch."""
        return bool(self.shape) and self.shape[0] == BATCH

    @property
    def known(self) -> bool:
        """Whether every dimension is an int or the batch."""
        return UNKNOWN not in self.shape

    def concrete(self, batch: int = 1) -> tuple[int, ...]:
        """The shape with the batch set; raises ValueError where a dimension is unknown."""
        if not self.known:
            raise ValueError(f"{self} has unknown dimensions")
        return tuple(batch if isinstance(dim, str) else dim for dim in self.shape)

    def elements(self, batch: int = 1) -> int:
        """Number of elements of `batch` samples."""
        return math.prod(self.concrete(batch))

    def bytes(self, batch: int = 1) -> int:
        """Size of `batch` samples in bytes."""
        return self.elements(batch) * self.dtype.bytes

    def with_shape(self, shape: Sequence[Dim]) -> TensorType:
        """The same but for the shape; the layout is dropped where the rank differs."""
        return TensorType(tuple(shape), self.dtype, self.layout if len(shape) == self.rank else None, self.quant)

    def accepts(self, array: Array) -> bool:
        """Whether an array is of this type, for any batch."""
        return (
            array.dtype == self.dtype.numpy
            and array.ndim == self.rank
            and all(isinstance(dim, str) or dim == size for dim, size in zip(self.shape, array.shape, strict=True))
        )

    def __str__(self) -> str:
        body = "x".join([*map(str, self.shape), self.dtype.value])
        parts = [body, *([self.layout.value] if self.layout else []), *([str(self.quant)] if self.quant else [])]
        return f"tensor<{', '.join(parts)}>"


def type_of(array: Array) -> TensorType:
    """The static type of an array."""
    return TensorType(tuple(array.shape), DType.of(array.dtype))
