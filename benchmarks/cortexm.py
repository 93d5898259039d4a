"""C artefacts on emulated cores: instructions, estimated cycles, flash and memory.

    python benchmarks/cortexm.py peers      # MLPerf Tiny's networks without exits, for the table of peers: 1 minute
    python benchmarks/cortexm.py savings    # early-exit networks: what MACs promise, and what is executed: minutes

Needs the data folder and Pillow, gcc-arm-none-eabi, libnewlib-arm-none-eabi and qemu-system-arm. The counts repeat.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from quantisation import MODELS, REPO, example

import eennc
from eennc.backends.cortexm import CortexmBackend
from eennc.cli.units import count
from eennc.data.splits import Split, Splits
from eennc.devices import device_named
from eennc.interop.onnx.reader import read_model
from eennc.ir.graph import Module
from eennc.passes.base import Context, Pass
from eennc.passes.exits.prune import remove_exits
from eennc.passes.exits.solve_thresholds import SolveThresholds
from eennc.passes.pipeline import build_passes
from eennc.passes.quantise.calibrate import Calibrate
from eennc.passes.quantise.quantize_int8 import QuantizeInt8
from eennc.plugins import load_plugins
from eennc.policy.statistics import Statistic
from eennc.recipe import recipe_of
from eennc.recipe.inputs import splits_of
from eennc.runtime.emulator.report import measure_on_core
from eennc.runtime.emulator.session import emulate
from eennc.support.instruments import Silent

SAMPLES = 3
"""Of a network without exits: nearly every sample executes the same."""
INTEGERS: list[Pass] = [Calibrate(), QuantizeInt8()]


@dataclass(frozen=True)
class WithoutExits(Pass):
    """The base network alone."""

    def run(self, module: Module, ctx: Context) -> bool:
        """Remove all exits."""
        remove_exits(module, ())
        return True


def peers() -> None:
    """MLPerf Tiny's networks, quantised here, as their base networks."""
    print("| network | core | variant | instructions | est. cycles | code | constants | arena | stack |")
    print("|---|---|---|---|---|---|---|---|---|")
    speech = np.load(MODELS.parent / "speech" / "gsc12_mlperf_a.npz")
    image = np.asarray(example("cifar10").calibration()[0], np.float32)
    networks = (
        ("KWS", "kws_ref_dscnn.onnx", np.asarray(speech["mfcc"], np.float32)),
        ("ResNet-8", "mlperftiny_resnet8_cifar10.onnx", image),
    )
    for name, file, data in networks:
        shape = read_model(MODELS / file).main.arguments[0].type.concrete(1)[1:]
        x = data.reshape(-1, *shape)[:256]
        for device in ("cortex-m0", "cortex-m4", "cortex-m7", "cortex-m55"):
            print_peer(name, MODELS / file, x, device)


def print_peer(name: str, model: Path, x: np.ndarray, device: str) -> None:
    """Rows of one network on one core."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "build"
        first = build_passes([("canonicalise", {}), ("find-exits", {}), ("insert-exits", {})])
        passes = [*first, WithoutExits(), *INTEGERS]
        compiled = eennc.compile(
            model,
            passes=passes,
            backend=CortexmBackend(device=device),
            output=folder,
            data=Splits(calibration=Split("calibration", x)),
        )
        assert compiled.manifest is not None
        spec = compiled.manifest.c
        assert spec is not None
        assert spec.input_scale is not None
        real = np.rint(x[:SAMPLES] / np.float32(spec.input_scale)) + spec.input_zero_point
        samples = np.clip(real, -128, 127).astype(np.int8)
        on = device_named(device)
        variants = [(), ("-DEENNC_PLAIN",)] if on.extension != "none" else [()]
        for defines in variants:
            found = emulate(folder, spec, compiled.manifest.classes, samples, on, defines=defines)
            variant = on.extension if not defines and on.extension != "none" else "plain C"
            cells = [
                name,
                device,
                variant,
                f"{found.instructions.mean() / 1e6:.3f} M",
                "-" if found.cycles is None else f"{found.cycles.mean() / 1e6:.3f} M",
                f"{found.flash.code:,}",
                f"{found.flash.constants:,}",
                f"{spec.arena_bytes:,}",
                f"{found.stack:,}",
            ]
            print(f"| {' | '.join(cells)} |", flush=True)


TASKS = {
    "speech": ("dscnn_asc40.onnx", "speech"),
    "ecg": ("ecg_cnn_aami5.onnx", "ecg"),
    "resnet20": ("resnet20_cifar10jpegft.onnx", "cifar10"),
}


def savings(names: list[str], samples: int, devices: list[str]) -> None:
    """Early-exit networks in int8, the examples' pipelines with quantisation, on test samples."""
    print(
        "| network | core | MACs saved | instructions saved, predicted | counted | EENN, mean | base | loss | stop at |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name in names:
        model, task = TASKS[name]
        recipe = recipe_of(str(REPO / "examples" / task / "passes.yaml"))
        splits = splits_of(recipe, None)
        passes: list[Pass] = [] if recipe.input is None else [recipe.input]
        for p in recipe.passes:
            if isinstance(p, SolveThresholds):
                statistic: Statistic = "point"
                passes += [*INTEGERS, replace(p, limit=0.01, statistic=statistic)]
            elif p.name != "annotate-cost":
                passes.append(p)
        for device in devices:
            print_saving(name, MODELS / model, passes, splits, samples, device)


def print_saving(name: str, model: Path, passes: list[Pass], splits: Splits, samples: int, device: str) -> None:
    """A row of one network on one core."""
    test = splits.test
    assert test is not None
    assert test.y is not None
    rows = np.unique(np.linspace(0, len(test) - 1, samples).astype(int))
    some = Split("test", test.x[rows], test.y[rows])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "build"
        compiled = eennc.compile(
            model, passes=passes, backend=CortexmBackend(device=device), output=folder, data=replace(splits, test=some)
        )
        assert compiled.manifest is not None
        assert compiled.manifest.c is not None
        found = measure_on_core(folder, compiled.manifest, compiled.manifest.c, some, progress=Silent())
    assert compiled.summary is not None
    assert compiled.summary.test is not None
    outcome = compiled.summary.test.eenn
    loss = outcome.loss_in(compiled.summary.metric)
    cells = [
        f"{name}, n = {len(some):,}",
        device,
        f"{100 * outcome.saved:.1f} %",
        "-" if found.predicted_saved is None else f"{100 * found.predicted_saved:.1f} %",
        f"{100 * found.saved:.1f} %",
        count(found.instructions_mean),
        count(found.base_instructions),
        f"{100 * loss.point:+.2f} [{100 * loss.lower:+.2f}, {100 * loss.upper:+.2f}]",
        ", ".join(f"{100 * row.share:.0f}" for row in found.exits),
    ]
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("peers", "savings"))
    parser.add_argument("--networks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--devices", nargs="+", default=["cortex-m0", "cortex-m4", "cortex-m55"])
    parser.add_argument("--samples", type=int, default=500)
    options = parser.parse_args()
    load_plugins()
    if options.what == "peers":
        peers()
    else:
        savings(options.networks, options.samples, options.devices)


if __name__ == "__main__":
    main()
