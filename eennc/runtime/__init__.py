"""Runs artefacts. Reads their folder, imports no backend and no torch."""

from eennc.runtime.session import HostSession, Prediction, load

__all__ = ["HostSession", "Prediction", "load"]
