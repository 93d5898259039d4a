"""Writes the early-exit network and the base network as ONNX files."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx

from eennc.artifact import plain
from eennc.backends.onnx.form import DEEPEST
from eennc.backends.onnx.free import Free
from eennc.backends.onnx.single import Single
from eennc.interop.onnx.writer import Emitter, lower_graph, save_model, value_info
from eennc.ir.cuts import exits_of
from eennc.ir.graph import Graph, Module
from eennc.ir.ops.q_dequantize import Dequantize
from eennc.ir.rules import NO_CLASS
from eennc.ir.types import BATCH, DType, TensorType
from eennc.passes.exits.points import operating_points


@dataclass(frozen=True)
class Optional:
    """Names of the inputs that need not be given, None where the model has none: the number of an operating point, and
    the class that was answered last.
    """

    point: str | None = None
    last: str | None = None


def write_model(module: Module, path: Path, *, free: bool, external_above: int) -> Optional:
    """Write a segmented module; `free` for a batch of any size, else for 1."""
    model, optional = _model(module, free=free)
    save_model(model, path, external_above=external_above)
    # by path, so that external data and models above 2 GB are checked too
    onnx.checker.check_model(str(path), full_check=True)
    return optional


def early_exit_model(module: Module, *, free: bool, deepest: int = DEEPEST) -> onnx.ModelProto:
    """A segmented module as a model; `deepest` is the number of exits that are nested in each other. Behind the
    network's own inputs it has those with a default: `point`, where there are operating points to choose between, and
    `state`, where exits look at the class that was answered last.
    """
    return _model(module, free=free, deepest=deepest)[0]


def _model(module: Module, *, free: bool, deepest: int = DEEPEST) -> tuple[onnx.ModelProto, Optional]:
    if not free:
        module = with_batch_1(module)
    main = module.main
    emitter = Emitter()
    for argument in main.arguments:
        emitter.bind(argument, argument.name)
    outputs = emitter.fresh("scores"), emitter.fresh("exit")
    optional = Optional()
    if len(operating_points(module)) > 1 and exits_of(main):
        # an initialiser that is an input too is its default
        optional = replace(optional, point=emitter.constant(np.array(0, np.int64), "point"))
    if any(exit.streams for exit in exits_of(main)):
        optional = replace(optional, last=emitter.constant(np.array(NO_CLASS, np.int64), "state"))
    form = (Free if free else Single)(module, deepest, optional.point, optional.last or "")
    for name, output in zip(form.network(emitter), outputs, strict=True):
        emitter.nodes.append(onnx.NodeProto(op_type="Identity", input=[name], output=[output]))
    scores = form.scores
    types = scores, TensorType(scores.shape[:1], DType.I64)
    model = emitter.model(
        module.name,
        [
            *(value_info(argument.name, argument.type) for argument in main.arguments),
            *(value_info(name, TensorType((), DType.I64)) for name in (optional.point, optional.last) if name),
        ],
        [value_info(output, type) for output, type in zip(outputs, types, strict=True)],
    )
    for key, value in _facts(module).items():
        model.metadata_props.add(key=f"eennc.{key}", value=value)
    return model, optional


def _facts(module: Module) -> dict[str, str]:
    shown = ("exit", "place", "rule", "temperature", "threshold")
    exits = [{name: op.attrs[name] for name in shown} for op in exits_of(module.main)]
    points = operating_points(module)
    return {
        "version": version("eennc"),
        **({"points": json.dumps(list(points), ensure_ascii=False)} if len(points) > 1 else {}),
        "scores": str(module.attributes.get("scores", "logits")),
        "exits": json.dumps(plain(exits), ensure_ascii=False),
    }


def write_base(base: Graph, path: Path, *, free: bool, external_above: int) -> None:
    """Write an exit-free network; its output is called `scores` unless its input is."""
    graph = _in_floats(base if free else _batch_1(base))
    taken = {argument.name for argument in graph.arguments}
    output = next(name for name in ("scores", "scores_1", "scores_2") if name not in taken)
    emitter, inputs, outputs = lower_graph(graph, [output])
    save_model(emitter.model("base", inputs, outputs), path, external_above=external_above)
    onnx.checker.check_model(str(path), full_check=True)


def _in_floats(graph: Graph) -> Graph:
    """The graph, with what it returns dequantised where that is integers."""
    (scores,) = graph.returns
    if scores.type.quant is None:
        return graph
    op = Dequantize(x=scores)
    return Graph(graph.name, graph.arguments, [*graph.ops, op], [op.result])


def with_batch_1(module: Module) -> Module:
    """A copy whose free batch is 1."""
    copy = module.copy()
    for graph in copy.graphs.values():
        _fix_types(graph)
    return copy


def _batch_1(graph: Graph) -> Graph:
    copy = graph.copy()
    _fix_types(copy)
    return copy


def _fix_types(graph: Graph) -> None:
    for value in (*graph.arguments, *(result for op in graph.ops for result in op.results)):
        value.type = value.type.with_shape([1 if dim == BATCH else dim for dim in value.type.shape])
