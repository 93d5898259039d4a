"""fold-input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from eennc.ir.graph import Graph, Module
from eennc.ir.op import Op, Origin
from eennc.ir.ops.cast import Cast
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.div import Div
from eennc.ir.ops.flatten import Flatten
from eennc.ir.ops.identity import Identity
from eennc.ir.ops.reshape import Reshape
from eennc.ir.ops.sub import Sub
from eennc.ir.ops.transpose import Transpose
from eennc.ir.ops.unsqueeze import Unsqueeze
from eennc.ir.types import Array, DType, TensorType
from eennc.ir.values import Argument, Value, Weight
from eennc.passes.base import Context, Pass
from eennc.passes.canonicalise.walk import WeightNames
from eennc.support.diagnostics import UserError

DataType = Literal["uint8", "int8", "int16", "int32", "float16", "float32", "float64"]
DataLayout = Literal["nchw", "nhwc", "nhw", "ncw", "nwc", "nw"]


@dataclass(frozen=True)
class FoldInput(Pass):
    """Make the network take the data as they are: in their dtype and layout, not yet normalised.

    A transpose, a cast and (x - mean) / std are put before the network. The division goes into the weights of the first
    convolution or dense op where nothing else uses the input, and the mean into its bias. Where that convolution pads,
    the subtraction stays: the zeros around the image stand for the mean.

    Before:
        argument %x : tensor<Nx3x4x4xf32>
        weight @w : tensor<5x3x1x1xf32>
        %0 = nn.conv %x, @w : tensor<Nx5x4x4xf32>
    After (dtype=uint8, mean=120, std=60):
        argument %x : tensor<Nx3x4x4xu8>
        %0 = nn.cast %x {to = f32} : tensor<Nx3x4x4xf32>
        %1 = nn.conv %0, @w.folded, @w.bias.folded : tensor<Nx5x4x4xf32>
    """

    mean: float | tuple[float, ...] = 0.0
    """Taken from the data: one number, or one per channel."""
    std: float | tuple[float, ...] = 1.0
    """Divides what is left: one number, or one per channel."""
    dtype: DataType | None = None
    """Of the data; none: what the model takes."""
    layout: DataLayout | None = None
    """Axes of the data, `nhw` and `nw` without channels; none: as the model takes them."""

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            if not np.isfinite(getattr(self, name)).all() or (name == "std" and not np.all(np.array(self.std) > 0)):
                raise ValueError(f"{name} must be finite{' and above 0' if name == 'std' else ''}")

    def data_type(self, main: Graph) -> TensorType:
        """What the network will take; raises UserError where that does not go together with what it takes now."""
        model = main.arguments[0].type
        last = _channels_last(main)
        channel = model.rank - 1 if last else 1
        for name in ("mean", "std"):
            given = getattr(self, name)
            if isinstance(given, tuple) and (model.rank < 2 or model.shape[channel] != len(cast(tuple[float], given))):
                count = model.shape[channel] if model.rank > 1 else 1
                raise UserError(f"input: {name} has {len(cast(tuple[float], given))} numbers for {count} channels")
        if not model.dtype.is_float and self._normalises:
            raise UserError(f"input: the model takes {model.dtype.numpy}, which mean and std cannot go into")
        shape = model.shape
        if self.layout is not None:
            without = self.layout in ("nhw", "nw")
            rank = len(self.layout) + without
            if model.rank != rank or (without and shape[channel] != 1):
                raise UserError(f"input: layout {self.layout} does not fit a model that takes {list(shape)}")
            spatial = shape[1:-1] if last else shape[2:]
            channels = () if without else (shape[channel],)
            behind = self.layout.endswith("c")
            shape = (shape[0], *spatial, *channels) if behind else (shape[0], *channels, *spatial)
        return TensorType(shape, model.dtype if self.dtype is None else DType.of(self.dtype))

    @property
    def _normalises(self) -> bool:
        return bool(np.any(np.array(self.mean) != 0) or np.any(np.array(self.std) != 1))

    def run(self, module: Module, ctx: Context) -> bool:
        """Changed unless the data are what the model takes already."""
        main = module.main
        if len(main.arguments) != 1:
            raise UserError(f"the model has {len(main.arguments)} inputs", hint="eennc takes models with one input")
        old = main.arguments[0]
        if self.data_type(main) == old.type and not self._normalises:
            return False
        names = WeightNames(module)
        argument = Argument(old.name, self.data_type(main))
        scale_folded, mean_folded = self._fold(main, names) if self._normalises else (True, True)
        ops: list[Op] = []
        value = _laid_out(argument, old.type, self.layout, _channels_last(main), ops)
        if value.type.dtype is not old.type.dtype:
            value = _add(ops, Cast(x=value, to=old.type.dtype.value))
        for kind, name, given, folded in (
            (Sub, "input.mean", self.mean, mean_folded),
            (Div, "input.std", self.std, scale_folded),
        ):
            if not folded and np.any(np.array(given) != (0 if kind is Sub else 1)):
                constant = Weight(names.new(name), _per_channel(given, main).astype(old.type.dtype.numpy))
                value = _add(ops, kind(a=value, b=constant))
        for op in ops:
            op.origin = Origin(module.name).via(self.name)
        main.arguments = [argument]
        main.ops = [*ops, *main.ops]
        main.substitute({old: value})
        return True

    def _fold(self, main: Graph, names: WeightNames) -> tuple[bool, bool]:
        """Change the first convolution or dense op; says whether it has taken over the division, and the mean."""
        first = _first(main)
        if first is None:
            return False, False
        old_weight, old_bias = cast(Weight, first.weight), cast("Weight | None", first.bias)
        mean, std = (_per_input(given, first, main) for given in (self.mean, self.std))
        scaled = old_weight.array.astype(np.float64) / std
        weight = Weight(names.new(old_weight.name), scaled.astype(old_weight.array.dtype))
        # padding puts in zeros, which stand for the mean
        takes_mean = not isinstance(first, Conv) or not any(first.pads)
        bias = old_bias
        if takes_mean and mean.any():
            shift = (scaled * mean).reshape(len(scaled), -1).sum(axis=1)
            before = 0.0 if old_bias is None else old_bias.array.astype(np.float64)
            name = names.new(f"{old_weight.name}.bias" if old_bias is None else old_bias.name)
            bias = Weight(name, (before - shift).astype(old_weight.array.dtype))
        changed = first.rebuilt([first.x, weight, bias], origin=first.origin.via(self.name))
        main.rewrite({first: (changed,)}, {first.result: changed.result})
        return True, takes_mean


def _channels_last(main: Graph) -> bool:
    """Whether all the network does with its input is to move the last axis to the front of the spatial ones."""
    users = main.users().get(main.arguments[0], [])
    rank = main.arguments[0].type.rank
    return bool(users) and all(
        isinstance(op, Transpose) and rank > 2 and op.perm == (0, rank - 1, *range(1, rank - 1)) for op in users
    )


def _laid_out(value: Value, model: TensorType, layout: DataLayout | None, last: bool, ops: list[Op]) -> Value:
    """The data's axes as the model has them."""
    if value.type.rank < model.rank:
        return _add(ops, Unsqueeze(x=value, axes=(model.rank - 1 if last else 1,)))
    rank = model.rank
    if layout is None or layout.endswith("c") == last:
        return value
    front, back = (0, rank - 1, *range(1, rank - 1)), (0, *range(2, rank), 1)
    return _add(ops, Transpose(x=value, perm=back if last else front))


