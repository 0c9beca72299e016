"""A line cube for readers without a server or a kernel: :class:`PlainEmission`, plain ipywidgets and a single HTML file.

Every picture is made beforehand and the widgets are linked in the browser, so that an exported notebook stays
interactive. Exported notebooks fetch the scripts of ipywidgets from a network; :meth:`PlainEmission.html` and
:meth:`PlainEmission.to_html` fetch nothing, as they carry a few lines of script of their own.
"""

from __future__ import annotations

import html
import itertools
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u

from polaris_lab.radiative_transfer import moments
from widgets.emissions.plain_pictures import picture

INTERVAL_MS = 300
"""Time from channel to channel while playing [ms]."""

_NUMBERS = itertools.count()

_STYLE = """
.plain-emission { font-family: sans-serif; max-width: 760px; }
.plain-emission .bar { display: flex; flex-wrap: wrap; gap: 10px; align-items: center; margin: 8px 0; }
.plain-emission input[type=range] { flex: 1 1 240px; }
.plain-emission button, .plain-emission select { font: inherit; padding: 4px 10px; }
.plain-emission .only > :not(.shown) { display: none; }
"""

_SCRIPT = """
(root => {
  const [channels, places] = root.querySelectorAll('.only');
  const range = root.querySelector('input'), play = root.querySelector('button'), choice = root.querySelector('select');
  const show = (box, number) => [...box.children].forEach((child, i) => child.classList.toggle('shown', i === number));
  let timer = null;
  const stop = () => { clearInterval(timer); timer = null; play.textContent = 'Play'; };
  range.addEventListener('input', () => show(channels, +range.value));
  choice.addEventListener('input', () => show(places, choice.selectedIndex));
  play.addEventListener('click', () => {
    if (timer) return stop();
    play.textContent = 'Pause';
    timer = setInterval(() => {
      range.value = (+range.value + 1) % channels.children.length;
      show(channels, +range.value);
    }, INTERVAL);
  });
})(document.getElementById('ID'));
"""


