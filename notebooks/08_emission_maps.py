# %% [markdown]
# # 08 · Emission maps
#
# **The question.** A column density map has no depth at all. The line of a molecule has a little: gas that
# moves towards us shines at other velocities than gas that recedes. What would a telescope that is tuned to
# ¹³CO see of a simulated cloud, and what does that tell which the column density does not?
#
# This notebook follows section 7.1 of the report (equations 8 and 9, figures 38 and 39), and writes out what
# the report left as placeholders: the optical depth of a cell, the cosmic background, the way from frequency to
# velocity, and the temperature scale.
#
# **You will learn** how light crosses a cell, where the optical depth of a line comes from, how a cube of channel maps is made and
# read, and why a line that shows the motion of the gas cannot count it.
#
# **You need** the column density of notebook 01; some thermodynamics helps (Boltzmann's law, the black body).
#
# **Minutes:** 45 to read and play, of which the computer takes one (at quick scale: a quarter).

# %%
import numpy as np
from astropy import units as u

import polaris_lab as lab
from polaris_lab.radiative_transfer import freeze_out, lte
from widgets import figures

# %% quick={"size": 32, "step": 0.1} tags=["parameters"]
size = 64  # cells along each side of the synthetic cloud
seed = 1  # names the cloud
molecule = "13CO"  # or 12CO, C18O
transition = "1-0"  # to 5-4
abundance = 1.4e-6  # molecules per hydrogen nucleus
fastest = 3.5  # channels run from -fastest to +fastest [km/s]
step = 0.05  # width of a channel [km/s]

# %% [markdown]
# ## From one cell to one ray
#
# Light of specific intensity $I_\nu$ that crosses a cell loses some and gains some (equation 8),
#
# $$\frac{\mathrm{d}I_\nu}{\mathrm{d}z} = j_\nu - \alpha_\nu I_\nu ,$$
#
# and if nothing changes inside the cell this integrates to (equation 9)
#
# $$I_{i+1} = I_i\,e^{-\tau_i} + B_\nu(T_i)\,(1 - e^{-\tau_i}), \qquad \tau_i = \alpha_\nu\,\Delta z .$$
#
# The source function is the black body $B_\nu$ because we assume local thermodynamic equilibrium (LTE): collisions
# populate the levels at the temperature of the gas. That fails in thin gas, well below about 2·10³ H₂ cm⁻³
# for ¹³CO 1-0, where the line is fainter than LTE says.
#
# ## The optical depth that the report left out
#
# Absorption from level $l$ to $u$, less stimulated emission, is
# $\alpha_\nu = \frac{h\nu_0}{4\pi}\,(n_l B_{lu} - n_u B_{ul})\,\phi_\nu$. Three relations turn it into known numbers:
# $B_{ul} = \frac{c^2}{2h\nu_0^3}A_{ul}$, then $g_l B_{lu} = g_u B_{ul}$, and in LTE $n_u/n_l = (g_u/g_l)\,e^{-h\nu_0/kT}$. Written
# per velocity ($\phi_\nu = \phi(v)\,c/\nu_0$), the cell has
#
# $$\tau(v) = \frac{c^3 A_{ul}}{8\pi\nu_0^3}\,\frac{g_u}{g_l}\; n_l\,\left(1 - e^{-h\nu_0/kT}\right)\Delta z\;\phi(v),
# \qquad n_l = \chi\, n_\mathrm{H}\,\frac{g_l\,e^{-E_l/kT}}{Z(T)} ,$$
#
# with $Z = \sum_J (2J+1)\,e^{-E_J/kT}$ and, for gas at rest in its cell, a Gaussian
# $\phi = e^{-(v - v_\mathrm{los})^2/a^2}/(\sqrt{\pi}\,a)$ of width $a^2 = 2kT/m + 2\sigma^2$. The abundance $\chi = n_X/n_\mathrm{H}$ counts
# hydrogen **nuclei**.
#
# *Footnote: the report writes that ¹³CO is 70 times less abundant "than ¹³CO"; it means than ¹²CO, whose 10⁻⁴ give
# 1.4·10⁻⁶.*

# %%
line = lab.Line.named(molecule, transition)
print(line)
print(f"Z(10 K) = {lte.partition_function(line, 10.0):.3f}")
print(
    f"tau integrated over v, 1e15 cm^-2 at 10 K: {1e15 * lte.integrated_optical_depth(line, 10.0):.4f} km/s"
)

