# %% [markdown]
# # 05 · Complexity, and Kolmogorov-Arnold networks
#
# **The question.** Is a larger network a better one? Is a cleverer one? And how many trainings does it take to answer?
#
# This notebook follows sections 3.2 and 3.3 of the report (figures 14 to 20). The report trained each network once; here each has more than one seed,
# and that changes what can be said.
#
# **You will learn** what layers and filters cost, how to read a complexity map with error bars, why accuracy rewards blur, what Kolmogorov-Arnold networks (KANs) add,
# and how to read a formula off one.
#
# **You need** notebooks 03 (U-Net, KAN) and 04 (RMS error in dex, baselines).
#
# **Minutes:** 40 to read and play, of which the computer takes one (at quick scale: a third). The studies were made beforehand; to make them anew takes minutes to an hour.

# %%
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

import polaris_lab as lab
from polaris_lab.cli.study import from_file
from polaris_lab.datasets import PatchDataset
from polaris_lab.models.kan import fit_formula, learned_curve
from polaris_lab.training import Study, compare_spectra, predict
from widgets import ComplexityExplorer, figures

# %% quick={"epochs": 2} tags=["parameters"]
folder = "classroom"  # with way/ (a training set and a run) and the studies
anew = []  # studies to make anew, of "complexity", "convolutions", "architectures": minutes to an hour each
epochs = 8  # of the short training of a KAN
seed = 0  # of its first weights

# %% [markdown]
# ## What complexity costs
#
# Two numbers set the size of a U-Net: the **layers** (how often it halves the image) and the **base filters** (channels of the first convolution, doubled at each
# layer). Nearly all weights sit in the deepest convolutions, which take $2^{L-1} F$ channels to $2^L F$:
#
# $$ \text{parameters} \;\propto\; \big(2^{L} F\big)^2 = 4^L F^2 . $$
#
# **Predict before you run:** from 3 layers and 8 filters, which grows the network more: one more layer, or twice the filters?


# %%
def parameters(layers, filters):
    network = lab.build_model(lab.Blueprint.preset("unet", layers=layers, base_filters=filters))
    return sum(part.numel() for part in network.parameters())


filters = (4, 8, 16, 32)
rows = {f"{layers} layers": [parameters(layers, f) for f in filters] for layers in (2, 3, 4)}
pd.DataFrame(rows, index=[f"{f} filters" for f in filters]).T

# %% [markdown]
# Either costs about four times as much. But they buy different things: filters buy more patterns at each scale, a layer buys a wider view. The report went up to 5 layers and 80 filters, about a hundred million
# numbers (in our implementation), for 29 training images of 128 × 128 pixels: 200 weights for each pixel that it learns from.
#
# ## The complexity map
#
# Each cell below is a U-Net that was trained for 30 epochs on the 144 patches of notebook 04, with two seeds, and judged on 60 patches of five held-out clouds.
#
# **Predict:** how much better is the best cell than the worst?

# %%
made = {}
for name in anew:
    made[name], runs = from_file(Path(folder) / f"{name}.json", output=Path(tempfile.mkdtemp()) / name)
    print(f"{name}: {len(list(runs))} runs made")
places = {
    name: made.get(name, Path(folder) / name) for name in ("complexity", "convolutions", "architectures")
}
found = {name: Study.open(path) for name, path in places.items() if (path / "ledger.jsonl").exists()}
complexity = found["complexity"]
maps = [figures.complexity_map(complexity, metric=name, width=330) for name in ("rmse_dex", "cpu_seconds")]
maps[0] + maps[1]

# %%
summary = complexity.summary("rmse_dex")
print(f"scatter between the cells: {summary['mean'].std():.4f} dex")
print(f"scatter between seeds of one cell: {np.sqrt((summary['std'] ** 2).mean()):.4f} dex")
summary.sort_values("mean").round(4)

# %% [markdown]
# *The counterpart of the report's figure 14, as an error (small is good) with scatter over the seeds, and what a training costs.* The smallest network (2 layers, 4 filters, 3 821 numbers) reaches 0.209 dex; 3 layers with 16 filters, 64 times
# larger, 0.205; the largest (4 layers, 16 filters, a million numbers) 0.203. The power law stands at 0.227. So most of what a network can add is there with a few thousand numbers, and the
# rest of the map is nearly flat: compare the two scatters that the cell printed.
#
# The report found more accuracy with *fewer* layers. Its map, read back below, has one training a cell. Is there anything in it but chance? One cell can be checked: 64 filters and 4 layers has 0.824 in the map and 0.86
# in the report's figure 13. The same network twice, and a difference of 0.03.

# %%
names = {"columns": [8, 16, 32, 48, 64, 80], "index": [2, 3, 4, 5]}
report = pd.DataFrame([[.843, .854, .868, .870, .874, .883], [.829, .824, .854, .870, .839, .857],
                       [.819, .828, .833, .837, .824, .869], [.788, .814, .774, .850, .815, .775]], **names)  # fmt: skip
