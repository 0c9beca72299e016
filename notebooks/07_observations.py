# %% [markdown]
# # 07 · Observations
#
# **The question.** What does a network say about a map of the sky, how sure may we be, and how would we notice that it is wrong?
#
# This notebook follows sections 4 and 5 of the report and its appendices C and D (figures 24 to 37, 47 and 48, equations 7 and 15).
#
# **You will learn** what must be known of a map before its density can be predicted, how to read intervals and warnings, how to check a prediction against dense cores, masses and lengths, and what a
# correction of residuals can and cannot mend.
#
# **You need** notebook 04 (residuals, accuracy), and 06 for why a network belongs to a pixel size.
#
# **Minutes:** 50 to read and play, of which the computer takes less than one, at full scale as at quick scale.

# %%
import json
from pathlib import Path

import numpy as np
import pandas as pd
from astropy import units as u
from astropy.table import Table
from IPython.display import display

import polaris_lab as lab
from polaris_lab.clouds import add_cores
from polaris_lab.observations import cores, coverage, gas
from polaris_lab.training import fit_correction, predict, residuals_by_density, rmse_dex
from widgets import PredictionOverlay, figures

# %% quick={"core_count": 30} tags=["parameters"]
map_file = ""  # a FITS map of your own, such as "my_cloud.fits"; empty for a simulated observation
distance, species = "140 pc", "H2"  # of your map: both are never guessed
catalogue_file = ""  # dense cores of your map (HGBS text table, or CSV); empty for none
core_count = 60  # cores put into the simulated cloud
folder = "classroom"  # with way/ (a training set and a run)

# %% [markdown]
# ## What a map must tell
#
# A column density map is a FITS file with a unit and coordinates. Two things that decide the answer are often not in it:
#
# - **Species.** Herschel maps count hydrogen *molecules*, we count nuclei: $N_\mathrm{H} = 2 N(\mathrm{H_2})$. A mistake is a factor of 2, which is 0.30 dex in $N$ and more in $n$.
# - **Distance.** A pixel is an angle; a density needs a length. At the same column, $n \propto 1/d$.
#
# The report's maps of Taurus and Orion B (its figures 24 and 30) come from the Herschel Gould Belt Survey. Here the sky is simulated, so that the truth is known: gas of a magnetohydrodynamic simulation
# that no network of ours has learnt from, dense cores put into it, looked at with a beam of 50″, noise of 2 % and a corner that the telescope did not reach. With a path in the parameters cell, your own map takes its place.

# %%
cloud = add_cores(
    lab.sample_cloud(), core_count, radius=(0.04, 0.1) * u.pc, central_density=(3e4, 3e5) / u.cm**3, seed=3
)
sky = {"distance": u.Quantity(distance), "beam": 50 * u.arcsec, "noise": 0.02, "blank_corner": 0.15}
observation = (
    lab.Observation.from_fits(map_file, distance=distance, species=species)
    if map_file
    else lab.Observation.from_cube(cloud, seed=1, **sky)
)
run = lab.pretrained()
prediction = lab.predict_density(run, observation, progress=False)
print(observation)
print(prediction)

# %% [markdown]
# **Predict before you run:** the map spans a factor of a hundred in column density. By which factor will the density vary: ten, a hundred, a thousand?

# %%
column, truth, pixel = observation.column_density, observation.truth, observation.pixel_size_pc
densities = {"Predicted": prediction.density} | ({} if truth is None else {"True": truth})
figures.sky_map(
    column, label="column_density", pixel_size_pc=pixel, title="Observed", width=260
) + figures.map_grid(densities, label="mass_weighted_density", pixel_size_pc=pixel)

# %% [markdown]
# *The counterpart of the report's figures 24 and 25.* A thousand and more: dense gas is thin along the line of sight as well. The report found $10^5$ cm⁻³ at most in Taurus, and 50 to 120 cm⁻³ around it; ours goes
# from 150 to $2\times10^6$ cm⁻³. The truth ends at $5\times10^5$: in the densest clump of the simulation (none of our cores) the network is four times too high. No flag says so; the 95 % interval just holds the truth. Each pixel comes with an interval. Is it honest?

# %%
if truth is not None:
    seen = np.isfinite(prediction.density) & np.isfinite(truth)
    log_error = np.log10(prediction.density / truth)[seen]
    held = {
        name: (getattr(prediction, f"lower{name}") <= truth) & (truth <= getattr(prediction, f"upper{name}"))
        for name in (68, 95)
    }
    law = lab.fit_power_law(column[seen], truth[seen])
    rows = {
        "network": log_error,
        "straight line fitted to this very map": np.log10(law(column) / truth)[seen],
    }
    display(
        pd.DataFrame(
            {k: {"rms [dex]": np.sqrt((v**2).mean()), "bias [dex]": v.mean()} for k, v in rows.items()}
        ).T.round(3)
    )
    print({f"{name} % interval holds": f"{held[name][seen].mean():.0%} of the pixels" for name in held})
