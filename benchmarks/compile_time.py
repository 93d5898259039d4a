"""How long a compile takes whose heads are cached: the whole process, wall time.

    python benchmarks/compile_time.py [--runs 5] [--cache DIR] [resnet56] [resnet152]

Each network is compiled once to fill the cache, then `--runs` times by the command; medians are printed. ResNet-56 is
the CIFAR-10 model of the data folder with its 45,000 training images (decoded beforehand; filling the cache takes
minutes unless --cache has it). ResNet-152 is an architecture with random weights on 256 random images.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from models import resnet

REPO = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("EENNC_DATA", REPO.parent / "shared/data"))
LIMITS = {"resnet56": 5.0, "resnet152": 20.0}
"""Seconds."""
RECIPE = """
data:
  train: {x: train_x.npy, y: train_y.npy}
  calibration: {x: calibration_x.npy, y: calibration_y.npy}
  test: {x: test_x.npy, y: test_y.npy}
"""
CIFAR = """
input:
  dtype: uint8
  layout: nhwc
  mean: [123.675, 116.28, 103.53]
  std: [58.395, 57.12, 57.375]
"""


def prepare(name: str, folder: Path) -> Path:
    """Write data and recipe into `folder`; returns the model's path."""
    if name == "resnet56":
        sys.path.insert(0, str(REPO / "examples/cifar10"))
        import data  # needs the data folder and Pillow

        splits = {split: getattr(data, split)() for split in ("train", "calibration", "test")}
        (folder / "passes.yaml").write_text(RECIPE + CIFAR)
        model = DATA / "models/resnet56_cifar10jpegft.onnx"
    else:
        random = np.random.default_rng(0)
        splits = {}
        for split, count in (("train", 256), ("calibration", 128), ("test", 128)):
            labels = random.integers(0, 10, count)
            splits[split] = random.normal(size=(count, 3, 32, 32)).astype(np.float32), labels
        (folder / "passes.yaml").write_text(RECIPE)
        model = folder / "resnet152.onnx"
        model.write_bytes(resnet(152).SerializeToString())
    for split, (x, y) in splits.items():
        np.save(folder / f"{split}_x.npy", x)
        np.save(folder / f"{split}_y.npy", y)
    return model


def main() -> int:
    """Print a line for each network; 1 where one takes longer than its limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", help="default: resnet56 resnet152")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--cache", type=Path)
    given = parser.parse_args()
    missed = False
    for name in given.networks or LIMITS:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            model = prepare(name, folder)
            command = [sys.executable, "-m", "eennc", str(model), "-p", str(folder / "passes.yaml")]
            command += ["-o", str(folder / "build"), "--cache-dir", str(given.cache or folder / "cache"), "-q"]
            times: list[float] = []
            for _ in range(given.runs + 1):
                start = time.perf_counter()
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                times.append(time.perf_counter() - start)
            median = statistics.median(times[1:])
            missed |= median > LIMITS[name]
            print(
                f"{name}: {median:.1f} s from cached heads (limit {LIMITS[name]:g} s, {given.runs} runs, "
                f"{min(times[1:]):.1f} to {max(times[1:]):.1f}); the first compile took {times[0]:.0f} s",
                flush=True,
            )
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
