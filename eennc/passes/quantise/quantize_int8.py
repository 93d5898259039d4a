"""quantize-int8."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Gt

from eennc.ir.cuts import exits_of
from eennc.ir.graph import Graph, Module
from eennc.ir.op import Op, VerifyError
from eennc.ir.ops.add import Add
from eennc.ir.ops.batch_norm import BatchNorm
from eennc.ir.ops.cast import Cast
from eennc.ir.ops.div import Div
from eennc.ir.ops.exit import Exit
from eennc.ir.ops.mul import Mul
from eennc.ir.ops.q_quantize import Quantize
from eennc.ir.ops.sub import Sub
from eennc.ir.types import DType
from eennc.ir.values import Value, Weight
from eennc.passes.base import Context, Pass
from eennc.passes.canonicalise.fuse_activation import activation_of
from eennc.passes.canonicalise.walk import WeightNames
from eennc.passes.exits.scoring import score_tables
from eennc.passes.quantise.conversion import Converter, shortest
from eennc.passes.quantise.given import absorb
from eennc.passes.quantise.groups import MOVES, logits_of, quants_of
from eennc.passes.quantise.moments import Moments, input_moments
from eennc.passes.quantise.ranges import observed, set_range
from eennc.passes.quantise.samples import SAMPLES
from eennc.policy.quantisation import FloatTables
from eennc.support.diagnostics import UserError

_BORDER = (Cast, Sub, Div, Mul, Add)
"""What may happen to the input in floats, with constants, before it is quantised."""


@dataclass(frozen=True)
class QuantizeInt8(Pass):
    """Make every op one of integers, by TensorFlow Lite's int8 specification, from the ranges that calibrate noted.

    Activations are asymmetric, one scale and zero point each; weights symmetric. The exits' rule becomes the margin of
    integer logits, and thresholds go: they have to be solved again on the integer network's own scores. What a network
    that came quantised says itself (QuantizeLinear, DequantizeLinear) is taken over.

    Before:
        module attributes {input_range = [-1.27, 1.28]}
        argument %x : tensor<Nx4xf32>
        weight @w : tensor<2x4xf32> = [1.27, 0, 0, 0, 0, 0, 0, -0.635]
        %0 = nn.dense %x, @w {activation = relu} !{range = [0.0, 2.55]} : tensor<Nx2xf32>
    After (weights=max):
        module stage quantised attributes {input_range = [-1.27, 1.28]}
        weight @v : tensor<2x4xi8> = [127, 0, 0, 0, 0, 0, 0, -64]
        weight @scales : tensor<1xf32> = [0.01]
        %0 = q.quantize %x {scale = 0.01, zero_point = -1} : tensor<Nx4xi8, 0.01:-1>
        %1 = q.dense %0, @v, @scales {activation = relu, scale = 0.01, zero_point = -128} : tensor<Nx2xi8, 0.01:-128>
    """

    requires: ClassVar[frozenset[str]] = frozenset({"ranges"})
    ensures: ClassVar[frozenset[str]] = frozenset({"int8"})
    invalidates: ClassVar[frozenset[str]] = frozenset({"ranges", "costs", "thresholds"})
    needs: ClassVar[frozenset[str]] = frozenset({"calibration"})

    per_channel: Literal["conv", "all", "none"] = "conv"
    """Whose weights have one scale per output channel: those of convolutions, of dense ops too, or of none."""

    weights: Literal["mse", "max"] = "mse"
    """What sets a weight's scale: the least squared error of its sums on calibration samples, or the largest weight."""
    correct_bias: bool = True
    """Whether biases take over the mean error that rounded weights make (with `weights: mse`)."""
    samples: Annotated[int, Gt(0)] = SAMPLES
    """Calibration samples that weights and biases are fitted to, evenly spread."""

    def preview(self, module: Module) -> Module:
        """A copy quantised by invented ranges, which shows what has no form in integers."""
        if module.stage == "quantised":
            return module
        copy = module.copy()
        for value in observed(copy):
            set_range(copy, value, (-1.0, 1.0))
        set_range(copy, copy.main.arguments[0], (-1.0, 1.0))
        try:
            self._convert(copy, {})
        except MisfitError:
            # with the true ranges it may fit
            return module
        return copy

    def run(self, module: Module, ctx: Context) -> bool:
        """Convert; a quantised module stays as it is."""
        if module.stage == "quantised":
            return False
        self._keep_float_scores(module, ctx)
        self._convert(module, input_moments(module, ctx, self.samples) if self.weights == "mse" else {})
        return True

    def _convert(self, module: Module, moments: Mapping[Value, Moments]) -> None:
        main = module.main
        names = WeightNames(module)
        places = {op: number for number, op in enumerate(main.ops)}
        given = absorb(module)
        conversion = _Conversion(main)
        conversion.converter = Converter(
            conversion.q,
            quants_of(module, given.quants),
            names.new,
            {given.same.get(value, value): found for value, found in moments.items()},
            places=places,
            conv_per_output=self.per_channel != "none",
            dense_per_output=self.per_channel == "all",
            correct_bias=self.correct_bias,
        )
        main.ops, main.returns = conversion.run()
        module.stage = "quantised"
        # the exits' thresholds were of the float network
        module.attributes.pop("points", None)

    def _keep_float_scores(self, module: Module, ctx: Context) -> None:
        """For the report, which sets float beside int8."""
        labelled = ctx.data.calibration is not None and ctx.data.calibration.y is not None
        # no table shows what a stream's exits do
        streams = any(exit.streams for exit in exits_of(module.main))
        if labelled and "scores" in module.attributes and not streams:
            ctx.results.put(FloatTables(score_tables(module, ctx)))


