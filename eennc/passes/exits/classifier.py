"""Finds the classifier at the end of a network, and what its scores mean."""

from __future__ import annotations

from dataclasses import dataclass

from eennc.ir.graph import Graph, Module
from eennc.ir.op import Op
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.matmul import MatMul
from eennc.ir.ops.opaque import Opaque
from eennc.ir.ops.reshape import Reshape
from eennc.ir.ops.softmax import Softmax
from eennc.ir.types import DType
from eennc.ir.values import Result, Value
from eennc.passes.exits.flow import fed
from eennc.support.diagnostics import UserError

_SAME = frozenset(
    [f"nn.{name}" for name in ("identity", "reshape", "flatten", "squeeze", "unsqueeze", "transpose")]
    + ["q.quantize", "q.dequantize"]
)
"""Ops that leave the numbers (nearly) as they are."""
_AVERAGING = frozenset(f"nn.{name}" for name in ("average_pool", "global_average_pool", "reduce_mean"))
_CHANGING = frozenset(
    f"nn.{name}"
    for name in ("relu", "clip", "max_pool", "global_max_pool", "add", "sub", "mul", "div", "batch_norm", "pad")
)
_HINT = "eennc needs a classifier: one output with a score for each of at least two classes"


@dataclass(frozen=True)
class Classifier:
    """`op` makes the scores; `probabilities` says whether a softmax follows; `output` is [N, classes, 1...]."""

    op: Op
    output: Value
    classes: int
    probabilities: bool


def find_classifier(main: Graph) -> Classifier:
    """The last convolution, dense op or matrix product whose output becomes [N, classes].

    Behind it may stand a softmax, reshapes, pools, activations, arithmetic. Raises UserError where the network does
    not end in a classifier.
    """
    output = _output(main)
    classes = output.type.shape[1]
    assert isinstance(classes, int)
    order = {op: number for number, op in enumerate(main.ops)}
    from_input = fed(main)
    probabilities = False
    changed: Op | None = None
    value = output
    while isinstance(value, Result):
        op = value.op
        if isinstance(op, (Conv, Dense, MatMul)):
            return Classifier(op, output, classes, probabilities)
        if isinstance(op, Softmax):
            if changed is not None or probabilities or op.result.type.shape[op.axis] != classes:
                by = f" and changed by {changed.name} ({changed.origin})" if changed else ""
                raise UserError(
                    f"the scores are made by a softmax ({op.origin}){by}: neither logits nor probabilities of "
                    f"{classes} classes",
                    hint=_HINT,
                )
            probabilities = True
        elif op.name in _CHANGING:
            changed = changed or op
        elif op.name not in _SAME | _AVERAGING:
            break
        makers = [v for v in op.inputs if isinstance(v, Result) and v in from_input]
        value = max(makers, key=lambda v: order[v.op], default=main.arguments[0])
    raise UserError(f"no classifier at the end: {_named(output)} comes from {_maker(value)}", hint=_HINT)


def prepare_scores(module: Module) -> bool:
    """Record what the network's scores are: the attributes `classes` and `scores`; returns whether anything changed.

    Where the output is [N, classes, 1...] it is reshaped to [N, classes], the type of the exits' scores. Raises
    UserError as `find_classifier` does, and for an output that has the shape of the input, unless as many `labels` or a
    softmax show that it is a classifier.
    """
    main = module.main
    before = dict(module.attributes)
    classifier = find_classifier(main)
    labels = module.attributes.get("labels")
    same = any(argument.type.shape == classifier.output.type.shape for argument in main.arguments)
    if same and not classifier.probabilities and not (isinstance(labels, tuple) and len(labels) == classifier.classes):
        raise UserError(
            f"{_named(classifier.output)} has the shape of the input, as an autoencoder's",
            hint="where it is a classifier, name its classes: `labels` below `input` in passes.yaml",
        )
    module.attributes["classes"] = classifier.classes
    module.attributes["scores"] = "probabilities" if classifier.probabilities else "logits"
    if classifier.output.type.rank > 2:
        batch = classifier.output.type.shape[0]
        shape = (batch if isinstance(batch, int) else -1, classifier.classes)
        flat = Reshape(x=classifier.output, shape=shape, origin=classifier.op.origin)
        main.add(flat)
        main.returns = [flat.result]
    return module.attributes != before


def _output(main: Graph) -> Value:
    """The output, once it has the type of scores."""
    if len(main.arguments) != 1:
        names = ", ".join(f"'{argument.name}'" for argument in main.arguments)
        raise UserError(
            f"the model has {len(main.arguments)} inputs ({names})", hint="eennc takes models with one input"
        )
    if len(main.returns) != 1:
        types = ", ".join(str(value.type) for value in main.returns)
        raise UserError(f"the model has {len(main.returns)} outputs ({types})", hint=_HINT)
    output = main.returns[0]
    shape = output.type.shape
    if "?" in shape[1:]:
        raise UserError(f"{_named(output)}: its shape is not known", hint="put canonicalise before find-exits")
    if len(shape) < 2 or any(dim != 1 for dim in shape[2:]) or not isinstance(shape[1], int):
        raise UserError(f"{_named(output)} is not [N, classes]", hint=_HINT)
    if shape[0] != main.arguments[0].type.shape[0]:
        raise UserError(f"{_named(output)} is not one answer per sample of {main.arguments[0].type}", hint=_HINT)
    if shape[1] < 2:
        raise UserError(f"{_named(output)} has {shape[1]} score per sample", hint=_HINT)
    if output.type.dtype is not DType.F32:
        raise UserError(f"{_named(output)}: scores must be f32", hint=_HINT)
    return output


def _named(output: Value) -> str:
    where = str(output.op.origin) if isinstance(output, Result) else ""
    return f"the model's output {output.type}" + (f" ({where})" if where else "")


def _maker(value: Value) -> str:
    if not isinstance(value, Result):
        return "the input without one"
    name = f"ONNX {value.op.op_type}" if isinstance(value.op, Opaque) else value.op.name
    return f"{name} ({value.op.origin})"