def _add(ops: list[Op], op: Op) -> Value:
    ops.append(op)
    return op.result


def _per_channel(given: float | tuple[float, ...], main: Graph) -> Array:
    """float64, broadcasting over a sample of the model's input."""
    rank = main.arguments[0].type.rank
    array = np.array(given, np.float64)
    return array if array.ndim == 0 or _channels_last(main) else array.reshape(-1, *[1] * (rank - 2))


def _first(main: Graph) -> Conv | Dense | None:
    """The convolution or dense op that is the input's only user, past ops that only flatten it."""
    users = main.users()
    value: Value = main.arguments[0]
    rank = value.type.rank
    while len(users.get(value, ())) == 1 and value not in main.returns:
        op = users[value][0]
        if isinstance(op, Conv) and value.type.rank == rank:
            return op
        if isinstance(op, Dense) and value.type.rank == 2:
            return op
        flattens = isinstance(op, (Flatten, Reshape)) and op.result.type.rank == 2
        batched = flattens and op.result.type.shape[0] == value.type.shape[0]
        if not batched and not isinstance(op, Identity):
            return None
        value = op.result
    return None


def _per_input(given: float | tuple[float, ...], first: Conv | Dense, main: Graph) -> Array:
    """One number per input of each output of the op, broadcasting over its weight."""
    sample = cast("tuple[int, ...]", main.arguments[0].type.shape[1:])
    channels = _per_channel(given, main)
    if isinstance(first, Dense):
        return np.broadcast_to(channels, sample).reshape(1, -1)
    weight = cast(Weight, first.weight).array
    out, columns = (int(size) for size in weight.shape[:2])
    # an output sees the channels of its own group
    group: Array = np.arange(out) // (out // first.groups)
    inputs: Array = group[:, None] * columns + np.arange(columns)
    seen = np.broadcast_to(channels.reshape(-1), first.groups * columns)[inputs]
    return seen.reshape(out, columns, *[1] * (weight.ndim - 2))
