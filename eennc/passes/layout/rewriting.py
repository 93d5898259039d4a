"""Rewrites a graph op by op so that its feature maps are channels-last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from eennc.ir.axes import normal_axes
from eennc.ir.elementwise import Elementwise
from eennc.ir.graph import Module
from eennc.ir.op import Op
from eennc.ir.ops.batch_norm import BatchNorm
from eennc.ir.ops.cast import Cast
from eennc.ir.ops.clip import Clip
from eennc.ir.ops.concat import Concat
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.exit import Exit
from eennc.ir.ops.flatten import Flatten
from eennc.ir.ops.global_average_pool import GlobalAveragePool
from eennc.ir.ops.global_max_pool import GlobalMaxPool
from eennc.ir.ops.identity import Identity
from eennc.ir.ops.pad import Pad
from eennc.ir.ops.q_conv import QConv
from eennc.ir.ops.q_dense import QDense
from eennc.ir.ops.q_dequantize import Dequantize
from eennc.ir.ops.q_mean import QMean
from eennc.ir.ops.q_pad import QPad
from eennc.ir.ops.q_quantize import Quantize
from eennc.ir.ops.q_requantize import Requantize
from eennc.ir.ops.q_reshape import QReshape
from eennc.ir.ops.q_transpose import QTranspose
from eennc.ir.ops.reduce_mean import ReduceMean
from eennc.ir.ops.relu import Relu
from eennc.ir.ops.reshape import Reshape
from eennc.ir.ops.slice import Slice
from eennc.ir.ops.softmax import Softmax
from eennc.ir.ops.squeeze import Squeeze
from eennc.ir.ops.transpose import Transpose
from eennc.ir.pooling import Pool
from eennc.ir.quantised_elementwise import QuantisedElementwise
from eennc.ir.types import BATCH, Array, Dim, Layout
from eennc.ir.values import Value, Weight
from eennc.ir.windows import spatial_axes
from eennc.passes.canonicalise.walk import WeightNames

_UNARY = (Relu, Clip, Identity, Cast, Quantize, Dequantize, Requantize)
_MAPS = (Conv, QConv, Pool, GlobalAveragePool, GlobalMaxPool, QMean)
_LAST = Layout.CHANNELS_LAST.value


class Rewriting:
    """One graph on its way. A value of the old graph has a form with the `same` order of axes, or one with channels
    `last` and two spatial axes, or both; each is made when first asked for.

    A flattened map in the new order is kept in `order`: its features are those numbers of the old one.
    """

    def __init__(self, module: Module) -> None:
        self.module = module
        self.main = module.main
        self.names = WeightNames(module)
        self.users = self.main.users()
        self.same: dict[Value, Value] = {argument: argument for argument in self.main.arguments}
        self.last: dict[Value, Value] = {}
        self.order: dict[Value, Array] = {}
        self.ops: list[Op] = []
        self.origin: Op | None = None

    def run(self) -> bool:
        """Rewrite; returns whether there was a feature map."""
        for op in self.main.ops:
            self.origin = op
            self._rewrite(op)
        if not self.last:
            return False
        returns = [self.first(value) for value in self.main.returns]
        self.main.ops, self.main.returns = self.ops, returns
        self.main.remove_unused()
        return True

    def first(self, value: Value) -> Value:
        """The form with the old order of axes."""
        if isinstance(value, Weight):
            return value
        if value not in self.same:
            shape, last = value.type.shape, self.last[value]
            if shape[1] == 1 or all(dim == 1 for dim in shape[2:]):
                self.same[value] = self._reshape(last, shape)
            elif value.type.rank == 3:
                last = self._reshape(last, (shape[0], shape[2], shape[1]))
                self.same[value] = self._transpose(last, (0, 2, 1))
            else:
                self.same[value] = self._transpose(last, (0, 3, 1, 2))
        return self.same[value]

    def to_last(self, value: Value) -> Value:
        """The form with channels last."""
        if value not in self.last:
            n, channels, *spatial = value.type.shape
            same, height = self.same[value], 1 if len(spatial) == 1 else spatial[0]
            width = spatial[-1]
            if channels == 1 or (height, width) == (1, 1):
                self.last[value] = self._reshape(same, (n, height, width, channels), _LAST)
            elif len(spatial) == 1:
                turned = self._transpose(same, (0, 2, 1))
                self.last[value] = self._reshape(turned, (n, 1, width, channels), _LAST)
            else:
                self.last[value] = self._transpose(same, (0, 2, 3, 1), _LAST)
        return self.last[value]

    def _rewrite(self, op: Op) -> None:
        if isinstance(op, Exit):
            self._exit(op)
        elif isinstance(op, _MAPS) or (isinstance(op, BatchNorm) and op.x.type.rank > 2):
            self.last[op.result] = self._map(op)
        elif isinstance(op, (Dense, QDense)) and op.x in self.order:
            self.same[op.result] = self._dense(op)
        elif isinstance(op, _UNARY) and op.inputs[0] in self.order:
            self.order[op.result] = self.order[op.inputs[0]]
            self.same[op.result] = self._add(op.rebuilt([self.same[op.inputs[0]]]))
        elif isinstance(op, Transpose) and self._to_front(op):
            self.last[op.result] = self._relabelled(op)
        elif any(value in self.last for value in op.inputs) and self._carried_over(op):
            pass
        else:
            self._as_it_was(op)

    def _as_it_was(self, op: Op) -> None:
        copy = op.rebuilt([None if value is None else self.first(value) for value in op.operands])
        self.ops.append(copy)
        self.same.update(zip(op.results, copy.results, strict=True))

    def _carried_over(self, op: Op) -> bool:
        """Rewrite an op that takes a channels-last map, where it can work on that; returns whether it could."""
        made: Value | None = None
        if isinstance(op, _UNARY):
            made = self._add(op.rebuilt([self.to_last(op.inputs[0])]))
        elif isinstance(op, (Elementwise, QuantisedElementwise)):
            made = self._elementwise(op)
        elif isinstance(op, Concat):
            axis = _moved(op.axis % op.result.type.rank, op.result.type.rank)
            made = self._add(op.rebuilt([self.to_last(x) for x in op.xs], axis=axis))
        elif isinstance(op, Softmax):
            if op.axis % op.x.type.rank == 1:
                made = self._add(op.rebuilt([self.to_last(op.x)], axis=-1))
        elif isinstance(op, Slice):
            axes = [_moved(axis, op.x.type.rank) for axis in normal_axes(op, op.axes, op.x.type.rank)]
            made = self._add(op.rebuilt([self.to_last(op.x)], axes=axes))
        elif isinstance(op, (Pad, QPad)):
            made = self._add(op.rebuilt([self.to_last(op.x)], pads=_moved_pads(op.pads, op.x.type.rank)))
        elif isinstance(op, ReduceMean):
            made = self._mean(op)
        if made is not None:
            self.last[op.result] = made
        return made is not None or any(result in self.same for result in op.results) or self._flattened(op)

    def _map(self, op: Op) -> Value:
        x = self.to_last(op.inputs[0])
        if op.inputs[0].type.rank == 4:
            return self._add(op.rebuilt([x, *op.operands[1:]]))
        # one more spatial axis, in front
        attrs: dict[str, Any] = {}
        for name, filler in (("strides", 1), ("dilations", 1), ("kernel", 1)):
            if op.attrs.get(name):
                attrs[name] = (filler, *cast("tuple[int, ...]", op.attrs[name]))
        if op.attrs.get("pads"):
            begin, end = cast("tuple[int, int]", op.attrs["pads"])
            attrs["pads"] = (0, begin, 0, end)
        operands: list[Value | None] = [x, *op.operands[1:]]
        if isinstance(op, (Conv, QConv)):
            weight = cast(Weight, op.weight)
            operands[1] = Weight(self.names.new(weight.name, "2d"), weight.array[:, :, None, :])
        return self._add(op.rebuilt(operands, **attrs))

    def _elementwise(self, op: Op) -> Value | None:
        rank = op.result.type.rank
        operands: list[Value] = []
        for value in op.inputs:
            if isinstance(value, Weight):
                array = value.array.reshape(*[1] * (rank - value.array.ndim), *value.array.shape)
                turned = array.transpose(0, *range(2, rank), 1)
                turned = turned.reshape(turned.shape[0], 1, *turned.shape[1:]) if rank == 3 else turned
                plain = value.array.size == 1
                operands.append(value if plain else Weight(self.names.new(value.name, "nhwc"), turned))
            elif value.type.rank == rank:
                operands.append(self.to_last(value))
            else:
                return None
        return self._add(op.rebuilt(operands))

    def _mean(self, op: ReduceMean) -> Value | None:
        rank = op.x.type.rank
        axes = normal_axes(op, op.axes, rank)
        if sorted(axes) != list(spatial_axes(op.x.type)):
            return None
        kept = self._add(op.rebuilt([self.to_last(op.x)], axes=(1, 2), keepdims=True))
        if op.keepdims:
            return kept
        self.same[op.result] = self._reshape(kept, op.result.type.shape)
        return None

    def _flattened(self, op: Op) -> bool:
        """Rewrite what makes rows of maps, where the order of features does not matter or can follow."""
        if not isinstance(op, (Flatten, Reshape, Squeeze)):
            return False
        x, result = op.inputs[0].type, op.result.type
        if result.rank != 2 or result.shape[0] != x.shape[0]:
            return False
        channels, *spatial = (int(dim) for dim in x.concrete()[1:])
        places = int(np.prod(spatial))
        if places > 1 and channels > 1:
            if not self._follows(op.result):
                return False
            numbers = np.arange(channels * places).reshape(channels, places)
            self.order[op.result] = numbers.T.reshape(-1)
        self.same[op.result] = self._reshape(self.to_last(op.inputs[0]), result.shape)
        return True

    def _follows(self, value: Value) -> bool:
        """Whether all that takes a flattened map can take it in another order."""
        if value in self.main.returns:
            return False
        for user in self.users.get(value, ()):
            if isinstance(user, _UNARY):
                if not self._follows(user.result):
                    return False
            elif isinstance(user, Exit):
                if value in (user.scores, user.logits):
                    return False
                passed = [result for taken, result in zip(user.carry, user.results, strict=True) if taken is value]
                if not all(self._follows(result) for result in passed):
                    return False
            elif not isinstance(user, (Dense, QDense)):
                return False
        return True

    def _dense(self, op: Dense | QDense) -> Value:
        weight = cast(Weight, op.weight)
        turned = Weight(self.names.new(weight.name, "nhwc"), weight.array[:, self.order[op.x]])
        return self._add(op.rebuilt([self.same[op.x], turned, *op.operands[2:]]))

    def _exit(self, op: Exit) -> None:
        carry = [self.last[value] if value in self.last else self.same[value] for value in op.carry]
        operands = [None if value is None else self.first(value) for value in (op.scores, op.logits)]
        copy = op.rebuilt([*operands, *carry])
        self.ops.append(copy)
        for value, result, new in zip(op.carry, op.results, copy.results, strict=True):
            (self.last if value in self.last else self.same)[result] = new
            if value in self.order:
                self.order[result] = self.order[value]

    def _to_front(self, op: Transpose) -> bool:
        """Whether it moves the channels of a map from the end to the front."""
        rank = op.x.type.rank
        return rank in (3, 4) and op.perm == (0, rank - 1, *range(1, rank - 1)) and op.x in self.same

    def _relabelled(self, op: Transpose) -> Value:
        n, *spatial, channels = op.x.type.shape
        return self._reshape(self.same[op.x], (n, *([1] if len(spatial) == 1 else []), *spatial, channels), _LAST)

    def _add(self, op: Op) -> Value:
        assert self.origin is not None
        op.origin = self.origin.origin.via("channels-last")
        op.notes = dict(self.origin.notes)
        self.ops.append(op)
        return op.result

    def _reshape(self, x: Value, shape: Sequence[Dim], layout: str = "none") -> Value:
        cls = Reshape if x.type.quant is None else QReshape
        return self._add(cls(x=x, shape=[-1 if dim == BATCH else int(dim) for dim in shape], layout=layout))

    def _transpose(self, x: Value, perm: Sequence[int], layout: str = "none") -> Value:
        cls = Transpose if x.type.quant is None else QTranspose
        return self._add(cls(x=x, perm=perm, layout=layout))


def _moved(axis: int, rank: int) -> int:
    """Where an axis of [n, c, spatial...] is in [n, height, width, c]."""
    return {0: 0, 1: 3, 2: 2}[axis] if rank == 3 else {0: 0, 1: 3, 2: 1, 3: 2}[axis]


def _moved_pads(pads: Sequence[int], rank: int) -> list[int]:
    """Pads of [n, c, spatial...], begins and ends, for [n, height, width, c]."""
    moved = [0] * 8
    for axis in range(rank):
        moved[_moved(axis, rank)], moved[4 + _moved(axis, rank)] = pads[axis], pads[rank + axis]
    return moved
