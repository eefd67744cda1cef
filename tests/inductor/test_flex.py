"""flex_attention on trn, compiled and not: values and gradients as computed in double precision."""

import pytest
import torch
from torch.nn.attention.flex_attention import (
    AuxRequest,
    BlockMask,
    create_block_mask,
    flex_attention,
)

pytestmark = [pytest.mark.usefixtures("compiles", "ran", "no_fallback"),
              pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")]
HEADS, SHARED, WIDTH, WINDOW = 4, 2, 16, 48


def inputs(batch, length, dtype=torch.float32, heads=(HEADS, SHARED, SHARED)):
    made = [torch.randn(batch, h, length, WIDTH, dtype=dtype) for h in heads]
    return [t.to("trn").requires_grad_() for t in made]


def written_out(query, key, value, bias, seen):
    """Attention with a bias for each distance; rows that see nothing are zero."""
    key, value = (t.repeat_interleave(HEADS // t.shape[1], 1) for t in (key, value))
    i = torch.arange(query.shape[2])
    scores = query @ key.mT / WIDTH**0.5 + bias[:, i[:, None] - i]
    scores = scores.masked_fill(~seen, -torch.inf)
    return torch._safe_softmax(scores, -1) @ value, scores.logsumexp(-1)


def compare(call, batch, length, dtype):
    """`call` gets query, key, value, a score_mod and a block mask."""
    document = torch.arange(length) // 70
    here = document.to("trn")
    bias = torch.randn(HEADS, 2 * length).to(dtype).to("trn").requires_grad_()

    def near(score, b, h, i, j):
        return score + bias[h, i - j]

    def visible(b, h, i, j):
        return (here[i] == here[j]) & (i >= j) & (i - j < WINDOW) & (i != 3)

    mask = create_block_mask(visible, None, None, length, length, device="trn", BLOCK_SIZE=64)
    arguments = [*inputs(batch, length, dtype), bias]
    out, aux = call(*arguments[:3], near, mask)
    grad = torch.randn(out.shape).to(dtype)
    i, j = torch.arange(length)[:, None], torch.arange(length)
    seen = (document[i] == document[j]) & (i >= j) & (i - j < WINDOW) & (i != 3)
    exact = [t.detach().cpu().double().requires_grad_() for t in arguments]
    expected, logsumexp = written_out(*exact, seen)
    got = [out, aux.lse, *torch.autograd.grad(out, arguments, grad.to("trn"))]
    want = [expected, logsumexp, *torch.autograd.grad(expected, exact, grad.double())]
    share = 1e-5 if dtype == torch.float32 else 2e-2
    for a, b in zip(got, want):
        largest = b[b.isfinite()].abs().max().item()
        torch.testing.assert_close(a.cpu().double(), b, rtol=share, atol=share * largest)


def attend(query, key, value, score, mask):
    return flex_attention(query, key, value, score, mask, enable_gqa=True,
                          return_aux=AuxRequest(lse=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_uncompiled(dtype):
    compare(attend, 2, 150, dtype)


def test_compiled():
    compare(torch.compile(attend, fullgraph=True), 2, 150, torch.float32)


def test_blocks_that_are_not_listed_are_not_seen():
    table = {"dtype": torch.int32, "device": "trn"}
    mask = BlockMask.from_kv_blocks(
        torch.tensor([[[1, 1]]], **table), torch.tensor([[[[1, 0], [1, 0]]]], **table),
        torch.tensor([[[0, 1]]], **table), torch.tensor([[[[0, 1], [0, 1]]]], **table),
        BLOCK_SIZE=64, mask_mod=lambda b, h, i, j: i + 64 >= j)
    query, key, value = inputs(1, 128, torch.bfloat16, (2, 2, 2))
    with torch.no_grad():
        out = torch.compile(flex_attention, fullgraph=True)(query, key, value, block_mask=mask)
    i, j = torch.arange(128)[:, None], torch.arange(128)
    seen = torch.where(j >= 64, i + 64 >= j, i >= 64)
    want = torch.nn.functional.scaled_dot_product_attention(
        *(t.detach().cpu().double() for t in (query, key, value)), attn_mask=seen)
    torch.testing.assert_close(out.cpu().double(), want, rtol=2e-2, atol=2e-2)


def test_autocast():
    query, key, value = inputs(1, 40, heads=(2, 2, 2))
    with torch.autocast("trn", torch.bfloat16):
        out = flex_attention(query, key, value)
    assert out.dtype == torch.bfloat16
    (grad,) = torch.autograd.grad(out.sum(), query)
    assert grad.dtype == torch.float32
    want = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(out.float(), want, rtol=2e-2, atol=2e-2)
