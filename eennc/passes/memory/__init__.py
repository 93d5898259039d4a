"""Where each tensor lies in the arena of a device."""

OFFSET, SCRATCH = "offset", "scratch"
"""Notes of an op: where its results lie, and its scratch memory. Bytes from the arena's start."""
ARENA = "arena"
"""Attribute of a module: the arena's bytes."""
