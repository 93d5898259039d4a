"""Real networks with random heads: the artefact against onnxruntime on the exit-free network."""

from pathlib import Path

import numpy as np
import pytest
from real_floats import NETWORKS, known

from eennc.backends.onnx import OnnxBackend
from eennc.interop.onnx.session import Session
from eennc.ir.cuts import without_exits
from eennc.passes.base import Context
from eennc.passes.exits.form_segments import FormSegments


@pytest.mark.real
@pytest.mark.parametrize("batch", [1, "free"])
@pytest.mark.parametrize("name", NETWORKS)
def test_scores_and_exits(name: str, batch: int | str, shared_data: Path, tmp_path: Path) -> None:
    network = known(name, shared_data)
    base = without_exits(network.module.main)
    FormSegments().run(network.module, Context())
    OnnxBackend(batch=batch).emit(network.module, base, tmp_path)
    session = Session(tmp_path / "model.onnx", threads=1)
    x = network.x
    runs = [x] if batch == "free" else [x[i : i + 1] for i in range(len(x))]
    network.agrees(*(np.concatenate(parts) for parts in zip(*(session.run(run) for run in runs), strict=True)))
