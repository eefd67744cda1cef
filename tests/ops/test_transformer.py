"""The fast paths of attention layers in inference, and masked softmax."""

import copy

import pytest
import torch
from torch import nn

from .compare import check, make

pytestmark = pytest.mark.usefixtures("native")


def both(module):
    """An evaluating module on the CPU and its copy on trn."""
    module.eval()
    return module, copy.deepcopy(module).to("trn")


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_encoder_layer(activation, norm_first):
    here, there = both(
        nn.TransformerEncoderLayer(
            32, 4, 64, activation=activation, batch_first=True, norm_first=norm_first
        )
    )
    x = make(3, 7, 32)
    padding = torch.arange(7) >= torch.tensor([7, 5, 2])[:, None]
    causal = nn.Transformer.generate_square_subsequent_mask(7)
    with torch.inference_mode():
        for kwargs in ({}, {"src_key_padding_mask": padding}, {"src_mask": causal}):
            moved = {k: v.to("trn") for k, v in kwargs.items()}
            torch.testing.assert_close(
                there(x.to("trn"), **moved).cpu(), here(x, **kwargs), rtol=1e-4, atol=1e-5
            )


def test_multihead_attention_with_weights():
    here, there = both(nn.MultiheadAttention(32, 4, batch_first=True))
    x = make(3, 7, 32)
    with torch.inference_mode():
        for average in (True, False):
            want = here(x, x, x, average_attn_weights=average)
            y = x.to("trn")
            got = there(y, y, y, average_attn_weights=average)
            for g, w in zip(got, want, strict=True):
                torch.testing.assert_close(g.cpu(), w, rtol=1e-4, atol=1e-5)


def test_masked_softmax():
    scores = make(2, 3, 5, 5).requires_grad_()
    masks = {0: make(5, 5, seed=1) > 0.5, 1: make(2, 5, seed=2) > 0.5}
    masks[2] = make(2, 3, 5, 5, seed=3) > 0.5
    for kind, mask in masks.items():
        check(lambda s, m, k=kind: torch._masked_softmax(s, m, 3, k), scores.detach(), mask)
    check(lambda s, m: torch._masked_softmax(s, m, 3, 2), scores, masks[2])
