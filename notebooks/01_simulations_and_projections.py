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
# *volume-weighted* mean density says nothing new, and why the *mass-weighted* one does.
#
# **You need** nothing but this notebook; about two minutes.

# %%
import polaris_lab as lab
from widgets import figures

# %% [markdown]
# All knobs of this notebook stand in one cell. Make the cloud larger or change the seed, and run it again.

# %% quick={"size": 32} tags=["parameters"]
size = 128  # cells along each side; 128 takes about ten seconds, 64 about one
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
# ## What the telescope sees
#
# The column density adds up the hydrogen nuclei on the line of sight,
#
# $$N_\mathrm{H} = \int n_\mathrm{H}\,\mathrm{d}z = \Delta z \sum_k n_{\mathrm{H},k} .$$
#
# **Predict before you run:** the same gas is now seen along its three axes. Will the three maps look alike?
# Will their mean values be equal?

# %%
columns = {axis: lab.column_density(cube, axis=axis) for axis in ("z", "y", "x")}
faces = [
    figures.sky_map(
        columns[axis],
        label="column_density",
        pixel_size_pc=cube.cell_size_pc,
        title=f"along {axis}",
        width=250,
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
# The left map is the column density again. The right one has edges: filaments and cores stand out by orders
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
# What does that tell about a relation fitted on a single map?
#
# <details><summary>Solution</summary>
#
# `lab.fit_power_law(lab.column_density(cube, axis="x"), lab.mass_weighted_density(cube, axis="x"))`. For most
# seeds the slope moves by more than 0.05: a few large structures fill one map, so one map is one draw. Errors
# are therefore to be estimated over clouds, not over pixels.
#
# </details>

# %% [markdown]
# ## What we learned, and what would break it
#
# - A column density is a sum that forgets the order of its terms; three views of one cloud share their gas.
# - The volume-weighted mean is the column density in disguise; the mass-weighted mean is the target worth having.
# - At fixed $N_\mathrm{H}$ the mass-weighted density scatters by about 0.2 dex. A network earns its keep below that.
# - *What would break it:* a column density of H₂ molecules taken for one of H nuclei (0.30 dex), a cell size in
#   the wrong unit, or a box whose edges are nearly empty: its thin gas would dominate every mean by volume.
#
# **References.** E. Ntormousi & P. Hennebelle 2019, [doi:10.1051/0004-6361/201834094](https://doi.org/10.1051/0004-6361/201834094).
