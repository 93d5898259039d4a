"""Reads the Before / After blocks of a pass's docstring. The rules are in `eennc.passes.base.Pass`."""

import re
import textwrap
from dataclasses import dataclass

import numpy as np

from eennc.ir.graph import Module
from eennc.ir.parser import parse_module, parse_type
from eennc.ir.types import Array
from eennc.support.options import parse_inline

_NAME = r'(?:"[^"]*"|[\w.$/-]+)'
_TENSOR = re.compile(r"tensor<[^>]*>")
_DECLARED = re.compile(rf"(argument|weight) ([%@]{_NAME}) : (tensor<[^>]*>)(.*)")
_ARGUMENT = re.compile(rf"(%{_NAME}): (tensor<[^>]*>)")
_LAYER = re.compile(rf"= nn\.(?:conv|dense) (%{_NAME}), (@{_NAME})(?:, (@{_NAME}))?")


@dataclass(frozen=True)
class Example:
    before: str
    after: str
    options: dict[str, object]


def examples_of(doc: str) -> list[Example]:
    """The pairs of blocks, in order."""
    blocks: list[tuple[str, str, list[str]]] = []
    for line in textwrap.dedent(f"    {doc}").splitlines():
        heading = re.fullmatch(r"(Before|After)(?: \((.*)\))?:", line)
        if heading:
            blocks.append((heading[1], heading[2] or "", []))
        elif blocks and line.startswith("    "):
            blocks[-1][2].append(line.strip())
        elif blocks and line.strip():
            blocks.append(("", "", []))
    found = [(title, options, "\n".join(lines)) for title, options, lines in blocks if title]
    assert [title for title, *_ in found] == ["Before", "After"] * (len(found) // 2), "blocks come in pairs"
    return [
        Example(before, after, parse_inline(f"options{{{options}}}")[0][1])
        for (_, _, before), (_, options, after) in zip(found[::2], found[1::2], strict=True)
    ]


def snippet_module(text: str, declared: str = "") -> Module:
    """The module that a block stands for; `declared` is a block whose arguments and weights hold here too."""
    shared = [line for line in declared.splitlines() if _DECLARED.fullmatch(line) or line.startswith("module ")]
    lines = [*shared, *(line for line in text.splitlines() if line)]
    header = [line.removeprefix("module ") for line in lines if line.startswith("module ")]
    body = [line for line in lines if not line.startswith("module ") and not _DECLARED.fullmatch(line)]
    types = {name: type for line in lines for name, type in _ARGUMENT.findall(line)}
    arguments: dict[str, str] = {}
    weights: dict[str, tuple[str, str]] = {}
    for kind, name, type, content in (found.groups() for line in lines if (found := _DECLARED.fullmatch(line))):
        types[name] = type
        if kind == "argument":
            arguments[name] = type
        else:
            weights[name] = (type, content)
    for line in body:
        types.update(_results(line))
    for line in body:
        weights.update((name, (type, "")) for name, type in _implied(line, types) if name not in weights)
    # a weight that nothing uses is none of the module's
    used = [name for name in weights if any(re.search(rf"{re.escape(name)}(?![\w.])", line) for line in body)]
    graph = body if body[0].startswith("graph ") else _graph(body, arguments, types)
    whole = [
        "eir 1",
        f"module @example {_header(header[-1] if header else '', text)} {{",
        *(f"weight {name} : {weights[name][0]}{weights[name][1]}" for name in used),
        *graph,
        "}",
    ]
    arrays = {name[1:].strip('"'): _content(name, weights[name][0]) for name in used}
    return parse_module("\n".join(whole), arrays)


def _header(written: str, text: str) -> str:
    if written.startswith("stage "):
        return written
    if text.count("graph @") > 1:
        return f"stage segmented {written}"
    return f"stage {'exits-placed' if ' ee.exit ' in text else 'imported'} {written}"


def _results(line: str) -> dict[str, str]:
    if not line.startswith("%"):
        return {}
    names = re.findall(rf"%{_NAME}", line.partition(" = ")[0])
    return dict(zip(names, _TENSOR.findall(line.rpartition(" : ")[2]), strict=True))


def _implied(line: str, types: dict[str, str]) -> list[tuple[str, str]]:
    """Types of the weights of a dense op, or of a convolution without strides and pads."""
    layer = _LAYER.search(line)
    if layer is None:
        return []
    (result,) = (parse_type(type) for type in _results(line).values())
    x = parse_type(types[layer[1]])
    axis = 1 if "nn.conv" in line else -1
    spatial = zip(x.shape[2:], result.shape[2:], strict=True) if axis == 1 else ()
    weight = [result.shape[axis], x.shape[axis], *(int(before) - int(after) + 1 for before, after in spatial)]
    implied = [(layer[2], f"tensor<{'x'.join(map(str, weight))}xf32>")]
    return [*implied, (layer[3], f"tensor<{result.shape[axis]}xf32>")] if layer[3] else implied


def _graph(body: list[str], arguments: dict[str, str], types: dict[str, str]) -> list[str]:
    last = body[-1]
    returned = re.findall(rf"[%@]{_NAME}", last) if last.startswith("return ") else list(_results(last))
    return [
        f"graph @main({', '.join(f'{name}: {type}' for name, type in arguments.items())})"
        f" -> {', '.join(types[name] for name in returned)} {{",
        *(line for line in body if not line.startswith("return ")),
        f"return {', '.join(returned)}",
        "}",
    ]


def _content(name: str, type: str) -> Array:
    parsed = parse_type(type)
    random = np.random.default_rng(sum(name.encode()))
    array = random.uniform(0.5, 1.5, parsed.concrete())
    return (array if parsed.dtype.is_float else array * 10).astype(parsed.dtype.numpy)
