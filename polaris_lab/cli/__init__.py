"""The command line: ``polaris-lab demo | predict | emission | train | serve | doctor``.

Exit status: 0 done; 1 the input was refused or something failed (one line says expected, got and remedy,
``--debug`` shows the traceback); 2 the command line itself was wrong; 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import sys
import warnings
from collections.abc import Sequence

import polaris_lab

COMMANDS = ("demo", "predict", "emission", "train", "serve", "doctor")
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
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    command = importlib.import_module(f"polaris_lab.cli.{arguments.command}")
    with warnings.catch_warnings():
        warnings.showwarning = _say_warning
        try:
            answer = command.run(arguments)
        except KeyboardInterrupt:
            print("interrupted; what was reported as done is kept", file=sys.stderr)
            return 130
        except Exception as error:
            if arguments.debug:
                raise
            return _say_error(error, as_json=arguments.json)
    if arguments.json:
        print(json.dumps(answer, indent=1))
    return int(answer.get("status", 0))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
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
    else:
        message = str(error) or type(error).__name__
    if as_json:
        print(json.dumps({"error": {"type": type(error).__name__, "message": message}}, indent=1))
    print(f"polaris-lab: {message}", file=sys.stderr)
    return 1


def _say_warning(message, category, filename, lineno, file=None, line=None) -> None:
    """Print a warning as one line, without the code that raised it."""
    print(f"warning: {message}", file=sys.stderr)