knet = pd.DataFrame([[.845, .853, .854, .857, .869, .847], [.837, .826, .854, .854, .836, .861],
                     [.775, .792, .828, .797, .818, .844], [.776, .786, .746, .785, .791, np.nan]], **names)  # fmt: skip
print("report, mean accuracy by layers:", report.mean(axis=1).round(3).to_dict())
print("report, mean accuracy by filters:", report.mean().round(3).to_dict())
change = (knet - report).stack().dropna()
error = change.std() / np.sqrt(len(change))
print(f"report, K-Net minus U-Net: {change.mean():.3f} ± {error:.3f}, over {len(change)} pairs of cells")

# %% [markdown]
# A single cell proves nothing, but a row holds six, and the fall with the layers (0.87, 0.85, 0.84, 0.80) is larger than their noise: with 2000 steps and 29 images a deep network was not yet trained, or over-trained. The
# filters matter less. The best cell (0.883) is mostly luck: see the exercise.
#
# Now look for yourself: choose another score, tap a cell, open its runs. Does the map of the *densest one per cent* look like that of the RMS error?

# %%
ComplexityExplorer(places["complexity"])

# %% [markdown]
# ## Accuracy rewards blur
#
# The report warns that its accuracy "can be higher even for a blurred prediction". That can be tested without any network: we blur *the truth itself*, and score it.
#
# **Predict:** how many pixels of blur until the truth scores worse than the network of notebook 04?

# %%
dataset = PatchDataset.open(Path(folder) / "way" / "dataset.zarr")
run = lab.Run.open(Path(folder) / "way" / "run", dataset=dataset)
truth = dataset.read(run.target, dataset.indices("validation"))
maps = {"network": predict(run, dataset).density}
for width in (1, 2, 4):
    maps[f"truth, blurred by {width} px"] = 10 ** ndimage.gaussian_filter(np.log10(truth), (0, width, width))
for name, densities in maps.items():
    fine = compare_spectra(densities, truth).ratio[-8:].mean()
    share = lab.accuracy(densities, truth, tolerance_dex=0.3)
    print(f"{name:22}: {share:.1%} within 0.3 dex; {fine:.1%} of the power at the finest scales")
shown = {"truth": truth[0]} | {name: densities[0] for name, densities in maps.items()}
figures.map_grid(shown, label="mass_weighted_density", pixel_size_pc=dataset.pixel_size_pc, width=200)

# %% [markdown]
# *The argument of the report's figure 15, made sharp.* The truth without any structure below four pixels scores 90 %, better than our network (87 %) and every network of the report. An accuracy at 0.3 dex is a statement on large scales. Ask for the
# power at fine scales too (notebook 04), or for the densest pixels: there a blurred map fails at once.
#
# ## One convolution or two?
#
# The original U-Net has two convolutions in each block, the report's one; it saw no gain from two (figure 16). Ours, for the same layers and filters, with two seeds:


# %%
both = ["mean", "std"]
kept = {"parameters": "first", "cpu_seconds": "mean", "rmse_dex": both, "densest_1_percent_rmse_dex": both}


def table(name):
    if name not in found:
        return print(f"{name} is not there yet: polaris-lab study {folder}/{name}.json makes it")
    return found[name].table().groupby(list(found[name].axes), sort=False).agg(kept).round(4)


table("convolutions")

# %% [markdown]
# *The counterpart of the report's figure 16.* Read it as a physicist reads two measurements: subtract, and compare with the scatter. A difference below the scatter of the seeds is no result, whichever sign it has; if
# there is none, take the cheaper network. Ours: with 8 filters 0.2062 ± 0.0024 dex for one convolution and 0.2050 ± 0.0010 for two; with 16 filters 0.2049 ± 0.0001 and 0.2052 ± 0.0016. No difference, for twice the numbers.
#
# ## Networks with Kolmogorov-Arnold parts
#
# A KAN learns a curve on each edge (notebook 03). The report puts KANs in three places:
#
# - **K-Net**: only the last convolution is a KAN (figure 17). In the report's map it is lower by 0.017 ± 0.004, as the cell above found by pairs: small, but no chance.
# - **U-Net + KAN**: a KAN $1 \to 10 \to 10 \to 10 \to 1$ of the column density alone runs beside the U-Net, and the answers are added (figures 18, 19). The report sees less scatter and less under-estimate at the dense end, and
#   asks whether that is the KAN or only more numbers to fit.
# - **U-KAN**: the deepest convolutions are KANs (figure 20). The report sees no gain.
#
# **Predict:** rank them, with the plain U-Net and the KAN alone, by their error on clouds never seen.

# %%
table("architectures")

# %% [markdown]
# *The counterparts of the report's figures 17, 19 and 20 in one table: 3 layers, 8 filters, two seeds each.* Watch two rows. The KAN alone sees single pixels; its distance to the U-Net is what the surroundings are worth. And U-Net + KAN
# has no power law to start from, as the plain U-Net has: there the KAN *is* the law, found by itself. We found: U-Net 0.206 ± 0.002 dex, K-Net 0.206 ± 0.001, U-KAN 0.206 ± 0.0004 with four times the numbers, U-Net + KAN 0.211 ± 0.002 (product: 0.212 ± 0.001), the KAN alone 0.223. So on these clouds no KAN part gains anything over the U-Net that starts from the law, and a law that must be found costs 0.005. What the surroundings of a pixel are worth: 0.016 dex. The report's gain from U-Net + KAN was over a U-Net *without* a law; that may be its answer: such a U-Net has to spend filters on a curve that ten neurons draw better.
#
# ## Reading the law off a KAN
#
# The KAN alone is a curve, so it can be drawn and replaced by a formula. We train one now.
#
# **Predict:** steeper or flatter than the power law $n \propto N^{1.09}$ in the dense gas?

