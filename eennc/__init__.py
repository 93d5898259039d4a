"""eennc: a compiler that turns a trained classifier into an early-exit network.

compiled = eennc.compile("model.onnx", passes="passes.yaml", output="build")
session = eennc.load("build")
prediction = session.predict(x)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eennc.data.splits import Split, Splits
    from eennc.driver import Compiled, compile
    from eennc.runtime import HostSession, Prediction, load
    from eennc.support.diagnostics import UserError

__all__ = ["Compiled", "HostSession", "Prediction", "Split", "Splits", "UserError", "compile", "load"]

# what each name needs takes time to import
_HOMES = {
    "Compiled": "eennc.driver",
    "compile": "eennc.driver",
    "HostSession": "eennc.runtime",
    "Prediction": "eennc.runtime",
    "load": "eennc.runtime",
    "Split": "eennc.data.splits",
    "Splits": "eennc.data.splits",
    "UserError": "eennc.support.diagnostics",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("eennc")
    if name not in _HOMES:
        raise AttributeError(f"module 'eennc' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES, "__version__"]
