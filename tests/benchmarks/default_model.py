"""Judge the network that is shipped on gas that it has not seen, and say what it reaches.

    python tests/benchmarks/default_model.py FOLDER [RUN] [--shared DATA]

FOLDER (outside the repository) keeps clouds, so that a second call only judges; RUN is the shipped network by default.
Writes FOLDER/default_model.json. The sets, each a function of its own:

- common: clouds of the common work from number 4000 on; nothing was chosen by them;
- suite: the project's own suite, as in common_work.py, six held-out clouds of 64^3 cells;
- outside: two clouds beyond the ranges of the common work, and the same test clouds at pixels twice as large;
- mhd: the two snapshots of one MHD cloud (a development set: generators were compared on them, nothing was trained on them);
- cores: one core at a time, added to diffuse and denser gas, seen through a beam, through `predict_density`.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from astropy import units as u

import polaris_lab as lab
from polaris_lab.clouds.cores import Core, add_cores
from polaris_lab.clouds.suite import ensemble
from polaris_lab.datasets import PatchConfig, PatchDataset, build_dataset
from polaris_lab.estimators import fit_estimator
from polaris_lab.observations import predict_density
from polaris_lab.observations.simulate import observe_cube
from polaris_lab.training import Run, evaluate, predict
from polaris_lab.training.common_work import FULL, common_work, projections
from polaris_lab.training.recalibration import recalibration_of

REFERENCES = ("power_law", "multi_scale")
TARGET = "mass_weighted_density"


def as_dataset(
    maps: np.ndarray, clouds: list[str], *, pixel_pc: float, depth_pc: float | np.ndarray | None = None
) -> PatchDataset:
    """Return maps (n, quantities, y, x) as patches that are all for tests."""
    inputs = {"column_density": maps[:, 0]}
    if depth_pc is not None:
        inputs |= {"depth": np.broadcast_to(depth_pc, len(maps)), "pixel_size": np.full(len(maps), pixel_pc)}
    return PatchDataset.from_arrays(
        inputs,
        {TARGET: maps[:, 1]},
        pixel_size=pixel_pc * u.pc,
        split=["validation"] * len(maps),
        cloud=clouds,
    )


def common(folder: Path) -> tuple[PatchDataset, PatchDataset, PatchDataset]:
    """Return fresh clouds of the common work, those beyond its ranges, and the maps that references are fitted to."""
    work = common_work(folder / "common", dataclasses.replace(FULL, first_test=4000), progress=print)
    return work.test, work.outside, work.maps


def coarser(dataset: PatchDataset, factor: int) -> PatchDataset:
    """Return the same gas in pixels `factor` times as large: N averaged, the density with the weight N."""
    rows = dataset.indices("validation")
    column, density = (dataset.read(name, rows).astype(float) for name in ("column_density", TARGET))
    n = column.shape[-1] // factor

    def mean(values: np.ndarray) -> np.ndarray:
        return values.reshape(len(rows), n, factor, n, factor).mean(axis=(2, 4))

    maps = np.stack([mean(column), mean(column * density) / mean(column)], axis=1)
    clouds = list(np.asarray(dataset.table["cloud"])[rows])
    return as_dataset(maps, clouds, pixel_pc=dataset.pixel_size_pc * factor)


def suite(folder: Path) -> PatchDataset:
    """Return the patches of the project's suite, six of its twenty clouds for tests."""
    path = folder / "suite.zarr"
    if path.exists():
        return PatchDataset.open(path)
    cubes = ensemble(20, folder / "ensemble", size=64, depths=(1, 2), workers=1, progress=False)
    config = PatchConfig(patch_size=32, min_separation=0.5, split_by="cloud", validation_fraction=0.3, seed=0)
    return build_dataset(cubes, config, path)


def whole_faces(folder: Path, patches: PatchDataset) -> tuple[PatchDataset, PatchDataset]:
    """Return squares of 64 pixels of the suite's clouds, for tests without and with the depth told."""
    held_out = set(np.asarray(patches.table["cloud"])[patches.indices("validation")].tolist())
    maps, clouds, depths, pixel = [], [], [], 0.0
    for cube in ensemble(20, folder / "ensemble", size=64, depths=(1, 2), workers=1, progress=False):
        if cube.name not in held_out:
            continue
        pixel = cube.cell_size_pc
        for axis, length in zip("zyx", cube.side_pc, strict=True):
            seen = lab.project(cube, axis=axis)
            for row in range(0, seen.column_density.shape[0], 64):
                part = slice(row, row + 64)
                maps.append(np.stack([seen.column_density[part], seen.mass_weighted_density[part]]))
                clouds.append(cube.name)
                depths.append(length)
    stacked = np.stack(maps)
    told = as_dataset(stacked, clouds, pixel_pc=pixel, depth_pc=np.array(depths))
    return as_dataset(stacked, clouds, pixel_pc=pixel), told


