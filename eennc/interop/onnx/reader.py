"""Reads ONNX models into the IR, through onnx-graphsurgeon."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportUnknownParameterType=false

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx_graphsurgeon.logger import G_LOGGER

from eennc.interop.onnx.files import load_proto
from eennc.interop.onnx.node import Derived, Node
from eennc.interop.onnx.payload import captures, make_payload
from eennc.interop.onnx.prepare import Prepared, array_of, dtype_of, prepare
from eennc.interop.onnx.registry import READINGS, NotExpressible, load_forms
from eennc.interop.onnx.session import inferred_by_onnxruntime
from eennc.ir.given import GIVEN_SCALES
from eennc.ir.graph import Graph, Module
from eennc.ir.op import Op, Origin, VerifyError
from eennc.ir.ops.opaque import WHY, Opaque
from eennc.ir.types import BATCH, UNKNOWN, Dim, TensorType
from eennc.ir.values import Argument, Value, Weight
from eennc.support.diagnostics import Place, UserError

SurgeonTensor = Any
"""A tensor of graphsurgeon's, whose base class does not declare what all tensors have."""

Shape = Sequence[int | str | None]

LONGEST_NOTE = 4096
"""Characters of an exporter's note about a node above which it is left unread."""


def read_model(path: Path) -> Module:
    """The network in an ONNX file, stage "imported"; raises UserError for whatever is wrong with the file.

    A symbolic or free first axis of the input becomes the batch; a concrete one stays, and the module has the
    attribute `batch`. An operator that the IR has not becomes `onnx.opaque`.
    """
    model = load_proto(path)
    return _import(model, folder=path.parent, place=Place(str(path)), name=path.stem, source=path.name)


def module_from_proto(proto: onnx.ModelProto, name: str) -> Module:
    """The network in an ONNX model in memory, as `read_model` gives it. The model is not changed; external data is
    refused.
    """
    return _import(proto, folder=None, place=Place(name), name=name, source=name)


def _import(model: onnx.ModelProto, *, folder: Path | None, place: Place, name: str, source: str) -> Module:
    load_forms()
    try:
        prepared = prepare(model, folder=folder, place=place)
        return _Lowering(prepared, _surgeon(prepared), source).module(name)
    except UnicodeDecodeError:
        # protobuf looks at the encoding of a name when it is read, wherever that is
        raise UserError("the ONNX model is damaged: a name in it is not text", place=place) from None


def _surgeon(prepared: Prepared) -> gs.Graph:
    try:
        with G_LOGGER.suppress():
            return gs.import_onnx(prepared.model)
    except Exception as error:  # graphsurgeon trusts its input
        raise UserError(f"the ONNX model is not valid: {type(error).__name__}: {error}", place=prepared.place) from None


