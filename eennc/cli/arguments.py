"""The options of the command."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from eennc.support.diagnostics import UserError, did_you_mean

COMPILE, RUN, DIFF, CHECK = "compile", "run", "diff", "check"
LISTS = ("passes", "ops", "backends", "devices", "rules")

_ABOUT = """\
Turns a trained classifier into an early-exit network: inserts exits, trains their heads, solves for the thresholds
under a limit on accuracy, and writes an artefact that really skips the work.

  eennc model.onnx -p passes.yaml -b onnx -o build/
  eennc run build/ --data test.npz
"""
_AFTER = """\
Other commands: `eennc run` measures an artefact, `eennc diff` says where a quantised one departs from its float
network, `eennc check` whether its exits answer in the field as often as on the calibration data (each has a --help).
A first word that is no command is the model: `eennc model.onnx` is `eennc compile model.onnx`.

exit codes: 0, 1 what was given is wrong, 2 a requirement is not met (the artefact is written) or check finds drift,
70 eennc itself failed, 130 interrupted
"""


def parse(given: Sequence[str]) -> tuple[str, argparse.Namespace]:
    """The verb and its options; the verb is `compile` unless the first word is another. Raises UserError.

    --help and --version print to stdout and end the process.
    """
    verb = given[0] if given and given[0] in (COMPILE, RUN, DIFF, CHECK) else None
    rest = list(given[1:] if verb else given)
    other = {RUN: _run_parser, DIFF: _diff_parser, CHECK: _check_parser}
    parser = other[verb]() if verb in other else _compile_parser(explicit=verb is not None)
    options, unknown = parser.parse_known_args(rest)
    if unknown:
        raise _unknown(unknown, parser)
    return verb or COMPILE, options


class _Parser(argparse.ArgumentParser):
    """Errors are the user's, in the form of all others."""

    def error(self, message: str) -> NoReturn:
        found = re.fullmatch(r"argument ([^:]*): invalid choice: '(.*)' \(choose from (.*)\)", message)
        if found:
            known = [word.strip("' ") for word in found[3].split(",")]
            raise UserError(
                f"{found[1]} takes no '{found[2]}'",
                allowed=f"known: {', '.join(known)}",
                hint=did_you_mean(found[2], known),
            )
        raise UserError(message, hint=f"see `{self.prog} --help`")


