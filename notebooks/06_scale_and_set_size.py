# %% [markdown]
# # 06 · Working scale, and the size of the training set
#
# **The question.** May a network be used on a map whose pixels have another size than those it learnt from? And how many images does it need?
#
# This notebook follows sections 3.4 and 3.5 of the report (figures 21 to 23).
#
# **You will learn** what "scale" means to a convolution, how to bring a map to other pixels without breaking its physics, how errors fall with more data, and how to tell
# a dip from noise.
#
# **You need** notebook 04 (errors, baseline) and, for the error bars, 05.
#
# **Minutes:** 35 to read and play, of which the computer takes two (at quick scale: a quarter). The studies were made beforehand; to make them anew takes minutes to an hour.

# %%
import tempfile
from pathlib import Path

import pandas as pd
from astropy import units as u
from IPython.display import display

import polaris_lab as lab
from polaris_lab.cli.study import from_file
from polaris_lab.datasets import PatchDataset
from polaris_lab.training import Study, bias_dex, predict, residuals_by_density, rmse_dex, training_set_size
from polaris_lab.training.studies.derived import coarse_map
from widgets import ComplexityExplorer, figures

# %% quick={"epochs": 1, "seeds": [0]} tags=["parameters"]
folder = "classroom"  # with way/ (a training set and a run) and the studies
anew = []  # studies to make anew, of "working_scale", "set_size": minutes to an hour each
epochs = 15  # of the small trainings on 16 to 24 patches
seeds = [0, 1]  # of those trainings

# %% [markdown]
# ## A pixel is a length
#
# A kernel counts pixels. It does not know that a pixel is 0.025 pc. The report's first cube had 0.05 pc a pixel, its second 0.025 pc (1024³ cells in place of 512³, "no physical parameters
# are changed"); real maps have anything.
#
# To bring a map to larger pixels one must say what is kept. Column density is mass per area: a large pixel holds the **mean** of its small ones. The mass-weighted density is a
# mean over mass, and stays one,
#
# $$ N' = \frac{1}{k^2}\sum_{k \times k} N, \qquad \langle n\rangle_M' = \frac{\sum N \langle n \rangle_M}{\sum N} , $$
#
# so that nothing is lost but detail. (The plain mean of $\langle n \rangle_M$ would be wrong: it weighs an empty pixel as much as a core.)

# %%
dataset = PatchDataset.open(Path(folder) / "way" / "dataset.zarr")
run = lab.Run.open(Path(folder) / "way" / "run", dataset=dataset)
rows = dataset.indices("validation")
N, n = dataset.read("column_density", rows), dataset.read(run.target, rows)
columns = {k: coarse_map("column_density", N, N, k) for k in (1, 2, 3)}
truths = {k: coarse_map(run.target, n, N, k) for k in (1, 2, 3)}
sizes = {f"{k * dataset.pixel_size_pc:.3f} pc": k * dataset.pixel_size_pc for k in columns}
patch = dict(zip(sizes, (values[0] for values in columns.values()), strict=True))
figures.map_grid(patch, label="column_density", pixel_size_pc=sizes, width=200)

# %% [markdown]
# *The same patch with three pixel sizes.* The cloud is the same; to the network it is another pattern: filaments are thinner, in pixels, and steeper.
#
# ## Applied as it is
#
# The run of notebook 04 learnt from pixels of 0.025 pc. We give it the held-out maps with larger pixels, as if nothing had changed. Beside it: the same network, but given the fine map, with its *answer* brought
# to the large pixels; and the power law of notebook 04, which was fitted to the fine pixels too.
#
# **Predict before you run:** at twice the pixel size, which is better, the network or the straight line?

