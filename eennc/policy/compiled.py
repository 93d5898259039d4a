"""numba's compiler with a type, cached beside the package or where NUMBA_CACHE_DIR says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """`function`, compiled at its first call; the machine code is cached on disk where a folder can be written to."""
    import numba  # takes a second to import

    try:
        return cast(F, numba.njit(cache=True)(function))  # type: ignore[no-untyped-call]
    except RuntimeError:
        # numba finds no place for its cache
        return cast(F, numba.njit(function))  # type: ignore[no-untyped-call]
