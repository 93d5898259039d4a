"""Arabic Speech Commands, 40 words, as MFCC 49x10: 18 speakers train, three calibrate, three report."""

import os
from pathlib import Path

import numpy as np

FOLDER = Path(os.environ.get("EENNC_DATA", Path(__file__).parents[3] / "shared/data"))


def _part(wanted):
    stored = np.load(FOLDER / "speech/asc40_mfcc_trainval.npz")
    later = np.unique(stored["speaker"][stored["split"] == 1])
    rows = {
        "train": stored["split"] == 0,
        "calibration": np.isin(stored["speaker"], later[:3]),
        "test": np.isin(stored["speaker"], later[3:]),
    }[wanted]
    x = stored["mfcc"][rows].astype(np.float32)[:, None]
    return {"x": x, "y": stored["y"][rows].astype(np.int64), "groups": stored["speaker"][rows].astype(np.int64)}


def train():
    """7,200 samples."""
    return _part("train")


def calibration():
    """1,200 samples of three speakers that no training saw."""
    return _part("calibration")


def test():
    """1,200 samples of three others."""
    return _part("test")
