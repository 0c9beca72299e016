# %% [markdown]
# # 09 · Several inputs, and volumes
#
# **The question.** A column density map adds up everything along the line of sight. A line of ¹³CO sorts the same gas by its velocity. Does a
# network that is given both find the density better, and can it say *where* along the line of sight the gas lies?
#
# This notebook follows sections 7.1.2 to 8.3 and appendix E of the report. Their headings stand there without text; their figures exist, and we compare with
# them. It also fills the heading *diffusion models*, which the report left empty.
#
# **You will learn** how a network takes several inputs, what to do when one of them is missing, what several outputs cost, how a network is made to keep
# the column density exactly when it answers with a cube, why velocity is not depth, and what a network that draws *samples* knows that others do not.
#
# **You need** notebook 03 (U-Net), 04 (errors in dex, held-out clouds) and 08 (line cubes, moments).
#
# **Minutes:** 60 to read and play, of which the computer takes seven (at quick scale: less than a half).

# %%
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from astropy import units as u

import polaris_lab as lab
from polaris_lab.datasets import EmissionConfig
from polaris_lab.training import compare_spectra, predict, predict_volumes, volume_scores
from polaris_lab.training.samples import mean_of_samples, spread_of_samples, spread_report
from widgets import VolumeViewer, figures

# %% quick={"size": 32, "count": 3, "epochs": 1, "compared": ["moments"], "companies": ["three"]} tags=["parameters"]
size = 64  # cells along each side of the clouds; patches are half as wide
count = 16  # synthetic clouds, three in ten of them held out
cube_paths = []  # files of your own clouds: cubic, of one size, with temperature and velocity
compared = ["integral", "moments", "projection", "spectra"]  # ways of showing the line; moments must be one
companies = ["one output", "three", "three, no line"]  # trainings of several outputs
layers = 16  # cells along the line of sight of the predicted cubes
epochs = 15  # of each training
seed = 0  # of first weights and the order of patches

# %% [markdown]
# ## What the line can tell
#
# For every patch we compute the ¹³CO 1-0 cube $T(v)$ (notebook 08: LTE, one abundance everywhere, no noise) and show it to networks in four ways:
#
# - its **integral** $W = \int T\,\mathrm{d}v$, one map;
# - its **moments**: $W$, the mean velocity $\langle v\rangle = \int v\,T\,\mathrm{d}v / W$, the dispersion $\sigma_v$ with $\sigma_v^2 = \int (v - \langle v\rangle)^2\, T\,\mathrm{d}v / W$, and the peak of $T$: four maps;
# - a **learnt projection**: each map is a sum of channels, with weights that training finds;
# - features of each **spectrum**: a small network along $v$, the same for every pixel. (This one is ours; the others are those of the report, section 7.1.2, whose text is missing.)
#
# As targets we take the mass-weighted density $\langle n\rangle_M$, the largest density on the line of sight $n_\mathrm{max}$, the number of components, and the cube of gas itself.

# %%
rng = np.random.default_rng(0)
clouds = [lab.SimulationCube.open(path) for path in cube_paths] or [
    lab.synthetic_cloud(
        size, 100 + k, mach_number=rng.uniform(4, 10), mean_density=10 ** rng.uniform(2.5, 3.5) / u.cm**3
    )
    for k in range(count)
]
moments = ("integrated_intensity", "centroid_velocity", "velocity_dispersion", "peak_temperature")
targets = ("mass_weighted_density", "max_density", "number_of_components", "density_cube")
config = lab.PatchConfig(
    patch_size=size // 2,
    split_by="cloud" if len(clouds) > 1 else "slab",
    validation_fraction=0.3,
    quantities=("column_density", "ppv_cube", *moments, *targets),
    learned=("number_of_components",),
    depth_cells=layers,
    offset=0.0,
    emission=EmissionConfig(channel_width_km_s=0.5, channel="average"),
)
folder = Path(tempfile.mkdtemp(prefix="several_inputs_"))
dataset = lab.build_dataset(clouds, config, folder / "dataset.zarr", progress=False)
held_out, pixel = dataset.indices("validation"), dataset.pixel_size_pc
print(dataset.describe_split(), f"{len(dataset.velocity)} channels.")
shown = [dataset.read(name, held_out[:1])[0] for name in ("column_density", *moments[:3])]
labels = ("column_density", "integrated_intensity", "centroid_velocity", "sigma_v [km s^-1]")
titles = ("Column density", "Integrated intensity", "Mean velocity", "Velocity dispersion")
maps = [
    figures.sky_map(m, label=name, pixel_size_pc=pixel, log=title == "Column density", title=title, width=230)
    for m, name, title in zip(shown, labels, titles, strict=True)
]
(maps[0] + maps[1] + maps[2] + maps[3]).cols(2)

