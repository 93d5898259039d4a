"""The recipe: everything the user says about a compilation but the model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eennc.backends.base import Backend
from eennc.data.sources import Spec
from eennc.passes.base import Pass
from eennc.passes.fold_input import FoldInput
from eennc.passes.pipeline import PRESET, build_passes
from eennc.policy.requirements import Requirement
from eennc.recipe.inline import inline_passes
from eennc.support.diagnostics import Place, UserError

SPLITS = ("train", "calibration", "test")


@dataclass(frozen=True)
class SplitSource:
    """Where a split comes from: what the user wrote, the folder that relative paths start at, and where it stands."""

    spec: Spec
    folder: Path
    place: Place | None = None


@dataclass(frozen=True)
class Recipe:
    """What to do with a model. `passes` are without fold-input, which `input` stands for; None where a thing is not
    said. `requirements` come with their places.
    """

    passes: tuple[Pass, ...]
    sources: Mapping[str, SplitSource] = field(default_factory=dict[str, SplitSource])
    input: FoldInput | None = None
    input_place: Place | None = None
    labels: tuple[str, ...] | None = None
    seed: int | None = None
    requirements: tuple[tuple[Requirement, Place | None], ...] = ()
    backend: Backend | None = None


def recipe_of(passes: str | Path | Sequence[Pass] | None) -> Recipe:
    """The recipe of a `passes.yaml`, an inline text, a list of passes, or (None) the preset; raises UserError.

    A text is a path if it ends in .yaml or .yml or holds a separator (and no option). Plugins must be loaded.
    """
    if passes is None:
        return Recipe(tuple(build_passes(PRESET)))
    if isinstance(passes, Path) or (isinstance(passes, str) and _is_path(passes)):
        from eennc.recipe.reading import read_recipe  # pydantic and ruamel.yaml are slow to import

        return read_recipe(Path(passes))
    if isinstance(passes, str):
        return Recipe(tuple(inline_passes(passes)))
    for p in passes:
        if not isinstance(p, Pass):  # type: ignore[reportUnnecessaryIsInstance]  # Python callers are not checked
            raise UserError(f"{p!r} is not a pass", hint="give instances, such as FindExits()")
    return Recipe(tuple(passes))


def _is_path(text: str) -> bool:
    separated = any(separator and separator in text for separator in (os.sep, os.altsep))
    return text.endswith((".yaml", ".yml")) or (separated and "{" not in text)
