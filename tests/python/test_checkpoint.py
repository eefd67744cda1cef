"""Recomputation of activations draws the numbers that the forward pass drew."""

import contextlib

import pytest
import torch
from torch.utils.checkpoint import checkpoint, checkpoint_sequential
from torch_trn.migration import scope


@pytest.mark.parametrize("device", ["trn", "cuda"])
@pytest.mark.parametrize("reentrant", [True, False])
def test_dropout_drops_the_same(device, reentrant):
    with scope() if device == "cuda" else contextlib.nullcontext():
        x = torch.ones(256, device=device, requires_grad=True)
        out = checkpoint(torch.dropout, x, 0.5, True, use_reentrant=reentrant)
        torch.rand(7, device=device)  # numbers drawn between the passes
        out.sum().backward()
        assert 0 < int((out == 0).sum()) < 256
        assert torch.equal(x.grad, out.detach())


def test_sequences_of_layers():
    layers = torch.nn.Sequential(*(torch.nn.Dropout() for _ in range(4))).to("trn")
    x = torch.ones(4096, device="trn", requires_grad=True)
    out = checkpoint_sequential(layers, 2, x, use_reentrant=False)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


def test_without_states_kept_other_numbers_are_drawn():
    x = torch.ones(256, device="trn", requires_grad=True)
    out = checkpoint(torch.dropout, x, 0.5, True, use_reentrant=False, preserve_rng_state=False)
    out.sum().backward()
    assert not torch.equal(x.grad, out.detach())
