"""A network and data small enough to compile in a test: images whose class is where they are bright."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

CLASSES, SIDE = 3, 9
QUICK = (
    "canonicalise,find-exits{min_saving=0,min_gap=0},insert-exits{grid=1,hidden=8},"
    "train-exits{epochs=2},solve-thresholds{limit=0.2}"
)


def images(samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 [n, 1, 9, 9] and labels int64 [n]."""
    random = np.random.default_rng(seed)
    labels = np.arange(samples) % CLASSES
    x = random.normal(size=(samples, 1, SIDE, SIDE)).astype(np.float32)
    for label in range(CLASSES):
        x[labels == label, :, 3 * label : 3 * label + 3] += 1
    return x, labels


def model() -> onnx.ModelProto:
    """Two convolutions with random weights, and a classifier fitted by least squares."""
    random = np.random.default_rng(7)
    weights = {
        "w1": random.normal(0, 0.4, (6, 1, 3, 3)),
        "w2": random.normal(0, 0.2, (8, 6, 3, 3)),
        "fc": np.zeros((8 * 9, CLASSES)),
        "bias": np.zeros(CLASSES),
    }
    nodes = [
        helper.make_node("Conv", ["input", "w1"], ["a"], name="/one/Conv", pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"], name="/one/Relu"),
        helper.make_node("Conv", ["b", "w2"], ["c"], name="/two/Conv", pads=[1] * 4, strides=[3, 3]),
        helper.make_node("Relu", ["c"], ["d"], name="/two/Relu"),
        helper.make_node("Flatten", ["d"], ["features"], name="/Flatten"),
        helper.make_node("Gemm", ["features", "fc", "bias"], ["output"], name="/fc/Gemm"),
    ]
    x, labels = images(300, 0)
    wanted = np.eye(CLASSES)[labels] - 1 / CLASSES
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 1, SIDE, SIDE])]
    for output, shape in (("features", ["N", 72]), ("output", ["N", CLASSES])):
        graph = helper.make_graph(
            nodes,
            "tiny",
            inputs,
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
            [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        if output == "features":
            (found,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"input": x})
            weights["fc"] = np.linalg.lstsq(found, 8 * wanted, rcond=None)[0]
    return proto


def write_all(folder: Path) -> None:
    """model.onnx, train.npz, calibration.npz, test.npz."""
    onnx.save(model(), str(folder / "model.onnx"))
    for seed, (split, samples) in enumerate({"train": 300, "calibration": 120, "test": 150}.items(), 1):
        x, y = images(samples, seed)
        np.savez(folder / f"{split}.npz", x=x, y=y)