def mhd(shared: Path, which: str, *, depth: bool) -> PatchDataset:
    """Return the three faces of one MHD snapshot."""
    with np.load(shared / "simulation" / f"mhd_m8_128_{which}.npz") as file:
        density = 10 ** file["log10_nH"].astype(np.float64)
    maps = np.moveaxis(projections(density, 0.05), 1, 0)
    return as_dataset(maps, [which] * 3, pixel_pc=0.05, depth_pc=6.4 if depth else None)


def judged(
    run: Run, dataset: PatchDataset, training: PatchDataset | None = None, *, symmetries: bool = False
) -> dict:
    """Return the scores of the network, and its RMSE over that of each reference with its interval."""
    calibrated = recalibration_of(run)
    found = evaluate(run, dataset, symmetries=symmetries, recalibration=calibrated)
    answer = {
        name: [found.score(name).value, found.score(name).low, found.score(name).high]
        for name in found.scores
    }
    truth = np.log10(dataset.read(TARGET, dataset.indices("validation")).astype(float))
    error = np.log10(predict(run, dataset, symmetries=symmetries).density) - truth
    inside = error - error.mean(axis=(1, 2), keepdims=True)
    top = truth >= np.quantile(truth.reshape(len(truth), -1), 0.95, axis=1)[:, None, None]
    answer |= {
        "in_map_dex": float(np.sqrt((inside**2).mean())),
        "densest_5_percent_bias_dex": float(error[top].mean()),
    }
    if training is not None:
        for name in REFERENCES:
            rows = training.indices("training")
            fitted = fit_estimator(
                name,
                training.read("column_density", rows),
                training.read(TARGET, rows),
                pixel_size_pc=training.pixel_size_pc,
            )
            other = evaluate(fitted, dataset)
            ratio = found.ratio(other)
            answer[f"rmse / {name}"] = [ratio.value, ratio.low, ratio.high]
    return answer


def cores(run: Run, folder: Path) -> list[dict]:
    """Return what is made of single cores in the middle of gas of several columns, seen through a beam of 1.5 pixels."""
    background = {}
    for seed in range(3):
        background[seed] = lab.synthetic_cloud(
            64, 900 + seed, kind="fbm" if seed else "burgers", box_size=3.2 * u.pc
        )
    found = []
    for seed, cloud in background.items():
        for mean_column in (1e21, 2e21, 3e21, 6e21, 1.2e22):
            for radius, peak in ((0.03, 1e5), (0.05, 3e4), (0.02, 5e5), (0.06, 1e5), (0.1, 2e4)):
                gas = np.asarray(cloud.density) * (
                    mean_column / (3.2 * u.pc.to(u.cm)) / float(np.mean(cloud.density))
                )
                cube = lab.SimulationCube(gas, cell_size=0.05 * u.pc)
                place = _typical(gas)
                cored = add_cores(cube, [Core(tuple(0.05 * (p + 0.5) for p in (32, *place)), radius, peak)])
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    seen = observe_cube(cored, distance=300 * u.pc, beam_fwhm=52 * u.arcsec)
                    told = predict_density(run, seen.observation, progress=False)
                at = place
                truth = np.log10(seen.density[at])
                found.append(
                    {
                        "background": float(mean_column), "radius_pc": radius, "peak": peak, "gas": seed,
                        "log_column": float(np.log10(seen.column_density[at])), "truth": float(truth),
                        "error": float(np.log10(told.density[at]) - truth),
                        "inside_95": bool(told.lower95[at] <= seen.density[at] <= told.upper95[at]),
                        "flagged": bool(told.quality[at] != 0),
                    }
                )  # fmt: skip
    return found


