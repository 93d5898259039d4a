"""How many instructions an int8 network will execute, predicted op by op.

Multiply-accumulates are not alike: on a Cortex-M55 one of a depthwise convolution takes 14 times the instructions of
one of a dense layer. The rates are measured (benchmarks/kernel_rates.py): least squares over the ops of three networks.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from eennc.devices import Device
from eennc.ir.flat import flatten
from eennc.ir.graph import Module
from eennc.ir.op import Op
from eennc.ir.ops.exit import Exit
from eennc.ir.ops.q_conv import QConv
from eennc.ir.ops.q_dense import QDense
from eennc.ir.pooling import Pool
from eennc.ir.quantised_elementwise import QuantisedElementwise
from eennc.passes.target import Target


@dataclass(frozen=True)
class Rates:
    """Instructions. gather: per row of a window that is laid out; the rest per multiply-accumulate (mac), per tap of a
    pool's window, per element of the larger of operand and result, per class of an exit.
    """

    conv_mac: float
    conv_output: float
    gather: float
    depthwise_mac: float
    dense_mac: float
    dense_output: float
    average_tap: float
    average_output: float
    max_tap: float
    add_element: float
    other_element: float
    exit_class: float = 25.0


PLAIN = Rates(2.52, 41.7, 117, 11.3, 3.60, 55.5, 6.93, 32.3, 8.6, 69.3, 7.0)
RISCV = Rates(*(1.4 * rate for rate in dataclasses.astuple(PLAIN)))
RATES = {
    "riscv32": RISCV,
    "cortex-m0": Rates(5.54, 110.0, 198, 25.1, 5.64, 117.8, 7.81, 112.2, 12.6, 235.3, 9.0),
    "none": PLAIN,
    "dsp": Rates(1.28, 45.6, 152, 6.93, 1.93, 52.6, 2.56, 17.2, 2.8, 62.3, 7.0),
    "helium": Rates(0.14, 17.6, 146, 2.63, 0.19, 27.6, 0.65, 13.3, 1.5, 63.8, 5.0),
}
"""By core, else by extension."""


@dataclass(frozen=True)
class Prediction:
    """Instructions of an inference that stops at each exit, behind them at the last classifier; of the base network."""

    to_exit: tuple[float, ...]
    base: float


def predict(module: Module, target: Target) -> Prediction | None:
    """The prediction for a segmented module; None for one that is not of integers."""
    backbone = heads = 0.0
    stops: list[float] = []
    for step in flatten(module).steps:
        instructions = target.instructions(step.op)
        if instructions is None:
            return None
        if isinstance(step.op, Exit):
            stops.append(backbone + heads + instructions)
        if isinstance(step.op, Exit) or step.function.startswith("head"):
            heads += instructions
        else:
            backbone += instructions
    return Prediction((*stops, backbone + heads), backbone)


def instructions_of(op: Op, device: Device) -> float | None:
    """Of an op of integers, or an exit, that is no view; None for another."""
    core = "cortex-m0" if device.core == "cortex-m0plus" else device.core
    rates = RATES.get(core or "") or RATES[device.extension]
    if isinstance(op, Exit):
        return rates.exit_class * op.scores.type.elements()
    if not op.name.startswith("q."):
        return None
    outputs = op.result.type.elements()
    match op:
        case QConv() if op.depthwise:
            return rates.depthwise_mac * op.macs()
        case QConv():
            windows = op.windows()
            direct = windows.kernel[0] == 1 and not any((*windows.begins, *windows.ends))
            rows = 0 if direct else math.prod(windows.output) * windows.kernel[0]
            return rates.conv_mac * op.macs() + rates.conv_output * outputs + rates.gather * rows
        case QDense():
            return rates.dense_mac * op.macs() + rates.dense_output * outputs
        case Pool():
            taps = math.prod(op.kernel) * outputs
            average = op.name == "q.average_pool"
            return rates.average_tap * taps + rates.average_output * outputs if average else rates.max_tap * taps
        case QuantisedElementwise():
            return rates.add_element * outputs
        case _:
            return rates.other_element * max(outputs, *(value.type.elements() for value in op.inputs))