twice = lab.Observation(
    column, wcs=observation.wcs, distance=2 * observation.distance, species="H", name="twice as far"
)
farther = lab.predict_density(run, twice, progress=False)
print("twice as far: density times", f"{np.nanmedian(farther.density / prediction.density):.2f}")

# %% [markdown]
# On this map the network errs by 0.18 dex; a straight line that was *fitted to the truth of this map* by 0.22. (One map of one cloud: a test, not a proof. The [model card](../polaris_lab/pretrained/default/MODEL_CARD.md) has the other numbers.)
# The 68 % interval holds 74 % of the pixels, the 95 % interval 99 %: here it is somewhat too wide. And the distance: twice as far, half as dense. The network cannot know better, it sees the same picture.
#
# ## Does the network know such gas?
#
# A network answers any map. The report compares the mean and the spread of the column density in patches of the map with those of its training set (figure 36), and finds that its training patches of Orion B have means of
# $10^{21.2}$ to $10^{23.4}$ cm⁻² where the sky has $10^{20.6}$ to $10^{21.8}$: almost no overlap. We ask the same of the network in the package, twice: for our map, and for one of thirty times the gas.

# %%
brighter = lab.Observation(
    30 * column, wcs=observation.wcs, distance=observation.distance, species="H", name="30 x"
)
trained_on = json.loads((run.path / "coverage.json").read_text())  # of the patches it learnt from
maps = {"Our map": observation, "Thirty times the gas": brighter}
known = {name: coverage.compare(trained_on, each) for name, each in maps.items()}
for name, found in known.items():
    print(f"{name}: {found.sentence}\n")
planes = [figures.coverage_plane(found, title=name, width=340) for name, found in known.items()]
planes[0] + planes[1]

# %% [markdown]
# *The counterpart of figure 36.* Grey: patches of a training set; orange: windows of the map. Where orange has no grey around it, the prediction is extrapolation; the quality map of the prediction marks those pixels, and the FITS file keeps the mark.
# A network that sees only *contrast* (that of the package does) is not lost where the level is unknown but the structure is not; the sentence says which of the two it is.
#
# ## Density against column density
#
# The report draws $\langle n\rangle_M$ against $N_\mathrm{H}$ for Taurus and Orion B (figures 26 and 34). Its relation is nearly one curve, with a slope near 4 between $10^{21.6}$ and $10^{22.2}$ cm⁻²: its network is close to a function of $N$ alone.
# **Predict:** would the truth be one curve?

# %%
relations = {"Predicted": prediction.density} | ({} if truth is None else {"True": truth})
drawn = [
    figures.column_relation(gas.column_relation(column, n), title=name, width=250)
    for name, n in relations.items()
]
masses = {
    f"{name}, dense gas": str(gas.dense_gas_mass(n, column, pixel_size=pixel * u.pc))
    for name, n in (
        relations | {"Lower 68 % bound": prediction.lower68, "Upper 68 % bound": prediction.upper68}
    ).items()
}
masses["Predicted, star formation rate"] = str(
    gas.star_formation_rate(prediction.density, column, pixel_size=pixel * u.pc)
)
print(pd.Series(masses).to_string())
pdfs = {name: gas.density_pdf(n, column, weight="mass") for name, n in relations.items()}
(sum(drawn[1:], start=drawn[0]) + figures.density_pdfs(pdfs, width=300)).cols(2)

# %% [markdown]
# *First: pixels, contours that hold 25 to 95 % of them, and the median. Then: how the mass is shared among densities.* The truth scatters at one column density by a factor of two and more: that is what one map cannot tell and what the interval is for. At one column density the prediction scatters less than the truth
# (0.10 to 0.32 dex for 0.19 to 0.35, below $10^{23}$ cm⁻²); in the few pixels above it the network has next to no experience, and scatters more.
# The mass of gas above $10^4$ cm⁻³, and the star formation rate $\epsilon M / t_\mathrm{ff}$ with $\epsilon = 0.01$, follow from the map; a mass is a sum over pixels whose errors go together, so take its error from samples of whole maps (`samples=`), not from pixel intervals added up. The network of the package draws no maps; the two bounds say what comes out if every pixel errs the same way: a cautious range.
#
# ## Dense cores as a check
#
# Catalogues of dense cores list densities that come from a core's mass and radius. The report compares (figure 35): below $10^{21.75}$ cm⁻² its prediction is 1.5 to 2 dex too low, at $10^{22}$ one dex, above $10^{22.2}$ fair (−0.1 to −0.2 dex). Its reading: small cores on diffuse ground
# are what its training set lacked. We know our cores and where they lie.

# %%
if map_file:
    catalogue = cores.read_catalogue(catalogue_file) if catalogue_file else None
else:
    z, y, x = np.transpose([core["position_pc"] for core in cloud.provenance["cores"]]) / pixel
    row, place = np.minimum(y.astype(int), len(column) - 1), np.minimum(x.astype(int), len(column) - 1)
    position, there = observation.wcs.pixel_to_world(place, row), np.isfinite(truth[row, place])
    columns = {"name": [f"core {i}" for i in range(len(x))], "ra": position.ra.deg, "dec": position.dec.deg}
    catalogue = Table(columns | {"mean_density": truth[row, place] / 2})[
        there
    ]  # cm^-3 of H2, behind the beam
if catalogue is not None:
    factor = {} if map_file else {"profile_factor": 1.0}
    errors = cores.core_errors(prediction.density, column, observation.wcs, catalogue, **factor)
    print(
        f"{len(errors)} cores: median error {errors.bias_dex:+.2f} dex, scatter {errors.scatter_dex:.2f} dex"
    )
    display(figures.core_errors({"network of the package": errors}))

# %% [markdown]
# *The counterpart of figure 35, with cores whose density is known.* The network of the package had cores in its training, also small ones in diffuse gas; its median error is +0.05 dex, the scatter 0.12. These cores are wider than the beam. On the real maps of Barnard 5 and IC 348 it comes out at a **tenth** of the catalogue's mean densities ([docs/real_maps.md](../docs/real_maps.md)): most cores there are smaller
# than the beam, and a catalogue's density is its author's (a mean over a radius, H₂ not H, another distance, a profile factor that you choose). Do not read the density of an unresolved core from such a map.
#
# ## Two lengths
#
# *How deep is the cloud?* The thickness that a prediction implies is $N/\langle n\rangle_M$; it lies between a cell and the cloud's depth. The report asks another way. If a core (density $n_c$, radius $r$) and diffuse gas ($n_d$) share a line of sight of length $L$, then $\langle n\rangle_M$ fixes $L$:
#
# $$ \langle n \rangle_M = \frac{2r\,n_c^2 + (L - 2r)\,n_d^2}{2r\,n_c + (L - 2r)\,n_d} \quad\Rightarrow\quad L = 2r + \frac{2 r\, n_c\,(n_c - \langle n\rangle_M)}{n_d\,(\langle n\rangle_M - n_d)} . $$

# %%
polaris = {"core_density": 5e4 / u.cm**3, "core_radius": 0.03 * u.pc, "diffuse_density": 30 / u.cm**3}
lengths = {n: float(cores.cloud_length(n, **polaris).to_value("pc")) for n in (80.0, 300.0, 1e3, 3e3, 1e4)}
print(pd.Series(lengths, name="L [pc]").rename_axis("<n>_M [cm^-3]").round().to_string())
depth = gas.thickness(column, prediction.density)
print(
    "thickness N/<n>_M:",
    " / ".join(f"{value:.1f}" for value in np.nanquantile(depth, [0.05, 0.5, 0.95])),
    "pc (5, 50, 95 %)",
)
figures.map_grid({"Predicted N / <n>_M [pc]": depth}, label="pc", pixel_size_pc=pixel, width=300)

# %% [markdown]
# *How much line of sight the mass of each pixel fills.* Dark filaments are thin. The report's equation 7 gave $10^5$ pc for Polaris, a thousand times its distance: that is how it knew its prediction there to be wrong.¹ A test like this costs nothing. Use it.
#
# ¹ *A slip of the report:* with the numbers of the report's text ($n_c = 5\times10^4$ cm⁻³, $r = 0.03$ pc, $n_d = 30$ cm⁻³), $10^5$ pc needs $\langle n\rangle_M \approx 80$ cm⁻³ on a core, as the table shows; the report's map has up to 300 there, which gives 18 000 pc. The conclusion holds with either.
#
# ## Mend the residuals?
#
# Networks trained with a mean square are too low where gas is dense. The report weighs the loss by density, $L = \mathbb{E}\,[\,w(n)\,(\hat y - y)^2\,]$, $w \propto n^{\alpha}$ (equation 15; `loss="density_weighted"` here), finds that the background suffers, and corrects the residual instead: sorted by **true** density, averaged over 50 values, taken off at the
# **predicted** density (appendix C). **Predict:** does that help on other clouds?

