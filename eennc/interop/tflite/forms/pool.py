"""nn.max_pool, nn.average_pool, q.max_pool, q.average_pool: TFLite `MAX_POOL_2D`, `AVERAGE_POOL_2D`."""

from __future__ import annotations

import numpy as np

from eennc.interop.tflite.builder import Subgraph, enum
from eennc.interop.tflite.registry import objects, writes
from eennc.interop.tflite.windows import padded, padding_of
from eennc.ir.ops.average_pool import AveragePool
from eennc.ir.ops.max_pool import MaxPool
from eennc.ir.ops.q_average_pool import QAveragePool
from eennc.ir.ops.q_max_pool import QMaxPool
from eennc.ir.pooling import Pool
from eennc.ir.windows import Windows


@objects(MaxPool, QMaxPool, AveragePool, QAveragePool)
def object_to(op: Pool) -> str | None:
    """TFLite has no dilation, and padding never counts in its averages."""
    windows = op.windows()
    if any(step > 1 for step in windows.dilations):
        return "TFLite has no dilated pooling"
    if _beyond(windows):
        return "TFLite has no window that reaches beyond the padding (ceil mode)"
    if isinstance(op, (AveragePool, QAveragePool)) and padding_of(windows) is None and not _counted(op):
        return f"TFLite cannot leave pads of {list(op.pads)} out of an average"
    if _counted(op) and padding_of(windows) != "VALID" and isinstance(op, QAveragePool):
        return "TFLite cannot count padding in an average of integers"
    return None


@writes(MaxPool, QMaxPool, AveragePool, QAveragePool)
def write(op: Pool, emit: Subgraph) -> None:
    """Write it."""
    windows = op.windows()
    x, padding = emit.of(op.x), padding_of(windows)
    largest = isinstance(op, MaxPool)
    if padding is None or (padding == "SAME" and _counted(op)):
        quant = op.x.type.quant
        lowest = -128 if quant is not None else float(np.finfo(np.float32).min)
        x, padding = padded(op, x, op.x.type, windows, emit, lowest if largest else None), "VALID"
    options = {
        "padding": enum("Padding", padding),
        "strideH": windows.strides[0],
        "strideW": windows.strides[1],
        "filterHeight": windows.kernel[0],
        "filterWidth": windows.kernel[1],
    }
    kind = "MAX_POOL_2D" if largest else "AVERAGE_POOL_2D"
    version = 1 if op.x.type.quant is None else 2
    emit.operator(kind, [x], emit.results(op), ("Pool2DOptions", options), version=version)


def _counted(op: Pool) -> bool:
    return isinstance(op, AveragePool) and op.count_include_pad and any(op.pads)


def _beyond(windows: Windows) -> bool:
    return any(
        (windows.output[i] - 1) * windows.strides[i] + windows.kernel[i] > size + windows.begins[i] + windows.ends[i]
        for i, size in enumerate(windows.spatial)
    )
