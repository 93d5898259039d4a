"""A small network with seeded weights and data for it; as a script, trains its heads and saves the module."""

import sys
from pathlib import Path

import numpy as np

from eennc.data.cache import Cache
from eennc.data.splits import Split, Splits
from eennc.ir.graph import Graph, Module
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.flatten import Flatten
from eennc.ir.ops.max_pool import MaxPool
from eennc.ir.ops.softmax import Softmax
from eennc.ir.text import save_module
from eennc.ir.types import TensorType
from eennc.ir.values import Argument, Value, Weight
from eennc.passes.base import Context, Pass
from eennc.passes.exits.find_exits import FindExits
from eennc.passes.exits.insert_exits import InsertExits
from eennc.passes.exits.train_exits import TrainExits

CLASSES = 3
SIDE = 10


def network(batch: int | str = "N", probabilities: bool = False) -> Module:
    """Three convolutions and a classifier."""
    random = np.random.default_rng(5)
    graph = Graph("main", [Argument("x", TensorType((batch, 2, SIDE, SIDE)))])
    value: Value = graph.arguments[0]
    channels = 2
    for layer, width in enumerate((6, 8, 8)):
        matrix = random.normal(0, (2 / (9 * channels)) ** 0.5, (width, channels, 3, 3)).astype(np.float32)
        conv = Conv(x=value, weight=Weight(f"conv{layer}", matrix), pads=(1, 1, 1, 1), activation="relu")
        value, channels = graph.add(conv).result, width
    value = graph.add(MaxPool(x=value, kernel=(2, 2), strides=(2, 2))).result
    value = graph.add(Flatten(x=value)).result
    # rows without a mean, or one class would win always
    matrix = random.normal(size=(CLASSES, channels * (SIDE // 2) ** 2)).astype(np.float32)
    matrix -= matrix.mean(axis=1, keepdims=True)
    bias = Weight("fc.bias", np.zeros(CLASSES, np.float32))
    value = graph.add(Dense(x=value, weight=Weight("fc", matrix), bias=bias)).result
    if probabilities:
        value = graph.add(Softmax(x=value)).result
    graph.returns = [value]
    return Module("small", graph)


def made(name: str, samples: int, seed: int) -> Split:
    """Images whose class is where they are bright."""
    random = np.random.default_rng(seed)
    labels = np.arange(samples) % CLASSES
    x = random.normal(size=(samples, 2, SIDE, SIDE)).astype(np.float32)
    for label in range(CLASSES):
        x[labels == label, :, 3 * label : 3 * label + 3] += 0.8
    return Split(name, x, labels)


def data(samples: int = 1300) -> Splits:
    """Train, calibration and test."""
    return Splits(made("train", samples, 0), made("calibration", 200, 1), made("test", 200, 2))


def run(module: Module, ctx: Context, train: Pass) -> Module:
    """Exits placed and their heads trained."""
    for step in (FindExits(), InsertExits(grid=2, hidden=8), train):
        step.run(module, ctx)
    return module


if __name__ == "__main__":
    cache, out, samples, epochs = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    trained = run(network(), Context(data=data(samples), cache=Cache(cache)), TrainExits(epochs=epochs))
    save_module(trained, out)