# %%
dataset = lab.PatchDataset.open(Path(folder) / "way" / "dataset.zarr")
rows = dataset.indices("validation")
target, answer = (
    dataset.read("mass_weighted_density", rows),
    predict(lab.Run.open(Path(folder) / "way" / "run", dataset=dataset), dataset).density,
)
first, second = slice(0, len(target) // 2), slice(len(target) // 2, None)  # other clouds
kinds = {
    "none": None,
    "the report's (by true density)": "report_baseline",
    "isotonic (by predicted density)": "isotonic",
}
mended = {
    name: answer[second]
    if kind is None
    else fit_correction(answer[first], target[first], kind=kind)(answer[second])
    for name, kind in kinds.items()
}
print(
    pd.Series({name: rmse_dex(values, target[second]) for name, values in mended.items()}, name="rms [dex]")
    .round(3)
    .to_string()
)
bands = [
    figures.residual_bands(residuals_by_density(values, target[second], by="target"), title=name, width=380)
    for name, values in mended.items()
]
(bands[0] + bands[1] + bands[2]).cols(2)

# %% [markdown]
# *The counterparts of figures 47 and 48.* Each curve is made on half of the held-out clouds and judged on the other half. The report's form flattens the mean by **true** density, which looks like a success, and makes the error larger, 0.238 for 0.212 dex: it stretches every prediction to undo what is no fault but ignorance (a blurred truth *must* fall short at its peaks).
# Taken by **predicted** density there is hardly anything to correct: 0.216 dex, nothing gained on other clouds. That is the curve a user can act on, since nobody knows the true density of a pixel.
#
# ## Explore
#
# The same prediction in sky coordinates: point at a pixel, draw a region, tap a core, look at the layers (uncertainty, coverage, and the tiles that the network reads, the report's figure 37).

# %%
PredictionOverlay(observation, prediction, cores=catalogue)

# %% [markdown]
# ## Exercise
#
# **Exercise.** A colleague took a map of $N(\mathrm{H_2})$ for one of $N_\mathrm{H}$, and the distance as 420 pc in place of 140 pc. By how many dex is the predicted density wrong, if the network is scale-equivariant (twice the column at the same place is twice the density)? *Self-check:* write the answer, with its sign, into the next cell.
#
# <details><summary>Solution</summary>
#
# Half the column: $-0.30$ dex. Three times the distance: $\log_{10}(1/3) = -0.48$ dex. Together $-0.78$ dex, a factor of six, and no picture shows it.
#
# </details>

# %%
my_answer = 0.0  # dex
print(
    "right"
    if abs(my_answer - (-0.778)) < 0.02
    else "look again: both make the density smaller; add the logarithms"
)

# %% [markdown]
# <details><summary>For the instructor</summary>
#
# 50 minutes: 10 for the map, 10 for intervals and coverage, 15 for cores and lengths, 10 for the correction, 5 for the exercise. Let two groups run it with different distances and compare. Common misconceptions: *the map has no error bar, so it has no error*; *an interval of 68 % must hold 68 % of every map* (it is made over clouds; one cloud errs as a whole);
# *a flat residual by true density is the aim*; *cores in a catalogue are the truth*; *N and n are one relation*.
#
# </details>
#
# ## What we learned, and what would break it
#
# - Species and distance decide as much as the network. Say them.
# - Ask first whether the training covers the map; the prediction carries the answer.
# - Check against what the map does not use: cores, masses, the depth of the cloud.
# - Judge a correction by predicted density, on clouds that it was not made on.
# - *What would break it:* a foreground cloud on the same line of sight; a deeper cloud than any in the training (give `depth=` where you know it); a beam or a filter of the telescope that takes away large scales; cores smaller than the beam.
#
# Numbers in the text: the cells above with the simulated map, November 2026, CPU. Those of the report were read off its figures and text. On real maps of Barnard 5, IC 348, Orion A and Taurus: [docs/real_maps.md](../docs/real_maps.md).
#
# **References.** Ph. André et al. 2010, [doi:10.1051/0004-6361/201014666](https://doi.org/10.1051/0004-6361/201014666) (Herschel Gould Belt Survey);
# D. Xu et al. 2023, [doi:10.3847/1538-4357/accae5](https://doi.org/10.3847/1538-4357/accae5) (densities from column density by diffusion models; Taurus);
# B. Gaches & M. Grudić 2025, A&A 696, A20, [doi:10.48550/arXiv.2412.16290](https://doi.org/10.48550/arXiv.2412.16290) (diffuse and dense gas from column density);
# D. Li & P. Goldsmith 2012, ApJ 756, 12, [doi:10.1088/0004-637X/756/1/12](https://doi.org/10.1088/0004-637X/756/1/12) (density of the Taurus filament).
#
# **Next:** [08 · Emission maps](08_emission_maps.ipynb) · [all notebooks](00_start_here.ipynb)
