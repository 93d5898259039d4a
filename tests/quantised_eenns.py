"""Random early-exit networks in integers."""

import numpy as np
from random_eenns import samples

from eennc.data.splits import Split, Splits
from eennc.ir.cuts import all_evidence, exits_of
from eennc.ir.graph import Module
from eennc.ir.interpreter import run_graph
from eennc.passes.base import Context
from eennc.passes.quantise.calibrate import Calibrate
from eennc.passes.quantise.quantize_int8 import QuantizeInt8


def quantised(module: Module, dims: int, rule: str = "margin") -> Module:
    """In integers with exits of this rule, each at a threshold that about half of the samples reach."""
    x = samples(64, dims)
    ctx = Context(data=Splits(calibration=Split("calibration", x)))
    module = module.copy()
    Calibrate().run(module, ctx)
    QuantizeInt8().run(module, ctx)
    exits = exits_of(module.main)
    evidence = run_graph(module, all_evidence(module.main), [x])[len(exits) + 1 :]
    alive = np.ones(len(x), bool)
    for exit, table in zip(exits, evidence, strict=True):
        exit.attrs["rule"] = rule
        confidence = exit.confidence(table)
        # some samples lie on the threshold
        exit.attrs["threshold"] = float(np.sort(confidence[alive])[alive.sum() * 2 // 3])
        alive &= confidence < exit.threshold
    return module
