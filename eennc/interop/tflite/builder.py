"""A .tflite model in the making: buffers, operator codes and subgraphs, by the object API of TFLite's schema."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from eennc.interop.tflite.registry import WRITINGS, load_forms
from eennc.ir.op import Op
from eennc.ir.types import Array, DType, Quant, TensorType
from eennc.ir.values import Value, Weight
from eennc.support.diagnostics import UserError

IDENTIFIER = b"TFL3"
VERSION = 3
"""Of the schema."""
_TYPES = {
    DType.F32: schema.TensorType.FLOAT32,
    DType.F16: schema.TensorType.FLOAT16,
    DType.I64: schema.TensorType.INT64,
    DType.I32: schema.TensorType.INT32,
    DType.I16: schema.TensorType.INT16,
    DType.I8: schema.TensorType.INT8,
    DType.U8: schema.TensorType.UINT8,
    DType.BOOL: schema.TensorType.BOOL,
}
ALIGNMENT = 16
"""Bytes at whose multiples constants begin: kernels read words, and a microcontroller runs the file where it lies."""
LARGEST = 2**31 - 2**20
"""Bytes of a flatbuffer, with something to spare for what is not constants."""
_LAST_OLD_CODE = 127
"""The largest operator code that the field of old readers holds."""


class Builder:
    """One model. Subgraph 0 is where a run starts."""

    def __init__(self, description: str) -> None:
        load_forms()
        self.description = description
        self.subgraphs: list[Any] = []
        self._metadata: list[Any] = []
        self._signatures: list[Any] = []
        self._contents: list[Any] = [schema.BufferT()]  # 0 stands for no content
        self._operators: list[Any] = []
        self._buffers: dict[bytes, int] = {}
        self._codes: dict[tuple[str, int], int] = {}

    def subgraph(self, name: str) -> Subgraph:
        """A new subgraph."""
        return Subgraph(self, name)

    def buffer(self, content: bytes) -> int:
        """The index of a buffer with this content."""
        if content not in self._buffers:
            self._buffers[content] = len(self._contents)
            self._contents.append(_Buffer(content))
        return self._buffers[content]

    def code(self, operator: str, version: int) -> int:
        """The index of an operator's code."""
        if (operator, version) not in self._codes:
            self._codes[operator, version] = len(self._operators)
            code = schema.OperatorCodeT()
            code.builtinCode = getattr(schema.BuiltinOperator, operator)
            code.deprecatedBuiltinCode = min(code.builtinCode, _LAST_OLD_CODE)
            code.version = version
            self._operators.append(code)
        return self._codes[operator, version]

    def metadata(self, name: str, content: bytes) -> None:
        """Attach a named blob."""
        entry = schema.MetadataT()
        entry.name, entry.buffer = name, self.buffer(content)
        self._metadata.append(entry)

    def signature(self, key: str, subgraph: Subgraph, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> None:
        """Name a subgraph's inputs and outputs for callers."""
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = key, subgraph.index
        signature.inputs, signature.outputs = _named(inputs), _named(outputs)
        self._signatures.append(signature)

    def finish(self) -> bytes:
        """The file's content; raises UserError where it would be larger than a flatbuffer can be."""
        if sum(map(len, self._buffers)) > LARGEST:
            raise UserError("the network's weights are more than the 2 GB that a .tflite file can hold")
        model = schema.ModelT()
        model.version, model.description = VERSION, self.description
        model.buffers, model.operatorCodes, model.subgraphs = self._contents, self._operators, self.subgraphs
        model.metadata, model.signatureDefs = self._metadata, self._signatures
        packer = flatbuffers.Builder(1 << 16)
        packer.Finish(model.Pack(packer), IDENTIFIER)
        return bytes(packer.Output())


class _Buffer(schema.BufferT):
    """A buffer whose content is aligned, as the schema asks; the code generated from it aligns to single bytes."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content = content

    def Pack(self, builder: Any) -> Any:  # noqa: N802 - what the generated code calls
        builder.StartVector(1, len(self.content), ALIGNMENT)
        builder.head = builder.head - len(self.content)
        builder.Bytes[builder.head : builder.head + len(self.content)] = self.content
        data = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


class Subgraph:
    """One subgraph: its tensors by the values they hold, and its operators in order. The batch is 1."""

    def __init__(self, builder: Builder, name: str) -> None:
        self.builder = builder
        self.index = len(builder.subgraphs)
        self.graph = schema.SubGraphT()
        self.graph.name = name
        self.graph.tensors = self._made = list[Any]()
        self.graph.operators = self._run = list[Any]()
        self._tensors: dict[Value, int] = {}
        self._names: dict[str, int] = {}
        builder.subgraphs.append(self.graph)

    def tensor(self, type: TensorType, name: str) -> int:
        """A new tensor of a type, for one sample."""
        return self._add(type.concrete(1), type.dtype, name, quantisation=_quantisation(type.quant))

    def constant(
        self, array: Array, name: str, *, quant: Quant | None = None, scales: Array | None = None, axis: int = 0
    ) -> int:
        """A tensor with a content. `scales` float32 [n]: real numbers are scales along `axis` times the integers."""
        quantisation = _quantisation(quant)
        if scales is not None:
            quantisation = schema.QuantizationParametersT()
            quantisation.scale = np.asarray(scales, np.float32)
            quantisation.zeroPoint = np.zeros(len(scales), np.int64)
            quantisation.quantizedDimension = axis if len(scales) > 1 else 0
        buffer = self.builder.buffer(np.ascontiguousarray(array).tobytes())
        return self._add(array.shape, DType.of(array.dtype), name, buffer=buffer, quantisation=quantisation)

    def _add(self, shape: Sequence[int], dtype: DType, name: str, *, buffer: int = 0, quantisation: Any = None) -> int:
        tensor = schema.TensorT()
        tensor.shape = np.array(shape, np.int32)
        tensor.type = _TYPES[dtype]
        tensor.buffer = buffer
        tensor.name = self._unique(name)
        tensor.quantization = quantisation
        tensor.hasRank = True
        self._made.append(tensor)
        return len(self._made) - 1

    def _unique(self, name: str) -> str:
        count = self._names[name] = self._names.get(name, 0) + 1
        return name if count == 1 else self._unique(f"{name}_{count}")

    def bind(self, value: Value, tensor: int) -> None:
        """Say which tensor holds a value."""
        self._tensors[value] = tensor

    def of(self, value: Value) -> int:
        """The tensor of a value; a weight becomes a constant."""
        if value not in self._tensors and isinstance(value, Weight):
            self.bind(value, self.constant(value.array, value.name))
        return self._tensors[value]

    def shape(self, tensor: int) -> tuple[int, ...]:
        """A tensor's shape."""
        return tuple(int(size) for size in self._made[tensor].shape)

    def quantise(self, tensor: int, quant: Quant) -> None:
        """Say what the integers of a tensor stand for."""
        self._made[tensor].quantization = _quantisation(quant)

    def results(self, op: Op) -> list[int]:
        """New tensors for the results of an op."""
        made = [self.tensor(result.type, label(op)) for result in op.results]
        for result, tensor in zip(op.results, made, strict=True):
            self.bind(result, tensor)
        return made

    def operator(
        self,
        kind: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: tuple[str, Mapping[str, Any]] | None = None,
        *,
        version: int = 1,
    ) -> None:
        """Append an operator; -1 stands for an input left out. `options`: the name of its table, and its fields."""
        operator = schema.OperatorT()
        operator.opcodeIndex = self.builder.code(kind, version)
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        if options is not None:
            name, fields = options
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            operator.builtinOptions = getattr(schema, f"{name}T")()
            for field, value in fields.items():
                setattr(operator.builtinOptions, field, value)
        self._run.append(operator)

    def emit(self, ops: Iterable[Op]) -> None:
        """Write ops by their forms; raises UserError for one that has none."""
        for op in ops:
            WRITINGS.get(op.name)(op, self)

    def finish(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """Say which tensors go in and out."""
        self.graph.inputs, self.graph.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)


def label(op: Op) -> str:
    """What a tensor made by an op is called: the node that it came from."""
    return op.origin.node or op.name


def enum(group: str, name: str) -> int:
    """A number of one of the schema's enums."""
    return int(getattr(getattr(schema, group), name))


def _quantisation(quant: Quant | None) -> Any:
    if quant is None:
        return None
    parameters = schema.QuantizationParametersT()
    parameters.scale = np.array([quant.scale], np.float32)
    parameters.zeroPoint = np.array([quant.zero_point], np.int64)
    return parameters


def _named(tensors: Mapping[str, int]) -> list[Any]:
    maps: list[Any] = []
    for name, index in tensors.items():
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name, index
        maps.append(entry)
    return maps