class PlainEmission:
    """Channel maps that play, and spectra at chosen places, of one line cube.

    Parameters
    ----------
    ppv : PPVCube
    frames : int
        Channel maps, each a mean of neighbouring channels.
    places : int
        Places whose spectra can be chosen: the brightest ones, not too near to each other.
    title : str
        Over the pictures; by default the line.

    Attributes
    ----------
    view : ipywidgets.VBox
        Linked without Python: it works wherever ipywidgets are drawn, with a kernel or without.
    velocities : ndarray
        Of the frames [km/s].
    places : list of (int, int)
        Row and column of the places.

    Raises
    ------
    ValueError
        If there is nothing in the cube to be drawn, or a number is below 1.

    Examples
    --------
    >>> from polaris_lab import PPVCube
    >>> explorer = PlainEmission(PPVCube(np.ones((8, 4, 4)), np.arange(8.0)), frames=4, places=2)
    >>> len(explorer.channel_pictures), explorer.html().data.count("<svg")
    (4, 6)
    """

    def __init__(self, ppv: Any, *, frames: int = 32, places: int = 12, title: str | None = None):
        for name, number in (("frames", frames), ("places", places)):
            if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 1:
                raise ValueError(f"{name}: expected a whole number from 1 up, got {number!r}")
        if not np.isfinite(np.asarray(ppv.data)).any():
            raise ValueError(
                "ppv: expected a line cube with values, got one of NaN only; choose another file"
            )
        self.title = title or (f"{ppv.line.name} line cube" if ppv.line else "Line cube")
        side, unit = _pixel(ppv)
        self._make_channels(ppv, int(frames), side, unit)
        self._make_places(ppv, int(places), side, unit)
        self.view = self._widgets()

    def _make_channels(self, ppv: Any, frames: int, side: float, unit: str) -> None:
        self.velocities, maps = moments.channel_maps(ppv, channels=frames)
        limits = _limits(maps)
        with np.errstate(invalid="ignore"):
            seen = np.isfinite(np.asarray(ppv.data))
            total = np.where(seen, ppv.data, 0).sum(axis=(1, 2), dtype=np.float64)
            mean = total / seen.sum(axis=(1, 2))
        self.channel_pictures = [
            picture(
                values, limits=limits, quantity="brightness_temperature", side=side, unit=unit,
                head=f"Channel at {_signed(velocity)} km/s", spectrum=(ppv.velocity, mean),
                spectrum_head="Mean of the map", reach=_limits(mean), velocity=float(velocity),
            )
            for velocity, values in zip(self.velocities, maps, strict=True)
        ]  # fmt: skip

    def _make_places(self, ppv: Any, count: int, side: float, unit: str) -> None:
        integral = moments.integrated_intensity(ppv)
        self.places = brightest(integral, count)
        rows, columns = integral.shape
        spectra = [ppv.spectrum(row=row, column=column) for row, column in self.places]
        reach = _limits(np.asarray(spectra), 1.0)
        offsets = [((x + 0.5 - columns / 2) * side, (y + 0.5 - rows / 2) * side) for y, x in self.places]
        self.place_names = [
            f"{number + 1}: x = {_signed(x)} {unit}, y = {_signed(y)} {unit}"
            for number, (x, y) in enumerate(offsets)
        ]
        self.place_pictures = [
            picture(
                integral, limits=_limits(integral), quantity="integrated_intensity", side=side, unit=unit,
                head="Integrated intensity W", spectrum=(ppv.velocity, spectrum), mark=offset, reach=reach,
                spectrum_head=f"Place {number + 1}: W = {integral[place]:.3g} K km/s",
            )
            for number, (place, offset, spectrum) in enumerate(zip(self.places, offsets, spectra, strict=True))
        ]  # fmt: skip

    def _widgets(self) -> Any:
        """Return the widgets, linked in the browser."""
        import ipywidgets

        last = len(self.channel_pictures) - 1
        play = ipywidgets.Play(min=0, max=last, interval=INTERVAL_MS, description="Play the channels")
        slider = ipywidgets.IntSlider(min=0, max=last, description="Channel", layout={"width": "480px"})
        place = ipywidgets.Dropdown(
            options=self.place_names, description="Spectrum at", layout={"width": "480px"}
        )
        channels, spectra = (
            ipywidgets.Stack([ipywidgets.HTML(words) for words in pictures], selected_index=0)
            for pictures in (self.channel_pictures, self.place_pictures)
        )
        links = [
            ipywidgets.jslink((play, "value"), (slider, "value")),
            ipywidgets.jslink((slider, "value"), (channels, "selected_index")),
            ipywidgets.jslink((place, "index"), (spectra, "selected_index")),
        ]
        view = ipywidgets.VBox(
            [
                ipywidgets.HTML(f"<b>{html.escape(self.title)}</b>"),
                ipywidgets.HBox([play, slider]),
                channels,
                place,
                spectra,
            ]
        )
        view.links = links  # they live as long as the view
        return view

    def _repr_mimebundle_(self, **choices: Any) -> Any:
        return self.view._repr_mimebundle_(**choices)

    def html(self) -> Any:
        """Return the same for a cell of a notebook that will be exported: no kernel, no ipywidgets, no network.

        Returns
        -------
        IPython.display.HTML
        """
        from IPython.display import HTML

        return HTML(self._fragment())

    def to_html(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the same as one file that opens in any browser and fetches nothing.

        Raises
        ------
        FileExistsError
            If it exists and `overwrite` is false.
        """
        path = Path(path)
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} exists; give another path, or overwrite=True to replace it")
        title = html.escape(self.title)
        page = (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
            f"<style>:root {{ color-scheme: light dark; }}</style></head><body>{self._fragment()}</body></html>"
        )
        path.write_text(page, encoding="utf-8")
        return path

    def _fragment(self) -> str:
        name = f"plain-emission-{next(_NUMBERS)}"

        def only(pictures: list[str]) -> str:
            shown = "".join(
                f"<div{' class=shown' if not i else ''}>{words}</div>" for i, words in enumerate(pictures)
            )
            return f'<div class="only">{shown}</div>'

        options = "".join(f"<option>{html.escape(words)}</option>" for words in self.place_names)
        script = _SCRIPT.replace("ID", name).replace("INTERVAL", str(INTERVAL_MS))
        return (
            f'<style>{_STYLE}</style><div class="plain-emission" id="{name}"><h3>{html.escape(self.title)}</h3>'
            "<p>Play or drag through the velocities; choose a place to see its spectrum.</p>"
            f'<div class="bar"><button type="button">Play</button><input type="range" min="0" '
            f'max="{len(self.channel_pictures) - 1}" value="0" aria-label="Channel"></div>{only(self.channel_pictures)}'
            f'<div class="bar"><label>Spectrum at <select>{options}</select></label></div>{only(self.place_pictures)}'
            f"</div><script>{script}</script>"
        )


def brightest(values: np.ndarray, count: int) -> list[tuple[int, int]]:
    """Return the brightest pixels, each at least an eighth of the map away from those before.

    Examples
    --------
    >>> brightest(np.array([[1.0, 5.0, 4.0, 0.0], [0.0, 0.0, 0.0, 3.0]]), 3)
    [(0, 1), (0, 2), (1, 3)]
    """
    left = np.where(np.isfinite(values), values, -np.inf)
    apart = max(1.0, max(values.shape) / 8)
    rows, columns = np.indices(values.shape)
    found: list[tuple[int, int]] = []
    while len(found) < count and np.isfinite(left).any():
        row, column = (int(i) for i in np.unravel_index(left.argmax(), left.shape))
        found.append((row, column))
        left[(rows - row) ** 2 + (columns - column) ** 2 < apart**2] = -np.inf
    return found


def _pixel(ppv: Any) -> tuple[float, str]:
    """Return the side of a pixel and its unit: pc, arcmin, or pixels."""
    size = ppv.pixel_size
    if size is None:
        return 1.0, "px"
    if size.unit.is_equivalent(u.pc):
        return float(size.to_value(u.pc)), "pc"
    return float(size.to_value(u.arcmin)), "arcmin"


def _limits(values: np.ndarray, top: float = 0.998) -> tuple[float, float]:
    """Return limits from 0, or what lies lower, to nearly the largest value."""
    valid = values[np.isfinite(values)]
    low, high = min(0.0, float(np.quantile(valid, 0.005))), 1.05 * float(np.quantile(valid, top))
    return (low, high) if high > low else (low, low + 1.0)


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