def _typical(gas: np.ndarray) -> tuple[int, int]:
    """Return a pixel away from the edges whose column is the median one."""
    column = gas.sum(axis=0)
    inner = np.abs(np.log(column / np.median(column)))
    inner[:16], inner[-16:], inner[:, :16], inner[:, -16:] = (np.inf,) * 4
    return tuple(int(i) for i in np.unravel_index(int(inner.argmin()), inner.shape))


def speed(run: Run) -> dict:
    """Return the seconds of a map of 1000 x 1000 pixels with its interval, on two threads: wall and processor."""
    rng = np.random.default_rng(0)
    values = np.exp(0.3 * rng.standard_normal((1000, 1000))) * 1e21
    from polaris_lab.observations.simulate import _tangent_plane

    sky = lab.Observation(
        values, wcs=_tangent_plane(values.shape, 0.003, None), distance=300 * u.pc, species="H2"
    )
    torch.set_num_threads(2)
    best = {"wall": np.inf, "cpu": np.inf}
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        predict_density(run, sky, progress=False)
        best = {
            "wall": min(best["wall"], time.perf_counter() - wall), "cpu": min(best["cpu"], time.process_time() - cpu)
        }  # fmt: skip
    torch.set_num_threads(1)
    return best


def main(folder: Path, run: Run, shared: Path) -> dict:
    """Judge everything that is at hand."""
    torch.set_num_threads(1)
    test, outside, training = common(folder)
    own = suite(folder)
    answer = {
        "common": judged(run, test, training),
        "common, symmetries": judged(run, test, training, symmetries=True),
        "common, pixels of 0.1 pc": judged(run, coarser(test, 2)),
        "outside": judged(run, outside, training),
        "suite": judged(run, own, own),
    }
    for name, faces in zip(
        ("suite, whole faces", "suite, whole faces, depth told"), whole_faces(folder, own), strict=True
    ):
        answer[name] = judged(run, faces, own)
    if (shared / "simulation").is_dir():
        for which in ("early", "late"):
            answer[f"mhd {which}"] = judged(run, mhd(shared, which, depth=False))
            answer[f"mhd {which}, depth given"] = judged(run, mhd(shared, which, depth=True))
    answer["cores"] = cores(run, folder)
    answer["speed"] = speed(run)
    (folder / "default_model.json").write_text(json.dumps(answer, indent=1))
    return answer


def said(answer: dict) -> str:
    """Return the figures as lines."""
    lines = []
    for name, scores in answer.items():
        if name in ("cores", "speed"):
            continue
        words = []
        for key in ("rmse_dex", "bias_dex", "in_map_dex", "densest_1_percent_rmse_dex", "densest_5_percent_bias_dex",
                    "coverage_0.68", "coverage_0.95", "crps_dex", "rmse / power_law", "rmse / multi_scale"):  # fmt: skip
            value = scores.get(key)
            if isinstance(value, list):
                ends = "" if value[1] is None else f" ({value[1]:.3f}..{value[2]:.3f})"
                words.append(f"{key} {value[0]:.3f}{ends}")
            elif value is not None:
                words.append(f"{key} {value:.3f}")
        lines.append(f"{name}: " + ", ".join(words))
    cores_found = answer["cores"]
    for low in np.arange(21.0, 23.6, 0.25):
        inside = [c for c in cores_found if low <= c["log_column"] < low + 0.25]
        if inside:
            errors = np.array([c["error"] for c in inside])
            lines.append(
                f"cores at log N {low:.2f}-{low + 0.25:.2f}: {len(inside)}, median {np.median(errors):+.2f}, inside 95 % "
                f"{np.mean([c['inside_95'] for c in inside]):.0%}, flagged {np.mean([c['flagged'] for c in inside]):.0%}"
            )
    named = [
        c for c in cores_found if (c["radius_pc"], c["peak"]) == (0.03, 1e5) and c["background"] <= 3.1e21
    ]
    lines.append("n = 1e5, r = 0.03 pc on 1-3e21: " + ", ".join(f"{c['error']:+.2f}" for c in named))
    lines.append(f"1000 x 1000 pixels: {answer['speed']}")
    return "\n".join(lines)


if __name__ == "__main__":
    words = sys.argv[1:]
    shared = Path(words.pop(words.index("--shared") + 1)) if "--shared" in words else Path("../shared/data")
    words = [word for word in words if word != "--shared"]
    chosen = Run.open(words[1]) if len(words) > 1 else Run.pretrained()
    print(said(main(Path(words[0]), chosen, shared)))
