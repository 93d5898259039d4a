"""Networks that are nothing but exits: the input holds every exit's logits, so that each runtime decides on the same
numbers and the decision alone is compared.
"""

import numpy as np

from eennc.ir.graph import Graph, Module
from eennc.ir.ops.exit import Exit
from eennc.ir.ops.q_quantize import Quantize
from eennc.ir.ops.q_slice import QSlice
from eennc.ir.ops.slice import Slice
from eennc.ir.types import TensorType
from eennc.ir.values import Argument, Value


def bare(classes: int, exits: list[dict[str, object]], scale: float | None = None) -> Module:
    """Exits of these attributes, and a last classifier, that answer the input's numbers, [N, (exits + 1) classes].
    `scale`: of the int8 that they are quantised to; None for floats.
    """
    argument = Argument("input", TensorType(("N", (len(exits) + 1) * classes)))
    graph = Graph("main", [argument])
    value: Value = argument
    if scale is not None:
        value = graph.add(Quantize(x=value, scale=scale, zero_point=-3)).result

    def scores(number: int) -> Value:
        limits = {"starts": (number * classes,), "ends": ((number + 1) * classes,), "axes": (1,), "steps": (1,)}
        return graph.add((Slice if scale is None else QSlice)(x=value, **limits)).result

    for number, attributes in enumerate(exits):
        answer = scores(number)
        exit = Exit(scores=answer, carry=[value], exit=number, place=f"exit{number}", **attributes)
        value = graph.add(exit).results[0]
    graph.returns = [scores(len(exits))]
    stage = "exits-placed" if scale is None else "quantised"
    return Module("bare", graph, stage=stage, attributes={"classes": classes, "scores": "logits"})


def answers(n: int, classes: int, exits: int, seed: int, scale: float | None = None) -> np.ndarray:
    """Samples of such a network, some classes ahead by more than others; in integers many of them equal."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(n, exits + 1, classes)) * random.uniform(0.1, 6, size=(n, 1, 1))
    favourite = random.integers(0, classes, (n, 1))
    logits[np.arange(n)[:, None], np.arange(exits + 1)[None], favourite] += random.uniform(0, 6, (n, exits + 1))
    logits = logits.reshape(n, -1).astype(np.float32)
    return (
        logits if scale is None else np.clip(np.rint(logits / scale), -125, 130).astype(np.float32) * np.float32(scale)
    )