# %% [markdown]
# *One held-out patch: what the dust shows, and three of the moments of the line.* The integral resembles the column density, with its bright end flattened by opacity. The velocity maps do not:
# they are what is new.
#
# ## One encoder for each input
#
# How should a network join inputs of such different kinds? The report's *MultiNet* gives each its own encoder. At every level $l$ their features are concatenated and merged by a convolution, and only the merged ones are
# pooled, carried over the skip connections and decoded:
#
# $$m_l = \mathrm{merge}\big(e_l^{\,N},\; e_l^{\,\mathrm{line}}\big), \qquad e_{l+1}^{\,N} = \mathrm{conv}(\mathrm{pool}(m_l)) .$$
#
# (The report merges with a KAN, `merge="kan_convolution"` here, and calls it slightly better and slower.) The column density is always given: where gas is dense, ¹³CO is opaque, and in real clouds frozen out.
#
# Below, six small networks with the same clouds, steps and first seed; two outputs each, $\langle n\rangle_M$ and $n_\mathrm{max}$. All start from a power law of the column density (notebook 04), except one that has to find it.
#
# **Predict before you run:** in the report the share of pixels within 0.3 dex rises from 0.71 without the line to 0.85 with its integral. Will ours rise as much? Which way of showing the line is best?


# %%
def train(name, preset, input_dropout=0.0, **settings):
    blueprint = lab.Blueprint.preset(preset, **({"layers": 2, "base_filters": 8} | settings))
    choices = {"learning_rate": 0.004, "seed": seed, "input_dropout": input_dropout}
    config = lab.TrainingConfig(epochs=epochs, batch_size=8, **choices)
    return lab.Run.create(folder / name, blueprint, dataset, config).train(progress=False)


cube = {"velocity_channels": len(dataset.velocity), "channel_width": 0.5}
ways = {
    "column alone": ((), {}, (0.711, 0.774)),
    "no power law": ((), {"residual": False}, (np.nan, np.nan)),
    "integral": (moments[:1], {}, (0.854, 0.832)),
    "moments": (moments, {}, (0.821, 0.805)),
    "projection": (("ppv_cube",), cube | {"line": "projection", "line_features": 8}, (0.803, 0.736)),
    "spectra": (("ppv_cube",), cube | {"line": "spectra", "line_features": 8}, (np.nan, np.nan)),
}
runs, judged, rows = {}, {}, {}
for name in ("column alone", "no power law", *compared):
    more, settings, report = ways[name]
    given = {"inputs": ("column_density", *more), "extra_outputs": targets[1:2], "scale_equivariant": False}
    runs[name] = train(name, "multi_input", **given, **settings)
    for target, theirs in zip(targets[:2], report, strict=True):
        one = judged[name, target] = lab.evaluate(runs[name], dataset, name=name, target=target)
        ratio = one.ratio(judged["column alone", target])
        within = np.interp(0.3, one.accuracy["tolerance_dex"], one.accuracy["mean"])
        rows[target, name] = {
            "RMSE [dex]": one.score("rmse_dex"),
            "of column alone": ratio,
            "within 0.3 dex": round(within, 3),
            "report": theirs,
        }
pd.DataFrame(rows).T

# %%
curves = [
    {name: one.accuracy["mean"] for (name, which), one in judged.items() if which == target}
    for target in targets[:2]
]
tolerances = judged["column alone", target].accuracy["tolerance_dex"]
figures.accuracy_by_tolerance(tolerances, curves[0], title="⟨n⟩_M", width=330) + (
    figures.accuracy_by_tolerance(tolerances, curves[1], title="n_max", width=330)
)

