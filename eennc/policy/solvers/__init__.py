"""Solvers: thresholds of least mean cost under a limit on the loss."""
