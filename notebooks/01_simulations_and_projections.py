# %% [markdown]
# # 01 · Simulations and projections
#
# **The question.** A telescope sees a molecular cloud only as a flat image: how much gas lies behind each
# pixel, never where along the line of sight it lies. What is lost, and what could a network recover?
#
# This notebook follows section 2.1 of the report *Inferring Volume Density in Molecular Clouds Using Deep
# Learning* (equations 2 and 3, figures 5 and 6), with a synthetic cloud made on the spot: no download.
#
# **You will learn** what a simulation cube holds, how a column density is made from it, why the
# *volume-weighted* mean density says nothing new, and why the *mass-weighted* one does. On the way: the phases of the
# interstellar gas (table 1) and what turbulence, the virial balance and the Jeans mass say about a cloud, for which the report kept a
# heading only.
#
# **You need** nothing but this notebook. A little calculus helps: every map here is an integral.
#
# **Minutes:** 40 to read and play, of which the computer takes one (at quick scale: a quarter).

# %%
import numpy as np

import polaris_lab as lab
from polaris_lab.clouds import diagnostics
from widgets import figures

# %% [markdown]
# All knobs of this notebook stand in one cell. Make the cloud larger or change the seed, and run it again.

# %% quick={"size": 32} tags=["parameters"]
size = 128  # cells along each side; 128 takes about twenty seconds, 64 about six
seed = 1  # names the cloud: the same seed gives the same cloud
cube_path = None  # a file of your own (FITS, npz, HDF5, zarr), or None for the synthetic cloud

# %% [markdown]
# ## A cloud in a box
#
# The report uses ORION, a magnetohydrodynamic simulation with self-gravity (Ntormousi & Hennebelle 2019), as a
# uniform cube of 512³ cells of 0.05 pc. We make a smaller relative of it: a supersonic isothermal flow with
# self-gravity, whose density is mapped onto the log-normal distribution with a power-law tail that such
# simulations show. It is a *generator*, not a simulation, and it says so in its provenance below.
#
# A cube is indexed `[z, y, x]`, and the observer of axis "z" sits before index 0: depth grows with the index.

# %%
if cube_path is None:
    cube = lab.synthetic_cloud(size=size, seed=seed)
else:
    cube = lab.SimulationCube.open(cube_path)
cube

# %% [markdown]
# ## What kind of gas is it?
#
# The gas between the stars comes in phases that can stand beside each other at similar pressure (the report's table 1):
#
# | phase | temperature [K] | density [cm⁻³] |
# |---|---|---|
# | molecular gas | 10 to 20 | above 100 |
# | cold neutral medium | 50 to 100 | 20 to 50 |
# | warm neutral medium | 10⁴ | 0.1 |
# | warm ionised medium | about 8000 | 0.1 |
# | hot ionised medium | about 10⁶ | 0.01 |
#
# *Footnote: Ferrière (2001) gives 0.2 to 0.5 cm⁻³ for the two warm phases.*
#
# **Predict before you run:** which rows of the table does our box hold? Where in the plane of density and temperature is most of its volume, and where is
# most of its mass?

# %%
n = np.asarray(cube.density[...])
T = np.asarray(cube.temperature[...]) if cube.temperature is not None else np.full_like(n, 10.0)
phases = {
    "molecular (n > 100)": n > 100,
    "cold neutral (20 < n < 50)": (n > 20) & (n < 50),
    "thinner": n < 20,
}
for name, cells in phases.items():
    print(f"{name:27}: {cells.mean():6.1%} of the volume, {n[cells].sum() / n.sum():6.1%} of the mass")
figures.correlation(n, T, x_label="density", y_label="T [K]", title="Cells of the cube")

# %% [markdown]
# *Table 1 on the cube's own histogram of density and temperature.* The synthetic cloud holds the first two rows and the step between them; warm and hot gas would lie
# outside of this box. Its points form a line, because its temperature is a *law of the density* (a power of it between 100 and 8 K, in place of the balance of heating and
# cooling), not the result of a calculation; a simulation with heating and cooling, like ORION, shows a band instead. Gas of 100 to 1000
# cm⁻³ is warmer than the table's 10 to 20 K: molecules form before the gas is cold.
#
# ## Turbulence, gravity, and who wins
#
# Three numbers tell what a cloud is about to do; the report left them as a heading.
#
# **Turbulence.** Velocities grow with the size of a region, $\sigma \approx 1.1\,(L/\mathrm{pc})^{0.38}$ km/s (Larson 1981), and exceed
# the sound speed $c_s$ (0.19 km/s at 10 K) by the *Mach number* $\mathcal{M} = \sigma/c_s$. Supersonic flows pile gas up in shocks. Many compressions after
# each other multiply the density, so its logarithm is nearly Gaussian, of width $\sigma_{\ln n}^2 \approx \ln(1 + b^2\mathcal{M}^2)$ with $b$ from 1/3
# to 1 (Federrath et al. 2010). It lasts for about a crossing time $L/\sigma$.
#
# **Virial balance.** The ratio of motion to gravity is $\alpha = 5\sigma_1^2 R/(GM)$ ($\sigma_1$ along one axis; Bertoldi & McKee 1992): a cloud with
# $\alpha$ below about 2 is bound.
#
# **Jeans mass and free fall.** Pressure holds up less than
# $M_\mathrm{J} = \frac{\pi}{6}\left(\frac{\pi}{G}\right)^{3/2} c_s^3\,\rho^{-1/2}$ (Jeans 1902); what is heavier collapses within
# $t_\mathrm{ff} = \sqrt{3\pi/(32\,G\rho)}$. Both fall as $n^{-1/2}$: the denser, the smaller the pieces and the faster. So turbulence makes **dense cores** (0.01 to
# 0.1 pc) and gravity finishes them. The masses of the cores (CMF) are distributed like those of the stars (IMF, $\mathrm{d}N/\mathrm{d}M \propto M^{-2.3}$ above
# a solar mass) but are about three times larger (Alves et al. 2007): to know the masses one needs the density, and there the column density map comes in.
#
# **Predict:** at which density does the Jeans mass at 10 K fall below one solar mass?

