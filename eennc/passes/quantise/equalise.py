"""equalise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, cast

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray

from eennc.ir.given import GIVEN_SCALES
from eennc.ir.graph import Graph, Module
from eennc.ir.op import Op
from eennc.ir.ops.average_pool import AveragePool
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.flatten import Flatten
from eennc.ir.ops.global_average_pool import GlobalAveragePool
from eennc.ir.ops.global_max_pool import GlobalMaxPool
from eennc.ir.ops.identity import Identity
from eennc.ir.ops.max_pool import MaxPool
from eennc.ir.ops.relu import Relu
from eennc.ir.ops.reshape import Reshape
from eennc.ir.types import Array
from eennc.ir.values import Value, Weight
from eennc.ir.windows import channels_of
from eennc.passes.base import Context, Pass
from eennc.passes.canonicalise.walk import WeightNames

Floats = NDArray[np.float64]

_SCALING = (Relu, MaxPool, AveragePool, GlobalAveragePool, GlobalMaxPool, Identity)
"""Ops that give a channel's multiple where they take one, for factors above zero."""
_FLAT = (Flatten, Reshape)
LARGEST = 256.0
"""A channel's factor, at most: one that is nearly dead is not blown up."""
EVEN = 0.01
"""Where all factors are this near to 1, the pair is even."""


@dataclass(frozen=True)
class Equalise(Pass):
    """Even out the channels between two layers: what one makes smaller by a factor per channel, the next makes larger.

    The network's function stays. Weights and activations then use their integers better where they share one scale:
    Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction (arXiv 1906.04721). Only where
    one layer alone takes the channels, through ReLU or pools at most; ReLU6 stops it. Put it before find-exits.

    Before:
        argument %x : tensor<Nx1xf32>
        weight @a : tensor<2x1xf32> = [1, 4]
        weight @b : tensor<1x2xf32> = [4, 1]
        %0 = nn.dense %x, @a {activation = relu} : tensor<Nx2xf32>
        %1 = nn.dense %0, @b : tensor<Nx1xf32>
    After:
        weight @c : tensor<2x1xf32> = [2, 2]
        weight @d : tensor<1x2xf32> = [2, 2]
        %0 = nn.dense %x, @c {activation = relu} : tensor<Nx2xf32>
        %1 = nn.dense %0, @d : tensor<Nx1xf32>
    """

    invalidates: ClassVar[frozenset[str]] = frozenset({"ranges"})

    rounds: Annotated[int, Gt(0)] = 20
    """How often to go over all pairs, at most: a layer belongs to two."""

    def run(self, module: Module, ctx: Context) -> bool:
        """Changed where a pair was uneven."""
        pairs = _pairs(module.main)
        layers = {op: _Layer(op) for pair in pairs for op in pair}
        for _ in range(self.rounds):
            factors = [layers[first].even(layers[second]) for first, second in pairs]
            if all(np.abs(np.log(f)).max() < EVEN for f in factors):
                break
        names = WeightNames(module)
        changed = [layer.write(names) for layer in layers.values()]
        return any(changed)


class _Layer:
    """The weight and bias of an op, float64, while they change."""

    def __init__(self, op: Conv | Dense) -> None:
        self.op = op
        self.weight: Floats = cast(Weight, op.weight).array.astype(np.float64)
        self.bias: Floats | None = None if op.bias is None else cast(Weight, op.bias).array.astype(np.float64)
        self.changed = False

    def even(self, behind: _Layer) -> Floats:
        """Give both layers' weights of a channel the same largest one; returns by what each channel was divided."""
        out = len(self.weight)
        mine = np.abs(self.weight.reshape(out, -1)).max(axis=1)
        other = behind.inputs(out)
        theirs = np.abs(other).max(axis=(1, 2))
        alive = (mine > 0) & (theirs > 0)
        ratio = np.divide(mine, theirs, out=np.ones(out), where=alive)
        factors = np.clip(np.sqrt(ratio), 1 / LARGEST, LARGEST)
        self.weight /= factors.reshape(-1, *[1] * (self.weight.ndim - 1))
        if self.bias is not None:
            self.bias /= factors
        other *= factors[:, None, None]
        if np.abs(np.log(factors)).max() >= EVEN:
            self.changed = behind.changed = True
        return factors

    def inputs(self, channels: int) -> Floats:
        """A view of the weight as [input channels, outputs of it, taps]."""
        if isinstance(self.op, Conv) and self.op.groups > 1:
            return self.weight.reshape(channels, len(self.weight) // channels, -1)
        return self.weight.reshape(len(self.weight), channels, -1).transpose(1, 0, 2)

    def write(self, names: WeightNames) -> bool:
        """Put the new weights in."""
        if self.changed:
            for place, array in ((1, self.weight), (2, self.bias)):
                if array is not None:
                    old = cast(Weight, self.op.operands[place])
                    self.op.operands[place] = Weight(names.new(old.name, "even"), array.astype(old.array.dtype))
        return self.changed


def _pairs(main: Graph) -> list[tuple[Conv | Dense, Conv | Dense]]:
    """Layers of which one alone takes what the other makes, channel by channel."""
    users = main.users()
    found: list[tuple[Conv | Dense, Conv | Dense]] = []
    for op in main.ops:
        if isinstance(op, (Conv, Dense)) and op.activation != "relu6" and GIVEN_SCALES not in op.notes:
            behind = _taker(op.result, main, users)
            if isinstance(behind, (Conv, Dense)) and _fits(op, behind):
                found.append((op, behind))
    return found


def _taker(value: Value, main: Graph, users: Mapping[Value, Sequence[Op]]) -> Op | None:
    """The op that alone takes a value, seen through those that keep factors."""
    while value not in main.returns and len(takers := users.get(value, ())) == 1:
        (op,) = takers
        flat = isinstance(op, _FLAT) and set(value.type.shape[2:]) == {1} and op.result.type.rank == 2
        if not isinstance(op, _SCALING) and not flat:
            return op
        value = op.result
    return None


def _fits(op: Conv | Dense, behind: Conv | Dense) -> bool:
    """Whether the channels that `op` makes are those that `behind` weighs."""
    if GIVEN_SCALES in behind.notes:
        return False
    channels = len(cast(Weight, op.weight).array)
    weight: Array = cast(Weight, behind.weight).array
    if isinstance(behind, Dense):
        return behind.x.type.rank == 2 and weight.shape[1] == channels
    if channels_of(behind.x.type) != channels:
        return False
    return behind.groups in (1, channels)
