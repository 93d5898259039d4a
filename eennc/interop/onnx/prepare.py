"""Brings a foreign ONNX model to one form: internal opset, shapes inferred, large weights set aside.

The version converter and shape inference copy a whole model several times and need no weights, so these are taken out
first and stand among the graph's inputs meanwhile.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx.checker
import onnx.defs
import onnx.helper
import onnx.inliner
import onnx.numpy_helper
import onnx.shape_inference
import onnx.version_converter

from eennc.interop.onnx import INTERNAL_OPSET, IR_VERSION, OLDEST_OPSET
from eennc.interop.onnx.files import external_array, is_external, tensors_of
from eennc.ir.types import Array, DType
from eennc.support.diagnostics import Place, UserError

ASIDE_ABOVE = 512
"""Tensors of more elements are set aside; shapes, axes and limits, which the converter must see, are smaller."""


@dataclass(frozen=True)
class Prepared:
    """A model at the internal opset, shapes inferred. `aside` are the weights that were taken out, by name; they
    stand among the inputs of `model`, of which only `input` is the network's own.
    """

    model: onnx.ModelProto
    input: onnx.ValueInfoProto
    batch: str | None
    """The symbol of the batch axis; None where the batch is baked."""
    aside: dict[str, onnx.TensorProto]
    folder: Path | None
    place: Place

    def array(self, name: str) -> Array:
        """The content of a weight that was set aside."""
        return array_of(self.aside[name], self.folder, self.place)


def prepare(model: onnx.ModelProto, *, folder: Path | None, place: Place) -> Prepared:
    """Check and normalise a model, which itself is not changed; raises UserError. `folder` is where its external data
    may lie, None where it may have none.
    """
    _check_header(model, place)
    aside: dict[str, onnx.TensorProto] = {}
    light = _lighten(model, aside, folder, place)
    network_input = _only_input(light, aside, place)
    _only_output(light, place)
    batch = _name_batch(light, network_input, place)
    for tensor in aside.values():
        info = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        light.graph.input.append(info)
    for index, node in enumerate(light.graph.node):
        node.name = node.name or f"{node.op_type}#{index}"
    light = _raised(light, place)
    try:
        light = onnx.shape_inference.infer_shapes(light, data_prop=True)
    except Exception as error:  # C++ exceptions of many kinds
        raise UserError(f"the shapes of the model cannot be inferred: {_first_line(error)}", place=place) from None
    return Prepared(light, network_input, batch, aside, folder, place)


def array_of(tensor: onnx.TensorProto, folder: Path | None, place: Place) -> Array:
    """The content of a tensor, external or not; raises UserError where it is damaged or of no supported dtype."""
    dtype = dtype_of(tensor.data_type, f"tensor '{tensor.name}'", place).numpy
    if is_external(tensor):
        return external_array(tensor, dtype, folder, place)
    try:
        return onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError) as error:
        raise UserError(f"tensor '{tensor.name}' is damaged: {error}", place=place) from None


def dtype_of(code: int, what: str, place: Place) -> DType:
    """The DType of an ONNX element type; `what` names the tensor in the error."""
    try:
        return DType.of(onnx.helper.tensor_dtype_to_np_dtype(code))
    except (ValueError, KeyError, TypeError):
        known = onnx.TensorProto.DataType
        name = known.Name(code).lower() if code in known.values() and code else f"unknown ({code})"
        raise UserError(
            f"{what} is of element type {name}, which is not supported",
            place=place,
            allowed=f"supported: {', '.join(str(dtype.numpy) for dtype in DType)}",
        ) from None


def _check_header(model: onnx.ModelProto, place: Place) -> None:
    if not model.graph.node:
        raise UserError("the model has an empty graph", place=place)
    opset = _opset(model)
    if opset is None:
        raise UserError("the model does not say which opset it is of", place=place)
    if opset < OLDEST_OPSET:
        raise UserError(
            f"the model is of opset {opset}; {OLDEST_OPSET} is the oldest that can be read",
            place=place,
            hint="export it again with opset 13 or newer",
        )
    newest = onnx.defs.onnx_opset_version()
    if opset > newest:
        raise UserError(
            f"the model is of opset {opset}; {newest} is the newest that the installed onnx package knows",
            place=place,
            hint=f"export it with opset {INTERNAL_OPSET}",
        )
    if model.graph.sparse_initializer:
        raise UserError("sparse weights are not supported", place=place, hint="export them as dense tensors")


def _opset(model: onnx.ModelProto) -> int | None:
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), None)


def _lighten(
    model: onnx.ModelProto, aside: dict[str, onnx.TensorProto], folder: Path | None, place: Place
) -> onnx.ModelProto:
    """A copy of what the lowering needs, without the weights that go into `aside`. External data that is small or
    belongs to a subgraph becomes internal.
    """
    light = onnx.ModelProto(ir_version=IR_VERSION, opset_import=model.opset_import, functions=model.functions)
    graph = light.graph
    graph.name = model.graph.name or "main"
    for tensor in model.graph.initializer:
        if _elements(tensor) > ASIDE_ABOVE:
            aside[tensor.name] = tensor
        else:
            graph.initializer.append(tensor)
    for node in model.graph.node:
        if constant := _large_constant(node):
            aside[constant.name] = constant
        else:
            graph.node.append(node)
    weights = {tensor.name for tensor in model.graph.initializer}
    graph.input.extend(info for info in model.graph.input if info.name not in weights)
    graph.output.extend(model.graph.output)
    graph.value_info.extend(model.graph.value_info)
    for tensor in tensors_of(graph):
        if is_external(tensor):
            array = array_of(tensor, folder, place)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    return light


def _elements(tensor: onnx.TensorProto) -> int:
    return int(np.prod(tensor.dims, dtype=object))


def _large_constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """The tensor of a large `Constant` node, under the name of the node's output."""
    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx") or len(node.output) != 1:
        return None
    for attribute in node.attribute:
        if attribute.name == "value" and _elements(attribute.t) > ASIDE_ABOVE:
            tensor = onnx.TensorProto()
            tensor.CopyFrom(attribute.t)
            tensor.name = node.output[0]
            return tensor
    return None


