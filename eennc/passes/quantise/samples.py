"""The samples that quantisation looks at, and running a float network on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from eennc.data.splits import Split
from eennc.ir.cuts import exit_free
from eennc.ir.graph import Graph, Module
from eennc.ir.types import Array
from eennc.ir.values import Value

SAMPLES = 512
"""Samples that are looked at where nothing else is said."""
CHUNK = 16
"""Samples at once; all activations of a chunk are in memory."""


def spread(split: Split, count: int) -> Array:
    """`count` samples of a split, evenly spread; all where there are not as many."""
    rows = np.unique(np.linspace(0, len(split) - 1, min(count, len(split))).astype(np.int64))
    return np.ascontiguousarray(split.x[rows])


def values_graph(module: Module, values: Sequence[Value]) -> Graph:
    """A graph without exits that returns `values` of the module's main graph."""
    return exit_free(module.main, values)


def streamed(graph: Graph, x: Array) -> Iterator[list[Array]]:
    """What the graph returns, chunk by chunk."""
    from eennc.interop.onnx.execute import stream  # onnxruntime is slow to import

    return stream(graph, x, batch=CHUNK)
