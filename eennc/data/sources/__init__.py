"""Where a split's arrays come from: one file per kind of source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from eennc.data.splits import Split
from eennc.support.diagnostics import UserError, did_you_mean
from eennc.support.registry import Registry, import_folder

Spec = str | Mapping[str, object]
"""What the user writes for a split."""
ARRAYS = ("x", "y", "groups", "weights")
"""What a source may give: samples, class numbers, groups (speaker, patient), weights."""


@dataclass(frozen=True)
class Source:
    """A kind of source. form: what the user writes. takes: whether a spec is of this kind. read: the arrays it names,
    or a whole Split; relative paths start at the folder. `read` raises UserError.
    """

    form: str
    takes: Callable[[Spec], bool]
    read: Callable[[Spec, Path], Mapping[str, object] | Split]


SOURCES: Registry[Source] = Registry("data source")


def read_source(spec: Spec, folder: Path) -> Mapping[str, object] | Split:
    """The arrays of a split, unchecked; raises UserError where no kind of source takes `spec`, or it cannot be read."""
    import eennc.data.sources

    import_folder(eennc.data.sources)
    for name in SOURCES:
        source = SOURCES.get(name)
        if source.takes(spec):
            return source.read(spec, folder)
    forms = "; ".join(SOURCES.get(name).form for name in SOURCES)
    shown = f"'{spec}'" if isinstance(spec, str) else "this mapping"
    raise UserError(f"{shown} is no source of data", allowed=f"forms: {forms}")


def check_names(names: list[str], what: str) -> None:
    """Raise UserError for a name that is no array of a split, or where `x` is missing."""
    for name in names:
        if name not in ARRAYS:
            raise UserError(
                f"{what} has an unknown array '{name}'",
                allowed=f"arrays: {', '.join(ARRAYS)} (x must be there)",
                hint=did_you_mean(name, ARRAYS),
            )
    if "x" not in names:
        raise UserError(f"{what} has no array 'x'", allowed=f"arrays: {', '.join(ARRAYS)} (x must be there)")
