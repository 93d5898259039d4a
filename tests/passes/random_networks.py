"""Random networks for properties of passes: small maps, every shape of op that the passes look for."""

import numpy as np
from hypothesis import strategies as st

from eennc.ir.graph import Graph, Module
from eennc.ir.op import Op
from eennc.ir.ops.add import Add
from eennc.ir.ops.average_pool import AveragePool
from eennc.ir.ops.batch_norm import BatchNorm
from eennc.ir.ops.candidate import Candidate
from eennc.ir.ops.clip import Clip
from eennc.ir.ops.concat import Concat
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.div import Div
from eennc.ir.ops.dynamic_reshape import DynamicReshape
from eennc.ir.ops.exit import Exit
from eennc.ir.ops.fill import Fill
from eennc.ir.ops.flatten import Flatten
from eennc.ir.ops.gather import Gather
from eennc.ir.ops.identity import Identity
from eennc.ir.ops.max_pool import MaxPool
from eennc.ir.ops.mul import Mul
from eennc.ir.ops.pad import Pad
from eennc.ir.ops.reduce_mean import ReduceMean
from eennc.ir.ops.relu import Relu
from eennc.ir.ops.reshape import Reshape
from eennc.ir.ops.shape_of import ShapeOf
from eennc.ir.ops.slice import Slice
from eennc.ir.ops.sub import Sub
from eennc.ir.ops.transpose import Transpose
from eennc.ir.ops.unsqueeze import Unsqueeze
from eennc.ir.types import TensorType
from eennc.ir.values import Argument, Result, Value, Weight

CLASSES = 3


class Builder:
    def __init__(self, draw, seed: int) -> None:
        self.draw = draw
        self.random = np.random.default_rng(seed)
        self.argument = Argument("input", TensorType(("N", 4, 6, 6)))
        self.graph = Graph("main", [self.argument])
        self.number = 0

    def add(self, op: Op) -> Result:
        self.graph.add(op)
        return op.result

    def weight(self, *shape: int, low: float = -1.0, high: float = 1.0) -> Weight:
        self.number += 1
        # few different contents, so that some weights are equal
        random = np.random.default_rng(int(self.random.integers(3)))
        return Weight(f"w{self.number}", random.uniform(low, high, shape).astype(np.float32))

    def integers(self, *items: int) -> Weight:
        self.number += 1
        return Weight(f"w{self.number}", np.array(items, np.int64))

    def constant(self, channels: int) -> Value:
        shape = self.draw(st.sampled_from([(), (1,), (channels, 1, 1), (1, channels, 1, 1), (1, 1, 6), (6, 6)]))
        weight = self.weight(*shape, low=0.5, high=1.5)
        # a constant that is itself computed
        return self.add(Mul(a=weight, b=self.weight(low=0.5, high=1.5))) if self.draw(st.booleans()) else weight

    def step(self, values: list[Value]) -> Value:
        """One more value [N, 4, 6, 6] from some of those."""
        x = self.draw(st.sampled_from(values))
        kind = self.draw(st.sampled_from(STEPS))
        return kind(self, x, values)