class _Version(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, **rest: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the version")

    def __call__(self, parser: argparse.ArgumentParser, *rest: object) -> NoReturn:
        import eennc  # the version is looked up in the installed package's files

        sys.stdout.write(f"eennc {eennc.__version__}\n")
        parser.exit()


def _unknown(unknown: Sequence[str], parser: argparse.ArgumentParser) -> UserError:
    known = [text for action in parser._actions for text in action.option_strings]  # pyright: ignore[reportPrivateUsage]
    options = [text.partition("=")[0] for text in unknown if text.startswith("-")]
    if options:
        near = did_you_mean(options[0], known)
        return UserError(f"unknown option '{options[0]}'", hint=near or f"see `{parser.prog} --help`")
    return UserError(f"what is '{unknown[0]}'?", hint=f"one model at a time; see `{parser.prog} --help`")


def _number(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**63:
        raise ValueError(text)
    return value


_number.__name__ = "number"  # argparse says "invalid number value"


def _compile_parser(*, explicit: bool) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="eennc compile" if explicit else "eennc",
        usage=f"eennc{' compile' if explicit else ''} MODEL [options]",
        description=_ABOUT,
        epilog=None if explicit else _AFTER,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("model", nargs="?", metavar="MODEL", type=Path, help="an .onnx or .eir file")
    parser.add_argument(
        "-p", "--passes", metavar="PASSES", help="passes.yaml, or inline: 'find-exits,train-exits{epochs=3}'"
    )
    parser.add_argument("-b", "--backend", metavar="BACKEND", help="such as onnx or 'onnx{batch=free}'; default onnx")
    parser.add_argument(
        "--device", metavar="DEVICE", help="what -b cortexm compiles for, such as cortex-m0 or stm32f411"
    )
    parser.add_argument("-o", "--output", metavar="FOLDER", type=Path, help="where the artefact goes; default build")
    for split in ("train", "calibration", "test"):
        parser.add_argument(f"--{split}", metavar="DATA", help=f"{split} data: file.npz or module:function")
    parser.add_argument("--seed", metavar="N", type=_number, help="of everything random; default 0")
    parser.add_argument(
        "--load", metavar="FILE", type=Path, action="append", default=[], help="Python file with passes or backends"
    )
    parser.add_argument(
        "--cache-dir",
        metavar="DIR",
        type=Path,
        help="where features, heads and scores are kept; default ~/.cache/eennc",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON instead of the table")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress and no warnings")
    parser.add_argument("--version", action=_Version)
    looking = parser.add_argument_group("to look something up (no model needed)")
    looking.add_argument("--list", choices=LISTS, help="print what there is")
    looking.add_argument("--explain", metavar="PASS", help="print what a pass does and its options")
    inside = parser.add_argument_group("to look inside (IR goes to stderr)")
    inside.add_argument("--print-ir-before", metavar="PASS", action="append", default=[], help="may be given again")
    inside.add_argument("--print-ir-after", metavar="PASS", action="append", default=[], help="may be given again")
    inside.add_argument("--print-ir-after-all", action="store_true", help="print the IR after every pass")
    inside.add_argument("--dump-ir", metavar="DIR", type=Path, help="write the IR after every pass into numbered files")
    inside.add_argument("--time-passes", action="store_true", help="say how long each pass took")
    inside.add_argument(
        "--stop-after",
        metavar="PASS",
        help="print the IR after this pass (-o FILE.eir: write it) and end, without an artefact",
    )
    return parser


def _run_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="eennc run",
        description="Measures an artefact: on this computer accuracy, exits and latency against the base network; C "
        "code on an emulated core, with instructions, cycles, flash and stack.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="what `eennc MODEL -o FOLDER` wrote")
    parser.add_argument("--data", metavar="DATA", required=True, help="file.npz with x and y, or module:function")
    parser.add_argument("--samples", metavar="N", type=_number, help="use the first N samples only")
    parser.add_argument("--on", choices=("host", "qemu"), default="host", help="default host; C code runs on qemu")
    parser.add_argument("--device", metavar="DEVICE", help="with --on qemu: another core than it was compiled for")
    parser.add_argument("--point", metavar="NAME", help="the operating point; default normal")
    parser.add_argument(
        "--counts", metavar="FILE", type=Path, help="write how often each exit answered, for `eennc check`"
    )
    parser.add_argument("--timed", metavar="N", type=_number, default=500, help="how many of them to time; default 500")
    parser.add_argument("--threads", metavar="N", type=_number, default=1, help="of the runtime; default 1")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")
    return parser


def _diff_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="eennc diff",
        description="Says where a quantised artefact departs from the float network: signal to noise of every layer, "
        "and the samples that leave at another exit.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="what `eennc MODEL -o FOLDER` wrote")
    parser.add_argument("model", metavar="MODEL", type=Path, help="the model that it was compiled from")
    parser.add_argument("--data", metavar="DATA", required=True, help="file.npz with x, or module:function")
    parser.add_argument("--samples", metavar="N", type=_number, default=256, help="the first N; default 256")
    parser.add_argument(
        "--limit", metavar="DB", type=float, default=20.0, help="signal to noise that is still good; default 20"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")
    return parser


def _check_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="eennc check",
        description="Says whether the exits answer in the field as often as they did on the calibration samples, by a "
        "chi-square test of homogeneity.",
        epilog="exit codes: 0 the counts fit, 1 what was given is wrong, 2 drift",
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="what `eennc MODEL -o FOLDER` wrote")
    parser.add_argument(
        "--counts", metavar="FILE", type=Path, required=True, help="what `eennc run --counts` or a firmware wrote"
    )
    parser.add_argument("--point", metavar="NAME", help="the operating point; default normal")
    parser.add_argument(
        "--level",
        metavar="P",
        type=float,
        default=0.01,
        help="how often counts that fit are called drift; default 0.01",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser
