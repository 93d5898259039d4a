"""Seeded random early-exit networks whose exits all fire for some samples."""

import numpy as np

from eennc.ir.cuts import all_evidence, exits_of
from eennc.ir.graph import Graph, Module
from eennc.ir.interpreter import run_graph
from eennc.ir.op import Op, Origin
from eennc.ir.ops.add import Add
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.exit import Exit
from eennc.ir.ops.flatten import Flatten
from eennc.ir.ops.global_average_pool import GlobalAveragePool
from eennc.ir.ops.relu import Relu
from eennc.ir.ops.softmax import Softmax
from eennc.ir.types import TensorType
from eennc.ir.values import Argument, Result, Value, Weight
from eennc.passes.base import Context
from eennc.passes.exits.form_segments import FormSegments

CLASSES = 5


def shape_of(dims: int) -> tuple[int, ...]:
    """Of one sample."""
    return (3, 8, 6) if dims == 2 else (3, 12)


def samples(n: int, dims: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, 99]).normal(size=(n, *shape_of(dims))).astype(np.float32)


def eenn(
    seed: int = 0,
    exits: int = 2,
    *,
    dims: int = 2,
    kind: str = "logits",
    rule: str = "max_probability",
    evident: bool = False,
    batch: int | str = "N",
    width: int = 16,
    input_name: str = "input",
    names: tuple[str, ...] = (),
    share: float | None = None,
) -> Module:
    """`exits` + 1 residual blocks of convolutions, thresholds such that `share` (default: equal shares) of the samples
    that reach an exit leave there. `evident`: exits whose scores are probabilities look at the logits before them.
    `names`: node names, and so value names, to draw from.
    """
    random = np.random.default_rng(seed)
    graph = Graph("main", [Argument(input_name, TensorType((batch, *shape_of(dims))))])
    count = 0

    def weight(*shape: int, scale: float = 1.0) -> Weight:
        nonlocal count
        count += 1
        fan_in = int(np.prod(shape[1:])) or 1
        return Weight(f"w{count}", (random.normal(size=shape) * scale * (2 / fan_in) ** 0.5).astype(np.float32))

    def add(op: Op) -> Result:
        op.origin = Origin("random", names[len(graph.ops) % len(names)] if names else "")
        graph.add(op)
        return op.result

    def conv(x: Value, activation: str = "relu", scale: float = 1.0) -> Result:
        kernel = weight(width, int(x.type.shape[1]), *[3] * dims, scale=scale)
        return add(Conv(x=x, weight=kernel, pads=(1,) * 2 * dims, activation=activation))

    def residual(x: Value, inner: Value) -> Result:
        return add(Relu(x=add(Add(a=conv(inner, "none", 0.2), b=x))))

    def scores(x: Value) -> Result:
        flat = add(Flatten(x=add(GlobalAveragePool(x=x))))
        value = add(Dense(x=flat, weight=weight(CLASSES, width, scale=3.0), bias=weight(CLASSES)))
        return add(Softmax(x=value)) if kind == "probabilities" else value

    value: Value = conv(graph.arguments[0])
    for number in range(exits):
        value = residual(value, conv(value))
        place = names[number % len(names)] if names else f"block{number}"
        temperature = 1.0 if number % 2 else float(random.uniform(0.3, 3))
        answer = scores(value)
        exit = Exit(
            scores=answer,
            logits=answer.op.x if evident else None,
            carry=[value],
            exit=number,
            place=place,
            kind=kind,
            rule=rule,
            temperature=temperature,
        )
        value = graph.add(exit).results[0]
    value = residual(value, value)
    graph.returns = [scores(value)]
    attributes = {"classes": CLASSES, "scores": kind, **({"batch": batch} if isinstance(batch, int) else {})}
    module = Module("random", graph, stage="exits-placed", attributes=attributes)
    set_thresholds(module, dims, share)
    return module


def set_thresholds(module: Module, dims: int, share: float | None) -> None:
    """Thresholds in the middle between two confidences, at the wanted share of the samples still there."""
    exits = exits_of(module.main)
    x = samples(64, dims)
    per_run = int(module.attributes.get("batch", len(x)))
    graph = all_evidence(module.main)
    runs = [run_graph(module, graph, [x[i : i + per_run]]) for i in range(0, len(x), per_run)]
    tables = [np.concatenate(parts) for parts in zip(*runs, strict=True)][len(exits) + 1 :]
    alive = np.ones(len(x), bool)
    for exit, table in zip(exits, tables, strict=True):
        spread = float(np.ptp(table, axis=1).max())
        if exit.evidence_kind == "logits" and exit.rule in ("max_probability", "entropy") and spread > 8:
            # confidences of nearly 1 cannot be told apart
            exit.attrs["temperature"] = spread / 6
        confidence = exit.confidence(table)
        here = np.sort(confidence[alive])
        leaving = share if share is not None else 1 / (len(exits) + 1 - exit.exit)
        at = len(here) - max(1, round(leaving * len(here)))
        exit.attrs["threshold"] = float((here[at - 1] + here[at]) / 2) if at else float(here[0]) - 1e-3
        alive &= confidence < exit.threshold


def clearance(module: Module, x: np.ndarray) -> float:
    """How near a confidence of the samples `x` comes to its exit's threshold; inf without exits."""
    exits = exits_of(module.main)
    tables = run_graph(module, all_evidence(module.main), [x])[len(exits) + 1 :]
    away = [np.abs(exit.confidence(table) - exit.threshold).min() for exit, table in zip(exits, tables, strict=True)]
    return float(min(away, default=np.inf))


def segmented(module: Module) -> Module:
    """A copy of it, its stretches outlined."""
    copy = module.copy()
    FormSegments().run(copy, Context())
    return copy
