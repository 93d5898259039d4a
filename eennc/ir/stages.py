"""Legality as data: what may stand in a module at each stage of the flow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from eennc.ir.op import Op


@dataclass(frozen=True)
class Stage:
    """A stage: `meaning` for the reader, `allows` per op, `functions` whether graphs besides `main` may exist."""

    name: str
    meaning: str
    allows: Callable[[Op], bool]
    functions: bool = False


def _dialect(*prefixes: str) -> Callable[[Op], bool]:
    return lambda op: op.name.startswith(prefixes)


_NETWORK = _dialect("nn.", "shape.", "onnx.", "q.quantize", "q.dequantize")
"""A network that came quantised keeps its steps, in floats."""

_BORDER = tuple(f"nn.{name}" for name in ("cast", "sub", "div", "mul", "add", "transpose", "reshape", "unsqueeze"))
"""What may still be done to the input before it is quantised."""

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            "imported",
            "a plain network, perhaps with candidates marked",
            lambda op: _NETWORK(op) or op.name == "ee.candidate",
        ),
        Stage("exits-placed", "exits stand in the main graph", lambda op: _NETWORK(op) or op.name == "ee.exit"),
        Stage(
            "quantised",
            "all arithmetic is in integers, once the input is quantised",
            lambda op: op.name.startswith("q.") or op.name == "ee.exit" or op.name in _BORDER,
        ),
        Stage(
            "segmented",
            "main is the decision graph: calls of segments and heads, and exits; the network is in functions",
            lambda op: _NETWORK(op) or op.name.startswith("q.") or op.name in ("ee.exit", "ee.call"),
            functions=True,
        ),
    )
}