# %% [markdown]
# *Share of pixels within a tolerance: the counterpart of the figures that belong to the report's sections 8.1 and 8.2. Its accuracies at 0.3 dex stand in the last column of the table (± 0.01).* Ours lie on top of each other, and
# far above the report's. At full scale the line brings 0 to 2 % of the error, and every interval of the ratio holds 1: five clouds cannot tell these networks apart. The exception is the network without a power law, worse by 3 %: that handicap costs more than any line brings.
#
# Why did the report see so much more? Its network without a line reaches 0.71, while its plain U-Net of section 3.1, which sees nothing but a column density either, reaches 0.86. The two may rest on different sets, so this is no proof. But it is a
# warning: before a gain is credited to an input, the network *without* it must be as good as it can be. Part of the report's gain of 0.14 may be the weakness of what it was compared with.
#
# And ours is no last word. Our clouds are made by a generator, our line has no noise and one abundance; in gas with gravity and magnetic fields velocities may tell more. To settle it takes more clouds, not more epochs: `count` is a knob.
#
# ## When the line is missing
#
# Line cubes cover small fields. Must there be a second network for the rest of the map? Each input but the column density may be missing here: a network then gets zeros in its place, and a mask that tells these from measured zeros. But it has to be *used* to that. **Input dropout** blanks each optional input of a
# patch with a given probability in training, so that one network learns to serve both kinds of maps.
#
# **Predict:** we take the line away from the network of the moments, which never missed it, and from one that was trained with half of its inputs blanked. Which is worse than a network that never heard of lines?


# %%
def without_line(column_density, *, pixel_size_pc):
    seen = {"column_density": torch.from_numpy(np.log10(column_density))[:, None]}
    with torch.no_grad():
        return 10 ** model(seen)["mass_weighted_density"][:, 0].numpy()


usual = {"inputs": ("column_density", *moments), "extra_outputs": targets[1:2], "scale_equivariant": False}
used_to_it = train("used to it", "multi_input", input_dropout=0.5, **usual)
errors = {}
for name, run in (("never missed it", runs["moments"]), ("input dropout", used_to_it)):
    model, with_line = run.model().eval(), lab.evaluate(run, dataset)
    without = lab.evaluate(without_line, dataset)
    errors[name] = {"with line": with_line.score("rmse_dex"), "without": without.score("rmse_dex")}
    errors[name] |= {"without, of column alone": without.ratio(judged["column alone", targets[0]])}
pd.DataFrame(errors).T

# %% [markdown]
# The network that never missed its line does worse without it than one that never had it (by 3.5 %, and the interval of this ratio excludes 1): it leans on what is gone. With input dropout the loss is gone too, 0.175 dex against the 0.174 of the column alone, and the price is paid with the line: 0.175 instead of 0.172.
# One network serves both kinds of maps, about as well as the specialist for the poorer kind. So give dropout to every network that will meet real maps.
#
# ## Several outputs
#
# The report's appendix E.1 lets one U-Net answer several questions at once. The decoder is shared, and each target takes its own channels at the end. That costs hardly any parameters. But the *losses* are added,
# and the network serves the sum:
#
# $$\mathcal{L} = \mathrm{MSE}\big(\log n\big) + \mathrm{MSE}\big(\log n_\mathrm{max}\big) + \mathrm{MSE}\big(\text{components}\big) .$$
#
# The first two are squares of about 0.2 dex. The third is the square of an error in a *count*, of about one half.
#
# **Predict:** does the error of $\langle n\rangle_M$ fall or rise in company? Could the components be counted from the column density alone?

# %%
extras = {"one output": (moments, ()), "three": (moments, targets[1:3]), "three, no line": ((), targets[1:3])}
table, components = {}, dataset.read("number_of_components", held_out)
table["two"] = {"<n>_M [dex]": judged["moments", targets[0]].score("rmse_dex")}
for name in companies:
    more, extra = extras[name]
    given = {"inputs": ("column_density", *more), "extra_outputs": extra, "scale_equivariant": False}
    run = train(name, "multi_input", **given)
    table[name] = {"<n>_M [dex]": lab.evaluate(run, dataset).score("rmse_dex")}
    if extra:
        counted = predict(run, dataset, target="number_of_components").density
        table[name] |= {"components": round(np.sqrt(np.mean((counted - components) ** 2)), 3)}
print(f"answering {components.mean():.2f} components everywhere would be wrong by {components.std():.3f}")
pd.DataFrame(table).T

# %% [markdown]
# Two densities get along: 0.172 dex together, 0.170 alone, no more than seeds differ (notebook 05). The count does not: in its company $\langle n\rangle_M$ gets worse by a tenth, to 0.189 dex, because two thirds of the loss, and more at first, are about components. Targets that share a network must be brought to one
# scale, or trained apart. (The report's appendix E.2, a loss of one's own, is `lab.training.register_loss`.)
#
# The components themselves: wrong by 0.40 with the line, by 0.57 without, and by 0.60 if one always answers the mean. *This* is what the line knows and the column density does not: hardly any of it can be seen in a map without velocities.
#
# ## Velocity is not depth
#
# The most ambitious task is the report's section 8.3: turn position-position-velocity into position-position-*position*. It had no success with any network. Why? Let us look at one cut through the gas, and at the same cut through the line cube.
#
# **Predict:** on what share of the lines of sight does velocity increase with depth, on the whole?


# %%
def rises(cloud, axis):
    n, v = (np.moveaxis(np.asarray(f), axis, 0) for f in (cloud.density, cloud.velocity["zyx"[axis]]))
    z = np.arange(len(n))[:, None, None] - (n * np.arange(len(n))[:, None, None]).sum(0) / n.sum(0)
    return (n * z * (v - (n * v).sum(0) / n.sum(0))).sum(0) > 0


signs = [rises(cloud, axis).mean() for cloud in clouds for axis in range(3)]
print(
    f"velocity rises with depth on {np.mean(signs):.0%} of all lines of sight (a face: {min(signs):.0%} to {max(signs):.0%})"
)
truth, line = dataset.read("density_cube", held_out), dataset.read("ppv_cube", held_out)
patch, row = 0, int(dataset.read("column_density", held_out[:1])[0].max(axis=1).argmax())
square = clouds[0].shape[0] // layers  # a layer is so many pixels thick
cut = figures.sky_map(
    np.repeat(truth[patch][:, row], square, axis=0),
    label="density",
    pixel_size_pc=pixel,
    title="Gas: depth upwards",
    width=300,
)
cut + figures.sky_map(
    line[patch][:, row], label="brightness_temperature", log=False, title="Line: channels upwards", width=300
)

# %% [markdown]
# *One row of the patch. Left, the gas in depth; right, its line in velocity.* The horizontal place is the same in both, the vertical order is not. On the left gas fills six parsec of depth in several layers; on the right nearly all of it shines in two or three channels, because it moves alike. Bright channels gather gas of one *motion*, from near and far.
# If velocity were depth, the share printed above would be 100 % (or 0, for a cloud that collapses). It is 41 % over all lines of sight, and anything from 8 to 79 % for single faces: what order there is comes from the largest motions of a cloud, and has another sign in the next one. A network cannot learn a rule that does not exist.
#
# ## A head that keeps the column
#
# One thing about the cube is known exactly: its sum along each line of sight. So the network should not have to learn it. It answers with numbers $a_k$ for the $K$ layers, and a softmax shares the column out:
#
# $$w_k = \frac{e^{a_k}}{\sum_j e^{a_j}}, \qquad n_k = \frac{N_\mathrm{H}}{\Delta z}\,w_k, \qquad \langle n\rangle_M = \frac{N_\mathrm{H}}{\Delta z}\sum_k w_k^2, \qquad n_\mathrm{max} = \frac{N_\mathrm{H}}{\Delta z}\max_k w_k .$$
#
# Whatever the weights, $\sum_k n_k\,\Delta z = N_\mathrm{H}$ and $N_\mathrm{H}/L \le \langle n\rangle_M \le n_\mathrm{max}$. The loss of the cube compares how the gas is shared out from front to back, and takes the better of the cube and its mirror image: an optically thin line does not tell front from
# back.
#
# **Predict:** which of these will the line improve: the *amounts* on a line of sight in any order, or their *places*?

# %%
cell = clouds[0].side_pc[0] / layers
outputs = (*targets[:2], "density_cube")
head = {"depth_cells": layers, "cell_size_pc": cell, "outputs": outputs, "base_filters": 16}
spectra = {"inputs": ("column_density", "ppv_cube"), "line_features": 32, **cube}
answers = {
    "spread evenly": np.broadcast_to(truth.mean(axis=1, keepdims=True), truth.shape),
    "column alone": predict_volumes(train("volume", "volume", **head), dataset),
    "column and line": predict_volumes(train("volume of both", "volume", **head, **spectra), dataset),
}
words = {
    "closure": "column off by",
    "max_rmse_dex": "n_max [dex]",
    "sorted_wasserstein_dex": "any order [dex]",
    "correlation": "in place (r)",
}
scores = {
    name: [vars(volume_scores(a, b)) for a, b in zip(c, truth, strict=True)] for name, c in answers.items()
}
pd.DataFrame({name: pd.DataFrame(each)[list(words)].mean() for name, each in scores.items()}).T.rename(
    columns=words
).round(6)

# %% [markdown]
# The first column is no success of the training but of the softmax: the columns close to the rounding of the stored maps, trained or not. The second: both networks know $n_\mathrm{max}$ to 0.22 dex, where gas spread evenly is wrong by 0.59. The third asks for the densities of a line of sight *in any order*: 0.20 dex
# against 0.42. And the last asks for places: the correlation of $\log n$, cell by cell, is 0.28 with and without the line, and *less* than that of gas that is spread evenly (0.40), since a guess of clumps in wrong places is worse than no guess.
#
# So we find what the report found in its section 8.3: no success. Now we can say why. *How much* gas is dense on a line of sight can be learnt, mostly from the column density. *Where* it is was not learnt, and the cut above shows why it is hard for any network. The line brings 3 % in the third column and nothing in the last.
#
# See for yourself. First the predicted cube in the viewer (turn it with the mouse; the slider of the opacity hides the thin gas). Then the cut of above, true and predicted.

# %%
VolumeViewer(
    lab.SimulationCube(np.repeat(answers["column and line"][patch], square, axis=0), cell_size=pixel * u.pc),
    mode="maximum",
)

# %%
cuts = {"true": truth} | {name: answers[name] for name in ("column alone", "column and line")}
cuts = {name: np.repeat(volume[patch][:, row], square, axis=0) for name, volume in cuts.items()}
figures.map_grid(cuts, label="density", pixel_size_pc=pixel, width=210)

# %% [markdown]
# *The cut of above, depth upwards: true, from the column alone, from both.* The networks know which columns hold dense gas, and put it
# into a bright sheet through the middle, where a compromise between near and far lies. With the line, neighbouring pixels even take turns between two layers: a checkerboard, which has the period of two pixels of the transposed convolution (notebook 03). Sums, maxima and amounts in any order do not mind, so nothing in
# most of the loss forbids it. Every column adds up to a part in a million, and the cube is wrong: read it as *one* arrangement that fits the map, never as a picture of the cloud.
#
# ## Networks that draw samples
#
# All networks so far answer with one map, the mean of what is possible, and a mean is smooth (notebook 04). A **generative** network answers with *possible* maps. In a *diffusion model* (Ho et al. 2020) a true map $x_0$ is drowned in noise step by step,
#
# $$q(x_t \mid x_0) = \mathcal{N}\big(\sqrt{\bar\alpha_t}\,x_0,\; (1 - \bar\alpha_t)\,I\big),$$
#
# and a U-Net learns to predict the noise in $x_t$, given the column density; run backwards from pure noise it draws a map. Xu et al. (2023) did so for this very task. The report left diffusion out, for its cost, and calls the reason that they give for its success, the many small steps, vague. A simpler relative is **flow matching**
# (Lipman et al. 2023): go from noise $\varepsilon$ to the map $y$ on straight lines, $x_t = (1-t)\,\varepsilon + t\,y$, and learn the velocity,
#
# $$\mathcal{L} = \mathbb{E}\,\big\| v_\theta(x_t, t, N_\mathrm{H}) - (y - \varepsilon) \big\|^2 .$$
#
# Straight lines need few steps. Here $y$ is the residual about the power law, in units of its scatter. (`lab.Blueprint.preset("diffusion")` takes the other way; `"diffusion_xu"` is the network of Xu et al., with 85 million parameters.)
#
# **Predict:** a single sample shows finer structure than the mean of many. Is it nearer to the truth?

# %%
flow = train("flow", "flow_matching")
true = dataset.read("mass_weighted_density", held_out)
rows = {}
for steps in (1, 2, 4, 8):
    drawn = flow.sample(samples=8, steps=steps)
    mean, report = mean_of_samples(drawn), spread_report(drawn, true)
    rows[f"{steps} steps"] = {
        "RMSE of the mean": lab.training.rmse_dex(mean, true),
        "of one sample": lab.training.rmse_dex(drawn[0], true),
        "stated spread": report["spread_dex"],
        "truth within 1 spread": report["coverage_68"],
        "fine power of the mean": compare_spectra(mean, true).ratio[-6:].mean(),
        "of one": compare_spectra(drawn[0], true).ratio[-6:].mean(),
    }
print(pd.DataFrame(rows).T.round(3).to_string())
shown = {
    "true": true[patch],
    "mean of 8": mean[patch],
    "one sample": drawn[0, patch],
    "another": drawn[1, patch],
}
spread = spread_of_samples(drawn)[patch]
grid = figures.map_grid(shown, label="mass_weighted_density", pixel_size_pc=pixel, width=230)
spread_map = figures.sky_map(spread, label="spread [dex]", log=False, pixel_size_pc=pixel, width=230)
(grid + spread_map).cols(2)

