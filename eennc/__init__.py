"""eennc: compiles trained classifiers into early-exit networks.

import eennc

compiled = eennc.compile("model.onnx", passes="passes.yaml", output="build/")
session = eennc.load("build/")
prediction = session.predict(x)  # prediction.scores, prediction.exit, prediction.classes
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eennc.driver import Compiled, compile
    from eennc.runtime import HostSession, Prediction, load
    from eennc.support.diagnostics import UserError

__version__ = "0.1.0"
__all__ = ["Compiled", "HostSession", "Prediction", "UserError", "__version__", "compile", "load"]

_HOMES = {
    "compile": "eennc.driver",
    "Compiled": "eennc.driver",
    "load": "eennc.runtime",
    "HostSession": "eennc.runtime",
    "Prediction": "eennc.runtime",
    "UserError": "eennc.support.diagnostics",
}


def __getattr__(name: str) -> Any:
    # imported when asked for: `eennc --help` must not wait for onnx and numba
    if name not in _HOMES:
        raise AttributeError(f"module 'eennc' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
