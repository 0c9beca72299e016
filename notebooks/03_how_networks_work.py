# %% [markdown]
# # 03 · How the networks work
#
# **The question.** A network that turns a column density map into a density map is made of a handful of simple
# operations. What does each of them do to an image, and why does the whole need all of them?
#
# This notebook follows section 1.1 and appendix A of the report (equations 1 and 10, figures 1 to 4 and 43 to 45)
# and fills the heading *Convolutional Neural Network*, which the report left empty. (The other empty heading,
# diffusion models, is filled in notebook 09.)
#
# **You will learn** what a perceptron computes, how bends add up to any curve, what convolution, pooling and
# transposed convolution do to pixels, how a U-Net joins them, what its skip connections and attention gates are
# for, and what a Kolmogorov-Arnold network does differently.
#
# **You need** notebook 01 for the two maps that we use, $N_\mathrm{H}$ and $\langle n_\mathrm{H}\rangle_M$; matrices help, nothing else.
#
# **Minutes:** 45 to read and play, of which the computer takes one (at quick scale: a quarter).

# %%
import numpy as np
import torch
from ipywidgets import interact

import polaris_lab as lab
from polaris_lab.models.convolutions import reflected_convolution
from polaris_lab.models.kan.basis import radial_basis
from polaris_lab.models.unet import UNet
from widgets import figures

# %% quick={"size": 32, "steps": 30} tags=["parameters"]
size = 64  # cells along each side of the synthetic cloud
seed = 1  # names the cloud and the first weights of the network
steps = 150  # training steps of the small U-Net below

# %% [markdown]
# ## The perceptron
#
# One artificial neuron takes numbers $x_1 \dots x_N$, multiplies each by a weight, adds a bias, and passes the sum
# through an *activation function* (equation 1; Rosenblatt 1958):
#
# $$y = f\Big(\sum_{i=1}^{N} w_i x_i + b\Big) .$$
#
# The usual activation is the *rectified linear unit* (equation 10), $\mathrm{ReLU}(x) = \max(0, x)$. Its slope is either 0
# or 1, so a gradient that passes many layers does not fade as it does through the flat ends of a sigmoid. (The report
# says that it *prevents* vanishing gradients; it helps. A neuron whose sum is negative for every input has
# slope 0 and learns nothing more.)
#
# **Predict before you run:** which of $w$ and $b$ moves the bend, and which makes it steeper? Can one neuron bend twice?

# %%
ramp = np.linspace(-3, 3, 121)
activations = {
    "ReLU": lambda s: np.maximum(0, s),
    "sigmoid": lambda s: 1 / (1 + np.exp(-s)),
    "none": lambda s: s,
}


def perceptron(w, b, activation):
    curve = {activation: (ramp, activations[activation](w * ramp + b))}
    return figures.lines(curve, x_label="x", y_label="y", ylim=(-3, 3), title="One neuron")


drawing = figures.network_diagram((3, 1), title="A perceptron of three inputs", width=300)
interact(perceptron, w=(-1.0, 3.0, 0.1), b=(-2.0, 2.0, 0.1), activation=list(activations))
drawing

# %% [markdown]
# *The counterpart of the report's figure 1, with one input made movable.* Each line of the drawing carries a weight. The
# bend sits at $x = -b/w$: the bias moves it, the weight sets the slope and the side. One neuron bends once. The
# answer *none* shows why $f$ is needed at all: sums of straight lines are straight lines, however many layers deep.
#
# ## Many neurons: the multilayer perceptron
#
# Neurons side by side form a layer; layers after each other form a *multilayer perceptron* (MLP). A single hidden
# layer with enough neurons comes as close as you like to any continuous curve (Cybenko 1989). The theorem does not say
# how to find the weights; that is what training by gradients is for (Rumelhart et al. 1986).
#
# We let it draw the law of figure 6: the logarithm of the mass-weighted density against that of the column
# density, for the pixels of a small cloud. With ReLU the answer is a broken line with one bend for each hidden neuron.
#
# **Predict:** how many neurons until more of them stop helping?

