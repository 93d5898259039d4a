"""Networks of known shape with random weights, for measurements where trained ones are not needed."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

BOTTLENECKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


class _Builder:
    def __init__(self, seed: int, batch_norm: bool) -> None:
        self.random = np.random.default_rng(seed)
        self.batch_norm = batch_norm
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def weight(self, name: str, array: NDArray[np.float32]) -> str:
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def normal(self, name: str, shape: tuple[int, ...], deviation: float) -> str:
        return self.weight(name, self.random.standard_normal(shape, np.float32) * np.float32(deviation))

    def node(self, op_type: str, name: str, inputs: list[str], **attrs: object) -> str:
        self.nodes.append(helper.make_node(op_type, inputs, [f"{name}_output_0"], name=name, **attrs))
        return f"{name}_output_0"

    def conv(
        self, x: str, name: str, inputs: int, outputs: int, kernel: int, stride: int, *, last: bool = False
    ) -> str:
        # the last convolution of a block starts small, so that the sum of many blocks stays finite
        deviation = (0.2 if last else 1.0) * np.sqrt(2 / (inputs * kernel * kernel))
        names = [x, self.normal(f"{name}.weight", (outputs, inputs, kernel, kernel), deviation)]
        if not self.batch_norm:
            names.append(self.normal(f"{name}.bias", (outputs,), 0.05))
        pad = kernel // 2
        y = self.node("Conv", f"/{name}/Conv", names, strides=[stride] * 2, pads=[pad] * 4, kernel_shape=[kernel] * 2)
        if not self.batch_norm:
            return y
        parts = [
            self.weight(f"{name}.bn.weight", self.random.uniform(0.8, 1.2, outputs).astype(np.float32)),
            self.normal(f"{name}.bn.bias", (outputs,), 0.05),
            self.normal(f"{name}.bn.running_mean", (outputs,), 0.05),
            self.weight(f"{name}.bn.running_var", self.random.uniform(0.8, 1.2, outputs).astype(np.float32)),
        ]
        return self.node("BatchNormalization", f"/{name}/bn", [y, *parts], epsilon=1e-5)

    def block(self, x: str, name: str, inputs: int, width: int, stride: int) -> str:
        y = self.node("Relu", f"/{name}/relu1", [self.conv(x, f"{name}.conv1", inputs, width, 1, 1)])
        y = self.node("Relu", f"/{name}/relu2", [self.conv(y, f"{name}.conv2", width, width, 3, stride)])
        y = self.conv(y, f"{name}.conv3", width, 4 * width, 1, 1, last=True)
        if inputs != 4 * width or stride != 1:
            x = self.conv(x, f"{name}.downsample", inputs, 4 * width, 1, stride)
        return self.node("Relu", f"/{name}/relu3", [self.node("Add", f"/{name}/Add", [y, x])])


def resnet(depth: int = 152, classes: int = 10, seed: int = 0, *, batch_norm: bool = False) -> onnx.ModelProto:
    """A bottleneck ResNet (50, 101 or 152 layers) for 32x32 images: 3x3 stem without pooling, He initialisation.

    BatchNorm is folded into the convolutions unless `batch_norm`. Input `input` [N, 3, 32, 32], output `output`
    [N, classes] (logits), opset 17.
    """
    build = _Builder(seed, batch_norm)
    x = build.node("Relu", "/relu", [build.conv("input", "conv1", 3, 64, 3, 1)])
    channels = 64
    for stage, blocks in enumerate(BOTTLENECKS[depth]):
        width = 64 << stage
        for index in range(blocks):
            stride = 2 if stage and not index else 1
            x = build.block(x, f"layer{stage + 1}.{index}", channels, width, stride)
            channels = 4 * width
    x = build.node("Flatten", "/Flatten", [build.node("GlobalAveragePool", "/avgpool", [x])])
    weight = build.normal("fc.weight", (classes, channels), np.sqrt(1 / channels))
    bias = build.normal("fc.bias", (classes,), 0.05)
    build.nodes.append(helper.make_node("Gemm", [x, weight, bias], ["output"], name="/fc/Gemm", transB=1))
    graph = helper.make_graph(
        build.nodes,
        f"resnet{depth}",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 32, 32])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", classes])],
    )
    graph.initializer.extend(build.initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
