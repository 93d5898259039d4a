"""The command `eennc`. Results go to stdout, all else to stderr.

Exit codes: 0, 1 for the user's mistakes, 2 for a requirement that is not met and for drift, 70 for an error of eennc
itself, 130 for Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from eennc.support.diagnostics import UserError

OK, WRONG, MISSED, INTERNAL, INTERRUPTED = 0, 1, 2, 70, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code. `arguments` are those of the process where None."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(given)
        sys.stdout.flush()
    except UserError as error:
        code = _say(error.render(), WRONG)
    except KeyboardInterrupt:
        code = _say("interrupted: nothing was written", INTERRUPTED)
    except BrokenPipeError:
        # whoever read our output has gone; the interpreter must not flush into the pipe at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = OK
    except OSError as error:
        where = f" '{error.filename}'" if error.filename else ""
        code = _say(f"error: {error.strerror or error}{where}: nothing was written", WRONG)
    except Exception as error:
        code = _internal(error)
    return code


def _run(given: list[str]) -> int:
    from eennc.cli.arguments import CHECK, COMPILE, DIFF, RUN, parse

    verb, options = parse(given)
    if verb == RUN:
        from eennc.cli.run import run

        return run(options)
    if verb == DIFF:
        from eennc.cli.diff import diff

        return diff(options)
    if verb == CHECK:
        from eennc.cli.check import check

        return check(options)
    assert verb == COMPILE
    from eennc.cli.compile import compile_model

    return compile_model(options)


def _say(text: str, code: int) -> int:
    sys.stderr.write(text + "\n")
    return code


def _internal(error: Exception) -> int:
    from eennc.cli.crash import report_crash

    return _say(report_crash(error), INTERNAL)