# %% [markdown]
# *A held-out patch, eight steps; all densities in the same colours. Last: where the samples disagree.* At full scale the mean of eight samples is wrong by 0.19 dex, no better than the plain network (0.174), and one sample by 0.20 to 0.24: two errors add up, that of the mean and its own. In return a sample has more structure at the finest scales (0.7 to 0.9 of the true power against 0.6), and the samples know where they disagree.
# How well? With one step they agree too much: a third of the truth lies within one spread, where 68 % should. More steps help (57 % with eight), more training would as well. Never believe the spread of a generative network before you have counted. A network with a Gaussian head (`head="gaussian"`) states errors as well, in one pass.
#
# So: an average for the best map, samples where structure counts (power spectra, core counts, an error that is shared by neighbours).
#
# **Exercise.** A pixel has $N_\mathrm{H} = 10^{22}$ cm⁻², and the box is cut into $K = 4$ layers of 0.5 pc. The head answers $w = (0.7, 0.1, 0.1, 0.1)$. What are $n_\mathrm{max}$ and $\langle n\rangle_M$ in cm⁻³? Write them into the next cell and run it (1 pc = 3.086·10¹⁸ cm). *Which* layer holds most of the gas: does it matter?
#
# <details><summary>Solution</summary>
#
# $N_\mathrm{H}/\Delta z = 10^{22} / 1.543\cdot 10^{18} = 6481$ cm⁻³. Then $n_\mathrm{max} = 0.7 \cdot 6481 = 4537$ and $\langle n\rangle_M = (0.49 + 3 \cdot 0.01) \cdot 6481 = 3370$. Any order of the four weights gives the same: these two numbers are blind to places. That is why a network can be good at them and know nothing of depth. With
# $w_k = 1/4$ both fall to $N_\mathrm{H}/L = 1620$, the least that is possible.
#
# </details>

# %%
my_max, my_mean = 0.0, 0.0  # self-check: your numbers
right = abs(my_max / 4537 - 1) < 0.01 and abs(my_mean / 3370 - 1) < 0.01
print("right" if right else "look again: divide the column by the thickness of one layer, then share it out")

# %% [markdown]
# <details><summary>For the instructor</summary>
#
# 60 minutes: 15 for inputs, 10 for missing inputs and outputs, 20 for depth, 15 for samples. If time is short, keep the cut through gas and line: it carries the lesson. Common misconceptions: *a line cube is a cube of gas* (its third axis is motion); *more inputs cannot hurt* (they bring parameters and noise, and a
# network leans on what may be missing); *a gain over a weak network is a gain* (first give the baseline its best); *a cube that adds up is right* (any order adds up); *a sharp sample is a better answer* (it is a possible answer).
#
# </details>
#
# ## What we learned, and what would break it
#
# - Inputs of different kinds get an encoder each and are merged at every level. On these clouds ¹³CO lowers the error of $\langle n\rangle_M$ and $n_\mathrm{max}$ by 2 % at most, less than five held-out clouds can show. It tells the number of components, which a map cannot.
# - A network leans on all inputs it had. If one may be missing, blank it in training.
# - Several outputs share a loss: bring them to one scale.
# - A softmax closes the column exactly. It does not know where the gas is, and neither does the line: velocity is not depth.
# - Samples show possible maps and their spread; the spread must be checked.
# - *What would break it:* five held-out clouds and one seed (`seed = 1` moves each error by a few thousandths of a dex); 15 epochs of small networks; clouds of a generator, whose velocities know little of gravity; a line without noise, in LTE, of one abundance: with freeze-out (notebook 08) it tells still less of dense gas.
#
# Numbers in the text: this notebook at full scale with its default knobs, November 2026, on one thread of a CPU; the report's were read off its figures (report, sections 8.1 and 8.2).
#
# **References.** D. Xu et al. 2023, [doi:10.3847/1538-4357/accae5](https://doi.org/10.3847/1538-4357/accae5) (diffusion for this task);
# J. Ho, A. Jain & P. Abbeel 2020, [doi:10.48550/arXiv.2006.11239](https://doi.org/10.48550/arXiv.2006.11239) (diffusion);
# Y. Lipman et al. 2023, [doi:10.48550/arXiv.2210.02747](https://doi.org/10.48550/arXiv.2210.02747) (flow matching);
# V. F. Ksoll et al. 2024, [doi:10.1051/0004-6361/202347758](https://doi.org/10.1051/0004-6361/202347758) (invertible networks for dust).
