"""A typed door to onnxruntime."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Container, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx

from eennc.ir.types import Array, DType
from eennc.support.diagnostics import Place, UserError

_DTYPES = {
    "tensor(double)": DType.F64,
    "tensor(float)": DType.F32,
    "tensor(float16)": DType.F16,
    "tensor(int64)": DType.I64,
    "tensor(int32)": DType.I32,
    "tensor(int16)": DType.I16,
    "tensor(int8)": DType.I8,
    "tensor(uint8)": DType.U8,
    "tensor(bool)": DType.BOOL,
}
_FATAL = 4
"""onnxruntime's log level at which it prints nothing about what it also raises."""
_NOT_OURS = ("NotImplemented", "InvalidArgument")
"""Errors that are about a foreign operator or the data, whoever wrote the model."""
_BAD_MODEL = ("NoSuchFile", "InvalidProtobuf", "InvalidGraph", "NoModel", "Fail")
"""Errors that are the user's where the model is a file."""


@dataclass(frozen=True)
class Port:
    """An input or output; a dimension is an int, a symbol, or None. `dtype` None: the IR has no name for it."""

    name: str
    dtype: DType | None
    shape: tuple[int | str | None, ...]


class Session:
    """A model loaded by onnxruntime on the CPU.

    Give a `Path` where the model has external data. `threads` 0 leaves the number to onnxruntime. `weights` gives the
    contents of initializers that `model` only declares (`Emitter.skeleton`); onnxruntime reads them where they are,
    without a copy. `optimise` False keeps the graph as it is.

    Raises UserError where onnxruntime refuses a file, an operator or the data, RuntimeError for all else.
    """

    def __init__(
        self,
        model: bytes | Path | onnx.ModelProto,
        *,
        threads: int = 0,
        weights: Mapping[str, Array] | None = None,
        optimise: bool = True,
    ) -> None:
        import onnxruntime  # slow to import

        options = onnxruntime.SessionOptions()
        options.log_severity_level = _FATAL
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        if not optimise:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._place = Place(str(model)) if isinstance(model, Path) else None
        # onnxruntime reads these arrays in place, so they must live as long as the session
        self._held = [np.ascontiguousarray(array) for array in (weights or {}).values()]
        if weights:
            values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in self._held]
            options.add_external_initializers(list(weights), values)
        if isinstance(model, onnx.ModelProto):
            model = model.SerializeToString()
        given = str(model) if isinstance(model, Path) else model
        with self._errors("load the model"):
            self._session: Any = onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
        self.inputs = _ports(self._session.get_inputs())
        self.outputs = _ports(self._session.get_outputs())

    def run(self, x: Array | Mapping[str, Array], outputs: Sequence[str] | None = None) -> list[Array]:
        """The outputs (all, or those named) for one input array, or for several by name."""
        feeds = x if isinstance(x, Mapping) else {self.inputs[0].name: x}
        with self._errors("run the model"):
            return cast(list[Array], self._session.run(outputs, dict(feeds)))

    @contextmanager
    def _errors(self, doing: str) -> Generator[None]:
        try:
            yield
        except Exception as error:
            if not type(error).__module__.startswith("onnxruntime"):
                raise
            text = str(error).strip()
            kind = type(error).__name__
            users_model = self._place is not None and kind in _BAD_MODEL
            if users_model or kind in _NOT_OURS or "is not a registered function/op" in text:
                raise UserError(f"onnxruntime cannot {doing}: {text}", place=self._place) from None
            raise RuntimeError(f"onnxruntime cannot {doing}: {text}") from error


def _ports(nodes: Sequence[Any]) -> tuple[Port, ...]:
    return tuple(Port(node.name, _DTYPES.get(node.type), tuple(node.shape)) for node in nodes)


def declare_external(model: onnx.ModelProto, names: Container[str]) -> None:
    """Mark the initializers of the main graph called so as external, so that a session takes `weights`."""
    for tensor in model.graph.initializer:
        if tensor.name in names:
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="given to the session")


def inferred_by_onnxruntime(model: onnx.ModelProto, names: Sequence[str]) -> dict[str, Port]:
    """The types that onnxruntime infers for values of the main graph; it knows operators that ONNX does not.

    Empty where it cannot load the model.
    """
    asked = onnx.ModelProto()
    asked.CopyFrom(model)
    known = {info.name for info in asked.graph.output}
    asked.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    try:
        session = Session(asked, threads=1, optimise=False)
    except (UserError, RuntimeError):
        return {}
    return {port.name: port for port in session.outputs}
