"""Runs an exit-free graph over a data set by what fits its numbers: onnxruntime, or integer arithmetic in numpy."""

from __future__ import annotations

import numpy as np

from eennc.interop.onnx.execute import chunks, execute
from eennc.ir.graph import Graph, Module
from eennc.ir.interpreter import run_graph
from eennc.ir.quantised import computes_in_integers
from eennc.ir.types import Array
from eennc.support.instruments import Progress, task

CHUNK = 32
"""Samples that the interpreter takes at once: few enough for the processor's caches."""


def answers(module: Module, graph: Graph, x: Array, progress: Progress) -> list[Array]:
    """What `graph`, a part of `module` without exits, returns for all samples of `x`: one array [n, ...] per value.

    Quantised graphs are interpreted, to the bit; all others run in onnxruntime. Raises as `execute` does.
    """
    if not computes_in_integers(graph.ops):
        return execute(graph, x, progress=progress)
    parts: list[list[Array]] = []
    with task(progress, "running the network in integers", len(x)) as number:
        for chunk, taken in chunks(x, graph.arguments[0].type, CHUNK):
            parts.append([part[:taken] for part in run_graph(module, graph, [chunk])])
            progress.advance(number, taken)
    return [np.concatenate(column) for column in zip(*parts, strict=True)]
