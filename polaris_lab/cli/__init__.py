"""The command line: ``polaris-lab demo | predict | emission | train | evaluate | study | benchmark | presets | fetch | serve | doctor``.

Exit status: 0 done; 1 the input was refused or something failed (one line says expected, got and remedy,
``--debug`` shows the traceback); 2 the command line itself was wrong; 130 interrupted. With ``--json`` standard
output holds one JSON value and nothing else, whatever happens: the answer, or ``{"error": {"type", "message"}}``.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import logging
import math
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import polaris_lab

COMMANDS = (
    "demo",
    "predict",
    "emission",
    "train",
    "evaluate",
    "study",
    "benchmark",
    "presets",
    "fetch",
    "serve",
    "doctor",
)
"""Each is a module of this package with `add_arguments(parser)` and `run(arguments) -> dict`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after the program's name; by default those it was started with.

    Returns
    -------
    int
        Exit status: 0 done, 1 refused or failed, 130 interrupted. Wrong usage leaves through
        SystemExit with status 2, as argparse does.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        arguments = _parser().parse_args(words)
    except _UsageError as error:
        if "--json" in words:
            _print_json(_as_error("UsageError", error.message))
        argparse.ArgumentParser.error(error.parser, error.message)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    command = importlib.import_module(f"polaris_lab.cli.{arguments.command}")
    with warnings.catch_warnings():
        warnings.showwarning = _say_warning
        try:
            with contextlib.redirect_stdout(sys.stderr if arguments.json else sys.stdout):
                answer = command.run(arguments)
        except KeyboardInterrupt as interrupt:
            message = str(interrupt) or "interrupted; what was reported as done is kept"
            if arguments.json:
                _print_json(_as_error("KeyboardInterrupt", message))
            print(message, file=sys.stderr)
            return 130
        except Exception as error:
            if arguments.debug:
                raise
            return _say_error(error, as_json=arguments.json)
    if arguments.json:
        _print_json(answer)
    return int(answer.get("status", 0))


class _UsageError(Exception):
    """The command line is wrong; which parser says so, and what it says."""

    def __init__(self, parser: argparse.ArgumentParser, message: str) -> None:
        super().__init__(message)
        self.parser, self.message = parser, message


class _Parser(argparse.ArgumentParser):
    """Raises what argparse would print, so that it can be said in JSON too."""

    def error(self, message: str):
        raise _UsageError(self, message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="polaris-lab",
        description="Infer the volume density of molecular clouds from column density maps.",
        epilog="polaris-lab COMMAND --help explains each command; start with: polaris-lab demo",
    )
    parser.add_argument("--version", action="version", version=f"polaris-lab {polaris_lab.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = importlib.import_module(f"polaris_lab.cli.{name}")
        summary = (module.__doc__ or "").strip().splitlines()[0]
        command = commands.add_parser(name, help=summary, description=module.__doc__)
        command.add_argument("--json", action="store_true", help="print the answer as JSON, for scripts")
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        module.add_arguments(command)
    return parser


def _say_error(error: Exception, *, as_json: bool) -> int:
    """Print one error as a line (or as JSON on standard output) and return the exit status."""
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        message = f"{error.filename}: expected a file or folder, found none"
    elif isinstance(error, OSError) and error.filename is not None:
        message = f"{error.filename}: expected a file or folder that can be used, got: {error.strerror}"
    else:
        message = " ".join(str(error).split()) or type(error).__name__
    if as_json:
        _print_json(_as_error(type(error).__name__, message))
    print(f"polaris-lab: {message}", file=sys.stderr)
    return 1


def _as_error(kind: str, message: str) -> dict[str, Any]:
    return {"error": {"type": kind, "message": message}}


def _print_json(answer: Any) -> None:
    print(json.dumps(_finite(answer), indent=1, allow_nan=False), flush=True)


def _finite(value: Any) -> Any:
    """Return a value with null for NaN and infinity, which JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _say_warning(message, category, filename, lineno, file=None, line=None) -> None:
    """Print a warning as one line, without the code that raised it."""
    print(f"warning: {message}", file=sys.stderr)
