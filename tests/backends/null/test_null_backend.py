from pathlib import Path

import numpy as np
from random_eenns import eenn, samples, segmented

from eennc.backends.null import NullBackend
from eennc.ir.cuts import without_exits
from eennc.ir.interpreter import run_module
from eennc.ir.text import load_module


def test_writes_the_segmented_module_alone(tmp_path: Path) -> None:
    module = segmented(eenn(0, 2))
    emitted = NullBackend().emit(module, without_exits(eenn(0, 2).main), tmp_path)
    assert (emitted.model, emitted.base, emitted.batch) == ("model.eir", None, None)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.eir", "model.weights.npz"]
    read = load_module(tmp_path / "model.eir")
    assert read.stage == "segmented"
    x = samples(4)
    expected, found = run_module(module, [x]), run_module(read, [x])
    np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_array_equal(found.exit, expected.exit)
