"""What an opaque op holds: the serialised node, what its subgraphs take from outside, and its names exchanged."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import onnx

DOMAIN_KEY = "eennc.domain:"
"""Key of the payload's metadata that says the opset of a domain besides ONNX's own."""


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs among the node's attributes."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def captures(node: onnx.NodeProto) -> list[str]:
    """Names that the node's subgraphs take from outside, each once, in order of use."""
    free: dict[str, None] = {}
    for graph in subgraphs(node):
        _free_names(graph, frozenset(), free)
    return list(free)


def _free_names(graph: onnx.GraphProto, bound: frozenset[str], free: dict[str, None]) -> None:
    inside = set(bound)
    inside.update(tensor.name for tensor in graph.initializer)
    inside.update(info.name for info in graph.input)

    def take(names: Iterable[str]) -> None:
        free.update((name, None) for name in names if name and name not in inside)

    for node in graph.node:
        take(node.input)
        for inner in subgraphs(node):
            _free_names(inner, frozenset(inside), free)
        inside.update(node.output)
    take(info.name for info in graph.output)


def make_payload(node: onnx.NodeProto, opsets: Iterable[onnx.OperatorSetIdProto]) -> bytes:
    """The node serialised, with the versions of the foreign domains that it uses."""
    packed = onnx.NodeProto()
    packed.CopyFrom(node)
    versions = {entry.domain: entry.version for entry in opsets}
    for domain in sorted(_domains(node) - {"", "ai.onnx"}):
        packed.metadata_props.add(key=DOMAIN_KEY + domain, value=str(versions.get(domain, 1)))
    return packed.SerializeToString(deterministic=True)


def _domains(node: onnx.NodeProto) -> set[str]:
    found = {node.domain}
    for graph in subgraphs(node):
        for inner in graph.node:
            found |= _domains(inner)
    return found


def unpack(payload: bytes) -> tuple[onnx.NodeProto, dict[str, int]]:
    """The node of a payload, and the version of each foreign domain that it needs."""
    node = onnx.NodeProto()
    node.ParseFromString(payload)
    domains: dict[str, int] = {}
    kept: list[onnx.StringStringEntryProto] = []
    for entry in node.metadata_props:
        if entry.key.startswith(DOMAIN_KEY):
            domains[entry.key.removeprefix(DOMAIN_KEY)] = int(entry.value)
        else:
            kept.append(entry)
    del node.metadata_props[:]
    node.metadata_props.extend(kept)
    return node, domains


def rename(node: onnx.NodeProto, given: Mapping[str, str], fresh: Callable[[str], str]) -> None:
    """Exchange the node's names in place: inputs and captures by `given`, all that it defines by `fresh`."""
    scope = dict(given)
    _rename_node(node, scope, fresh)


def _rename_node(node: onnx.NodeProto, scope: dict[str, str], fresh: Callable[[str], str]) -> None:
    node.input[:] = [scope.get(name, name) for name in node.input]
    for graph in subgraphs(node):
        _rename_graph(graph, dict(scope), fresh)
    for name in node.output:
        if name:
            scope[name] = fresh(name)
    node.output[:] = [scope[name] if name else "" for name in node.output]


def _rename_graph(graph: onnx.GraphProto, scope: dict[str, str], fresh: Callable[[str], str]) -> None:
    own = dict.fromkeys([*(info.name for info in graph.input), *(tensor.name for tensor in graph.initializer)])
    scope.update((name, fresh(name)) for name in own)
    for node in graph.node:
        _rename_node(node, scope, fresh)
    known = [info for info in graph.value_info if info.name in scope]
    for holder in (*graph.input, *graph.initializer, *graph.output, *known):
        holder.name = scope.get(holder.name, holder.name)
    del graph.value_info[:]
    graph.value_info.extend(known)
