"""Builds small networks op by op, with seeded weights."""

from collections.abc import Sequence

import numpy as np

from eennc.ir.graph import Graph, Module
from eennc.ir.op import Op, Origin
from eennc.ir.ops.add import Add
from eennc.ir.ops.batch_norm import BatchNorm
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.flatten import Flatten
from eennc.ir.ops.global_average_pool import GlobalAveragePool
from eennc.ir.ops.opaque import Opaque
from eennc.ir.ops.relu import Relu
from eennc.ir.types import TensorType
from eennc.ir.values import Argument, Value, Weight


class Net:
    """A graph under construction; methods append an op and return its result."""

    def __init__(self, *shape: int, batch: int | str = "N") -> None:
        self.random = np.random.default_rng(3)
        self.graph = Graph("main", [Argument("x", TensorType((batch, *shape)))])
        self.input: Value = self.graph.arguments[0]
        self.count = 0

    def op(self, op: Op, node: str = "") -> Value:
        op.origin = Origin("net.onnx", node)
        return self.graph.add(op).result

    def weight(self, *shape: int) -> Weight:
        self.count += 1
        deviation = np.sqrt(2 / max(1, np.prod(shape[1:])))
        return Weight(f"w{self.count}", self.random.normal(0, deviation, shape).astype(np.float32))

    def conv(self, x: Value, out: int, kernel: int = 3, *, node: str = "", groups: int = 1, stride: int = 1) -> Value:
        rank = x.type.rank - 2
        weight = self.weight(out, int(x.type.shape[1]) // groups, *[kernel] * rank)
        pads = (kernel // 2,) * 2 * rank
        return self.op(Conv(x=x, weight=weight, pads=pads, strides=(stride,) * rank, groups=groups), node)

    def depthwise(self, x: Value, node: str = "") -> Value:
        channels = int(x.type.shape[1])
        return self.conv(x, channels, groups=channels, node=node)

    def relu(self, x: Value, node: str = "") -> Value:
        return self.op(Relu(x=x), node)

    def norm(self, x: Value) -> Value:
        scale, bias, mean = (self.weight(int(x.type.shape[1])) for _ in range(3))
        variance = Weight(f"variance{self.count}", np.ones(scale.array.shape, np.float32))
        return self.op(BatchNorm(x=x, scale=scale, bias=bias, mean=mean, variance=variance))

    def add(self, a: Value, b: Value, node: str = "") -> Value:
        return self.op(Add(a=a, b=b), node)

    def dense(self, x: Value, out: int, node: str = "") -> Value:
        return self.op(Dense(x=x, weight=self.weight(out, int(x.type.shape[-1])), bias=self.weight(out)), node)

    def residual(self, x: Value, node: str) -> Value:
        """conv, relu, conv, add, relu."""
        channels = int(x.type.shape[1])
        y = self.relu(self.conv(x, channels, node=f"/{node}/conv1/Conv"), f"/{node}/Relu")
        y = self.conv(y, channels, node=f"/{node}/conv2/Conv")
        return self.relu(self.add(y, x, f"/{node}/Add"), f"/{node}/Relu_1")

    def opaque(self, op_type: str, operands: Sequence[Value], type: TensorType) -> Value:
        names = tuple(f"i{i}" for i in range(len(operands)))
        return self.op(
            Opaque(operands_in=operands, op_type=op_type, names=names, node=b"", types=[type]), f"/{op_type}"
        )

    def classified(self, x: Value, classes: int = 3) -> Module:
        """The module, with global average pooling and a dense classifier at its end."""
        if x.type.rank > 2:
            x = self.op(Flatten(x=self.op(GlobalAveragePool(x=x))))
        return self.module(self.dense(x, classes, "/fc/Gemm"))

    def module(self, output: Value) -> Module:
        self.graph.returns = [output]
        return Module("net", self.graph)