# %%
cube = lab.synthetic_cloud(size=size, seed=seed)
maps = {axis: lab.clouds.project(cube, axis=axis) for axis in ("z", "y", "x")}
N = np.log10(np.stack([face.column_density for face in maps.values()]))
n = np.log10(np.stack([face.mass_weighted_density for face in maps.values()]))
order = np.argsort(N, axis=None)
x, y = N.ravel()[order], n.ravel()[order]
some = slice(None, None, max(1, len(x) // 800))


def fitted(features, name):
    law = features @ np.linalg.lstsq(features, y)[0]
    title = f"{features.shape[1]} numbers: RMS {np.std(y - law):.3f} dex"
    axes = {"x_label": "log10 N_H", "y_label": "log10 <n_H>_M", "title": title, "width": 330}
    return figures.lines({name: (x[some], law[some])}, points=(x[some], y[some]), **axes)


def mlp(neurons):
    bends = np.quantile(x, np.arange(neurons) / neurons)
    return fitted(np.column_stack([np.ones_like(x), *(np.maximum(0, x - bend) for bend in bends)]), "MLP")


interact(mlp, neurons=(1, 12))
figures.network_diagram((3, 4, 4, 1), title="MLP: 3 → 4 → 4 → 1") + mlp(3)

# %% [markdown]
# *The counterpart of the report's figure 2, with a network at work beside it.* Two neurons are enough; after that
# the scatter stays at 0.19 dex. No smooth function of $N_\mathrm{H}$ alone goes below it: pixels of the same column density
# *do* have different densities. What could tell them apart is their surroundings.
#
# An MLP that is given the surroundings as well, say 128 × 128 pixels, needs 16 384 weights for each of its neurons, and would have
# to learn a filament anew at each place where one may lie.
#
# ## The convolutional network
#
# A convolutional network (Fukushima 1980; LeCun et al. 1998) makes two assumptions about images, and both hold for clouds.
# *Locality*: what a pixel means is told first by its neighbours. *Stationarity*: the same pattern means the same
# everywhere. So one small set of weights, the *kernel*, slides over the whole image,
#
# $$y_{ij} = f\Big(\sum_{a,b} w_{ab}\, x_{i+a,\,j+b} + b\Big),$$
#
# which is equation 1 with the neighbours as inputs. A 3 × 3 kernel has nine weights whatever the image size; shift the
# image and the answer shifts with it. Many kernels side by side give many *feature maps* (channels), and the next layer
# sums over all of them. (*Footnote:* with the plus signs above it is a cross-correlation; a convolution in the strict
# sense flips the kernel first. As the weights are learnt, nothing depends on it.)

# %%
pixels = np.array([[1, 1, 1, 1, 1], [1, 2, 6, 2, 1], [1, 2, 7, 2, 1], [1, 2, 6, 2, 1], [1, 1, 1, 1, 1]])
ridge = np.array([[-1, 2, -1], [-1, 2, -1], [-1, 2, -1]])
batch = torch.tensor(pixels, dtype=torch.float32)[None, None]
answer = torch.conv2d(batch, torch.tensor(ridge, dtype=torch.float32)[None, None])
figures.number_grids({"image": pixels, "kernel": ridge, "feature map": answer[0, 0]})

# %% [markdown]
# *The counterpart of the report's figure 43.* This kernel looks for upright ridges: it answers strongly on the column of sixes and
# sevens and negatively beside it. The map shrank by one pixel on each side, because the kernel must
# not hang over the edge. Our networks continue the image by reflection instead; the report's added zeros, which a network
# mistakes for the edge of a cloud.
#
# Now the same on the cloud. Choose a kernel: the blur is what a telescope beam does, the Laplacian is what scores
# the training patches in notebook 02, and the two ridge filters find filaments of one direction each. A network learns its kernels; nobody
# types them in.

# %%
ring = np.array([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])
kernels = {
    "ridges, upright": ridge,
    "ridges, level": ridge.T,
    "Laplacian": ring,
    "blur": np.full((3, 3), 1 / 9),
}
images = torch.tensor((N - N.mean()) / N.std(), dtype=torch.float32)[:, None]  # (3, 1, size, size)


def feature(kernel, relu):
    weights = torch.tensor(kernels[kernel], dtype=torch.float32)[None, None]
    seen = reflected_convolution(images[:1], weights, None)[0, 0]
    return figures.sky_map(torch.relu(seen) if relu else seen, label="feature", log=False, title=kernel)


interact(feature, kernel=list(kernels), relu=False)
feature("ridges, upright", True) + feature("ridges, level", True)

# %% [markdown]
# *Two feature maps after ReLU.* Both kernels saw the same column density; each kept the filaments of its own direction.
#
# ## Shrinking and growing again
#
# A 3 × 3 kernel sees three pixels. To see a cloud, the network shrinks the image: **maximum pooling** keeps the
# largest of each 2 × 2 pixels, so that the next kernel reaches twice as far. The position of the maximum within the
# block is lost, a price that the skip connections below pay back. The mean instead of the maximum would keep the
# amount of gas but wash out a core of one pixel. (The report calls the mean "less efficient"; which is better depends on the task.)
#
# To return to full size there is **transposed convolution**: each coarse pixel *paints* a kernel, scaled by its value, onto the fine image.
#
# **Predict:** we paint a uniform image of ones with a kernel of ones, in steps of two pixels. Is the answer uniform with a
# 2 × 2 kernel? With a 3 × 3 kernel?

# %%
batch = torch.tensor([[1.0, 2, 0, 1], [3, 9, 1, 1], [0, 1, 4, 2], [1, 0, 2, 8]])[None, None]
pooled = {"largest": torch.max_pool2d(batch, 2), "mean": torch.nn.functional.avg_pool2d(batch, 2)}
ones = torch.ones(1, 1, 3, 3)
painted = {
    f"painted, {k} × {k}": torch.conv_transpose2d(ones, torch.ones(1, 1, k, k), stride=2) for k in (2, 3)
}
everything = {"image": batch} | pooled | {"coarse": ones} | painted
figures.number_grids({name: image[0, 0] for name, image in everything.items()}, digits=1, columns=3)

# %% [markdown]
# *The counterparts of the report's figures 44 and 45.* With a 3 × 3 kernel neighbouring strokes overlap, and a uniform image
# comes out as a checkerboard (Odena et al. 2016). With 2 × 2 and steps of two there is no overlap; the U-Nets here use
# that. But the four learnt weights of a stroke need not be equal: keep an eye open for a pattern of period two.
#
# ## The U-Net
#
# Ronneberger et al. (2015) put these pieces into one shape. Going down, blocks of convolution and ReLU alternate with pooling:
# images get smaller, channels more. Going up, transposed convolutions restore the size. At each level a **skip
# connection** carries the fine image across, and **concatenation** lays both sets of channels on top of each other, so
# that the next convolution sees *what* (from below) together with *where* (from the side).
#
# Move the sliders: what do a layer and a filter cost, and how far does the network see?


# %%
def unet(layers, base_filters):
    net = UNet(layers=layers, base_filters=base_filters)
    count = sum(weights.numel() for weights in net.parameters())
    print(f"{count:,} parameters; an output pixel sees {net.receptive_margin} pixels to each side")
    return figures.unet_diagram(layers, base_filters)


interact(unet, layers=(1, 5), base_filters=[8, 16, 32, 64])
unet(4, 64)

# %% [markdown]
# *The counterpart of the report's figure 3; channels above, side of the image below.* The drawing is the report's own network: 4 layers, 64 base
# filters, one convolution a block (the original has two). Twice the filters cost four times the
# parameters, and so does a further layer, nearly. Notebook 05 asks whether they are worth it.
#
# ## A U-Net at work
#
# A small one, trained for a moment on the three faces of our cloud. This is a toy: it is judged on the very images that it
# learns from, which proves nothing about other clouds (notebook 04 does it properly). It is here to be taken apart.
#
# **Predict:** we cut a skip connection of the trained network. What is lost without the finest one? Without the coarser one?

# %%
torch.manual_seed(seed)
net, target = UNet(layers=2, base_filters=8), torch.tensor(n - n.mean(), dtype=torch.float32)[:, None]
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
for _step in range(steps):
    optimizer.zero_grad()
    loss = torch.mean((net(images) - target) ** 2)
    loss.backward()
    optimizer.step()
net.eval()
skips, seen = [1.0, 1.0], {}
for level in (0, 1):
    net.gates[level].register_forward_hook(lambda gate, given, out, level=level: skips[level] * out)
net.gates[0].weight.register_forward_hook(lambda part, given, out: seen.update(alpha=torch.sigmoid(out)))


def density(finest, coarser):
    skips[:] = [finest, coarser]
    with torch.no_grad():
        return 10 ** (net(images[:1])[0, 0].numpy() + n.mean())


shown = {
    "true": 10 ** n[0],
    "finest cut": density(0, 1),
    "coarser cut": density(1, 0),
    "whole": density(1, 1),
}
figures.map_grid(shown, label="mass_weighted_density", pixel_size_pc=cube.cell_size_pc, columns=2, width=240)

# %% [markdown]
# *What each path carries; all four maps share one colour scale.* Without the finest skip connection the map turns coarse: what is left has come up
# from pooled images, and a filament of one pixel's width is gone. Without the coarser one the outlines stay, but the voids fill up and broad contrasts fade. The
# network has shared its work between the levels, which is why no part of a trained U-Net can be judged alone.
#
# ## Attention
#
# The report adds an **attention gate** to each skip connection (Oktay et al. 2018). From the skip features $s$ and the
# decoder's features $g$ it computes one weight for each pixel,
#
# $$\alpha = \sigma\big(\psi\,\mathrm{ReLU}(W_g\,g + W_s\,s)\big), \qquad 0 < \alpha < 1,$$
#
# and passes on $\alpha s$: what is coarse and certain decides where fine detail matters. All three maps are 1 × 1 convolutions, with
# batch normalisation.

# %%
figures.sky_map(
    seen["alpha"][0, 0], label="attention weight", log=False, title="Finest gate, after training"
) + (figures.sky_map(10 ** N[0], label="column_density", title="What the network is given"))

# %% [markdown]
# *The weights of the finest gate beside the image.* The gate is open where the gas is dense and closes
# in the void. It also shows the pattern of period two that the transposed convolution leaves. Beware of reading it as an explanation: the layers
# after the gate may undo what it does.
#
# ## Kolmogorov-Arnold networks
#
# An MLP learns *numbers* on its edges and has one fixed function in its neurons. A Kolmogorov-Arnold network (KAN; Liu et al.
# 2024) learns a *function* on each edge, and its neurons only add:
#
# $$y = \sum_i \varphi_i(x_i), \qquad \varphi(x) = \sum_k c_k\, e^{-((x - x_k)/h)^2},$$
#
# here from Gaussian bumps (Z. Li 2024); Liu et al. use splines. Each edge costs as many numbers as bumps, so a KAN is slower than
# an MLP of the same shape. With one input and one output it is a curve that can be drawn and read.
#
# **Predict:** with equally many numbers to fit, does one KAN edge follow the pixels better than the broken line of the MLP?

# %%
drawings = [
    figures.network_diagram((2, 3, 1), kan=kan, title=f"{name} on edges")
    for kan, name in enumerate(("Numbers", "Functions"))
]
drawings[0] + drawings[1]


# %%
def kan(bumps):
    scaled = torch.tensor(4 * (x - x.min()) / np.ptp(x) - 2)
    centres = torch.linspace(-2, 2, bumps, dtype=torch.float64)
    return fitted(radial_basis(scaled, centres, 4 / (bumps - 1)).numpy(), "KAN edge")


interact(kan, bumps=(2, 12))
mlp(4) + kan(5)

# %% [markdown]
# *The counterpart of the report's figure 4: drawn above, an MLP and a KAN of the same shape; at work below, an MLP and one KAN edge with five numbers each.* The curve is smooth where the MLP's is broken, and the scatter is the same:
# it is a property of the gas, not of the network. (Report: "their interpretability is lost when incorporated into networks such as U-Net": true, and its
# own way out is a KAN of the column density alone, 1 → 10 → 10 → 10 → 1, beside the U-Net: notebook 05.)
#
# ## Exercise
#
# **Exercise.** A 3 × 3 convolution takes 16 channels to 32. How many parameters does it have, biases included? *Self-check:* write the number into the next cell and run it.
#
# <details><summary>Solution</summary>
#
# Each of the 32 outputs has a kernel of 3 × 3 for each of the 16 inputs, and one bias: 32 × (16 × 9 + 1) = 4640. The size of the image does
# not appear: that is the whole point. A fully connected layer between images of 64 × 64 pixels of the same channels would need about 8.6 thousand million.
#
# </details>

# %%
my_answer = 0  # your number
layer = torch.nn.Conv2d(16, 32, kernel_size=3)
print(
    "right"
    if my_answer == sum(part.numel() for part in layer.parameters())
    else "look again: kernels, then biases"
)

# %% [markdown]
# <details><summary>For the instructor</summary>
#
# 45 minutes: 10 for neurons, 15 for convolution and pooling, 15 for the U-Net, 5 for KAN; a class in a hurry begins at "The convolutional network".
# Common misconceptions: *deeper means better* (without $f$ depth does nothing, and the report's own map prefers two layers); *pooling
# is compression without loss* (the skip connections exist because of what it loses); *attention shows what the network looked at* (it shows one factor
# in a long product); *a KAN has fewer parameters* (fewer edges, more numbers on each); *a good fit to three maps means that it works* (it has
# seen them). To show the last: change `seed` after training, run the cells that make the maps, and look at the toy's answer for another cloud.
#
# </details>
#
# ## What we learned, and what would break it
#
# - A neuron bends a line once; a layer of them draws any curve; no curve of $N_\mathrm{H}$ alone beats a scatter of about 0.2 dex.
# - A convolution is the same neuron at every pixel. Pooling widens the view, transposed convolution restores the size, and skip
#   connections bring back where things were.
# - Attention weighs the skips; KAN edges are curves instead of numbers. Both are refinements, to be judged by measurement.
# - *What would break it:* zeros around a patch (they look like the edge of a cloud); kernels that overlap unevenly when growing
#   (checkerboards); an image whose pixels have another size in parsecs, because a kernel counts pixels: the same filament at twice the
#   distance is another pattern to it.
#
# **References.** F. Rosenblatt 1958, [doi:10.1037/h0042519](https://doi.org/10.1037/h0042519);
# K. Fukushima 1980, [doi:10.1007/BF00344251](https://doi.org/10.1007/BF00344251);
# D. E. Rumelhart, G. E. Hinton & R. J. Williams 1986, [doi:10.1038/323533a0](https://doi.org/10.1038/323533a0);
# G. Cybenko 1989, [doi:10.1007/BF02551274](https://doi.org/10.1007/BF02551274);
# Y. LeCun et al. 1998, [doi:10.1109/5.726791](https://doi.org/10.1109/5.726791);
# O. Ronneberger, P. Fischer & T. Brox 2015, [doi:10.1007/978-3-319-24574-4_28](https://doi.org/10.1007/978-3-319-24574-4_28);
# A. Odena, V. Dumoulin & C. Olah 2016, [doi:10.23915/distill.00003](https://doi.org/10.23915/distill.00003);
# O. Oktay et al. 2018, [doi:10.48550/arXiv.1804.03999](https://doi.org/10.48550/arXiv.1804.03999);
# Z. Liu et al. 2024, [doi:10.48550/arXiv.2404.19756](https://doi.org/10.48550/arXiv.2404.19756);
# Z. Li 2024, [doi:10.48550/arXiv.2405.06721](https://doi.org/10.48550/arXiv.2405.06721).
#
# **Next:** [04 · Training and performance](04_training_and_performance.ipynb) · [all notebooks](00_start_here.ipynb)
