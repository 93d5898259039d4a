"""Writes graphs of the IR as ONNX models: same graph, same bytes."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import onnx
import onnx.helper

from eennc.interop.onnx import INTERNAL_OPSET, IR_VERSION
from eennc.interop.onnx.files import initializers_of
from eennc.interop.onnx.payload import rename
from eennc.interop.onnx.registry import WRITINGS, load_forms
from eennc.ir.graph import Graph
from eennc.ir.op import Op
from eennc.ir.types import UNKNOWN, Array, DType, TensorType
from eennc.ir.values import Value, Weight
from eennc.support.atomic import atomic_file

EXTERNAL_ABOVE = 64 << 20
"""Models with more bytes of weights get external data by default."""
ALIGNMENT = 4096
"""External tensors begin at multiples of this, so that onnxruntime can map them."""
SMALL = 1024
"""Tensors of fewer bytes stay in the model: shapes and limits, which optimisers look at."""


OFFSET = 128
"""Of the bytes that stand for int8 activations."""


class _Shared:
    """What the emitters of one model share: names taken, contents of initializers, foreign domains."""

    def __init__(self) -> None:
        self.taken: set[str] = {""}
        self.nodes_taken: set[str] = {""}
        self.arrays: dict[str, Array] = {}
        self.domains: dict[str, int] = {}


def _free(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 0
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    taken.add(name)
    return name


class Emitter:
    """Collects the nodes and initializers of one ONNX graph, and of subgraphs in child emitters.

    Names are unique over the whole model. A weight becomes an initializer of each emitter that uses it, so that a
    branch has its own (weights captured from an outer graph lose onnxruntime's blocked layout). The initializers hold
    no content until `model` puts it in, once, however deep they are nested.
    """

    def __init__(self, parent: Emitter | None = None) -> None:
        self.names: dict[Value, str] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._parent = parent
        self._shared: _Shared = parent._shared if parent else _Shared()
        self._place = ""

    def child(self) -> Emitter:
        """An emitter for a subgraph: it sees this one's values, by name, and has initializers of its own."""
        return Emitter(self)

    def fresh(self, wanted: str) -> str:
        """A value name that nothing in the model has yet: `wanted`, or with a number behind it."""
        return _free(wanted or "value", self._shared.taken)

    def bind(self, value: Value, name: str) -> None:
        """Give a value its name: that of a graph's input, or, before the op that makes it is emitted, of an output."""
        if name in self._shared.taken:
            raise ValueError(f"two values of one ONNX model are called '{name}'")
        self._shared.taken.add(name)
        self.names[value] = name

    def name_of(self, value: Value) -> str:
        """The name of a value; a weight becomes an initializer at its first use."""
        if value in self.names:
            return self.names[value]
        if isinstance(value, Weight):
            self.names[value] = self.constant(value.array, value.name)
            return self.names[value]
        if self._parent is None:
            raise KeyError(f"a value of type {value.type} has no name: it is used before it is emitted")
        return self._parent.name_of(value)

    def constant(self, array: Array, hint: str) -> str:
        """A new initializer; returns its name."""
        name = self.fresh(hint)
        code = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        self.initializers.append(onnx.TensorProto(name=name, data_type=code, dims=array.shape))
        self._shared.arrays[name] = array
        return name

    def integers(self, items: Sequence[int], role: str) -> str:
        """A new int64 initializer of rank 1, named after its role in the op that is being emitted."""
        return self.constant(np.array(items, np.int64), self._local(role))

    def scalar(self, number: float, dtype: DType, role: str) -> str:
        """A new initializer of rank 0, named after its role in the op that is being emitted."""
        return self.constant(np.array(number, dtype.numpy), self._local(role))

    def _local(self, role: str) -> str:
        return f"{self._place}.{role}" if self._place else role

    def need_domain(self, domain: str, version: int) -> None:
        """Note that a node is of a foreign domain."""
        self._shared.domains[domain] = max(version, self._shared.domains.get(domain, 1))

    @overload
    def node(
        self,
        op_type: str,
        inputs: Sequence[Value | str | None],
        outputs: Literal[1] = 1,
        *,
        hint: str = "",
        domain: str = "",
        **attrs: Any,
    ) -> str: ...
    @overload
    def node(
        self,
        op_type: str,
        inputs: Sequence[Value | str | None],
        outputs: int,
        *,
        hint: str = "",
        domain: str = "",
        **attrs: Any,
    ) -> list[str]: ...
    def node(
        self,
        op_type: str,
        inputs: Sequence[Value | str | None],
        outputs: int = 1,
        *,
        hint: str = "",
        domain: str = "",
        **attrs: Any,
    ) -> str | list[str]:
        """Append a node; returns the name of its output, or a list where there is not one.

        Inputs are values or names, None for one left out. Attributes that are None are left out. Names come from
        `hint`, else from the place of origin of the op that is being emitted.
        """
        named = ["" if x is None else x if isinstance(x, str) else self.name_of(x) for x in inputs]
        while named and not named[-1]:
            named.pop()
        base = hint or self._place or op_type.lower()
        made = [self.fresh(base if index == 0 else f"{base}.{index}") for index in range(outputs)]
        node = onnx.NodeProto(
            op_type=op_type, domain=domain, input=named, output=made, name=_free(base, self._shared.nodes_taken)
        )
        node.attribute.extend(
            onnx.helper.make_attribute(key, value) for key, value in sorted(attrs.items()) if value is not None
        )
        if domain:
            self.need_domain(domain, 1)
        self.nodes.append(node)
        return made[0] if outputs == 1 else made

    def copied(self, node: onnx.NodeProto, given: Mapping[str, str]) -> list[str]:
        """Append a foreign node (it is changed): its inputs and captures named by `given`, the rest made unique.
        Returns the names of the outputs that it has.
        """
        rename(node, given, self.fresh)
        node.name = _free(self._place or node.name or node.op_type.lower(), self._shared.nodes_taken)
        self.nodes.append(node)
        return [name for name in node.output if name]

    def emit(self, ops: Iterable[Op]) -> None:
        """Append the nodes of ops, in their order; their results get names."""
        load_forms()
        for op in ops:
            self._place = op.origin.node or op.name.partition(".")[2]
            first = len(self.nodes)
            written: str | Sequence[str] = WRITINGS.get(op.name)(op, self)
            names = [written] if isinstance(written, str) else written
            for result, name in zip(op.results, names, strict=True):
                if result in self.names:
                    self._rename_output(name, self.names[result], self.nodes[first:])
                else:
                    self.names[result] = name
        self._place = ""

    def _rename_output(self, old: str, new: str, nodes: Sequence[onnx.NodeProto]) -> None:
        for node in nodes:
            for names in (node.input, node.output):
                names[:] = [new if name == old else name for name in names]
        self._shared.taken.discard(old)

    def returned(self, value: Value, name: str) -> str:
        """The name under which a graph returns `value`: its own if that is `name` or this graph has none for it yet,
        else that of an Identity. ONNX cannot return an input, an initializer or an outer graph's value directly.
        """
        if self.names.get(value) == name and not isinstance(value, Weight):
            return name
        source = self.name_of(value)
        self.nodes.append(
            onnx.NodeProto(
                op_type="Identity",
                input=[source],
                output=[self.fresh(name)],
                name=_free(name, self._shared.nodes_taken),
            )
        )
        return self.nodes[-1].output[0]

    def graph(
        self, name: str, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.GraphProto:
        """What was collected, as a graph; the contents of initializers are still to come."""
        return onnx.GraphProto(name=name, input=inputs, output=outputs, node=self.nodes, initializer=self.initializers)

    def skeleton(
        self, name: str, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """The model without the contents of initializers; `arrays` has them."""
        opsets = {"": INTERNAL_OPSET, **dict(sorted(self._shared.domains.items()))}
        return onnx.ModelProto(
            ir_version=IR_VERSION,
            producer_name="eennc",
            graph=self.graph(name, inputs, outputs),
            opset_import=[
                onnx.OperatorSetIdProto(domain=domain, version=version) for domain, version in opsets.items()
            ],
        )

    def model(
        self, name: str, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """The whole model, contents included."""
        model = self.skeleton(name, inputs, outputs)
        for tensor in initializers_of(model.graph):
            if tensor.name in self.arrays:
                tensor.raw_data = self.arrays[tensor.name].tobytes()
        return model

    @property
    def arrays(self) -> Mapping[str, Array]:
        """The contents of all initializers of the model, by name."""
        return self._shared.arrays


def stored(type: TensorType) -> DType:
    """What a value of the IR is in ONNX: the integers of activations are bytes (`eennc.interop.onnx.qdq`)."""
    return type.dtype if type.quant is None else DType.U8


def value_info(name: str, type: TensorType) -> onnx.ValueInfoProto:
    """A typed name; the batch is a symbol, an unknown dimension is left open."""
    code = onnx.helper.np_dtype_to_tensor_dtype(stored(type).numpy)
    return onnx.helper.make_tensor_value_info(name, code, [None if dim == UNKNOWN else dim for dim in type.shape])


def plain_model(graph: Graph, *, outputs: Sequence[str], name: str) -> onnx.ModelProto:
    """A graph without exits as a model: inputs named as its arguments, one output per returned value."""
    emitter, inputs, infos = lower_graph(graph, outputs)
    return emitter.model(name, inputs, infos)


def lower_graph(
    graph: Graph, outputs: Sequence[str]
) -> tuple[Emitter, list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    """The emitter that holds a graph's nodes, and the infos of its inputs and outputs."""
    emitter = Emitter()
    for argument in graph.arguments:
        emitter.bind(argument, argument.name)
    for value, wanted in zip(graph.returns, outputs, strict=True):
        if value not in emitter.names and not isinstance(value, Weight):
            emitter.bind(value, wanted)
    emitter.emit(graph.ops)
    named = [emitter.returned(value, wanted) for value, wanted in zip(graph.returns, outputs, strict=True)]
    return (
        emitter,
        [value_info(argument.name, argument.type) for argument in graph.arguments],
        [value_info(name, value.type) for name, value in zip(named, graph.returns, strict=True)],
    )


def save_model(proto: onnx.ModelProto, path: Path, external_above: int = EXTERNAL_ABOVE) -> list[Path]:
    """Write `path`, whole or not at all; returns the files written.

    With more than `external_above` bytes of weights these go into `<path>.data`, and `proto` is left pointing there
    (a copy of it would double the memory).
    """
    large = [tensor for tensor in initializers_of(proto.graph) if len(tensor.raw_data) >= SMALL]
    written = [path]
    if sum(len(tensor.raw_data) for tensor in large) > external_above:
        beside = path.with_name(path.name + ".data")
        with atomic_file(beside) as temporary, temporary.open("wb") as out:
            for tensor in large:
                out.write(bytes(-out.tell() % ALIGNMENT))
                _move_out(tensor, beside.name, out.tell())
                out.write(tensor.raw_data)
                tensor.ClearField("raw_data")
        written.append(beside)
    with atomic_file(path) as temporary:
        temporary.write_bytes(proto.SerializeToString(deterministic=True))
    return written


def _move_out(tensor: onnx.TensorProto, location: str, offset: int) -> None:
    tensor.data_location = onnx.TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in (("location", location), ("offset", offset), ("length", len(tensor.raw_data))):
        tensor.external_data.add(key=key, value=str(value))
