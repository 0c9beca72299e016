"""A network in one file, without pickle: weights as safetensors, the blueprint as JSON in its header.

Reading runs no code from the file: blocks are looked up by name among those that are registered.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from polaris_lab import config
from polaris_lab.models.blueprint import Blueprint
from polaris_lab.models.build import BlueprintModel, build_model

ANOTHER_BLUEPRINT = (
    "the weights belong to another blueprint; restore the run.json they were trained with, or train again"
)


def save_model(path: str | Path, model: BlueprintModel) -> Path:
    """Write a network, with its blueprint, to one file (whole or not at all).

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_model(f"{folder}/net.safetensors", build_model(Blueprint.unet(2, 4)))
    ...     load_model(path).blueprint.name
    'U-Net 4 x 2 with attention'
    """
    from safetensors.torch import save

    state = {name: values.detach().cpu().contiguous() for name, values in model.state_dict().items()}
    return config.write_bytes(path, save(state, metadata={"blueprint": model.blueprint.to_json()}))


def load_model(path: str | Path) -> BlueprintModel:
    """Read a network that :func:`save_model` wrote, in evaluation mode.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no safetensors file (pickles, ``.pt``, are not opened: they can run anything), holds no blueprint or
        that of a newer version, or its weights are not those of its blueprint: the error names the node.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a file of save_model, found none")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    except SafetensorError as error:
        raise ValueError(
            f"{path}: expected weights in the safetensors format, got another or a damaged file ({error}); pickles "
            "(.pt, .pth, .ckpt) are not opened, because they can run anything: save the model with save_model"
        ) from error
    if "blueprint" not in metadata:
        raise ValueError(
            f"{path}: expected a blueprint beside the weights, got none; write it with save_model"
        )
    model = build_model(Blueprint.from_json(metadata["blueprint"]))
    put_weights(model, weights, where=str(path))
    return model.eval()


def put_weights(model: nn.Module, weights: Mapping[str, Tensor], *, where: str) -> None:
    """Load weights into a model, every tensor of the right name and shape.

    Parameters
    ----------
    model : nn.Module
        Its weights are overwritten; not one of them where any does not fit.
    weights : mapping of str to Tensor
        By the names of its state dict.
    where : str
        What the weights are called in errors.

    Raises
    ------
    ValueError
        If a tensor is missing, unknown, or of another shape: the error names its node and it.
    """
    wrong = misfits(model, weights)
    if wrong:
        raise ValueError(f"{where}: {wrong[0]}: {ANOTHER_BLUEPRINT}")
    model.load_state_dict(weights, strict=True)


def misfits(model: nn.Module, weights: Mapping[str, Tensor]) -> list[str]:
    """Return, in words, which tensors of a model are missing or have another shape, and which it does not know."""
    expected, words = model.state_dict(), []
    for name, values in expected.items():
        wanted = f"{_node_of(name)}expected the tensor {name!r} of shape {tuple(values.shape)}"
        if name not in weights:
            words.append(f"{wanted}, got none")
        elif weights[name].shape != values.shape:
            words.append(f"{wanted}, got shape {tuple(weights[name].shape)}")
    return words + [
        f"{_node_of(name)}expected no tensor {name!r}, got one of shape {tuple(values.shape)}"
        for name, values in weights.items()
        if name not in expected
    ]


def _node_of(tensor: str) -> str:
    """Return "node 'x': " for a tensor of a blueprint's model, nothing for one of another module."""
    first, _, rest = tensor.partition(".")
    return f"node {rest.partition('.')[0]!r}: " if first == "nodes" else ""