class MisfitError(UserError):
    """The ranges give scales that integer arithmetic cannot hold."""


class _Conversion:
    """One main graph on its way to integers."""

    converter: Converter

    def __init__(self, main: Graph) -> None:
        self.main = main
        self.users = main.users()
        self.done: dict[Value, Value] = {}
        self.border: set[Value] = set(main.arguments)

    def run(self) -> tuple[list[Op], list[Value]]:
        """The new ops, and what they return."""
        skipped: set[Op] = set()
        for op in self.main.ops:
            if op in skipped:
                continue
            if self._at_the_border(op):
                self.converter.ops.append(op)
                self.border.add(op.result)
            elif isinstance(op, Exit):
                self._exit(op)
            else:
                follower = self._activation_behind(op)
                try:
                    # a ReLU behind a sum is part of it
                    made = self.converter.convert(op, follower)
                except VerifyError as error:
                    raise MisfitError(f"quantize-int8: {op.name} ({op.origin}): {error.message}") from None
                self.done[op.result] = made
                if follower:
                    skipped.add(follower)
                    self.done[follower.result] = made
        returns = [self.q(value) for value in self.main.returns]
        return self.converter.ops, returns

    def q(self, value: Value) -> Value:
        """The integer form of a value; of one at the border, made now."""
        if value not in self.done:
            if value not in self.border or value.type.dtype is not DType.F32:
                raise UserError(f"quantize-int8: a constant {value.type} stands where integers of the input must come")
            quant = self.converter.quants[value]
            op = Quantize(x=value, scale=shortest(quant.scale), zero_point=quant.zero_point)
            self.converter.ops.append(op)
            self.done[value] = op.result
        return self.done[value]

    def _at_the_border(self, op: Op) -> bool:
        others = [value for value in op.inputs if value not in self.border]
        if len(others) == len(op.inputs) or not all(isinstance(value, Weight) for value in others):
            return False
        return isinstance(op, _BORDER) or (isinstance(op, MOVES) and not op.result.type.dtype.is_float)

    def _activation_behind(self, op: Op) -> Op | None:
        if not isinstance(op, (Add, Sub, Mul, Div, BatchNorm)) or op.result in self.main.returns:
            return None
        users: Collection[Op] = self.users.get(op.result, ())
        behind = next(iter(users), None)
        return behind if len(users) == 1 and behind is not None and activation_of(behind) else None

    def _exit(self, op: Exit) -> None:
        logits = logits_of(op)
        exit = Exit(
            scores=self.q(op.scores),
            logits=None if logits is op.scores else self.q(logits),
            carry=[self.q(value) for value in op.carry],
            exit=op.exit,
            place=op.place,
            kind=op.kind,
            rule="margin",
            temperature=op.temperature,
            origin=op.origin.via("quantize-int8"),
        )
        self.converter.ops.append(exit)
        self.done.update(zip(op.results, exit.results, strict=True))
