import pytest
import torch

from polaris_lab.training.losses import LOSSES, loss_named, mean_square, register_loss


def test_mean_square_by_hand_one_number_an_image():
    target = torch.tensor([[[[1.0, 2.0]]], [[[0.0, float("nan")]]]])
    predicted = torch.tensor([[[[1.5, 2.0]]], [[[3.0, 7.0]]]], requires_grad=True)
    loss = mean_square(predicted, target)
    assert loss.tolist() == pytest.approx([0.125, 9.0])
    loss.mean().backward()
    assert predicted.grad[1, 0, 0].tolist() == pytest.approx([3.0, 0.0])  # a blank pulls at nothing


def test_losses_are_named_and_names_are_unique(monkeypatch):
    monkeypatch.setattr("polaris_lab.training.losses.LOSSES", dict(LOSSES))
    register_loss("absolute")(lambda predicted, target: (predicted - target).abs().flatten(1).mean(1))
    assert loss_named("absolute")(torch.ones(2, 1, 1, 1), torch.zeros(2, 1, 1, 1)).tolist() == [1, 1]
    with pytest.raises(ValueError, match="taken"):
        register_loss("mse")(mean_square)
    with pytest.raises(ValueError, match="did you mean 'mse'"):
        loss_named("mze")
