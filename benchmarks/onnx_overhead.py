"""What the exits themselves cost in onnxruntime: early-exit networks against the same ops without decisions.

    python benchmarks/onnx_overhead.py [--exits 3] [--rounds 40] [--threads 1] [NETWORK ...]

Heads have random weights, and thresholds are forced, so nothing is trained. The sessions of one comparison take turns
on one sample, so that a slower moment of the machine slows all of them. A turn is one run that does not count, which
brings the session back into the processor's caches, and eight that do. Times are medians in microseconds; ratios, and
whether a limit is kept, are medians over the turns of what was measured next to each other. The limits:

- never: no exit fires. At most 1.05 of the base network with its heads, all scores being outputs; 1.10 for the form
  with a free batch, at N = 1.
- leaving at exit k: at most 1.05 of the network truncated there, with the heads that it passes, plus 20 microseconds.
  The static cut (truncated there, with head k alone) is shown beside it: the difference are the heads before.

Exits 1 where a limit is missed. Networks come from ../shared/data/models; without them the quickstart's network is
used.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eennc.backends.onnx.emission import early_exit_model, with_batch_1
from eennc.interop.onnx.reader import read_model
from eennc.interop.onnx.session import Session
from eennc.interop.onnx.writer import plain_model
from eennc.ir.cuts import all_scores, exit_free, exits_of, truncated
from eennc.ir.graph import Graph, Module
from eennc.ir.types import Array
from eennc.passes import register
from eennc.passes.base import Context
from eennc.passes.exits.form_segments import FormSegments
from eennc.passes.exits.prune import remove_exits
from eennc.passes.pipeline import Pipeline, build_passes
from eennc.runtime.session import Engine

REPO = Path(__file__).resolve().parent.parent
MODELS = REPO.parent / "shared" / "data" / "models"
NETWORKS = {
    "dscnn": "dscnn_asc40.onnx",
    "ecg": "ecg_cnn_aami5.onnx",
    "resnet20": "resnet20_cifar10jpegft.onnx",
    "resnet56": "resnet56_cifar10jpegft.onnx",
}
QUICKSTART = {"quickstart": str(REPO / "examples" / "quickstart" / "fashion.onnx")}
Times = NDArray[np.float64]
SINGLE, FREE, SPARE = 1.05, 1.10, 20.0
"""Limits: two ratios, and microseconds."""
TIMED = 8
"""Runs that count in each turn."""


@dataclass(frozen=True)
class Row:
    """One comparison: microseconds of each turn, and the limit on `eenn`, which is `factor` * `plain` + `spare`."""

    network: str
    what: str
    plain: Times
    eenn: Times
    factor: float
    spare: float = 0.0
    cut: Times | None = None

    @property
    def met(self) -> bool:
        """Whether the limit is kept."""
        return bool(np.median(self.eenn - self.factor * self.plain) <= self.spare)

    def __str__(self) -> str:
        plain, eenn, ratio = (float(np.median(part)) for part in (self.plain, self.eenn, self.eenn / self.plain))
        cells = f"{plain:9.1f} {eenn:9.1f} {ratio:6.3f} {self.factor * plain + self.spare:9.1f}"
        cut = "" if self.cut is None else f"{np.median(self.cut):9.1f}"
        return f"{self.network:<11} {self.what:<22} {cells} {'' if self.met else 'missed':<7}{cut}".rstrip()


def early_exit_network(path: Path, wanted: int) -> Module:
    """The model with heads of random weights at `wanted` of its places, evenly spread."""
    module = read_model(path)
    Pipeline(build_passes([("canonicalise", {}), ("find-exits", {}), ("insert-exits", {})])).run(module, Context())
    places = len(exits_of(module.main))
    keep = {round(places * (i + 1) / (wanted + 1)) for i in range(wanted)} if wanted < places else set(range(places))
    remove_exits(module, keep)
    return with_batch_1(module)


def forced(module: Module, leaving: int, *, free: bool) -> bytes:
    """The artefact whose every sample leaves at exit number `leaving`."""
    copy = module.copy()
    for exit in exits_of(copy.main):
        exit.attrs["threshold"] = 0.0 if exit.exit == leaving else float("inf")
    FormSegments().run(copy, Context())
    return early_exit_model(copy, free=free).SerializeToString(deterministic=True)


def plain(graph: Graph) -> bytes:
    """A graph without exits as a model; every returned value is an output."""
    outputs = [f"scores{k}" for k in range(len(graph.returns))]
    return plain_model(graph, outputs=outputs, name="plain").SerializeToString(deterministic=True)


def passing(module: Module, exit: int) -> Graph:
    """The network truncated at an exit, with the heads of the exits that it passes."""
    return exit_free(module.main, [op.scores for op in exits_of(module.main)[: exit + 1]])


def take_turns(sessions: Sequence[Engine], x: Array, rounds: int) -> list[Times]:
    """Microseconds of each session in each turn, the median of its runs; another session begins each round."""
    taken = np.empty((len(sessions), rounds, TIMED))
    for turn in range(rounds):
        for step in range(len(sessions)):
            which = (turn + step) % len(sessions)
            sessions[which].run(x)
            for i in range(TIMED):
                start = time.perf_counter_ns()
                sessions[which].run(x)
                taken[which, turn, i] = time.perf_counter_ns() - start
    return list(np.median(taken, axis=2) / 1000)


def measure(name: str, module: Module, rounds: int, threads: int) -> list[Row]:
    """All comparisons of one network."""
    exits = len(exits_of(module.main))
    type = module.main.arguments[0].type
    x = np.random.default_rng(0).standard_normal(type.concrete(), np.float32).astype(type.dtype.numpy)

    def timed(leaving: int, *models: bytes) -> list[Times]:
        sessions = [Session(model, threads=threads) for model in models]
        for session in sessions:
            answer = session.run(x)
            assert session.outputs[-1].name != "exit" or answer[1] == leaving, f"{name}: left at {answer[1]}"
        return take_turns(sessions, x, rounds)

    never = [forced(module, exits, free=free) for free in (False, True)]
    heads, single, free = timed(exits, plain(all_scores(module.main)), *never)
    rows = [
        Row(name, "never", heads, single, SINGLE),
        Row(name, "never, free batch", heads, free, FREE),
    ]
    for k, exit in enumerate(exits_of(module.main)):
        models = plain(passing(module, k)), forced(module, k, free=False), plain(truncated(module.main, k))
        passed, left, cut = timed(k, *models)
        rows.append(Row(name, f"exit {k}: {exit.place}"[:22], passed, left, SINGLE, SPARE, cut))
    return rows


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help=f"of {', '.join(NETWORKS)}; all of them where none is given")
    parser.add_argument("--exits", type=int, default=3, help="exits of each network")
    parser.add_argument("--rounds", type=int, default=40, help="turns of each session; eight times as many where short")
    parser.add_argument("--threads", type=int, default=1, help="onnxruntime's; 0 for its own choice")
    options = parser.parse_args(arguments)
    register()
    known = NETWORKS
    if not MODELS.is_dir():
        print(f"{MODELS} is not there: the quickstart's network instead", file=sys.stderr)
        known = QUICKSTART
    unknown = set(options.networks) - set(known)
    if unknown:
        parser.error(f"no network is called {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    print(f"{'':<34}{'plain us':>9} {'EENN us':>9} {'ratio':>6} {'limit us':>9} {'':<7}{'cut us':>9}")
    missed = 0
    for name in options.networks or known:
        module = early_exit_network(MODELS / known[name], options.exits)
        short = name in ("dscnn", "ecg", "quickstart")
        for row in measure(name, module, options.rounds * (8 if short else 1), options.threads):
            print(row, flush=True)
            missed += not row.met
    print(f"{missed} limits missed" if missed else "all limits met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