# %%
law = lab.fit_power_law(
    *(dataset.read(name, dataset.indices("training")) for name in ("column_density", run.target))
)
fine = predict(run, dataset)
answers = {}
for k in columns:
    halves = {"pixel_size": k * dataset.pixel_size_pc * u.pc, "split": ["validation"] * len(N)}
    coarse = PatchDataset.from_arrays({"column_density": columns[k]}, {run.target: truths[k]}, **halves)
    answers[k] = {
        "as it is": predict(run, coarse).density,
        "at its own pixels": coarse_map(run.target, fine.density, N, k),
        "power law": law(columns[k], pixel_size_pc=k * dataset.pixel_size_pc),
    }
rmse = {f"{k} x": {name: rmse_dex(values, truths[k]) for name, values in answers[k].items()} for k in answers}
bias = {f"{k} x": {name: bias_dex(values, truths[k]) for name, values in answers[k].items()} for k in answers}
pd.concat({"RMS error [dex]": pd.DataFrame(rmse), "bias [dex]": pd.DataFrame(bias)}, axis=1).round(3)

# %%
tolerances = [0.05 * step for step in range(1, 17)]
shares = {
    name: [lab.accuracy(values, truths[2], tolerance_dex=tolerance) for tolerance in tolerances]
    for name, values in answers[2].items()
}
scatter = residuals_by_density(answers[2]["as it is"], truths[2], by="predicted")
figures.accuracy_by_tolerance(tolerances, shares, title="Pixels of 0.05 pc") + figures.residual_bands(
    scatter, title="Network of 0.025 pc, as it is"
)

# %% [markdown]
# *The counterpart of the report's figure 21.* At twice its pixel size the network (0.239 dex) is worse than the straight line (0.233), at three times much worse (0.297 against 0.241). Most of it is a bias, +0.12 and +0.20 dex: the steeper pattern looks like denser gas. Given the fine map it keeps its
# 0.20 dex. Nothing warned us: the maps look as good as ever. A law of single pixels hardly cares about scale; what the network knows beyond it are patterns, and those have a size.
#
# The report goes the other way, with the network of 0.05 pc applied to pixels of 0.025 pc: 0.78 of the pixels within 0.3 dex, against 0.88 for one trained there, and a mean residual of −0.12 dex. The other direction, the other sign, the same loss.
#
# *Two remarks on the report's text.* The new set has 100 pairs and the old one 37, so two things changed at once, resolution and number; figure 21 cannot tell them apart. And its patches went from 6.4 to 3.3 pc: a
# patch of 128 pixels shows less of the cloud.
#
# ## Three treatments, all directions
#
# The study *working_scale* trains a network at each pixel size and judges it at each: as it is (*apply*); trained anew at these pixels (*retrain*); or with the map brought to the pixels of the network, each fine pixel getting
# the density of the large one that it lies in (*downsample*). Same clouds, same number of patches.
#
# **Predict:** downsampling throws detail away. Is it still better than to apply as it is?

# %%
made = {}
for name in anew:
    made[name], runs = from_file(Path(folder) / f"{name}.json", output=Path(tempfile.mkdtemp()) / name)
    print(f"{name}: {len(list(runs))} runs made")
places = {name: made.get(name, Path(folder) / name) for name in ("working_scale", "set_size")}
found = {name: Study.open(path) for name, path in places.items() if (path / "ledger.jsonl").exists()}
for name in places.keys() - found.keys():
    print(f"{name} is not there yet: polaris-lab study {folder}/{name}.json makes it")


def table(study):
    ways = {"columns": ["treatment", "trained_factor"], "index": "applied_factor", "values": "rmse_dex"}
    return study.table().pivot_table(**ways).round(3)


table(found["working_scale"]) if "working_scale" in found else None

