"""The command line. Results go to stdout, all else to stderr."""

from __future__ import annotations

import sys
from collections.abc import Sequence

VERBS = ("compile", "run")
OK, USER_ERROR, MISSED, INTERNAL, INTERRUPTED = 0, 1, 2, 70, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `eennc`; returns the exit code."""
    from eennc.cli.arguments import parse

    given = list(sys.argv[1:] if arguments is None else arguments)
    verb = given.pop(0) if given and given[0] in VERBS else "compile"
    try:
        options = parse(verb, given)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else USER_ERROR
    return _guarded(verb, options)


def _guarded(verb: str, options: object) -> int:
    """Run the verb; turn what goes wrong into a message and an exit code."""
    from eennc.support.diagnostics import UserError

    try:
        if verb == "run":
            from eennc.cli.running import run

            return run(options)  # type: ignore[arg-type]
        from eennc.cli.compiling import compile_

        return compile_(options)  # type: ignore[arg-type]
    except UserError as error:
        print(error.render(), file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("interrupted; what was there before is as it was", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # whoever read our output has seen enough
        sys.stderr.close()
        return OK
    except Exception as error:
        return _internal(error)


def _internal(error: Exception) -> int:
    import traceback

    traceback.print_exception(error)
    reproducer = getattr(error, "reproducer", None)
    print("\ninternal error: this is a fault of eennc or of a plugin, not of your input", file=sys.stderr)
    if reproducer is not None:
        print(f"  a reproducer is in {reproducer}: please send it with the report", file=sys.stderr)
    return INTERNAL
