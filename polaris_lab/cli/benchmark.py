"""Compare all methods on the same unseen clouds, and print the table of the README.

Makes the common synthetic clouds, fits the classical estimators, trains the networks that are not trained yet and
judges all of them. Everything is kept in the cache: a second call, or one after an interruption, does only what is
missing. Times are CPU seconds of one thread.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--quick",
        action="store_true",
        help="small clouds, one epoch: one to two CPU-minutes, numbers mean little",
    )
    size.add_argument(
        "--medium", action="store_true",
        help="the table of the README: all clouds and networks, without the estimators of seconds a map",
    )  # fmt: skip
    size.add_argument(
        "--default", action="store_true",
        help="judge the network that is shipped beside others on the project's suite, the common work, gas beyond its ranges and in "
        "other pixels, and the MHD snapshots: docs/accuracy.md",
    )  # fmt: skip
    size.add_argument("--full", action="store_true", help="everything (the default)")
    parser.add_argument("--output", type=Path, metavar="TABLE.md", help="write the table here, as Markdown")
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="FOLDER",
        help="keeps clouds and runs; by default the user's cache folder",
    )
    parser.add_argument(
        "--cpu-minutes",
        type=float,
        default=30.0,
        metavar="MINUTES",
        help="CPU time for all trainings together (30)",
    )
    parser.add_argument(
        "--network",
        action="append",
        metavar="NAME",
        help='judge this network of the table only, for example "ours, 12 filters" (may be repeated)',
    )
    parser.add_argument(
        "--estimator",
        action="append",
        metavar="NAME",
        help="of the classical estimators judge this one only, beside the power law and the multi-scale regression that all "
        "are compared with, for example power_law (may be repeated)",
    )
    parser.add_argument(
        "--first-test",
        type=int,
        metavar="NUMBER",
        help="judge on the clouds from this number on (2000), for example 4000: others than have been looked at",
    )
    parser.add_argument(
        "--shared",
        type=Path,
        metavar="DATA",
        help="of --default: folder with simulation/, for the MHD snapshots",
    )
    parser.add_argument("--quiet", action="store_true", help="do not say what is being done")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Make what is missing, judge all methods, and show or write the table."""
    import pooch
    import torch

    from polaris_lab.config import did_you_mean
    from polaris_lab.training.benchmark_networks import NETWORKS, run_benchmark

    torch.set_num_threads(1)

    for name in arguments.network or ():
        if name not in NETWORKS:
            raise ValueError(f"--network: unknown name {name!r}: {did_you_mean(name, list(NETWORKS))}")

    def say(line: str) -> None:
        if not arguments.quiet:
            print(line, file=sys.stderr, flush=True)

    cache = arguments.cache or Path(pooch.os_cache("polaris-lab")) / "benchmark"
    if arguments.default:
        return _default(arguments, cache, say)
    if arguments.shared is not None:
        raise ValueError(
            "--shared: expected together with --default, which has the MHD snapshots in its table"
        )
    size = "quick" if arguments.quick else "medium" if arguments.medium else "full"
    table = run_benchmark(
        cache,
        size=size,
        cpu_minutes=arguments.cpu_minutes,
        networks={name: NETWORKS[name] for name in arguments.network} if arguments.network else None,
        estimators=arguments.estimator,
        first_test=arguments.first_test,
        progress=say,
    )
    if arguments.output is not None:
        from polaris_lab.config import write_bytes

        write_bytes(arguments.output, table.to_markdown().encode())
        say(f"wrote {arguments.output}")
    elif not arguments.json:
        print(table.to_markdown())
    return table.to_dict()


def _default(arguments: argparse.Namespace, cache: Path, say: Any) -> dict[str, Any]:
    """Judge the shipped network on each kind of gas, and show or write the page."""
    from polaris_lab.config import SCHEMA, write_bytes
    from polaris_lab.training.benchmark_default import default_benchmark
    from polaris_lab.training.benchmark_page import page

    if arguments.network or arguments.estimator or arguments.first_test is not None:
        raise ValueError(
            "--default: expected alone, got --network, --estimator or --first-test: its methods and clouds are fixed"
        )
    tables = default_benchmark(
        cache / "default", shared=arguments.shared, cpu_minutes=arguments.cpu_minutes, progress=say
    )
    command = f"polaris-lab benchmark --default --cpu-minutes {arguments.cpu_minutes:g}"
    text = page(tables, command + (" --shared DATA" if arguments.shared is not None else ""))
    if arguments.output is not None:
        write_bytes(arguments.output, text.encode())
        say(f"wrote {arguments.output}")
    elif not arguments.json:
        print(text)
    return {"schema": SCHEMA, "kind": "benchmarks", "tables": [table.to_dict() for table in tables]}