# %% [markdown]
# *RMS error in dex; down: pixels of the map, in units of 0.025 pc; across: treatment, and pixels that the network was trained on.* Read each row from *retrain*, which is the best that these patches can give, to the others. The report concludes: train at the size of the map, "otherwise, it is necessary
# to downsample the observation map". The row says what each choice costs. In ours a network of pixels twice as large errs by 0.243 dex on the fine map as it is, by 0.221 if the map is brought to its pixels first, and one trained there by 0.206. The other way, to a coarser map: 0.228 and 0.270 dex as it is, 0.208 and 0.209 retrained. (Larger pixels leave fewer pixels in a patch to learn from; part of the change down the column *retrain* is that.)
#
# In this laboratory a run knows the size of its pixels, and `lab.predict_density` brings an observed map to them by its distance before it predicts (notebook 07). A map coarser than the network cannot be helped so: take a network that was trained there.
#
# ## How many images?
#
# The study *set_size* trains one network on more and more patches of the same clouds; subsets of a seed are nested, the validation clouds are always the same.
#
# **Predict:** from 9 to 144 patches, sixteen times more. By how much does the error fall?

# %%
if "set_size" in found:
    curves = [
        figures.training_set_size(found["set_size"], metric=name, width=330)
        for name in ("accuracy_within_0.3_dex", "rmse_dex")
    ]
    display(curves[0] + curves[1])

# %% [markdown]
# *The counterpart of the report's figure 22, with scatter over seeds and subsets.* The report: 0.72, 0.77, 0.79, 0.77, 0.81 for 7, 19, 39, 59 and 79 images; some +0.03 a doubling. Our network starts from the power law, so even
# a handful of patches cannot do much harm: the curve begins higher and is flatter: 0.215, 0.211, 0.211, 0.209 and 0.206 dex for 9, 18, 36, 72 and 144 patches, some 0.002 a doubling. Two cautions. All runs have the same number of *epochs*, so a small set takes fewer steps. And more patches of the same clouds are not more clouds:
# twelve clouds stay twelve samples of what clouds can be.
#
# ## The dip
#
# The report sees a drop at 59 images and explains it by its batches: what does not fill a batch of 32 is left out of the epoch. Its figure 23 repeats the test with batches of 16 and multiples of it: no drop. Let us count first.

