# %% [markdown]
# # 10 · The laboratory
#
# **The question.** A network is published as a figure and a score. What else must be kept, so that somebody else can open it, look inside,
# and get the same number?
#
# This notebook follows part IV of the report (sections 9 and 10, figures 40 to 42): the blueprint of a network, the view into it, the viewer in
# three dimensions, and the promise that results can be reproduced.
#
# **You will learn** to draw a network and to read the drawing as JSON, Python and a table; to look at weights and feature maps; to turn a cloud;
# to repeat a training from its folder, digit by digit; and to serve the dashboards without a notebook.
#
# **You need** notebook 03 (U-Net, KAN) and 04 (what a training is). Nothing of your own.
#
# **Minutes:** 40 to read and play, of which the computer takes half of one (at quick scale: less).

# %%
import dataclasses
import tempfile
from pathlib import Path

import pandas as pd
import torch
from IPython.display import display

import polaris_lab as lab
from polaris_lab.cli.train import first_difference
from polaris_lab.training.batches import Patches
from widgets import BlueprintEditor, Home, VolumeViewer, figures

# %% quick={"epochs": 1, "size": 32, "draw": false} tags=["parameters"]
folder = "classroom/way"  # a training set and a run: what `polaris-lab demo --output FOLDER` makes
epochs = 5  # of the repetition, of the 30 of the run; each takes two seconds
cube_path = None  # a cube of your own to turn (FITS, npy, npz, HDF5, zarr), or None
size = None  # None turns the MHD cloud in the package (128³ cells); a number makes a synthetic one
draw = True  # show the empty editor of the exercise

# %% [markdown]
# ## From three programs to one package
#
# The report's tool has three parts (its figure 40): a core that computes, routes that carry messages, and an interface with its own language. This laboratory has one
# language. A dashboard is a Python object that calls the same functions as you do, so nothing can be done with the mouse that cannot be written down; each page shows the lines that give it.
#
# | the report promises, "in just a few lines" | here | notebook |
# |---|---|---|
# | training sets, with emission maps if needed | `lab.build_dataset`, `lab.synthesize_ppv` | 02, 08 |
# | training | `lab.Run.create(...).train()` | 04 |
# | error metrics | `lab.evaluate` | 04, 05 |
# | application to observations | `lab.predict_density` | 07 |
# | a drawing of the network | `BlueprintEditor` | below |
# | a viewer in 3D | `VolumeViewer` | below |
#
# ## One network, three notations
#
# A **blueprint** is a network as data: named nodes, each with its block, its settings and what feeds it. From this one object come the JSON that is stored, the Python that can be read
# or published, the table, and the drawing.
#
# **Predict before you run:** which of these forms holds the *weights*?

# %%
run = lab.Run.open(Path(folder) / "run", dataset=Path(folder) / "dataset.zarr")
blueprint = run.blueprint
text = blueprint.to_json()
print(f"JSON, {len(text)} characters; read back it is the same: {lab.Blueprint.from_json(text) == blueprint}")
print(blueprint.to_python()[blueprint.to_python().index("class") :])
stranger = {}
exec(blueprint.to_python(), stranger)
network = stranger["Network"]().eval()
network.load_state_dict(run.model().state_dict())
dataset = run.dataset()
chosen = dataset.indices("validation")[:1]
inputs = Patches.from_dataset(dataset, chosen, inputs=blueprint.inputs, target=run.target).inputs
with torch.no_grad():
    difference = network(**inputs) - run.model()(inputs)
print(f"largest difference on a held-out patch: {float(difference.abs().max())} dex")
blueprint

# %% [markdown]
# None of them. A blueprint is the recipe, the weights are the dish: they lie beside it in the folder of a run, as plain numbers in a file that can hold nothing else (a pickled network, the usual way, is a program that
# runs when you open it). Is the printed class really the same network? The cell ran it as a stranger would, put the trained weights in, and compared: no difference.
#
# ## The drawing
#
# *The counterpart of the report's figure 41, with a trained network on it.* Every block tells its shape and its number of parameters. Click a node: below the drawing appear its weights and the feature maps of a patch, the
# "one-click access" that the report asks for. Pull a wire from `correction` back to `contrast` and let go: the editor refuses and says why. Undo takes back what you do; nothing is saved unless you press Save.

# %%
editor = BlueprintEditor(run, node="correction", image_side=dataset.patch_size)
print("correction -> contrast:", editor.reason_against("correction", "contrast"))
print("contrast -> correction:", editor.reason_against("contrast", "correction"))
editor

# %% [markdown]
# ## Diagnosis
#
# The same looks as arrays. Of the first convolution we take six kernels, and of each level the mean strength of its feature maps for one held-out patch.
#
# **Predict:** where will the deepest level be strong: on the ridges, or beside them?

# %%
kernels = run.model().weights("correction")["encoder.0.0.convolution.weight"][:6, 0]
figures.number_grids({f"kernel {k}": values for k, values in enumerate(kernels)}, digits=2, columns=6)

