"""Runs the frozen network once over the training data, for the features of all heads."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from eennc.data.cache import Cache, key_of
from eennc.data.features import Column, Features, gather
from eennc.data.splits import Split
from eennc.ir.graph import Graph, Module
from eennc.passes.exits.heads import reduction_graph
from eennc.support.instruments import Progress

EXTRACTOR = "onnxruntime fp32"
"""What runs the frozen network. A fixed rule: the choice decides the heads' last bits."""
BATCH = 64
"""Samples per run of a network with a free batch."""
SCORES = "scores"

Precision = Literal["float16", "float32"]


def column_name(head: int) -> str:
    """The name under which the features of a head are kept."""
    return f"head{head}"


def extract(module: Module, split: Split, precision: Precision, cache: Cache, progress: Progress) -> Features:
    """The features of every head ([n, F] of `precision`) and the network's own scores (float32) on `split`.

    Kept under the content of what computes them: the network up to the features, the samples, the extractor. Labels
    and weights of the heads do not count.
    """
    graph = reduction_graph(module)
    widths = [int(value.type.shape[1]) for value in graph.returns]
    columns = [Column(column_name(index), width, precision) for index, width in enumerate(widths[:-1])]
    columns.append(Column(SCORES, widths[-1], "float32"))
    samples = Split("", split.x).digest
    key = key_of("features", 1, EXTRACTOR, BATCH, precision, Module("features", graph).fingerprint(), samples)
    return gather(cache, key, len(split), columns, _Extractor(graph, split.x), progress, "extract features")


class _Extractor:
    """Runs the graph on rows of `x`; the session is made when the first rows are asked for."""

    def __init__(self, graph: Graph, x: NDArray[Any]) -> None:
        self.graph = graph
        self.x = x
        self.session: Any = None

    def __call__(self, start: int, stop: int) -> list[NDArray[Any]]:
        from eennc.interop.onnx.execute import chunks, session_of  # onnxruntime is slow to import

        if self.session is None:
            self.session = session_of(self.graph)
        parts: list[list[NDArray[Any]]] = []
        for rows, taken in chunks(self.x[start:stop], self.graph.arguments[0].type, BATCH):
            parts.append([answer[:taken] for answer in self.session.run(rows)])
        return [np.concatenate(column) for column in zip(*parts, strict=True)]
