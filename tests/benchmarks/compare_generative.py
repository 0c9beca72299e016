"""Flow matching, diffusion and an invertible network at equal CPU time, on clouds that none of them has seen.

    python tests/benchmarks/compare_generative.py --seconds 60

Clouds of the kind "fbm" (64^3, three lines of sight each), with another spectrum, width and tail for each; nine to learn
from, three held out. Every model trains for the same CPU time on one thread, and is then judged by 16 samples of each
held-out map: error of their mean and of a single one, CRPS, spread, and how often one spread holds the truth.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from polaris_lab.clouds import column_density, mass_weighted_density, synthetic_cloud
from polaris_lab.estimators import fit_power_law
from polaris_lab.models import Blueprint, build_model, parameter_count
from polaris_lab.training import Patches, TrainingConfig, fit_generative, rmse_dex
from polaris_lab.training.samples import mean_of_samples, sample_patches, spread_report

TRAINING_CLOUDS, TEST_CLOUDS, SAMPLES = 9, 3, 16
MODELS = {
    "flow_matching": (4, 8, 16),
    "diffusion": (8, 16, 50),
    "invertible": (1,),
}
"""Presets, and the numbers of steps with which their samples are drawn."""


def maps(clouds: range) -> tuple[np.ndarray, np.ndarray]:
    """Return column densities and mass-weighted densities of all clouds along all axes."""
    pairs = []
    for seed in clouds:
        rng = np.random.default_rng([2, seed])
        cloud = synthetic_cloud(
            64,
            seed,
            kind="fbm",
            spectral_slope=rng.uniform(3.2, 3.9),
            pdf_width=rng.uniform(1.1, 1.7),
            tail_slope=rng.uniform(1.6, 3.0),
        )
        for axis in "zyx":
            pairs.append((column_density(cloud, axis=axis), mass_weighted_density(cloud, axis=axis)))
    return tuple(np.stack([np.asarray(pair[part]) for pair in pairs]) for part in (0, 1))


def train(
    name: str, training: Patches, watched: Patches, seconds: float
) -> tuple[torch.nn.Module, int, float]:
    """Return the model after so much CPU time, its epochs, and the time that it took."""
    blueprint = Blueprint.preset(name, layers=2, base_filters=12)
    choices = {"batch_size": 9, "learning_rate": 2e-3, "device": "cpu"}

    def run(epochs: int) -> tuple[torch.nn.Module, float]:
        model = build_model(blueprint, seed=0).fit_constants(training.inputs, training.target)
        start = time.process_time()
        for _ in fit_generative(model, training, watched, config=TrainingConfig(epochs=epochs, **choices)):
            pass
        return model, time.process_time() - start

    run(1)  # loads what is loaded once
    _, each = run(4)
    epochs = max(2, round(4 * seconds / each))
    model, spent = run(epochs)
    return model, epochs, spent


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60, help="CPU time of each training")
    seconds = parser.parse_args().seconds
    torch.set_num_threads(1)
    column, density = maps(range(TRAINING_CLOUDS))
    unseen, truth = maps(range(TRAINING_CLOUDS, TRAINING_CLOUDS + TEST_CLOUDS))
    training = Patches.from_arrays({"column_density": column}, density)
    watched = Patches.from_arrays(
        {"column_density": column[:2]}, density[:2]
    )  # costs little, decides nothing
    law = fit_power_law(column, density)
    print(f"{len(column)} maps to learn from, {len(unseen)} held out; dex")
    print(f"power law: RMSE {rmse_dex(law(unseen), truth):.3f}")
    print(
        "model, steps | mean of 16: RMSE | one sample: RMSE | CRPS | spread | within one spread | CPU s a sample"
    )
    for name, numbers in MODELS.items():
        model, epochs, spent = train(name, training, watched, seconds)
        count = parameter_count(model.blueprint)
        print(f"{name}: {count} parameters, {epochs} epochs, {spent:.0f} CPU s of training")
        for steps in numbers:
            start = time.process_time()
            drawn = sample_patches(
                model, {"column_density": unseen}, samples=SAMPLES, steps=steps, batch_size=3
            )
            each = (time.process_time() - start) / (SAMPLES * len(unseen))
            report = spread_report(drawn, truth)
            single = np.mean([rmse_dex(one, truth) for one in drawn])
            print(
                f"  {name}, {steps} | {rmse_dex(mean_of_samples(drawn), truth):.3f} | {single:.3f} | "
                f"{report['crps_dex']:.4f} | {report['spread_dex']:.3f} | {report['coverage_68']:.0%} | {each:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
