# %% [markdown]
# # 00 · Start here
#
# A telescope sees how much gas lies behind each pixel of a molecular cloud, and never where along the line of sight. These notebooks tell how a network learns to say how *dense* that gas is, how far it can be trusted, and
# where it cannot. They follow the report *Inferring Volume Density in Molecular Clouds Using Deep Learning* (Z. Ribeiro, IPAG Grenoble, 2025) section by section, with clouds and networks of their own, so that every figure can be made again.
#
# **First, see whether all is well.** Wait until *Idle* stands at the bottom of the page: then Python is ready. (Should JupyterLab ask for a kernel, take *Python 3*.) Click into the cell below and press Shift+Enter, twice. After ten seconds or so, when the libraries are loaded, a cloud appears.

# %% quick={"size": 16} tags=["parameters"]
import polaris_lab as lab
from widgets import figures

size = 32  # cells along each side of the cloud
seed = 1  # names it: change it, press Shift+Enter again, and see another

# %%
cube = lab.synthetic_cloud(size=size, seed=seed)
N_H, n_M = lab.column_density(cube, axis="z"), lab.mass_weighted_density(cube, axis="z")
pixel = cube.cell_size_pc
print(f"It works. {lab.fit_power_law(N_H, n_M)}")
figures.sky_map(N_H, label="column_density", pixel_size_pc=pixel, width=230) + figures.sky_map(
    n_M, label="mass_weighted_density", pixel_size_pc=pixel, width=230
)

# %% [markdown]
# *Left what a telescope sees, right what we want to know; point at a pixel to read it.* If an error stands there instead, open a terminal (*File → New → Terminal*) and type `polaris-lab doctor`: it says what your installation can do and what it lacks. If nothing appears, or a notebook
# that was open before looks dead, choose *Kernel → Restart Kernel and Run All Cells*.
#
# ## What to click first
#
# **[01 · Simulations and projections](01_simulations_and_projections.ipynb)**, then on to 04: these four are the course. In each, *Run → Run All Cells* first (the computer takes a minute or two), then read from the top. Where it says **Predict before you run**, answer before you look. The last line of each leads to the next.
#
# | notebook | report | asks | minutes |
# |---|---|---|---|
# | [01 · Simulations and projections](01_simulations_and_projections.ipynb) | 2.1, table 1, figures 5, 6 | What does a projection forget? | 40 |
# | [02 · The training set](02_training_set.ipynb) | 2.1, appendix B, figures 7, 46 | Which pieces of a cloud should a network see, and which never before the exam? | 40 |
# | [03 · How the networks work](03_how_networks_work.ipynb) | 1.1, appendix A, figures 1 to 4, 43 to 45 | What does each operation do to an image? | 45 |
# | [04 · Training and performance](04_training_and_performance.ipynb) | 2.2 to 3.1, figures 8 to 13 | How does it learn, and how do we know how well? | 45 |
# | [05 · Complexity and KAN](05_complexity_and_kan.ipynb) | 3.2, 3.3, figures 14 to 20 | Is a larger network a better one? | 40 |
# | [06 · Working scale, size of the training set](06_scale_and_set_size.ipynb) | 3.4, 3.5, figures 21 to 23 | Other pixels? How many images? | 35 |
# | [07 · Observations](07_observations.ipynb) | 4, 5, appendices C, D, figures 24 to 37, 47, 48 | What does it say about real clouds, and may we believe it? | 50 |
# | [08 · Emission maps](08_emission_maps.ipynb) | 6, 7.1, figures 38, 39 | What does a telescope tuned to ¹³CO see? | 45 |
# | [09 · Several inputs, and volumes](09_several_inputs_and_volumes.ipynb) | 7.2 to 8.3, appendix E | Does the velocity help? Can the third dimension be had? | 60 |
# | [10 · The laboratory](10_the_laboratory.ipynb) | 9, 10, figures 40 to 42 | What must be kept so that others get the same? | 40 |
#
# **One hour only?** Take 01 and 04. **You have a map of your own?** 07. **You observe lines?** 08, then 09. **You build networks?** 03, 05, 10. **You teach?** Each notebook ends with a folded cell for you, and 04 to 07 read small runs that are there already: a class can start at any of them.
#
# ## The dashboards
#
# Where looking beats reading, a notebook contains a dashboard. The same open as pages of their own: in a terminal, `polaris-lab serve --workspace classroom` shows a home page with all of them, and `polaris-lab serve NAME` one.
#
# | name | what it is for | in notebook |
# |---|---|---|
# | `inspector` | choose the patches that a network learns from | [02](02_training_set.ipynb) |
# | `training` | watch trainings, pause and resume them | [04](04_training_and_performance.ipynb) |
# | `residuals` | see where and by how much a network errs | [04](04_training_and_performance.ipynb) |
# | `complexity` | compare the networks of a study | [05](05_complexity_and_kan.ipynb), [06](06_scale_and_set_size.ipynb) |
# | `overlay` | lay a density over the map of the sky | [07](07_observations.ipynb) |
# | `emission` | channel maps and spectra of a line | [08](08_emission_maps.ipynb) |
# | `volume` | turn a cloud in three dimensions | [10](10_the_laboratory.ipynb) |
# | `blueprint` | draw a network, look into a trained one | [10](10_the_laboratory.ipynb) |
#
# ## Good to know
#
# - Everything works without a network connection and without downloads. A notebook that can use data of yours has a knob for its path in the cell named *parameters*, the second cell of code.
# - All densities count hydrogen **nuclei**: $N_\mathrm{H}$ in cm⁻², $n_\mathrm{H}$ in cm⁻³. A factor in *dex* is its logarithm to base 10: 0.3 dex is a factor of two.
# - Nothing you run changes the files in `classroom`; what a notebook makes goes into a temporary folder.
# - Each notebook can be run alone, and broken: to get the original back, `git checkout notebooks`.
