"""Download public data by name: maps, core catalogues, line cubes; or say how to get them.

`polaris-lab fetch --list` shows what there is. A download that was cut off goes on where it stopped, its
checksum is kept, and a web page in place of the file is refused. What needs an account, such as the cubes of
Galactica, is explained step by step; hand the file over with --local.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="what to fetch, such as hgbs:orionB")
    parser.add_argument("--list", action="store_true", help="show everything that can be fetched")
    parser.add_argument(
        "--folder", type=Path, help="where to keep data (default: $POLARIS_LAB_DATA, else the cache)"
    )
    parser.add_argument("--mirror", help="folder or address to ask first (default: $POLARIS_LAB_MIRROR)")
    parser.add_argument("--local", type=Path, metavar="FILE", help="take over this file, downloaded by hand")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Fetch one item, or list them."""
    from polaris_lab.observations.archive import fetch, fetch_local, item

    if arguments.list or arguments.name is None:
        return _list(arguments)
    wanted = item(arguments.name)
    if arguments.local is not None:
        path = fetch_local(arguments.name, arguments.local, folder=arguments.folder)
    elif not wanted.addresses and arguments.mirror is None:
        return _explain(wanted, arguments)
    else:
        path = fetch(
            arguments.name, folder=arguments.folder, mirror=arguments.mirror, progress=not arguments.quiet
        )
    if not arguments.json:
        print(f"{path}\n  {wanted.what}\n  cite: {wanted.source}\n  open: {wanted.usage}")
    return {"name": wanted.name, "path": str(path), "what": wanted.what, "source": wanted.source}


def _list(arguments: argparse.Namespace) -> dict[str, Any]:
    """Print every item, one line each."""
    from polaris_lab.observations.archive import items

    known = items()
    if not arguments.json:
        width = max(map(len, known))
        for entry in known.values():
            how = f"address {entry.certainty}" if entry.addresses else "by hand: the name alone explains how"
            print(f"{entry.name:{width}}  {entry.what}  ({how})")
        print("\npolaris-lab fetch NAME downloads one of them; polaris-lab predict then takes the map")
    return {"items": {name: {"what": e.what, "addresses": list(e.addresses)} for name, e in known.items()}}


def _explain(wanted: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    """Print what a person must do to get an item."""
    if not arguments.json:
        print(f"{wanted.name}: {wanted.what}\nThis cannot be downloaded by a program. What to do:")
        for number, step in enumerate(wanted.steps, start=1):
            print(f"  {number}. {step}")
        print(f"  then open it: {wanted.usage}\n  cite: {wanted.source}")
    return {"name": wanted.name, "what": wanted.what, "steps": list(wanted.steps), "source": wanted.source}
