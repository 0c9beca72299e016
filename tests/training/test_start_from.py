"""Starting from another run's weights, repeating a run, comparing two."""

import dataclasses
import json

import pytest
import torch

from polaris_lab.models import Blueprint
from polaris_lab.training import Run
from polaris_lab.training.checkpoints import load_checkpoint, load_weights


def test_a_run_starts_from_the_weights_of_another(tmp_path, trained, blueprint, dataset, config):
    run = Run.create(tmp_path / "on", blueprint, dataset, config, start_from=trained.path)
    first = load_checkpoint(run.path / "last.ckpt")["model"]
    best = load_weights(trained.path / "best.safetensors")
    assert all(torch.equal(first[name], best[name]) for name in best)
    record = json.loads((run.path / "run.json").read_text())["start_from"]
    assert record["fingerprint"] == trained.fingerprint
    assert record["epoch"] == trained.best.epoch
    assert record["path"] == str(trained.path)
    assert run.fingerprint != trained.fingerprint
    assert "started from" in run._repr_html_()
    assert next(run.epochs()).validation_loss < 2 * trained.best.validation_loss


def test_weights_are_taken_whole_or_not_at_all(tmp_path, trained, run, dataset, config):
    wider = Blueprint.unet(layers=2, base_filters=8, attention=False, reference_scale=2.0, dropout=0.05)
    with pytest.raises(ValueError, match=r"start_from: expected weights for every tensor.*\d+ fit and \d+ do not.*"
                                         r"shape \(8, .*None is taken"):  # fmt: skip
        Run.create(tmp_path / "wide", wider, dataset, config, start_from=trained)
    assert not (tmp_path / "wide").exists()
    with pytest.raises(ValueError, match=r"expected a run with a finished epoch, got .* which is new"):
        Run.create(tmp_path / "new", trained.blueprint, dataset, config, start_from=run)
    with pytest.raises(TypeError, match="start_from: expected a Run or its path, got dict"):
        Run.create(tmp_path / "new", trained.blueprint, dataset, config, start_from={})


def test_a_repetition_has_the_same_numbers_also_when_it_started_from_another(
    tmp_path, trained, blueprint, dataset, config
):
    first = Run.create(
        tmp_path / "a", blueprint, dataset, dataclasses.replace(config, epochs=2), start_from=trained
    )
    first.train(progress=False)
    first.validate()
    second = first.repeat(tmp_path / "b").train(progress=False)
    second.validate()
    assert second.fingerprint == first.fingerprint
    assert [r.validation_loss for r in second.history()] == [r.validation_loss for r in first.history()]
    assert second.validation()["metrics"] == first.validation()["metrics"]
    assert second.compare(first).differences == ()
    assert str(second.compare(first)).startswith("b and a have the same settings")


def test_a_comparison_names_what_differs(tmp_path, trained, dataset, config):
    other = Blueprint.unet(layers=2, base_filters=8, attention=False, reference_scale=2.0, dropout=0.05)
    run = Run.create(
        tmp_path / "other", other, dataset, dataclasses.replace(config, seed=9, loss="huber(0.2)")
    )
    comparison = trained.compare(run)
    found = {name: (ours, theirs) for name, ours, theirs in comparison.differences}
    assert found.pop("training.seed") == (3, 9)
    assert found.pop("training.loss") == ("auto", "huber(0.2)")
    assert found.pop("blueprint.nodes.correction.settings.base_filters") == (4, 8)
    assert set(found) == {"blueprint.name"}
    text = str(comparison)
    assert text.splitlines()[0] == "trained and other differ in 4 settings"
    assert "accuracy within 0.3 dex" in text
    assert "<td" in comparison._repr_html_()
    with pytest.raises(dataclasses.FrozenInstanceError):
        comparison.names = ()
    with pytest.raises(TypeError, match="compare: expected a Run, got str"):
        trained.compare("other")


def test_settings_that_came_later_do_not_change_old_fingerprints(run, trained):
    """A run of before them, whose file does not name them, is the same run."""
    before = run.fingerprint
    data = json.loads((run.path / "run.json").read_text())
    for name in ("ema", "accumulate", "input_dropout", "workers", "compile", "devices", "num_nodes",
                 "remainder", "step", "validation_mode"):  # fmt: skip
        del data["training"][name]
    del data["slips"], data["start_from"]
    (run.path / "run.json").write_text(json.dumps(data))
    assert Run.open(run.path).fingerprint == before


def test_slips_of_the_report_are_labelled(tmp_path, blueprint, dataset, config):
    slipped = dataclasses.replace(config, remainder="drop", step="epoch")
    run = Run.create(tmp_path / "slipped", blueprint, dataset, slipped)
    assert len(json.loads((run.path / "run.json").read_text())["slips"]) == 2
    assert "slips of the report" in run._repr_html_()
    assert "step=&quot;epoch&quot;" in run._repr_html_()
    record = next(run.epochs())
    assert record.training_loss > 0


def test_auto_precision_is_written_down(tmp_path, blueprint, dataset, config):
    run = Run.create(tmp_path / "run", blueprint, dataset, dataclasses.replace(config, precision="auto"))
    assert Run.open(run.path).config.precision in ("32-true", "bf16-mixed")
    assert run.description.provenance["threads"] == torch.get_num_threads()


def test_tensorboard_reads_what_was_written(tmp_path, run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from polaris_lab.training.tensorboard import TensorBoardLog

    with TensorBoardLog(tmp_path / "board") as log:
        run.train(progress=False, log=log)
    events = EventAccumulator(str(tmp_path / "board")).Reload()
    values = [event.value for event in events.Scalars("loss/validation")]
    assert values == pytest.approx([record.validation_loss for record in run.history()], rel=1e-6)
    assert len(events.Tags()["scalars"]) == 9


def test_without_tensorboard_the_remedy_is_named(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    from polaris_lab.training.tensorboard import TensorBoardLog

    with pytest.raises(ModuleNotFoundError, match=r"pip install 'polaris-lab\[logging\]'"):
        TensorBoardLog(tmp_path)