def _only_input(light: onnx.ModelProto, aside: dict[str, onnx.TensorProto], place: Place) -> onnx.ValueInfoProto:
    inputs = [info for info in light.graph.input if info.name not in aside]
    if not inputs:
        raise UserError("the model has no input", place=place)
    if len(inputs) > 1:
        raise UserError(
            f"the model has {len(inputs)} inputs: {', '.join(repr(info.name) for info in inputs)}; "
            "only networks of one input can be compiled",
            place=place,
        )
    return inputs[0]


def _only_output(light: onnx.ModelProto, place: Place) -> None:
    outputs = [info.name for info in light.graph.output]
    if not outputs:
        raise UserError("the model has no output", place=place)
    if len(outputs) > 1:
        raise UserError(
            f"the model has {len(outputs)} outputs: {', '.join(map(repr, outputs))}; "
            "only classifiers of one output can be compiled",
            place=place,
            hint="cut it with onnx.utils.extract_model",
        )


def _name_batch(light: onnx.ModelProto, info: onnx.ValueInfoProto, place: Place) -> str | None:
    """Check the input's type and give a free batch axis a symbol; None where the batch is baked."""
    what = f"input '{info.name}'"
    if info.type.WhichOneof("value") != "tensor_type":
        raise UserError(f"{what} is not a tensor", place=place)
    dtype_of(info.type.tensor_type.elem_type, what, place)
    dims = info.type.tensor_type.shape.dim
    if not dims:
        raise UserError(f"{what} has no shape", place=place, hint="set its shape; only the batch may be free")
    sizes = [dim.dim_value if dim.dim_value > 0 else None for dim in dims]
    if None in sizes[1:]:
        shown = ", ".join(str(size) if size else dim.dim_param or "?" for size, dim in zip(sizes, dims, strict=True))
        raise UserError(
            f"{what} is of shape [{shown}]; only the first axis, the batch, may be free",
            place=place,
            hint="fix the others, for instance with onnxruntime.tools.make_dynamic_shape_fixed",
        )
    if sizes[0]:
        batch = None
    else:
        batch = dims[0].dim_param or "N"
        dims[0].dim_param = batch
    _forget_symbols(light.graph, batch)
    return batch


def _forget_symbols(graph: onnx.GraphProto, batch: str | None) -> None:
    """Take what would hide shape inference's findings out of the stated shapes: symbols that the exporter made up, and
    under a free batch the first size, which may be of a batch that once was baked.
    """
    for info in (*graph.value_info, *graph.output):
        for index, dim in enumerate(info.type.tensor_type.shape.dim):
            if dim.dim_param != batch and (dim.dim_param or (batch is not None and index == 0)):
                dim.Clear()


def _raised(light: onnx.ModelProto, place: Place) -> onnx.ModelProto:
    """The model checked, functions inlined, at the internal opset."""
    try:
        onnx.checker.check_model(light)
        if light.functions:
            light = onnx.inliner.inline_local_functions(light)
            light.ir_version = IR_VERSION
    except Exception as error:  # ValidationError, or C++ exceptions of many kinds
        raise UserError(f"the ONNX model is not valid: {_first_line(error)}", place=place) from None
    opset = _opset(light)
    if opset == INTERNAL_OPSET:
        return light
    try:
        return onnx.version_converter.convert_version(light, INTERNAL_OPSET)
    except Exception as error:  # ConvertError, or C++ exceptions of many kinds
        raise UserError(
            f"the model is of opset {opset} and cannot be brought to opset {INTERNAL_OPSET}: {_first_line(error)}",
            place=place,
            hint=f"export it with opset {INTERNAL_OPSET}",
        ) from None


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