# %%
balance = diagnostics.describe(cube)
for name in (
    "mach_number",
    "crossing_time_Myr",
    "virial_parameter",
    "free_fall_time_Myr",
    "jeans_mass_Msun",
    "mass_Msun",
):
    print(f"{name:19}: {balance[name] and round(balance[name], 2)}")
density = np.geomspace(1e2, 1e6, 41)
laws = {
    "Jeans mass at 10 K [Msun]": (density, [diagnostics.jeans_mass(value, 10.0) for value in density]),
    "free-fall time [Myr]": (density, [diagnostics.free_fall_time(value) / 1e6 for value in density]),
}
figures.lines(
    laws,
    x_label="n_H [cm^-3]",
    y_label="Msun, or Myr",
    logx=True,
    logy=True,
    title="The denser, the smaller and the faster",
)

# %% [markdown]
# *What the box is about to do (the numbers are of its mean density and mean temperature by mass).* The flow is supersonic, $\alpha$ is below 2, and one free-fall time is
# shorter than a crossing time: bound gas that collapses wherever turbulence has squeezed it. The mean Jeans mass, tens of suns, is not what
# forms; at $10^5$ cm⁻³ and 10 K it is near one sun, the mass of a star. That is why this laboratory asks for the density.
#
# ## What the telescope sees
#
# The column density adds up the hydrogen nuclei on the line of sight,
#
# $$N_\mathrm{H} = \int n_\mathrm{H}\,\mathrm{d}z = \Delta z \sum_k n_{\mathrm{H},k} .$$
#
# **Predict:** the same gas is now seen along its three axes. Will the three maps look alike?
# Will their mean values be equal?

# %%
columns = {axis: lab.column_density(cube, axis=axis) for axis in ("z", "y", "x")}
faces = [
    figures.sky_map(
        columns[axis],
        label="column_density",
        pixel_size_pc=cube.cell_size_pc,
        title=f"along {axis}",
        width=215,
    )
    for axis in columns
]
faces[0] + faces[1] + faces[2]

# %% [markdown]
# *The counterpart of the report's figure 5.* The three faces have the same mean, because they hold the same
# mass spread over the same area; and yet they look like three different clouds. That is why the report uses
# all three as training images, and also why a training set must never be split by shuffling them: the same
# gas would stand on both sides.

# %%
for axis, column in columns.items():
    print(f"along {axis}: mean N_H = {column.mean():.4g} cm^-2, largest {column.max():.3g} cm^-2")

# %% [markdown]
# ## Two ways to average a density
#
# The simplest mean counts every cell alike (equation 2):
#
# $$\langle n_\mathrm{H}\rangle_V = \frac{1}{K}\sum_k n_{\mathrm{H},k} = \frac{N_\mathrm{H}}{L} .$$
#
# It is the column density divided by the depth $L$ of the box: another unit for the same picture. A network
# that predicts it has learnt the size of its training box and nothing else.
#
# Weighting every cell by its mass asks instead *how dense is the surrounding of a typical atom?* (equation 3):
#
# $$\langle n_\mathrm{H}\rangle_M = \frac{\sum_k n_{\mathrm{H},k}^2}{\sum_k n_{\mathrm{H},k}} .$$
#
# *Footnote: the report writes $N_C = L\,\Sigma n$ on its way to equation 2; the sum there is to be divided by
# the number of cells.*

# %%
N_H = columns["z"]
n_V = lab.volume_weighted_density(cube, axis="z")
n_M = lab.mass_weighted_density(cube, axis="z")
figures.sky_map(n_V, label="volume_weighted_density", pixel_size_pc=cube.cell_size_pc) + figures.sky_map(
    n_M, label="mass_weighted_density", pixel_size_pc=cube.cell_size_pc
)

