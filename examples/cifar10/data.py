"""CIFAR-10 (JPEG copy), RGB bytes 32x32x3. Needs Pillow.

The networks have seen all training images, so thresholds are calibrated on one half of the first test file and figures
come from the other.
"""

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(os.environ.get("EENNC_DATA", Path(__file__).parents[3] / "shared/data"))


def _part(file, rows):
    stored = np.load(FOLDER / "cifar10" / file)
    head, body, offsets = stored["header"].tobytes(), stored["body"].tobytes(), stored["off"]
    numbers = range(len(stored["y"]))[rows]
    x = np.empty((len(numbers), 32, 32, 3), np.uint8)
    for row, number in enumerate(numbers):
        jpeg = head + body[offsets[number] : offsets[number + 1]]
        x[row] = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
    return x, stored["y"][rows].astype(np.int64)


def train():
    """45,000 images."""
    return _part("train_jpeg.npz", slice(45000))


def calibration():
    """2,500 images."""
    return _part("test_a_jpeg.npz", slice(2500))


def test():
    """2,500 others."""
    return _part("test_a_jpeg.npz", slice(2500, None))