# %%
maps = run.model().features(inputs)
levels = ("encoder.0", "encoder.1", "encoder.2", "bottleneck", "decoder.0")
strength = {name: maps[f"correction.{name}"][0].mean(0).numpy() for name in levels}
shown = {"log10 N_H - local mean": maps["contrast"][0, 0].numpy()} | strength
pixel = {name: run.pixel_size_pc * dataset.patch_size / len(values) for name, values in shown.items()}
rows = [
    (name, values.shape[1], values.shape[2], int((values.amax((0, 2, 3)) == values.amin((0, 2, 3))).sum()))
    for name, values in maps.items()
    if name.startswith("correction.") and name.split(".")[1] in ("encoder", "bottleneck", "decoder")
]
correction = maps[run.target] - maps["baseline"]
print(f"what the network adds to the power law on this patch: {float(correction.std()):.3f} dex (RMS)")
display(pd.DataFrame(rows, columns=["level", "feature maps", "side [pixels]", "silent maps"]))
views = [
    figures.sky_map(values, label="activation", log=False, pixel_size_pc=pixel[name], title=name, width=200)
    for name, values in shown.items()
]
(views[0] + views[1] + views[2] + views[3] + views[4] + views[5]).cols(3)

# %% [markdown]
# *Weights of six 3 × 3 kernels; how many maps of each level are silent; the input, and the mean of the feature maps at each level, each in its own colours.* The finest level sees edges and textures, the deeper ones ever larger neighbourhoods in ever fewer pixels. A *silent* map has the same value
# everywhere: a neuron that died (notebook 03). None did here. If half of them were silent, you would lower the learning rate or take fewer filters. Such a look costs a second and finds faults that a loss curve hides: an input that is not used, a branch that gives nothing, a level that is too deep for the patch.
#
# ## The cloud in three dimensions
#
# *The counterpart of the report's figure 42.* Drag to turn, use the wheel to come closer and fly in, the keys if you have no mouse. **Mode** chooses what a ray does: *composite* (fog in colours), *maximum* (the largest value that it meets) and *emission*, in which the gas shines in a line and hides
# what is behind it by the equations of notebook 08, computed for every pixel while you turn. The report's viewer opens npy and FITS; this one also opens npz, HDF5 and zarr, and line cubes.
#
# **Predict:** switch to *emission* and turn the cloud by 180°. Must front and back look the same?

# %%
if cube_path is not None:
    cube = lab.SimulationCube.open(cube_path)
else:
    cube = lab.sample_cloud() if size is None else lab.synthetic_cloud(size=size, seed=1)
viewer = VolumeViewer(cube)
viewer

# %% [markdown]
# A sum has no front and no back: in *maximum* the two views are mirror images (with parallel rays; switch *perspective* off). An opaque line has: we see the near side of what is dense. That is why one channel map cannot tell the depth of a cloud, and why you should turn it.
#
# Use the viewer on networks that predict cubes (notebook 09): a filament that ends in a flat cut, or that shows all its structure along the line of sight and none across it, was invented. Open the *opacity* editor and hide all but the densest tenth; what stays should hang together.
#
# ## A run is a folder
#
# The report closes with a promise, reproducibility: architecture and code are not enough, all training parameters are needed too. Here a run **is** a folder that holds all of them.

# %%
for path in sorted(run.path.iterdir()):
    print(f"{path.stat().st_size / 1e3:8.1f} kB  {path.name}")
print(run.description.provenance)
run

# %% [markdown]
# `run.json` holds blueprint, training configuration, the dataset's fingerprint, versions, seed and the number of threads. `history.jsonl` has a line for each epoch, `best.safetensors` the weights.
#
# The **fingerprint** is 16 hexadecimal digits that stand for everything that decides the result: it goes into the header of every density map that the run predicts.
#
# **Predict:** which of these changes it: another seed, another learning rate, another name of the folder, one more epoch?

# %%
workspace = Path(tempfile.mkdtemp(prefix="laboratory_"))
changes = {
    "only the folder": {},
    "seed": {"seed": 1},
    "rate": {"learning_rate": 0.001},
    "longer": {"epochs": 31},
}
others = {
    name: lab.Run.create(workspace / name, blueprint, dataset, dataclasses.replace(run.config, **change))
    for name, change in changes.items()
}
pd.Series({"the run": run.fingerprint} | {name: other.fingerprint for name, other in others.items()})

# %% [markdown]
# All but the name. (One more epoch too: the learning rate falls along a cosine that ends with the last epoch, so even the second epoch would differ.)
#
# ## The same numbers again
#
# `repeat` makes a new folder with the same recipe. **Predict:** in how many digits will the losses agree?

# %%
torch.set_num_threads(run.description.provenance["threads"])
again = run.repeat(workspace / "again")
for record in again.epochs():
    if record.epoch + 1 == epochs:
        break