def conv(b, x, values):
    bias = b.weight(4) if b.draw(st.booleans()) else None
    groups = b.draw(st.sampled_from([1, 2, 4]))
    activation = b.draw(st.sampled_from(["none", "none", "none", "relu", "relu6"]))
    weight = b.weight(4, 4 // groups, 3, 3)
    return b.add(Conv(x=x, weight=weight, bias=bias, pads=(1, 1, 1, 1), groups=groups, activation=activation))


def batch_norm(b, x, values):
    return b.add(
        BatchNorm(x=x, scale=b.weight(4), bias=b.weight(4), mean=b.weight(4), variance=b.weight(4, low=0.5, high=2))
    )


def activation(b, x, values):
    return b.add(
        b.draw(
            st.sampled_from(
                [
                    Relu(x=x),
                    Clip(x=x, minimum=0, maximum=6),
                    Clip(x=x, minimum=0),
                    Clip(x=x),
                    Clip(x=x, minimum=-1, maximum=6),
                ]
            )
        )
    )


def arithmetic(b, x, values):
    kind = b.draw(st.sampled_from([Add, Sub, Mul, Div]))
    constant = b.constant(4)
    return b.add(kind(a=constant, b=x) if kind is not Div and b.draw(st.booleans()) else kind(a=x, b=constant))


def residual(b, x, values):
    return b.add(Add(a=x, b=b.draw(st.sampled_from(values))))


def nothing(b, x, values):
    kind = b.draw(st.integers(0, 6))
    ops = (
        lambda: Identity(x=x),
        lambda: Pad(x=x, pads=(0,) * 8),
        lambda: Transpose(x=x, perm=(0, 1, 2, 3)),
        lambda: Slice(x=x, starts=(0,), ends=(99,), axes=(2,), steps=(1,)),
        lambda: Concat(xs=[x], axis=1),
        lambda: Reshape(x=x, shape=(-1, 4, 6, 6)),
        lambda: MaxPool(x=x, kernel=(1, 1)),
    )
    return b.add(ops[kind]())


def something_like_nothing(b, x, values):
    kind = b.draw(st.integers(0, 3))
    ops = (
        lambda: Pad(x=x, pads=(0, 0, 1, 0, 0, 0, -1, 0), value=0.5),
        lambda: Transpose(x=x, perm=(0, 1, 3, 2)),
        lambda: Slice(x=x, starts=(-1,), ends=(-99,), axes=(2,), steps=(-1,)),
        lambda: AveragePool(x=x, kernel=(3, 3), pads=(1, 1, 1, 1)),
    )
    return b.add(ops[kind]())


def there_and_back(b, x, values):
    flat = b.add(Flatten(x=x))
    middle = b.add(Reshape(x=flat, shape=(-1, 8, 18)))
    return b.add(Reshape(x=middle, shape=(-1, 4, 6, 6)))


def computed_shape(b, x, values):
    shape = b.add(ShapeOf(x=x))
    first = b.add(Gather(x=shape, indices=b.integers(0)))
    rest = b.draw(st.sampled_from([(4, 6, 6), (4, -1, 6), (0, 6, 6)]))
    if 0 in rest:
        rest = (4, -1, 6)
        other = b.add(Gather(x=shape, indices=b.integers(1)))
        target = b.add(Concat(xs=[first, other, b.integers(-1, 6)], axis=0))
    else:
        if b.draw(st.booleans()):
            # as torch exports x.size(0)
            scalar = b.add(Gather(x=shape, indices=Weight(f"s{len(b.graph.ops)}", np.array(0))))
            first = b.add(Unsqueeze(x=scalar, axes=(0,)))
        target = b.add(Concat(xs=[first, b.integers(*rest)], axis=0))
    unknown = TensorType(("?", "?", "?", "?"))
    flat = b.add(Flatten(x=x))
    back = b.graph.add(DynamicReshape(x=flat, shape=target, types=[unknown])).result
    # types with ? would keep other steps from building on it
    return b.add(Add(a=back, b=x))


def twins(b, x, values):
    """Two ops that differ in one attribute, or in none."""
    weight, pads = b.weight(4, 4, 1, 1), b.draw(st.sampled_from([(1, 1, 1, 1), (2, 2, 0, 0), (0, 0, 2, 2)]))
    pool = {"kernel": (3, 3)}
    first = b.add(AveragePool(x=x, pads=(1, 1, 1, 1), **pool))
    second = b.add(AveragePool(x=x, pads=pads, **pool))
    third = b.add(AveragePool(x=x, pads=(1, 1, 1, 1), count_include_pad=b.draw(st.booleans()), **pool))
    return b.add(Conv(x=b.add(Add(a=b.add(Add(a=first, b=second)), b=third)), weight=weight))


def dead(b, x, values):
    b.add(Relu(x=x))
    return x


def filled(b, x, values):
    return b.add(Add(a=x, b=b.add(Fill(shape=(1, 4, 1, 1), value=0.25))))


STEPS = [
    conv, conv, conv, batch_norm, batch_norm, activation, activation, arithmetic, arithmetic, residual, nothing,
    something_like_nothing, there_and_back, computed_shape, twins, dead, filled,
]  # fmt: skip


def classifier(b: Builder, x: Value) -> Value:
    pool = b.draw(
        st.sampled_from(
            [
                lambda: ReduceMean(x=x, axes=(2, 3)),
                lambda: ReduceMean(x=x, axes=(-1, -2), keepdims=False),
                lambda: AveragePool(x=x, kernel=(6, 6)),
                lambda: MaxPool(x=x, kernel=(6, 6)),
                lambda: AveragePool(x=x, kernel=(6, 6), pads=(1, 1, 0, 0), strides=(9, 9), count_include_pad=True),
            ]
        )
    )
    flat = b.add(Flatten(x=b.add(pool())))
    return b.add(Dense(x=flat, weight=b.weight(CLASSES, 4), bias=b.weight(CLASSES)))


@st.composite
def networks(draw, exits: bool | None = None) -> Module:
    """A network, some with candidates marked, some with exits (`exits` says which)."""
    b = Builder(draw, draw(st.integers(0, 9)))
    with_exits = draw(st.booleans()) if exits is None else exits
    values: list[Value] = [b.argument]
    number = 0
    for _ in range(draw(st.integers(1, 9))):
        x = b.step(values)
        values.append(x)
        if draw(st.integers(0, 3)) == 0 and x is not b.argument:
            if with_exits:
                scores = classifier(b, x)
                exit = Exit(scores=scores, carry=[x], exit=number, place=f"p{number}", threshold=0.6)
                x = b.graph.add(exit).results[0]
                values = [x]
                number += 1
            else:
                b.graph.add(Candidate(x=x, place=f"p{len(values)}"))
                values = [x]
    b.graph.returns = [classifier(b, values[-1])]
    return Module("random", b.graph, stage="exits-placed" if with_exits else "imported")
