"""Finds the classifier at the end of a network, and what its scores mean."""

from __future__ import annotations

from dataclasses import dataclass

from eennc.ir.graph import Graph
from eennc.ir.op import Op
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.matmul import MatMul
from eennc.ir.ops.softmax import Softmax
from eennc.ir.values import Result, Value
from eennc.support.diagnostics import UserError

TAIL = frozenset(
    f"nn.{name}"
    for name in (
        "softmax",
        "identity",
        "reshape",
        "flatten",
        "squeeze",
        "unsqueeze",
        "relu",
        "clip",
        "average_pool",
        "max_pool",
        "global_average_pool",
        "global_max_pool",
        "reduce_mean",
        "add",
        "sub",
        "mul",
        "div",
        "transpose",
    )
)
"""What may stand between the classifier and the output."""


@dataclass(frozen=True)
class Classifier:
    """`op` makes the scores; `probabilities` says whether a softmax follows; `output` is [N, classes, 1...]."""

    op: Op
    output: Value
    classes: int
    probabilities: bool


def find_classifier(main: Graph) -> Classifier:
    """The last convolution, dense op or matrix product whose output becomes [N, classes]; raises UserError."""
    output = main.returns[0]
    shape = output.type.shape
    hint = "eennc needs a classifier: one output of scores per class"
    if len(shape) < 2 or any(dim != 1 for dim in shape[2:]) or not isinstance(shape[1], int):
        raise UserError(f"the output is {output.type}, not [N, classes]", hint=hint)
    if any(argument.type.shape == shape for argument in main.arguments):
        raise UserError(
            f"the output has the shape of the input, {output.type}: an autoencoder, not a classifier", hint=hint
        )
    if shape[1] < 2:
        raise UserError(f"the output is {output.type}: a classifier has two classes at least", hint=hint)
    probabilities = False
    value: Value | None = output
    while isinstance(value, Result) and value.op.name in TAIL:
        probabilities = probabilities or isinstance(value.op, Softmax)
        value = next((v for v in value.op.inputs if isinstance(v, Result)), None)
    if not isinstance(value, Result) or not isinstance(value.op, (Conv, Dense, MatMul)):
        what = f"{value.op.name} ({value.op.origin})" if isinstance(value, Result) else "the input"
        raise UserError(f"no classifier at the end: the output comes from {what}", hint=hint)
    return Classifier(value.op, output, shape[1], probabilities)