first_epochs = run.history()[: len(again.history())]
gap = max(
    abs(a.validation_loss - b.validation_loss) for a, b in zip(again.history(), first_epochs, strict=True)
)
print(f"{len(first_epochs)} epochs; largest difference of the validation loss: {gap:g}")
print("the first metric that differs:", first_difference(run, again))
print(run.compare(again))
print(run.compare(others["seed"]))
figures.loss_curves({"stored:": run.history(), "repeated:": again.history()}, title="Twice the same")

# %% [markdown]
# *Two curves, of which you see one as far as the repetition went.* On the machine and the versions that made the stored run all digits agree; the only "difference" that is reported is the number of epochs. Elsewhere they may part in the last digits, and then slowly more: sums of floating-point
# numbers depend on their order, and the order on processor, library and threads. So judge by what you see: *zero* here means the same machine, a gap far below the scatter between seeds (0.0015 dex in notebook 05) means the same result, a larger gap means that something else changed. `compare` names it.
#
# From the command line: `polaris-lab train --repeat classroom/way/run --output FOLDER` trains all epochs again and answers with yes or no.
#
# ## Without a notebook
#
# Open a terminal (*File → New → Terminal*) and type `polaris-lab serve --workspace classroom`. It prints an address of this machine; the page lists what lies in the workspace and links to the eight dashboards. `polaris-lab serve volume` opens one alone. Pages never leave the workspace folder, fetch nothing from outside and
# are not reachable from other machines unless you say so. The same list as objects:

# %%
found = Home(Path(folder).parent).found
pd.DataFrame(found.entries)[["kind", "path", "words"]]

# %% [markdown]
# ## Exercise
#
# **Exercise.** Draw the report's figure 41, Input → KAN → Output: take the block `pixel_kan` of the palette on the left, wire `column_density` to it, and press *Make output*. How many parameters has it? *Self-check:* run the second cell below.
#
# <details><summary>Solution</summary>
#
# `drawing.add("pixel_kan", "kan")`, `drawing.connect("column_density", "kan")`, `drawing.answer("kan", "mass_weighted_density")`. It has 1 131 parameters: 220 edges of 5 and 31 offsets. It would also learn badly. Its curves can bend where their input
# lies between −2 and 2, and log₁₀ N_H lies near 21.5. Compare `lab.Blueprint.preset("just_kan")`: it puts a *standardize* in front and a *destandardize* behind. A dummy drawing hides exactly this kind of thing; a table of shapes does not show it either. Look at the data that goes in.
#
# </details>

# %%
drawing = BlueprintEditor()
drawing if draw else None

# %%
wanted = lab.Blueprint.preset("just_kan").node("kan")
kans = [node for node in drawing.draft.nodes if node.block == wanted.block]
right = any(kan.name in drawing.draft.outputs and kan.sources == ("column_density",) for kan in kans)
print("right" if right else "look again: one block pixel_kan, wired to column_density, and made the output")

# %% [markdown]
# <details><summary>For the instructor</summary>
#
# 40 minutes: 10 for blueprint and editor, 10 for the diagnosis, 10 for the viewer, 10 for the repetition. Let two groups repeat the run on different machines and compare digits. Common misconceptions: *the code is the experiment* (seed, data, versions and threads are part of it); *a seed makes results reproducible everywhere* (on one
# machine); *reproducible means right* (a leak between training and validation is reproduced too, notebook 02); *the picture in 3D is the data* (opacity and window decide what you see); *feature maps explain the network* (they show where it is active, not why).
#
# </details>
#
# ## What we learned, and what would break it
#
# - A network as data has many forms that all say the same: drawing, table, JSON, Python.
# - Looking inside is cheap and finds faults that a score hides: silent maps, unused inputs, values outside the range of a basis.
# - A cloud should be turned. A line of sight that is opaque has a near side.
# - A run is a folder; its fingerprint names the recipe, and the recipe gives the same digits on the same machine.
# - *What would break it:* a dataset changed after the training (its fingerprint then no longer fits, and the laboratory refuses), other versions of torch, another number of threads, a block that was defined in a notebook and lost with it. And reproducing a number says nothing about whether it was worth having.
#
# **References.** J. Pineau et al. 2021, [doi:10.48550/arXiv.2003.12206](https://doi.org/10.48550/arXiv.2003.12206) (reproducibility in machine learning);
# M. D. Wilkinson et al. 2016, [doi:10.1038/sdata.2016.18](https://doi.org/10.1038/sdata.2016.18) (findable, accessible, interoperable, reusable data);
# R. A. Drebin, L. Carpenter & P. Hanrahan 1988, [doi:10.1145/54852.378484](https://doi.org/10.1145/54852.378484) (volume rendering);
# Z. Liu et al. 2024, [doi:10.48550/arXiv.2404.19756](https://doi.org/10.48550/arXiv.2404.19756) (KAN).
#
# **That was the last one.** [All notebooks](00_start_here.ipynb)
