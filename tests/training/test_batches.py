"""Patches in memory: logarithms once, every patch once an epoch, symmetries patch by patch."""

import numpy as np
import pytest
import torch

from polaris_lab.datasets.normalize import symmetry
from polaris_lab.training.batches import Patches, augment, batch_positions


@pytest.mark.parametrize(("count", "size"), [(17, 4), (16, 16), (33, 16), (5, 5), (7, 1)])
def test_batches_hold_every_patch_once_and_are_of_equal_size(count, size):
    batches = list(batch_positions(count, size, np.random.default_rng(0).permutation(count)))
    sizes = [len(batch) for batch in batches]
    assert sorted(np.concatenate(batches)) == list(range(count))
    assert len(batches) == -(-count // size)
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1


def test_input_and_target_turn_together_each_patch_by_its_own():
    x = torch.rand(64, 1, 6, 6)
    symmetries = np.random.default_rng(1).integers(8, size=64)
    inputs, target = augment({"column_density": x, "other": 2 * x}, 3 * x, symmetries)
    assert torch.equal(inputs["column_density"] * 3, target)
    assert torch.equal(inputs["column_density"] * 2, inputs["other"])
    for i, k in enumerate(symmetries):
        assert torch.equal(inputs["column_density"][i : i + 1], symmetry(x[i : i + 1], int(k)))


def test_patches_that_are_not_square_cannot_be_turned():
    with pytest.raises(ValueError, match="expected square maps"):
        augment({"n": torch.rand(2, 1, 6, 8)}, torch.rand(2, 1, 6, 8), np.array([1, 2]))


def test_logarithms_keep_the_digits_of_large_column_densities():
    """log10 is taken in float64: neighbouring float32 column densities stay apart."""
    values = np.full((1, 2, 2), 1e22, dtype=np.float32)
    patches = Patches.from_arrays({"column_density": values}, values / 1e18)
    assert patches.inputs["column_density"].dtype == torch.float32
    assert patches.inputs["column_density"].shape == (1, 1, 2, 2)
    assert float(patches.inputs["column_density"][0, 0, 0, 0]) == pytest.approx(22, abs=1e-6)


def test_loading_names_what_a_dataset_lacks(dataset):
    with pytest.raises(ValueError, match=r"needs 'column_densty'.*did you mean 'column_density'"):
        Patches.load(dataset, "training", inputs=("column_densty",), target="mass_weighted_density")
    with pytest.raises(ValueError, match=r"predicts 'max_density'.*Known: mass_weighted_density"):
        Patches.load(dataset, "training", inputs=("column_density",), target="max_density")
    with pytest.raises(ValueError, match=r"expected patches for dropped, got none of 24"):
        Patches.load(dataset, "dropped", inputs=("column_density",), target="mass_weighted_density")


def test_loading_keeps_the_numbers_of_the_patches(dataset):
    patches = Patches.load(dataset, "validation", inputs=("column_density",), target="mass_weighted_density")
    assert patches.numbers.tolist() == list(range(17, 24))
    assert np.allclose(
        10 ** patches.target[:, 0].double().numpy(),
        dataset.read("mass_weighted_density", range(17, 24)),
        rtol=1e-5,
    )


def test_values_without_a_logarithm_are_refused_with_their_patches():
    good = np.full((4, 3, 3), 10.0)
    for value in (0.0, -1.0, np.inf):
        bad = good.copy()
        bad[2, 1, 1] = value
        with pytest.raises(ValueError, match=r"column_density: expected positive finite.*first \[12\]"):
            Patches.from_arrays({"column_density": bad}, good, numbers=[10, 11, 12, 13])
    bad = good.copy()
    bad[3, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"column_density: expected finite.*first \[3\]"):
        Patches.from_arrays({"column_density": bad}, good)
    bad[3] = np.nan
    with pytest.raises(ValueError, match=r"target: expected a valid pixel.*first \[3\]"):
        Patches.from_arrays({"column_density": good}, bad)
    with pytest.raises(ValueError, match=r"column_density: expected a tensor \(4 patches"):
        Patches.from_arrays({"column_density": good[:2]}, good)
