"""ONNX files: reading them with one clear message for each thing that may be wrong; finding external data."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from eennc.ir.types import Array
from eennc.support.diagnostics import Place, UserError

PROTOBUF_LIMIT = 2**31 - 1
"""A protobuf message cannot be larger (bytes)."""
_EXPORT_HINT = "export the network to ONNX, for instance with torch.onnx.export"


def load_proto(path: Path) -> onnx.ModelProto:
    """Parse an ONNX file without its external data; raises UserError."""
    place = Place(str(path))
    if path.is_dir():
        raise UserError("this is a folder, not an ONNX model", place=place)
    try:
        if path.stat().st_size > PROTOBUF_LIMIT:
            raise UserError(
                "the file is larger than 2 GiB, which ONNX cannot be",
                place=place,
                hint="save the weights as external data",
            )
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError("no such file", place=place) from None
    except OSError as error:
        raise UserError(f"the file cannot be read: {error.strerror}", place=place) from None
    if not content:
        raise UserError("the file is empty", place=place)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, UnicodeDecodeError):
        # every ONNX file begins with the field ir_version
        if content[:1] == b"\x08":
            raise UserError("the ONNX model is truncated or damaged", place=place) from None
        raise UserError("this is not an ONNX model", place=place, hint=_hint(content)) from None
    if not model.HasField("graph") and not model.opset_import:
        raise UserError("this is not an ONNX model", place=place, hint=_hint(content))
    return model


def _hint(content: bytes) -> str:
    if content[4:8] == b"TFL3":
        return "TensorFlow Lite models cannot be read; " + _EXPORT_HINT
    return _EXPORT_HINT


def initializers_of(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """All initializers, those of subgraphs included."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                yield from initializers_of(inner)


def tensors_of(message: onnx.GraphProto | onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    """All tensors inside a graph or node: initializers and attributes, those of subgraphs included."""
    if isinstance(message, onnx.GraphProto):
        yield from message.initializer
        for node in message.node:
            yield from tensors_of(node)
        return
    for attribute in message.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        if attribute.HasField("g"):
            yield from tensors_of(attribute.g)
        for graph in attribute.graphs:
            yield from tensors_of(graph)


def is_external(tensor: onnx.TensorProto) -> bool:
    """Whether the tensor's content lies in another file."""
    return tensor.data_location == onnx.TensorProto.EXTERNAL


def external_array(tensor: onnx.TensorProto, dtype: np.dtype[np.generic], folder: Path | None, place: Place) -> Array:
    """The content of an external tensor, read from its file, which must lie inside `folder`."""
    told = {entry.key: entry.value for entry in tensor.external_data}
    location = told.get("location", "")
    what = f"external data '{location}' of tensor '{tensor.name}'"
    if folder is None:
        raise UserError(f"{what} cannot be found without the model's file", place=place)
    if not location or "\0" in location:
        raise UserError(f"the external data of tensor '{tensor.name}' has no location", place=place)
    file = (folder / location).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise UserError(f"{what} lies outside the model's folder", place=place, hint="put the file beside the model")
    if not file.is_file():
        raise UserError(f"{what} is missing", place=place, hint="put the file beside the model")
    shape = tuple(tensor.dims)
    needed = int(np.prod(shape, dtype=object)) * dtype.itemsize
    size = file.stat().st_size
    try:
        offset = int(told.get("offset", "0"))
        length = int(told.get("length", str(needed)))
    except ValueError:
        raise UserError(f"{what} has a damaged offset or length", place=place) from None
    if min((*shape, offset, length), default=0) < 0 or length != needed or offset + needed > size:
        raise UserError(
            f"{what} does not fit: the tensor takes {needed} bytes at {offset}, the file has {size}", place=place
        )
    return np.fromfile(file, dtype, needed // dtype.itemsize, offset=offset).reshape(shape)
