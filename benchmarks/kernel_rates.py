"""Counts the instructions of every kernel call of three networks, and fits the rates of the C backend's predictions.

    python benchmarks/kernel_rates.py      # a minute; prints what stands in eennc/backends/cortexm/prediction.py

Needs the data folder and Pillow, gcc-arm-none-eabi, libnewlib-arm-none-eabi and qemu-system-arm. Each call stands
between markers of its own, so that the counting plugin writes a line for each.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from quantisation import MODELS, example

from eennc.backends.cortexm import CortexmBackend
from eennc.backends.cortexm.form import form_of
from eennc.data.splits import Split, Splits
from eennc.devices import device_named
from eennc.interop.onnx.reader import read_model
from eennc.ir.cuts import exits_of
from eennc.ir.flat import flatten
from eennc.ir.op import Op
from eennc.ir.ops.exit import Exit
from eennc.ir.ops.q_conv import QConv
from eennc.ir.pooling import Pool
from eennc.passes.base import Context
from eennc.passes.exits.prune import remove_exits
from eennc.passes.pipeline import Pipeline, build_passes
from eennc.plugins import load_plugins
from eennc.runtime.emulator.boards import board_of
from eennc.runtime.emulator.build import build_firmware
from eennc.runtime.emulator.session import count_instructions

EXITS = 3
MARKED = ('    __asm__ volatile("mov r9, r9" ::: "memory");\n', '    __asm__ volatile("mov r10, r10" ::: "memory");\n')


def calls(file: str, samples: np.ndarray, device: str) -> list[tuple[Op, int]]:
    """The ops of an early-exit network whose exits never fire, and what each executes."""
    module = read_model(MODELS / file)
    x = samples.reshape(-1, *module.main.arguments[0].type.concrete(1)[1:])[:128].astype(np.float32)
    backend = CortexmBackend(device=device)
    ctx = Context(data=Splits(calibration=Split("calibration", x)), target=backend.target())
    names = ("canonicalise", "find-exits", "insert-exits", "calibrate", "quantize-int8")
    Pipeline(build_passes([(name, {}) for name in names])).run(module, ctx)
    exits = exits_of(module.main)
    remove_exits(module, set(np.linspace(0, len(exits) - 1, EXITS).astype(int).tolist()))
    for exit in exits_of(module.main):
        # heads are computed, and no lead is as large
        exit.attrs["threshold"] = 255.0 * exit.unit / exit.temperature
    Pipeline(list(backend.passes())).run(module, ctx)
    steps = [step.op for step in flatten(module).steps if not isinstance(step.op, Exit)]
    with tempfile.TemporaryDirectory() as temporary:
        folder, work = Path(temporary) / "c", Path(temporary) / "work"
        folder.mkdir()
        work.mkdir()
        spec = backend.emit(module, module.main, folder).c
        assert spec is not None
        code = (folder / "model.c").read_text()
        marked = re.sub(
            r"(?m)(^    /\* q\.[^\n]*\*/\n)((?:    eennc_[^\n]*\n)+)",
            lambda found: found[1] + MARKED[0] + found[2] + MARKED[1],
            code,
        )
        (folder / "model.c").write_text(marked)
        on = device_named(device)
        firmware = build_firmware(folder, spec.prefix, board_of(on), work, point=0)
        np.zeros((1, *x.shape[1:]), np.int8).tofile(work / "input.bin")
        counts = count_instructions(board_of(on), on, firmware, work, folder)[:-1, 0]
    computed = [op for op in steps if not form_of(op).view]
    return list(zip(computed, counts.tolist(), strict=True))


def fit(rows: Sequence[tuple[Op, int]], features: Sequence[Callable[[Op], float]], label: str) -> None:
    """Print the coefficients of least relative squared error."""
    counts = np.array([count for _, count in rows], float)
    table = np.array([[feature(op) for feature in features] for op, _ in rows], float) / counts[:, None]
    found = np.linalg.lstsq(table, np.ones(len(rows)), rcond=None)[0]
    error = np.abs(table @ found - 1)
    print(f"  {label:14} {np.round(found, 2)}  n = {len(rows)}, error mean {error.mean():.0%}, worst {error.max():.0%}")


def macs(op: Op) -> int:
    """Multiply-accumulates."""
    return op.macs()


def outputs(op: Op) -> int:
    """Elements of the result."""
    return op.result.type.elements()


def gathered(op: Op) -> float:
    """Rows of windows that are laid out."""
    assert isinstance(op, QConv)
    windows = op.windows()
    direct = windows.kernel[0] == 1 and not any((*windows.begins, *windows.ends))
    return 0 if direct else float(np.prod(windows.output) * windows.kernel[0])


def taps(op: Op) -> float:
    """Elements that all windows see."""
    assert isinstance(op, Pool)
    return float(np.prod(op.kernel) * outputs(op))


def main() -> None:
    """Print the rates of each kind of core."""
    load_plugins()
    data = {
        "dscnn_asc40.onnx": example("speech").calibration()["x"],
        "ecg_cnn_aami5.onnx": example("ecg").calibration()["x"],
        "mlperftiny_resnet8_cifar10.onnx": np.asarray(example("cifar10").calibration()[0], np.float32),
    }
    for device in ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m55"):
        rows = [row for file, samples in data.items() for row in calls(file, samples, device)]
        print(device)
        convolutions = [(op, count) for op, count in rows if isinstance(op, QConv)]
        fit([row for row in convolutions if not row[0].depthwise], [macs, outputs, gathered], "conv")
        fit([row for row in convolutions if row[0].depthwise], [macs], "depthwise")
        fit([row for row in rows if row[0].name == "q.dense"], [macs, outputs], "dense")
        fit([row for row in rows if row[0].name == "q.average_pool"], [taps, outputs], "average pool")
        fit([row for row in rows if row[0].name == "q.max_pool"], [taps], "max pool")
        fit([row for row in rows if row[0].name == "q.add"], [outputs], "add")


if __name__ == "__main__":
    main()