# %% [markdown]
# ## Background, velocity, temperature
#
# **Background.** Each ray starts behind the cloud with the cosmic microwave background, $I_0 = B_\nu(2.725\,\mathrm{K})$. A telescope
# compares the cloud with blank sky beside it, so the same is subtracted at the end. Gas as cold as the
# background is invisible, and colder gas absorbs.
#
# **Velocity.** The Doppler shift in the radio convention, $v = c\,(1 - \nu/\nu_0)$: positive velocity recedes.
#
# **Temperature.** Intensities are given as the temperature that the Rayleigh-Jeans law would need,
#
# $$T(v) = \frac{c^2}{2k\nu_0^2}\left[I(v) - B_\nu(T_\mathrm{CMB})\right] .$$
#
# This is a *scale*, not the temperature of the gas. **Predict before you run:** how bright is opaque gas of 10 K?

# %%
opaque = lte.equivalent_temperature(line, 10.0) - lte.equivalent_temperature(line, lte.CMB_TEMPERATURE)
print(f"opaque gas of 10 K shows {opaque:.2f} K in {line.name}")

# %% [markdown]
# ## The cloud and its line cube
#
# The result is a *position-position-velocity* cube: one map for each channel of velocity. From cell to cell the
# velocity of turbulent gas steps by as much as a line is wide, so the laboratory lets it run linearly through
# each cell instead of keeping it constant as the report does. The last lines of this cell measure what that is worth.

# %%
cube = lab.synthetic_cloud(size=size, seed=seed)
velocity = np.arange(-fastest, fastest + step / 2, step) * u.km / u.s
choices = {"abundance": abundance, "velocity": velocity, "progress": False}
ppv = lab.synthesize_ppv(cube, line, **choices)
report = {"in_cell_velocity": "constant", "turbulent_dispersion": "gradient"}
stepwise = lab.synthesize_ppv(cube, line, **choices, **report)
difference = np.sqrt(np.mean((stepwise.data - ppv.data) ** 2) / np.mean(ppv.data**2))
print(ppv)
print(f"the report's scheme, with a width below the cell from the gradient, differs by {difference:.0%} RMS")

# %% [markdown]
# ## One ray, cell by cell
#
# We take the ray through the brightest pixel.
#
# *The counterpart of the report's figure 38: the gas on that ray, the observer on the left.* Look for dense cells that share a velocity, and for those that do not.

# %%
W = lab.integrated_intensity(ppv)
y, x = (int(i) for i in np.unravel_index(W.argmax(), W.shape))
ray = np.s_[:, y : y + 1, x : x + 1]
n, T, v = (np.array(field[ray]) for field in (cube.density, cube.temperature, cube.velocity["z"]))
depth = (np.arange(size) + 0.5) * cube.cell_size_pc
figures.line_of_sight(depth, n[:, 0, 0], v[:, 0, 0])

# %% [markdown]
# *The counterpart of figure 39, a placeholder in the report.* It follows the light through equation 9 at two velocities: we
# cut the gas in front away and ask what is seen from there. Read it from right to left. The brightness stays at
# zero until gas of the right velocity is met, rises while the gas is transparent, and then settles: once the
# gas is opaque, what lies behind is hidden.


# %%
def seen_from(k):
    gas = {"temperature": T[k:], "velocity": {"z": v[k:]}, "cell_size": cube.cell_size}
    return lab.synthesize_ppv(lab.SimulationCube(n[k:], **gas), line, **choices).data[:, 0, 0]


light = np.array([seen_from(k) for k in range(size)])
bright = np.flatnonzero(light[0] > 0.5 * light[0].max())[[0, -1]]
figures.ray_tracing(depth, {f"{ppv.velocity[c]:+.2f} km/s": light[:, c] for c in bright})

# %% [markdown]
# ## Spectrum, integrated map, centroid
#
# *The report's spectrum beside ours has five peaks of 2 to 11 K between -4 and +4 km/s, over a box four times as deep.* The spectrum of that pixel: every hump is gas of one velocity, not necessarily gas of one place. Beside it, the
# intensity integrated over velocity, $W = \int T\,\mathrm{d}v$.

# %%
figures.spectrum(ppv, y=y, x=x, width=380) + figures.integrated_map(ppv)

# %% [markdown]
# *Left, the mean velocity of the emission (red recedes), which no column density map knows; right, the column density itself.*

# %%
N_H = lab.column_density(cube, axis="z")
figures.centroid_map(ppv) + figures.sky_map(N_H, label="column_density", pixel_size_pc=cube.cell_size_pc)

# %% [markdown]
# ## Channel maps
#
# *The cube itself, a few channels at a time and all in the same colours.* Filaments that cross in the integrated map
# come apart here: they sit at different velocities.

# %%
figures.channel_maps(ppv)

