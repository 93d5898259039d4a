"""The file of counts that `eennc check` reads: how many samples each exit answered, by operating point.

    {"build": "3f6c...", "counts": {"normal": [812, 130, 58]}, "schema": 1}

The last number is that of the last classifier. `build` is the manifest's; firmware may leave it and `schema` away.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from eennc.artifact import SCHEMA, Manifest, to_json
from eennc.support.atomic import atomic_file
from eennc.support.diagnostics import Place, UserError, unknown

LARGEST = 2**32 - 1
"""Where the counters of C code stay."""


def write_counts(manifest: Manifest, counts: Mapping[str, Sequence[int]], path: Path) -> None:
    """Write the counts [K + 1] of each operating point."""
    with atomic_file(path) as temporary:
        content = {"build": manifest.build, "counts": counts, "schema": SCHEMA}
        temporary.write_text(to_json(content), encoding="utf-8")


def read_counts(path: Path, manifest: Manifest, point: str) -> tuple[int, ...]:
    """The counts [K + 1] of an operating point of this build.

    Raises UserError for a file that is none or of another schema, for counts of another build, of other exits, below 0,
    or at the end of a counter of 32 bits, and where nothing was counted.
    """
    place = Place(str(path))
    names = [spec.name for spec in manifest.points]
    if point not in names:
        raise unknown("operating point", point, names)
    found = _mapping(path)
    build, by_point, schema = found.get("build"), found.get("counts"), found.get("schema", SCHEMA)
    if schema != SCHEMA:
        raise UserError(f"counts of schema {schema!r}: this eennc reads {SCHEMA}", place=place, hint="update eennc")
    if build is not None and build != manifest.build:
        raise UserError(
            f"these are counts of another build: '{build}', this one is '{manifest.build}'",
            place=place,
            hint="give the folder that they were counted with",
        )
    if not isinstance(by_point, dict):
        raise UserError("not a file of counts", place=place, allowed=f"want: {_example(manifest, point)}")
    counts = cast("dict[str, object]", by_point)
    for name in counts:
        if name not in names:
            raise unknown("operating point", name, names, place=place)
    checked = {name: _checked(values, manifest, name, place) for name, values in counts.items()}
    if not any(checked.get(point, ())):
        others = [name for name, values in checked.items() if any(values)]
        raise UserError(
            f"nothing was counted at operating point '{point}'",
            place=place,
            hint=f"--point {others[0]} has counts" if others else None,
        )
    return checked[point]


def _mapping(path: Path) -> dict[str, object]:
    try:
        found: object = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError("no such file", place=Place(str(path))) from None
    except OSError as error:
        raise UserError(f"not readable: {error.strerror}", place=Place(str(path))) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"not readable as JSON: {error}", place=Place(str(path))) from None
    return cast("dict[str, object]", found) if isinstance(found, dict) else {}


def _checked(values: object, manifest: Manifest, point: str, place: Place) -> tuple[int, ...]:
    items = cast("list[object]", values) if isinstance(values, list) else None
    if items is None or any(not isinstance(n, int) or isinstance(n, bool) or n < 0 for n in items):
        raise UserError(
            f"the counts of '{point}' must be a list of whole numbers from 0 on",
            place=place,
            allowed=f"want: {_example(manifest, point)}",
        )
    wanted = len(manifest.exits) + 1
    if len(items) != wanted:
        raise UserError(
            f"'{point}' has {len(items)} counts; the build has {wanted - 1} exits and the last classifier: {wanted}",
            place=place,
            hint="give the folder that they were counted with",
        )
    counts = tuple(cast("list[int]", items))
    if max(counts) >= LARGEST:
        raise UserError(
            f"a count of '{point}' is {max(counts)}: counters of 32 bits stay at {LARGEST}",
            place=place,
            hint="reset them more often",
        )
    return counts


def _example(manifest: Manifest, point: str) -> str:
    counts = list(range(len(manifest.exits) + 1, 0, -1))
    return json.dumps({"build": manifest.build, "counts": {point: counts}})
