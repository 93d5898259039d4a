"""numba's compiler with a type, cached beside the package or where NUMBA_CACHE_DIR says, until a source changes."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """`function`, compiled at its first call; the machine code is cached on disk where a folder can be written to."""
    import numba  # takes a second to import

    try:
        made: Any = numba.njit(cache=True)(function)  # type: ignore[no-untyped-call]
    except RuntimeError:
        # numba finds no place for its cache
        return cast(F, numba.njit(function))  # type: ignore[no-untyped-call]
    # numba looks at the age of the function's own file, but has the functions of other files built in
    made._cache._cache_file._source_stamp = _sources()
    return cast(F, made)


def inlined(function: F) -> F:
    """`function`, compiled into its callers: a call that hands over many arrays costs more than a small function."""
    import numba

    return cast(F, numba.njit(inline="always")(function))  # type: ignore[no-untyped-call]


@functools.cache
def _sources() -> str:
    """SHA-256 of all files with compiled functions, hexadecimal."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for file in sorted([*(here / "solvers").glob("*.py"), here / "stream.py"]):
        digest.update(file.read_bytes())
    return digest.hexdigest()
