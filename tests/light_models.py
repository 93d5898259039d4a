"""The nine `light_*` networks of the onnx package, with weights that make their outputs depend on the input.

As shipped, every weight is a `ConstantOfShape` node of one value. Here each becomes a seeded random initializer of the
same shape: He-like for convolutions and matrices, close to one for BatchNorm's scale and variance, small for biases.
"""

from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
from numpy.typing import NDArray

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
DRAWN = 4_000_037
NAMES = sorted(path.stem for path in FOLDER.glob("light_*.onnx"))


def seeded(name: str, seed: int = 0) -> onnx.ModelProto:
    """The network `name` with random weights."""
    model = onnx.load(FOLDER / f"{name}.onnx")
    graph = model.graph
    random = np.random.default_rng(seed)
    shapes = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    roles = _roles(graph)
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        array = _draw(random, roles[node.output[0]], tuple(int(size) for size in shapes[node.input[0]]))
        graph.initializer.append(onnx.numpy_helper.from_array(array, node.output[0]))
        # ir_version 3 wants every initializer among the inputs
        graph.input.append(onnx.helper.make_tensor_value_info(node.output[0], onnx.TensorProto.FLOAT, array.shape))
    del graph.node[:]
    graph.node.extend(kept)
    return model


def _roles(graph: onnx.GraphProto) -> dict[str, str]:
    """What each constant is for, by the node that takes it."""
    users: dict[str, list[tuple[onnx.NodeProto, int]]] = {}
    for node in graph.node:
        for index, name in enumerate(node.input):
            users.setdefault(name, []).append((node, index))
    roles: dict[str, str] = {}
    for constant in graph.node:
        if constant.op_type != "ConstantOfShape":
            continue
        user, index = users[constant.output[0]][0]
        if user.op_type == "Unsqueeze":
            user, index = users[user.output[0]][0]
        match user.op_type, index:
            case ("Conv" | "Gemm", 1):
                roles[constant.output[0]] = "matrix"
            case ("BatchNormalization", 1):
                # a residual branch adds little, so that deep sums stay finite
                added = any(then.op_type in ("Sum", "Add") for then, _ in users.get(user.output[0], ()))
                roles[constant.output[0]] = "small-scale" if added else "scale"
            case ("BatchNormalization", 4) | ("Mul", _):
                roles[constant.output[0]] = "scale"
            case _:
                roles[constant.output[0]] = "bias"
    return roles


def _draw(random: np.random.Generator, role: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    match role:
        case "matrix":
            fan_in = int(np.prod(shape[1:]))
            # the largest matrices repeat what was drawn: drawing takes longer than running the network
            weights = np.resize(random.standard_normal(min(int(np.prod(shape)), DRAWN), np.float32), shape)
            # after a ReLU all activations are positive; without this their mean, not the input, decides the output
            weights -= weights.mean(axis=tuple(range(1, len(shape))), keepdims=True)
            weights *= np.float32(np.sqrt(2 / fan_in))
            return weights
        case "scale":
            return random.uniform(0.8, 1.2, shape).astype(np.float32)
        case "small-scale":
            return random.uniform(0.1, 0.3, shape).astype(np.float32)
        case _:
            return random.standard_normal(shape, np.float32) * np.float32(0.05)
