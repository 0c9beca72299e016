"""Several maps of one quantity side by side, in the same colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import holoviews as hv
import numpy as np

from widgets.axes import bokeh_options
from widgets.maps import check_map, colour_limits, sky_map


def map_grid(
    maps: Mapping[str, Any],
    *,
    label: str = "column_density",
    pixel_size_pc: float | Mapping[str, float] | None = None,
    columns: int = 3,
    log: bool = True,
    clim: tuple[float, float] | None = None,
    width: int = 260,
) -> hv.Layout:
    """Draw named maps of one quantity on one colour scale, so that they can be compared by eye.

    Parameters
    ----------
    maps : mapping of str to array_like, shape (y, x) each
        In one physical unit, by the head of their panel; shapes may differ.
    label : str
        As in :func:`widgets.maps.sky_map`.
    pixel_size_pc : float or mapping, optional
        Side of a pixel [pc], one for all or one a name.
    columns : int
        Maps in a row.
    log : bool
        Whether the colours follow the logarithm.
    clim : tuple of float, optional
        Colour limits; by default the 0.5 and 99.5 % quantiles of all maps, each map counting the same.
    width : int
        Width of the frame of each map [px].

    Raises
    ------
    ValueError
        If there is no map, a map is none, `columns` is not positive, or a pixel size is missing.

    Examples
    --------
    The six clouds that this package can make or open without a download beyond its test data::

        import polaris_lab as lab

        clouds = {
            "burgers": lab.synthetic_cloud(128, 1),
            "fbm": lab.synthetic_cloud(128, 1, kind="fbm"),
            "cascade": lab.synthetic_cloud(128, 1, kind="cascade"),
            "simulated here": lab.clouds.simulate(128, 1),
            "simulated, MHD": lab.sample_cloud(),
            "RAMSES": lab.clouds.open_amr("output_00002"),
        }
        map_grid(
            {name: lab.column_density(cloud, axis="x") for name, cloud in clouds.items()},
            pixel_size_pc={name: cloud.cell_size_pc for name, cloud in clouds.items()},
        )

    >>> grid = map_grid({"a": np.full((4, 4), 1e21), "b": np.full((8, 8), 1e23)}, pixel_size_pc=0.1)
    >>> len(grid), grid.Image.I.get_dimension("value").range == grid.Image.II.get_dimension("value").range
    (2, True)
    """
    if not isinstance(maps, Mapping) or not maps:
        raise ValueError(
            f'maps: expected maps by their names, such as {{"burgers": array}}, got {maps!r:.80}'
        )
    if isinstance(columns, bool) or not isinstance(columns, int | np.integer) or columns < 1:
        raise ValueError(f"columns: expected a whole number from 1 up, got {columns!r}")
    arrays = {name: check_map(values, name) for name, values in maps.items()}
    sizes = _pixel_sizes(arrays, pixel_size_pc)
    limits = colour_limits(_sample(arrays, log), log, clim)
    images = []
    for number, (name, values) in enumerate(arrays.items()):
        image = sky_map(
            values, label=label, pixel_size_pc=sizes[name], log=log, clim=limits, title=name, width=width
        )
        last_row = number + columns >= len(arrays)
        images.append(image if last_row else image.opts(colorbar=False))
    opts = bokeh_options()
    grid = hv.Layout(images).cols(int(columns))
    return grid.opts(opts.Layout(backend="bokeh", shared_axes=False, toolbar=None, merge_tools=False))


def _sample(arrays: Mapping[str, np.ndarray], log: bool) -> np.ndarray:
    """Return quantiles of each map, equally many, so that a large map does not outweigh a small one."""
    parts = [values[np.isfinite(values) & ((values > 0) | (not log))] for values in arrays.values()]
    found = [np.quantile(part, np.linspace(0, 1, 2001)) for part in parts if part.size]
    return np.concatenate(found) if found else np.empty(0)


def _pixel_sizes(arrays: Mapping[str, Any], given: Any) -> dict[str, float | None]:
    """Return the pixel size of each map."""
    if not isinstance(given, Mapping):
        return dict.fromkeys(arrays, given)
    lost = [name for name in arrays if name not in given]
    if lost:
        raise ValueError(
            f"pixel_size_pc: expected the pixel size of {lost[0]!r}, got those of {sorted(given)}"
        )
    return {name: given[name] for name in arrays}
