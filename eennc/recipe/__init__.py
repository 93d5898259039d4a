"""passes.yaml: what the user asks for, with a place for every message."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from eennc.data.sources import Spec
from eennc.passes.base import Pass
from eennc.recipe.requirements import Requirement


@dataclass(frozen=True)
class InputSpec:
    """How the data differ from what the model wants: the artefact takes the data as they are."""

    mean: float | tuple[float, ...] = 0.0
    """In the units of the data: the model sees (x - mean) / std."""
    std: float | tuple[float, ...] = 1.0
    """In the units of the data, above 0."""
    layout: str = "channels-first"
    """Where the data have their channels."""
    dtype: str | None = None
    """What the data are stored as; the model's own where none is given."""
    labels: tuple[str, ...] | None = None
    """Names of the classes."""


@dataclass(frozen=True)
class Recipe:
    """A whole passes.yaml, checked."""

    passes: tuple[Pass, ...]
    folder: Path = Path()
    """What the paths of sources are relative to."""
    data: dict[str, Spec] = field(default_factory=dict[str, Spec])
    input: InputSpec | None = None
    seed: int = 0
    require: tuple[Requirement, ...] = ()
    backend: tuple[str, dict[str, object]] | None = None
