"""The options of each verb."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from eennc import __version__
from eennc.support.diagnostics import UserError, did_you_mean

EPILOGUE = """\
examples:
  eennc model.onnx -p passes.yaml -b onnx -o build/
  eennc model.onnx -p "canonicalise,find-exits" --print-ir-after-all --stop-after find-exits
  eennc run build/ --data test.npz
  eennc --list passes
  eennc --explain solve-thresholds

exit codes: 0 done, 1 something is wrong with the input, 2 a requirement is missed, 70 internal error
"""


class _Parser(argparse.ArgumentParser):
    """argparse with our form of message and a did-you-mean."""

    def error(self, message: str) -> NoReturn:
        hint = None
        if message.startswith("unrecognized arguments: "):
            word = message.removeprefix("unrecognized arguments: ").split()[0]
            known = [option for action in self._actions for option in action.option_strings]
            message = f"unknown option '{word}'" if word.startswith("-") else f"one argument too many: '{word}'"
            hint = did_you_mean(word.partition("=")[0], known)
        hint = hint or f"'{self.prog} --help' lists the options"
        print(UserError(message, hint=hint).render(), file=sys.stderr)
        raise SystemExit(1)


def parse(verb: str, arguments: Sequence[str]) -> argparse.Namespace:
    """The options given; exits with code 1 and a message where they are wrong."""
    return (_run_parser() if verb == "run" else _compile_parser()).parse_args(arguments)


def _compile_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="eennc",
        usage="eennc [compile] MODEL [-p PASSES] [-b BACKEND] [-o DIR] [options]\n       eennc run DIR --data FILE [options]",
        description="Make an early-exit network of a trained classifier.",
        epilog=EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("model", nargs="?", metavar="MODEL", help="an .onnx or .eir file")
    parser.add_argument(
        "-p", "--passes", metavar="PASSES", help='passes.yaml, or passes as text: "a,b{x=1}"; default: a preset'
    )
    parser.add_argument(
        "-b", "--backend", metavar="BACKEND", help='what to write, with options: onnx, "onnx{batch=free}"'
    )
    parser.add_argument("-o", "--output", metavar="DIR", help="folder for the artefact (default: build)")
    data = parser.add_argument_group("data, in the place of those of passes.yaml")
    for split, use in (("train", "heads"), ("calibration", "thresholds"), ("test", "the figures reported")):
        data.add_argument(f"--{split}", metavar="FILE", help=f"for {use}: .npz or module:function")
    run = parser.add_argument_group("run")
    run.add_argument("--seed", type=int, metavar="N", help="of everything that is drawn at random")
    run.add_argument("--cache-dir", metavar="DIR", help="where features, heads and scores are kept")
    run.add_argument("--load", action="append", default=[], metavar="FILE", help="a .py file with passes of your own")
    run.add_argument("--stop-after", metavar="PASS", help="end there, print the IR, write no artefact")
    run.add_argument("-q", "--quiet", action="store_true", help="nothing on stderr but errors")
    run.add_argument("--json", action="store_true", help="print the report as JSON instead of the table")
    look = parser.add_argument_group("look inside")
    look.add_argument("--list", choices=("passes", "ops", "backends", "devices"), help="list what there is")
    look.add_argument("--explain", metavar="PASS", help="what a pass or backend does, and its options")
    look.add_argument("--print-ir-before", action="append", default=[], metavar="PASS", help="print the IR to stderr")
    look.add_argument("--print-ir-after", action="append", default=[], metavar="PASS", help="print the IR to stderr")
    look.add_argument("--print-ir-after-all", action="store_true", help="print the IR after each pass")
    look.add_argument("--dump-ir", metavar="DIR", help="write the IR after each pass into files")
    look.add_argument("--time-passes", action="store_true", help="say how long each pass took")
    parser.add_argument("--version", action="version", version=f"eennc {__version__}")
    return parser


def _run_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="eennc run",
        description="Run an artefact on this computer: accuracy, exit shares, latency against the base network.",
        allow_abbrev=False,
    )
    parser.add_argument("artefact", metavar="DIR", help="the folder that a compile wrote")
    parser.add_argument("--data", required=True, metavar="FILE", help=".npz with x and y, or module:function")
    parser.add_argument("--samples", type=_positive, metavar="N", help="use the first N samples only")
    parser.add_argument("--timed", type=int, default=500, metavar="N", help="samples to time (default 500; 0: none)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="onnxruntime's threads (default 1)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="nothing on stderr but errors")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number
