"""From the folder of a run to its network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polaris_lab.models import build_model
from polaris_lab.models.storage import put_weights
from polaris_lab.training import folder as files
from polaris_lab.training.checkpoints import load_weights, weights_metadata

if TYPE_CHECKING:
    from polaris_lab.models import BlueprintModel
    from polaris_lab.training.run import Run


def best_model(run: Run) -> BlueprintModel:
    """Return the network of a run with the weights of its best epoch (see :meth:`Run.model`)."""
    path = run.path / files.WEIGHTS
    if not path.exists():
        raise ValueError(
            f"{run.path}: expected a run with a finished epoch, got one that is {run.state}; train it first: "
            f"Run.open({str(run.path)!r}).train()"
        )
    model = build_model(run.blueprint)
    put_weights(model, load_weights(path), where=str(path))
    files.check_blueprint(run.path, weights_metadata(path).get("blueprint"), path)
    return model.eval()
