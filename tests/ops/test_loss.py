"""Losses refuse parameters of another type, as CUDA does."""

import pytest
import torch
import torch.nn.functional as F

pytestmark = pytest.mark.usefixtures("native")


@pytest.mark.parametrize("loss", [F.nll_loss, F.cross_entropy])
def test_class_weights_of_another_type(loss):
    x, target = torch.rand(4, 3, device="trn"), torch.tensor([0, 1, 2, 1], device="trn")
    for weight in (torch.ones(3, device="trn").half(), torch.ones(3, device="trn").double()):
        with pytest.raises(RuntimeError, match="expected scalar type Float but found"):
            loss(x, target, weight)
    assert loss(x, target, torch.ones(3, device="trn")).isfinite()


def test_probabilities_of_another_type():
    x, target = torch.rand(4, 3, device="trn"), torch.ones(4, 3, device="trn").half()
    with pytest.raises(RuntimeError, match="Found dtype"):
        F.binary_cross_entropy(x, target)
    with pytest.raises(RuntimeError, match="Found dtype"):
        F.binary_cross_entropy(x.half(), target.float())


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_what_is_no_probability(value):
    x = torch.tensor([0.5, value], device="trn")
    with pytest.raises(torch.AcceleratorError, match="device-side assert triggered"):
        F.binary_cross_entropy(x, torch.ones(2, device="trn")).item()


def test_no_probabilities_at_all():
    assert F.binary_cross_entropy(torch.ones(0, device="trn"), torch.ones(0, device="trn"),
                                  reduction="sum").item() == 0


def test_classes_of_pixels_of_another_type():
    x, target = torch.rand(2, 3, 4, 4, device="trn"), torch.zeros(2, 4, 4, device="trn")
    with pytest.raises(RuntimeError, match="expected scalar type Long but found Int"):
        F.cross_entropy(x, target.int())
    assert F.cross_entropy(x, target.long()).isfinite()