# %% [markdown]
# *Left the mean by volume, right the mean by mass.* The left map is the column density again. The right one has edges: filaments and cores stand out by orders
# of magnitude, because one dense clump on the line outweighs the thin gas before and behind it.
#
# ## How well does the column density tell the density?
#
# If $\langle n\rangle_M$ were a function of $N_\mathrm{H}$ alone, a curve would do and nobody would need a network.

# %%
power_law = lab.fit_power_law(N_H, n_M)
figures.correlation(N_H, n_M)

# %%
print(power_law)

# %% [markdown]
# *The counterpart of the report's figure 6.* The relation is steeper than proportional, and it has a width:
# clouds with the same column density differ in density by the scatter printed above (in dex, that is in
# $\log_{10}$). For two real MHD clouds the scatter about the best straight line is 0.19 and 0.21 dex.
#
# That scatter is what the *shape* of the surroundings may explain: a thin filament and a thick sheet of the same
# $N_\mathrm{H}$ look different on the sky. This is the information that the networks of the next notebooks use, and the power
# law is the rival that they have to beat.
#
# ## One inequality to remember
#
# The mass-weighted mean is never below the volume-weighted one, and never above the largest density on the line:
#
# $$\langle n\rangle_V \le \langle n\rangle_M \le n_\mathrm{max},$$
#
# with equality on the left only for uniform gas. The ratio $C = \langle n\rangle_M / \langle n\rangle_V$ is the *clumping factor*; its
# logarithm is all that a network can add to a known depth.

# %%
clumping = n_M / n_V
n_max = lab.max_density(cube, axis="z")
print(f"clumping factor: {clumping.min():.2f} .. {clumping.max():.0f}")
print(f"both inequalities hold: {bool((n_M >= n_V).all() and (n_M <= n_max).all())}")

# %% [markdown]
# **Exercise.** Turn the cloud: take the observer of axis "x". Does the fitted slope change by more than 0.05?
# What does that tell about a relation fitted on a single map? *Self-check:* write your guess into the next cell and run it.
#
# <details><summary>Solution</summary>
#
# `lab.fit_power_law(lab.column_density(cube, axis="x"), lab.mass_weighted_density(cube, axis="x"))`. For most
# seeds the slope moves by more than 0.05: a few large structures fill one map, so one map is one draw. Errors
# are therefore to be estimated over clouds, not over pixels.
#
# </details>

# %%
moves = None  # your guess: True or False
other = lab.fit_power_law(columns["x"], lab.mass_weighted_density(cube, axis="x"))
step = other.slope - power_law.slope
print(f"the slope moves by {step:+.3f}:", "right" if moves is (abs(step) > 0.05) else "look again")

# %% [markdown]
# <details><summary>For the instructor</summary>
#
# 40 minutes: 10 for phases and balance, 15 for projections and the two means, 10 for the correlation, 5 for the exercise. Common misconceptions: *a column
# density is a density* (it has another unit, and no depth); *the mean density of a pixel is one number* (it depends on the weight, by orders of magnitude); *bright on the
# map means dense* (or long: a sheet seen edge-on); *α below 2 means that the whole cloud collapses* (turbulence decays and is driven, and stars push back);
# *the scatter of figure 6 is noise* (the cube has none: it is the third dimension).
#
# </details>
#
# ## What we learned, and what would break it
#
# - A column density is a sum that forgets the order of its terms; three views of one cloud share their gas.
# - The volume-weighted mean is the column density in disguise; the mass-weighted mean is the target worth having.
# - Turbulence makes dense gas, gravity finishes it; which of them wins depends on the density, which no map shows.
# - At fixed $N_\mathrm{H}$ the mass-weighted density scatters by about 0.2 dex. A network earns its keep below that.
# - *What would break it:* a column density of H₂ molecules taken for one of H nuclei (0.30 dex), a cell size in
#   the wrong unit, or a box whose edges are nearly empty: its thin gas would dominate every mean by volume.
#
# **References.** E. Ntormousi & P. Hennebelle 2019, [doi:10.1051/0004-6361/201834094](https://doi.org/10.1051/0004-6361/201834094);
# K. M. Ferrière 2001, [doi:10.1103/RevModPhys.73.1031](https://doi.org/10.1103/RevModPhys.73.1031);
# R. B. Larson 1981, [doi:10.1093/mnras/194.4.809](https://doi.org/10.1093/mnras/194.4.809);
# C. Federrath et al. 2010, [doi:10.1051/0004-6361/200912437](https://doi.org/10.1051/0004-6361/200912437);
# F. Bertoldi & C. F. McKee 1992, [doi:10.1086/171638](https://doi.org/10.1086/171638);
# J. H. Jeans 1902, [doi:10.1098/rsta.1902.0012](https://doi.org/10.1098/rsta.1902.0012);
# J. Alves, M. Lombardi & C. J. Lada 2007, [doi:10.1051/0004-6361:20066389](https://doi.org/10.1051/0004-6361:20066389).
#
# **Next:** [02 · The training set](02_training_set.ipynb) · [all notebooks](00_start_here.ipynb)