class _Lowering:
    """The state of one import: which value each tensor of the main graph has become, by name."""

    def __init__(self, prepared: Prepared, graph: gs.Graph, source: str) -> None:
        self._prepared = prepared
        self._graph = graph
        self._source = source
        self._values: dict[str, Value] = {}
        self._initializers = {tensor.name: tensor for tensor in prepared.model.graph.initializer}
        # a weight derived from another must not take the name of one that is still to come
        self._derived = Derived([*self._initializers, *prepared.aside])
        self._asked: dict[str, TensorType] | None = None

    def module(self, name: str) -> Module:
        """The whole network."""
        output = cast(SurgeonTensor, self._graph.outputs[0])
        inputs = cast("list[SurgeonTensor]", self._graph.inputs)
        tensor = next(tensor for tensor in inputs if tensor.name == self._prepared.input.name)
        argument_type = self._type(tensor)
        assert argument_type is not None  # prepare has checked it
        argument = Argument(tensor.name, argument_type)
        self._values[tensor.name] = argument
        main = Graph("main", [argument])
        for node, proto in zip(self._graph.nodes, self._prepared.model.graph.node, strict=True):
            self._read(main, node, proto)
        main.returns = [self._value(output.name, None)]
        main.remove_unused()
        batch = argument_type.shape[0]
        return Module(name, main, attributes={} if batch == BATCH else {"batch": batch})

    def _read(self, main: Graph, node: gs.Node, proto: onnx.NodeProto) -> None:
        """Lower one node: in its own form if it has one, else opaque."""
        own_domain = proto.domain in ("", "ai.onnx")
        if own_domain and node.op == "Constant":
            self._values[proto.output[0]] = self._constant(node, proto)
            return
        origin = Origin(self._source, _node_path(proto) or f"{node.op}#{len(main.ops)}")
        results: Value | Sequence[Value]
        outputs: Sequence[str] = proto.output
        try:
            if not own_domain or node.op not in READINGS:
                raise NotExpressible("the IR has no such op")
            view = self._view(node, proto, origin)
            results = READINGS.get(node.op)(view)
            main.ops.extend(view.ops)
            self._note_scales(view.ops)
        except (NotExpressible, VerifyError) as error:
            opaque = self._opaque(node, proto, origin)
            opaque.notes[WHY] = error.message if isinstance(error, VerifyError) else str(error)
            main.ops.append(opaque)
            results = opaque.results
            outputs = [name for name in outputs if name]
        found = [results] if isinstance(results, Value) else results
        # a form that is read by its first output gives nothing for the others, which nothing takes
        self._values.update(zip(outputs, found, strict=False))

    def _note_scales(self, ops: Sequence[Op]) -> None:
        """Weights that came as integers keep their scales (eennc.ir.given)."""
        for op in ops:
            for value in op.inputs:
                scales = self._derived.scales.get(value) if isinstance(value, Weight) else None
                # along the outputs, or one for all
                if scales is not None and scales.size in (1, scales.shape[0]) and value is op.operands[1]:
                    op.notes[GIVEN_SCALES] = tuple(scales.reshape(-1).tolist())

    def _view(self, node: gs.Node, proto: onnx.NodeProto, origin: Origin) -> Node:
        outputs: Sequence[SurgeonTensor] = node.outputs
        returned: SurgeonTensor = self._graph.outputs[0]
        return Node(
            inputs=[self._value(name, node) if name else None for name in proto.input],
            attrs=node.attrs,
            outputs=proto.output,
            output_types=[self._type(tensor) for tensor in outputs],
            used=[bool(tensor.outputs) or tensor is returned for tensor in outputs],
            takers=[*(taker.op for taker in outputs[0].outputs), *([""] if outputs[0] is returned else [])],
            origin=origin,
            derived=self._derived,
        )

    def _value(self, name: str, node: gs.Node | None) -> Value:
        value = self._values.get(name)
        if value is None:
            value = self._values[name] = self._weight(name, node)
        return value

    def _weight(self, name: str, node: gs.Node | None) -> Weight:
        if name in self._prepared.aside:
            return Weight(name, self._prepared.array(name))
        if name not in self._initializers:
            raise UserError(f"nothing in the model makes the tensor '{name}'", place=self._place(node))
        return Weight(name, array_of(self._initializers[name], None, self._place(node)))

    def _constant(self, node: gs.Node, proto: onnx.NodeProto) -> Weight:
        """A `Constant` node as a weight under the name of its output."""
        place = self._place(node)
        (attribute,) = proto.attribute
        if attribute.name == "value":
            array = array_of(attribute.t, None, place)
        elif attribute.name in ("value_float", "value_floats"):
            array = np.array(onnx.helper.get_attribute_value(attribute), np.float32)
        elif attribute.name in ("value_int", "value_ints"):
            array = np.array(onnx.helper.get_attribute_value(attribute), np.int64)
        else:
            raise UserError(f"constants of the form '{attribute.name}' are not supported", place=place)
        return Weight(self._derived.fresh(proto.output[0]), array)

    def _place(self, node: gs.Node | None) -> Place:
        return Place(self._prepared.place.file, node=node.name if node else None)

    def _opaque(self, node: gs.Node, proto: onnx.NodeProto, origin: Origin) -> Opaque:
        names = dict.fromkeys([*filter(None, proto.input), *captures(proto)])
        return Opaque(
            operands_in=[self._value(name, node) for name in names],
            op_type=node.op,
            names=tuple(names),
            node=make_payload(proto, self._prepared.model.opset_import),
            types=[self._result_type(tensor, node) for tensor in node.outputs if not tensor.is_empty()],
            origin=origin,
        )

    def _result_type(self, tensor: SurgeonTensor, node: gs.Node) -> TensorType:
        found = self._type(tensor)
        if found is None:
            if self._asked is None:
                self._asked = self._ask()
            found = self._asked.get(tensor.name)
        if found is None:
            raise UserError(
                f"the type of tensor '{tensor.name}', which {node.op} makes, cannot be inferred",
                place=self._place(node),
                hint="onnxruntime must know the operator, or the model must state the type (value_info)",
            )
        return found

    def _ask(self) -> dict[str, TensorType]:
        """What onnxruntime says about tensors that ONNX's inference knows nothing of."""
        made: list[SurgeonTensor] = [tensor for node in self._graph.nodes for tensor in node.outputs]
        ports = inferred_by_onnxruntime(
            self._prepared.model, [tensor.name for tensor in made if tensor.name and self._type(tensor) is None]
        )
        return {
            name: TensorType(tuple(self._dim(dim) for dim in port.shape), port.dtype)
            for name, port in ports.items()
            if port.dtype is not None
        }

    def _type(self, tensor: SurgeonTensor) -> TensorType | None:
        if tensor.is_empty():
            return None
        what = f"tensor '{tensor.name}'"
        kind: str = tensor.type or "tensor_type"
        if tensor.dtype is None or (tensor.shape is None and kind == "tensor_type"):
            return None
        if kind != "tensor_type":
            raise UserError(f"{what} is a {kind.removesuffix('_type')}, not a tensor", place=self._prepared.place)
        code: Any = tensor.dtype
        if not isinstance(code, int):
            code = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(code))
        dtype = dtype_of(code, what, self._prepared.place)
        return TensorType(tuple(self._dim(dim) for dim in cast(Shape, tensor.shape)), dtype)

    def _dim(self, dim: int | str | None) -> Dim:
        if isinstance(dim, int):
            return dim
        return BATCH if dim and dim == self._prepared.batch else UNKNOWN


def _node_path(proto: onnx.NodeProto) -> str:
    """The node's name, below the torch modules that the dynamo exporter noted around it: `/layer1/layer1.0/add_3`."""
    for note in proto.metadata_props:
        if note.key == "pkg.torch.onnx.name_scopes" and proto.name and len(note.value) <= LONGEST_NOTE:
            try:
                # a printed list; the last entry is the operator itself
                *modules, _ = [str(name) for name in ast.literal_eval(note.value)]
            except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
                return proto.name
            return "/".join(["", *filter(None, modules), proto.name]) if any(modules) else proto.name
    return proto.name
