"""Thresholds that are solved for instructions, against what the C backend predicts for the code that it writes."""

from pathlib import Path

import numpy as np
import pytest
from small_network import data, network

import eennc
from eennc.artifact import read_manifest, read_report
from eennc.passes.base import Pass
from eennc.passes.exits.find_exits import FindExits
from eennc.passes.exits.insert_exits import InsertExits
from eennc.passes.exits.solve_thresholds import SolveThresholds
from eennc.passes.exits.train_exits import TrainExits
from eennc.passes.quantise.calibrate import Calibrate
from eennc.passes.quantise.quantize_int8 import QuantizeInt8
from eennc.support.diagnostics import UserError

EXITS: list[Pass] = [FindExits(), InsertExits(grid=2, hidden=8), TrainExits(epochs=3)]
INT8: list[Pass] = [Calibrate(), QuantizeInt8()]


@pytest.mark.parametrize("device", ["cortex-m4", "cortex-m55"])
def test_what_is_solved_for_is_what_the_code_is_predicted_to_execute(device: str, tmp_path: Path) -> None:
    solve = SolveThresholds(limit=0.2, statistic="point", cost="instructions")
    compiled = eennc.compile(
        network(),
        passes=[*EXITS, *INT8, solve],
        data=data(400),
        backend="cortexm",
        device=device,
        output=tmp_path / "b",
    )
    assert compiled.summary is not None
    spec = read_manifest(tmp_path / "b").c
    assert spec is not None
    assert spec.predicted is not None
    assert spec.predicted_base is not None
    shares = np.array([row.share for row in compiled.summary.calibration.exits])
    assert len(shares) == len(spec.predicted) > 1
    saved = 1 - shares @ np.array(spec.predicted) / spec.predicted_base
    assert compiled.summary.cost_saved["calibration"] == pytest.approx(saved, abs=0.02)
    assert abs(compiled.summary.calibration.eenn.saved - saved) > 0.03  # what MACs promise
    assert read_report(tmp_path / "b")["result"]["cost"] == "instructions"


def test_floats_have_no_instructions(tmp_path: Path) -> None:
    solve = SolveThresholds(cost="instructions")
    with pytest.raises(UserError, match=r"nothing predicts the instructions of nn\.conv"):
        eennc.compile(network(), passes=[*EXITS, solve], data=data(400), backend="cortexm", output=tmp_path / "b")
    with pytest.raises(UserError, match="only the C backend"):
        eennc.compile(network(), passes=[*EXITS, *INT8, solve], data=data(400), backend="onnx", output=tmp_path / "b")
    assert not (tmp_path / "b").exists()
