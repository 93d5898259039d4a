"""What leaving at an exit takes in LiteRT: nested `IF` in one .tflite against the truncated network as a plain one.

    python benchmarks/tflite_latency.py [--exits 3] [--rounds 40] [--threads 1] [NETWORK ...]

In floats and in int8, by XNNPACK. Heads have random weights, and thresholds are forced, so nothing is trained. "never":
no exit fires, against the base network without heads. "cut": truncated at that exit, with its head alone; the
early-exit network has run the heads before it too. The sessions of one comparison take turns on one sample; times are
medians in microseconds, the ratio is the median over the turns.

Networks come from ../shared/data/models; without them the quickstart's network is used.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np
from onnx_overhead import MODELS, NETWORKS, QUICKSTART, early_exit_network, take_turns

from eennc.backends.tflite.emission import early_exit_model, plain_model
from eennc.data.splits import Split, Splits
from eennc.interop.tflite.session import LiteSession
from eennc.ir.cuts import exits_of, truncated, without_exits
from eennc.ir.graph import Graph, Module
from eennc.ir.types import Array
from eennc.passes import register
from eennc.passes.base import Context
from eennc.passes.exits.form_segments import FormSegments
from eennc.passes.layout.channels_last import ChannelsLast
from eennc.passes.quantise.calibrate import Calibrate
from eennc.passes.quantise.quantize_int8 import QuantizeInt8

CALIBRATION = 32
"""Random samples that set the ranges: the values do not matter here."""


def in_integers(module: Module, x: Array) -> Module:
    """A quantised copy."""
    copy = module.copy()
    ctx = Context(data=Splits(calibration=Split("calibration", x)))
    Calibrate().run(copy, ctx)
    QuantizeInt8().run(copy, ctx)
    return copy


def forced(module: Module, leaving: int) -> bytes:
    """The artefact whose every sample leaves at exit number `leaving`."""
    copy = module.copy()
    for exit in exits_of(copy.main):
        exit.attrs["threshold"] = 0.0 if exit.exit == leaving else float("inf")
    for p in (ChannelsLast(), FormSegments()):
        p.run(copy, Context())
    return early_exit_model(copy)


def plain(module: Module, graph: Graph) -> bytes:
    """A part of the network without exits."""
    part = Module(module.name, graph, stage=module.stage, attributes=module.attributes).copy()
    ChannelsLast().run(part, Context())
    return plain_model(part.main)


def measure(name: str, module: Module, x: Array, rounds: int, threads: int) -> None:
    """Print all comparisons of one network."""
    exits = exits_of(module.main)
    parts = [(f"exit {k}: {exit.place}"[:24], k, truncated(module.main, k)) for k, exit in enumerate(exits)]
    for what, leaving, graph in [("never", len(exits), without_exits(module.main)), *parts]:
        sessions = [LiteSession(model, threads=threads) for model in (plain(module, graph), forced(module, leaving))]
        answer = sessions[1].run(x)
        assert answer[1] == leaving, f"{name}: left at {answer[1]}"
        cut, eenn = take_turns(sessions, x, rounds)
        ratio = float(np.median(eenn / cut))
        print(f"{name:<16} {what:<24} {np.median(cut):9.1f} {np.median(eenn):9.1f} {ratio:6.3f}", flush=True)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help=f"of {', '.join(NETWORKS)}; all of them where none is given")
    parser.add_argument("--exits", type=int, default=3, help="exits of each network")
    parser.add_argument("--rounds", type=int, default=40, help="turns of each session; eight times as many where short")
    parser.add_argument("--threads", type=int, default=1, help="LiteRT's; 0 for its own choice")
    options = parser.parse_args(arguments)
    register()
    known = NETWORKS if MODELS.is_dir() else QUICKSTART
    unknown = set(options.networks) - set(known)
    if unknown:
        parser.error(f"no network is called {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    print(f"{'':<41} {'cut us':>9} {'EENN us':>9} {'ratio':>6}")
    for name in options.networks or known:
        module = early_exit_network(MODELS / known[name], options.exits)
        shape = module.main.arguments[0].type.concrete()[1:]
        x = np.random.default_rng(0).standard_normal((CALIBRATION, *shape), np.float32)
        x = x.astype(module.main.arguments[0].type.dtype.numpy)
        rounds = options.rounds * (8 if name in ("dscnn", "ecg", "quickstart") else 1)
        measure(name, module, x[:1], rounds, options.threads)
        measure(f"{name}, int8", in_integers(module, x), x[:1], rounds, options.threads)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