# %%
config = lab.TrainingConfig(epochs=epochs, batch_size=8, learning_rate=0.01, seed=seed)
kan = lab.Run.create(Path(tempfile.mkdtemp()) / "kan", lab.Blueprint.preset("just_kan"), dataset, config)
kan.train(progress=False)
curve = learned_curve(kan.model())
formula = fit_formula(curve.x, curve.y, tolerance=0.05)
print(
    f"validation: {kan.best.validation_rmse_dex:.3f} dex after {epochs} epochs (power law 0.227, U-Net 0.205)"
)
print(f"log10 n = {formula.expression}, x = log10 N_H; RMS difference from the curve {formula.rms:.3f} dex")
pixels = [
    dataset.read(name, dataset.indices("validation")).ravel()[::40] for name in ("column_density", run.target)
]
figures.learned_curves(curve, formula=formula, pixels=tuple(pixels), title="The law that the KAN has found")

# %% [markdown]
# *What the report calls the symbolic use of a KAN (its figure 18), carried to the end.* Grey: held-out pixels; shaded: where nearly all training pixels lie; dashed: the formula. The curve steepens: dense gas is more concentrated along the line of sight than thin gas. Outside of the shade
# it is guessing. The formula is short, and that is its whole charm: on clouds never seen it is hardly better than the power law, because what is missing is not
# a better curve but the surroundings.
#
# ## Exercise
#
# **Exercise.** The report's map has 24 cells. Suppose that all 24 networks were equally good and each training scattered by 0.03 in accuracy. By how much would the best cell stand above the mean? *Self-check:* write the number into the next cell and run it.
#
# <details><summary>Solution</summary>
#
# The largest of 24 draws from a Gaussian lies on average 1.95 standard deviations above the mean: 0.058. The report's best cell stands 0.046 above the mean of its map. Picking the best of many noisy
# cells promises a gain that a second training will not keep (the "winner's curse"). Hence: several seeds, and a last test on data that did not choose.
#
# </details>

# %%
my_gain = 0.0  # your number
maxima = np.random.default_rng(0).normal(0, 0.03, (20_000, 24)).max(axis=1)
print(
    "right"
    if abs(my_gain - maxima.mean()) < 0.004
    else "look again: draw 24 numbers, keep the largest, repeat"
)

# %% [markdown]
# <details><summary>For the instructor</summary>
#
# 40 minutes: 5 for counting, 15 for the map and its noise, 10 for blur, 10 for KANs. The blurred truth is the part that students remember: take bets first. Common misconceptions: *more parameters, better network*; *the best cell of a scan
# is the best network*; *an error bar from pixels is enough* (it must come from seeds and clouds); *a KAN is interpretable, so a U-KAN is* (only the lone curve is); *a formula that fits is a law of nature* (it is a fit to these clouds). Time left?
# Let groups make a study anew with other seeds (`anew`) and pool the results.
#
# </details>
#
# ## What we learned, and what would break it
#
# - Size costs $4^L F^2$. On these clouds a few thousand numbers do nearly as well as a quarter of a million.
# - A map of single trainings is mostly noise; rows and pairs of cells can be averaged, the best cell cannot be trusted.
# - Accuracy at 0.3 dex forgives a blur of four pixels. It cannot choose between networks.
# - KANs inside a U-Net are refinements within the scatter or below; a KAN alone gives a law that can be read.
# - *What would break it:* more clouds or finer detail may favour larger networks; equal epochs are not equal training (a large network may need more steps); seeds share
#   the same five validation clouds, so the scatter over seeds leaves out the luck of the clouds.
#
# Numbers in the text: `polaris-lab study classroom/complexity.json` (also `convolutions.json`, `architectures.json`), November 2026, CPU; the report's were read off its figures (± 0.005).
#
# **References.** Z. Liu et al. 2024, [doi:10.48550/arXiv.2404.19756](https://doi.org/10.48550/arXiv.2404.19756);
# Z. Li 2024, [doi:10.48550/arXiv.2405.06721](https://doi.org/10.48550/arXiv.2405.06721);
# C. Li et al. 2024, [doi:10.48550/arXiv.2406.02918](https://doi.org/10.48550/arXiv.2406.02918) (U-KAN);
# O. Ronneberger, P. Fischer & T. Brox 2015, [doi:10.1007/978-3-319-24574-4_28](https://doi.org/10.1007/978-3-319-24574-4_28).
#
# **Next:** [06 · Working scale, size of the training set](06_scale_and_set_size.ipynb) · [all notebooks](00_start_here.ipynb)
