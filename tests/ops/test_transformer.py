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


def test_encoder_of_padded_batches():
    here, there = both(nn.TransformerEncoder(
        nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), 2, norm=nn.LayerNorm(32)))
    x = make(4, 7, 32)
    padding = torch.arange(7) >= torch.tensor([6, 5, 2, 1])[:, None]
    with torch.no_grad():
        want = here(x, src_key_padding_mask=padding)  # nested tensors on the way, zeros beside them
        got = there(x.to("trn"), src_key_padding_mask=padding.to("trn"))
    torch.testing.assert_close(got.cpu(), want, rtol=1e-4, atol=1e-5)


def test_nested_tensors_padded_and_back():
    rows = [make(n, 3, seed=n) for n in (2, 4, 1)]
    for device in ("cpu", "trn"):
        nested = torch.nested.nested_tensor([r.to(device) for r in rows])
        for size in (None, (3, 5, 4)):
            got = nested.to_padded_tensor(-1.0, size)
            assert got.shape == (size or (3, 4, 3)) and got.device.type == device
            for i, row in enumerate(rows):
                assert torch.equal(got[i, : len(row), :3].cpu(), row)
            assert got.cpu().eq(-1.0).sum() == got.numel() - sum(r.numel() for r in rows)
        with pytest.raises(RuntimeError, match="less than NestedTensor padded size"):
            nested.to_padded_tensor(0.0, (3, 2, 3))
        back = torch._nested_from_padded(got, nested._nested_tensor_size())
        for a, b in zip(back.unbind(), rows, strict=True):
            assert torch.equal(a.cpu(), b)


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
