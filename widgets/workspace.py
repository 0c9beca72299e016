"""The workspace folder: the one place where a page may write."""

from __future__ import annotations

from pathlib import Path


def inside(workspace: str | Path, name: str) -> Path:
    """Return the place that a name means inside the workspace folder.

    Parameters
    ----------
    workspace : str or Path
        The folder that a page may not leave.
    name : str
        Relative to it, for example ``"datasets/fog.zarr"``.

    Raises
    ------
    ValueError
        If the name is empty, means the workspace itself, or leads out of it (also through a link).

    Examples
    --------
    >>> inside("/work", "datasets/fog.zarr").relative_to(Path("/work").resolve()).as_posix()
    'datasets/fog.zarr'
    """
    root = Path(workspace).expanduser().resolve()
    text = name.strip()
    if not text or "\0" in text:
        raise ValueError(
            'path: expected a name inside the workspace folder, such as "datasets/fog.zarr", got none'
        )
    place = (root / text).resolve()
    if place == root or not place.is_relative_to(root):
        raise ValueError(
            f'path: expected a name inside the workspace folder {root}, such as "datasets/fog.zarr", got {text!r}; '
            "serve with --workspace to choose another folder"
        )
    return place