# %%
report = {
    32: {7: 0.722, 19: 0.774, 39: 0.791, 59: 0.770, 79: 0.808},
    16: {8: 0.741, 16: 0.772, 32: 0.803, 48: 0.824, 64: 0.821, 80: 0.833},
}
counts = [
    (batch, size, size // batch * batch or size, accuracy)
    for batch, points in report.items()
    for size, accuracy in points.items()
]
frame = pd.DataFrame(counts, columns=["batch", "images", "seen in an epoch", "accuracy at 0.3 dex"])
frame.assign(unseen=frame["images"] - frame["seen in an epoch"])

# %% [markdown]
# With 59 images 27 are unseen in each epoch, as the report suspects. (Its text speaks of 60 images and 28.) But others come in the next epoch: after many epochs all have been seen. What is lost is speed, not images. And
# notebook 05 found that the same network of the report, trained twice, differs by 0.03 in accuracy. The dip is 0.02. **One training a point cannot show it**; and figure 23 has a fall of its own, from 48 to 64 images.
#
# (*Footnotes.* The caption of figure 23 lists sizes up to 64; the figure goes on to 80. For sets smaller than a batch the code left out one image, which the table above neglects.)
#
# We can make the experiment: small sets, batches of 8, the rest of an epoch kept or dropped. 16 and 24 fill their batches; of 23 patches, seven are dropped in each epoch.
#
# **Predict:** at which of the three sizes do the curves part?

# %%
studies = {}
for remainder in ("keep", "drop"):
    config = lab.TrainingConfig(epochs=epochs, batch_size=8, learning_rate=0.002, remainder=remainder)
    choices = {"sizes": (16, 23, 24), "settings": {"layers": 2, "base_filters": 8}, "seeds": seeds}
    path = Path(tempfile.mkdtemp()) / remainder
    list(training_set_size(dataset, config, path=path, **choices))
    studies[remainder] = Study.open(path)
figures.training_set_size(studies, metric="rmse_dex", title="The rest of an epoch: kept, or dropped")

# %% [markdown]
# *The experiment behind the report's figures 22 and 23.* At 16 and 24 patches both ways are the same computation, so the curves must meet there, to the last digit. At 23 they may part: with 15 epochs and two seeds we found 0.218 dex kept and 0.221 dropped, and bars of 0.003. So the effect, if it is one, has the report's sign, and is no larger than the luck of a seed. (Dropping also means
# two steps an epoch in place of three.) The default here is to keep the rest: an epoch is cut into batches that differ by
# one patch at most.
#
# ## Explore
#
# The same study in a dashboard: choose the score, tap a point, see its runs. Which score gains most from more patches, the RMS error or that of the densest one per cent?

# %%
ComplexityExplorer(places["set_size"])

# %% [markdown]
# ## Exercise
#
# **Exercise.** The column density maps of the Herschel Gould Belt Survey have a beam of 18.2″. At which distance does it span one pixel of 0.025 pc? Which clouds, then, are too far for our network, even with the best
# map? *Self-check:* write the distance in parsecs into the next cell and run it.
#
# <details><summary>Solution</summary>
#
# A radian has 206 265″, so $d = 0.025\,\mathrm{pc} \times 206\,265 / 18.2 = 283$ pc. Taurus (140 pc) and Polaris are nearer, Perseus (about 300 pc) is at the limit; Orion (400 pc) and Aquila are farther: there the beam is wider than a pixel, and a network
# trained on maps without a beam sees smoother gas than it learnt from.
#
# </details>

# %%
my_distance = 0.0  # parsecs
spans = (my_distance * u.pc * (18.2 * u.arcsec).to_value(u.rad)).to_value(u.pc)
print("right" if abs(spans - 0.025) < 0.0003 else f"look again: there the beam spans {spans:.4f} pc")

# %% [markdown]
# <details><summary>For the instructor</summary>
#
# 35 minutes: 15 for scale, 15 for set size and the dip, 5 for the exercise. Let the class bet on network or straight line before the first table. Common misconceptions: *convolutions are scale-free* (they are free of position only);
# *a column density does not change with resolution* (its peaks do); *downsampling loses information, so it must be worse* (what the network cannot read is no information to it); *the explanation fits, so the dip is real* (first the error bar, then the
# explanation); *more patches are more clouds*.
#
# </details>
#
# ## What we learned, and what would break it
#
# - A network belongs to a pixel size. At twice that size ours falls behind a straight line, and says nothing about it.
# - Bring maps to the pixels of the network by mass: mean of $N$, mass-weighted mean of $\langle n\rangle_M$.
# - Errors fall slowly with more patches of the same clouds. Steps, patches and clouds are three different things.
# - A dip of 0.02 with one training a point is no result. Repeat, then explain.
# - *What would break it:* a wrong distance, which is a wrong pixel size; a beam that the training maps did not have; clouds with structure on
#   scales that no patch shows; a validation set that grows together with the training set.
#
# Numbers in the text: the cells above with `classroom/way` (`polaris-lab demo`), November 2026, CPU; those of the report read off its figures (± 0.002 on size curves). The studies: `polaris-lab study classroom/working_scale.json` and `classroom/set_size.json`.
#
# **References.** Ph. André et al. 2010, [doi:10.1051/0004-6361/201014666](https://doi.org/10.1051/0004-6361/201014666) (Herschel Gould Belt Survey);
# P. Palmeirim et al. 2013, [doi:10.1051/0004-6361/201220500](https://doi.org/10.1051/0004-6361/201220500) (18.2″ column density maps);
# J. Hestness et al. 2017, [doi:10.48550/arXiv.1712.00409](https://doi.org/10.48550/arXiv.1712.00409) (error against training-set size).
#
# **Next:** [07 · Observations](07_observations.ipynb) · [all notebooks](00_start_here.ipynb)