# %% [markdown]
# ## Why ¹³CO does not replace the column density
#
# If the line were optically thin, $W$ would count molecules: $W = \sum f(T)\,\chi\,n_\mathrm{H}\,\Delta z$, with a factor $f(T)$ that
# the levels give. It is not: opaque gas hides what is behind it. Below, one means that nothing is hidden.

# %%
molecules = abundance * cube.density * cube.cell_size_cm
thin = (molecules * lte.thin_brightness(line, cube.temperature)).sum(axis=0)
seen = W / thin
densest = np.quantile(N_H, 0.99) < N_H
print(f"share of the thin brightness that is seen: {np.median(seen):.2f} in the median pixel")
print(f"in the 1 % of the pixels with the largest column density: {np.median(seen[densest]):.2f}")
figures.correlation(N_H, W, y_label="W [K km s^-1]")

# %% [markdown]
# *Integrated intensity against column density, pixel by pixel.* The relation bends and spreads: where the column is large, $W$ grows more slowly than $N_\mathrm{H}$. And the report's
# uniform abundance is kind. In cold gas above about 10⁵ cm⁻³ CO freezes onto dust grains and is gone from the densest gas,
# the one that the density map is about. **Predict:** on the line of sight that loses most, how much darker is $W$?

# %%
depleted = freeze_out(cube, abundance, density=1e5 / u.cm**3)
darker = lab.synthesize_ppv(cube, line, **(choices | {"abundance": depleted}))
lost = 1 - (depleted * cube.density).sum(axis=0) / (abundance * cube.density).sum(axis=0)
print(f"largest share of the molecules frozen out on a line of sight: {lost.max():.0%}")
print(
    f"change of W there: {lab.integrated_intensity(darker).flat[lost.argmax()] / W.flat[lost.argmax()] - 1:+.0%}"
)

# %% [markdown]
# Hardly any of it shows: what froze was hidden behind opaque gas before. (In the thinner C¹⁸O it does show: try
# it.) So the line cannot count the gas of a core, whether it is frozen or not, while the dust that gives $N_\mathrm{H}$ stays
# transparent. The line adds the velocities, the column density keeps the count: a network should be given both.
#
# **Exercise.** Set `molecule = "12CO"` and `abundance = 1e-4` in the parameters cell and run all. Which figure changes most?
#
# *Self-check:* with the default cloud the two printed shares of the thin brightness fall from 0.85 and 0.25 to 0.08 and 0.007. If yours stay
# above 0.5, look again: the abundance is still that of ¹³CO.
#
# <details><summary>Solution</summary>
#
# The correlation: the share of the thin brightness that is seen falls to a few per cent, because the line is opaque
# nearly everywhere and tells the temperature of a surface rather than the amount of gas behind it. The rare
# isotopologue is chosen for what it does *not* hide.
#
# </details>
#
# <details><summary>For the instructor</summary>
#
# 45 minutes: 15 for the optical depth, 10 for one ray, 10 for the maps, 10 for opacity and freeze-out. The derivation can be homework; the ray cannot be left
# out. Common misconceptions: *a hump in the spectrum is a cloud* (it is gas of one velocity, perhaps from several places); *the brightness
# temperature is the temperature of the gas* (only if opaque, and even then on another scale); *brighter means more gas* (not once the line is
# opaque); *velocity is a third coordinate* (it orders the gas by motion, not by depth); *a fainter molecule is a worse tracer* (it hides less).
#
# </details>
#
# The same cube as a FITS file, from the command line: `polaris-lab emission CUBE --line 13CO:1-0 --abundance 1.4e-6`.
#
# ## What we learned, and what would break it
#
# - Equation 9 needs one number a cell, $\tau(v)$; it follows from A, the levels, the temperature and the abundance.
# - Velocities separate gas that a column density adds up. Velocity is not depth: two clumps far apart may share one.
# - Opacity and freeze-out bend the relation between $W$ and $N_\mathrm{H}$ where the gas is dense.
# - *What would break it:* an abundance per H₂ taken for one per H nucleus (a factor of two), a width read as σ instead of
#   $\sqrt{2}\,\sigma$, the ray run from the wrong end, and thin gas, where LTE makes the line too bright.
#
# **References.** F. L. Schöier et al. 2005, [doi:10.1051/0004-6361:20041729](https://doi.org/10.1051/0004-6361:20041729)
# (molecular data); D. J. Fixsen 2009, [doi:10.1088/0004-637X/707/2/916](https://doi.org/10.1088/0004-637X/707/2/916) (background).
#
# **Next:** [09 · Several inputs, and volumes](09_several_inputs_and_volumes.ipynb) · [all notebooks](00_start_here.ipynb)
