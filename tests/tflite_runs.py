"""Runs .tflite models in the two interpreters that the integer reference is held against."""

from collections.abc import Sequence

import numpy as np
import pytest

from eennc.interop.tflite.builder import Builder
from eennc.ir.graph import Graph


def single(graph: Graph) -> bytes:
    """A model of one subgraph; inputs and outputs as the graph's arguments and returns."""
    builder = Builder("test")
    emit = builder.subgraph("main")
    inputs = [emit.tensor(argument.type, argument.name) for argument in graph.arguments]
    for argument, tensor in zip(graph.arguments, inputs, strict=True):
        emit.bind(argument, tensor)
    emit.emit(graph.ops)
    emit.finish(inputs, [emit.of(value) for value in graph.returns])
    return builder.finish()


def litert(model: bytes, inputs: Sequence[np.ndarray], *, reference: bool = True) -> list[np.ndarray]:
    """LiteRT's reference kernels (or its fast ones) on one sample; all outputs."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    for detail, array in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def micro(model: bytes, inputs: Sequence[np.ndarray], outputs: int = 1) -> list[np.ndarray]:
    """TFLite Micro's interpreter on one sample; skips where the package is not installed."""
    return Micro(model).run(inputs, outputs)


class Micro:
    """A model in TFLite Micro's interpreter; skips where the package is not installed."""

    def __init__(self, model: bytes) -> None:
        runtime = pytest.importorskip("tflite_micro.python.tflite_micro.runtime")
        self.interpreter = runtime.Interpreter.from_bytes(model, arena_size=32 << 20)

    def run(self, inputs: Sequence[np.ndarray], outputs: int = 1) -> list[np.ndarray]:
        for index, array in enumerate(inputs):
            self.interpreter.set_input(array, index)
        self.interpreter.invoke()
        return [self.interpreter.get_output(index) for index in range(outputs)]
