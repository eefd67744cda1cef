"""Attention of sequences packed in one tensor, against each sequence's by itself in double."""

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention.varlen import varlen_attn

pytestmark = pytest.mark.usefixtures("native")
A = torch.ops.aten
QUERIES, KEYS = [0, 3, 3, 40, 45], [0, 5, 9, 46, 48]


def data(rows, heads, head=16, seed=0):
    return torch.randn(rows, heads, head, generator=torch.Generator().manual_seed(seed))


def exact(q, k, v, cum_q, cum_k, seen=None, scale=None):
    """(out, logsumexp [heads, rows]) in double; seen(queries, keys) is a mask."""
    outs, sums = [], []
    for i in range(len(cum_q) - 1):
        a, b, c = (t[s[i]:s[i + 1]].transpose(0, 1).double()
                   for t, s in ((q, cum_q), (k, cum_k), (v, cum_k)))
        b, c = (t.repeat_interleave(a.size(0) // b.size(0), 0) for t in (b, c))
        scores = a @ b.transpose(1, 2) * (scale or a.size(-1)**-0.5)
        if seen:
            scores = scores.masked_fill(~seen(a.size(1), b.size(1)), -float("inf"))
        outs.append((scores.softmax(-1).nan_to_num() @ c).transpose(0, 1))
        sums.append(scores.logsumexp(-1))
    return torch.cat(outs), torch.cat(sums, 1)


def lower(shift):
    return lambda q, k: torch.ones(q, k).tril(k - q if shift else 0).bool()


def between(left, right):
    return lambda q, k: (torch.ones(q, k).tril(k - q + right).triu(k - q - left)).bool()


def both_ways(function, tensors, grad):
    tensors = [t.detach().requires_grad_() for t in tensors]
    out = function(*tensors)
    return [out.detach(), *torch.autograd.grad(out, tensors, grad)]


def near(got, want, tolerance=2e-5):
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a.cpu().double(), b.double(), atol=tolerance, rtol=tolerance)


FLASH = {
    "all": (False, None, None, None), "causal": (True, None, None, lower(True)),
    "window": (False, 4, 2, between(4, 2)), "causal window": (True, 3, 0, between(3, 0)),
}


@pytest.mark.parametrize("name", FLASH)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_flash(name, groups):
    causal, left, right, seen = FLASH[name]
    q, k, v, g = data(45, 4), data(48, groups, seed=1), data(48, groups, seed=2), data(45, 4)
    cum_q, cum_k = (torch.tensor(s, dtype=torch.int32, device="trn") for s in (QUERIES, KEYS))

    def ours(q, k, v):
        return A._flash_attention_forward(q, k, v, cum_q, cum_k, 37, 37, 0.0, causal, False,
                                          window_size_left=left, window_size_right=right)[0]

    got = both_ways(ours, [t.to("trn") for t in (q, k, v)], g.to("trn"))
    want = both_ways(lambda *t: exact(*t, QUERIES, KEYS, seen)[0],
                     [t.double() for t in (q, k, v)], g.double())
    near(got, want)


def test_flash_of_a_dense_batch_and_its_sums():
    q, k, v = (data(2 * 9, 4, seed=s).view(2, 9, 4, 16) for s in range(3))
    out, sums, *_ = A._flash_attention_forward(
        *(t.to("trn") for t in (q, k, v)), None, None, 9, 9, 0.0, True, False, scale=0.3)
    want, logarithms = exact(*(t.flatten(0, 1) for t in (q, k, v)), [0, 9, 18], [0, 9, 18],
                             lower(True), 0.3)
    near([out.flatten(0, 1), sums], [want, logarithms.view(4, 2, 9).transpose(0, 1)])


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_memory_efficient(kind):
    q, k, v, g = data(45, 4), data(48, 4, seed=1), data(48, 4, 8, 2), data(45, 4, 8, 3)
    cum_q, cum_k = (torch.tensor(s, dtype=torch.int32, device="trn") for s in (QUERIES, KEYS))

    def ours(*t):
        return A._efficient_attention_forward(*(x[None] for x in t), None, cum_q, cum_k, 37, 37,
                                              0.0, kind, True)[0][0]

    got = both_ways(ours, [t.to("trn") for t in (q, k, v)], g.to("trn"))
    seen = [None, lower(False), lower(True)][kind]
    want = both_ways(lambda *t: exact(*t, QUERIES, KEYS, seen)[0],
                     [t.double() for t in (q, k, v)], g.double())
    near(got, want)


def test_dropout_is_the_same_in_backward():
    q, k = data(45, 4).to("trn"), data(48, 4, seed=1).to("trn")
    v = torch.eye(16).repeat(3, 1)[:, None].expand(48, 4, 16).contiguous().to("trn")
    v.requires_grad_()
    cum_q, cum_k = (torch.tensor(s, dtype=torch.int32, device="trn") for s in (QUERIES, KEYS))
    torch.manual_seed(3)
    out = A._flash_attention_forward(q, k, v, cum_q, cum_k, 37, 37, 0.5, False, False)[0]
    # sum(out * out) is linear in v twice: its gradient is that of the weights which were kept.
    (grad,) = torch.autograd.grad(out, v, out.detach())
    torch.testing.assert_close((grad * v).sum(), (out * out).sum(), atol=1e-3, rtol=1e-4)
    assert not torch.allclose(out, A._flash_attention_forward(
        q, k, v, cum_q, cum_k, 37, 37, 0.0, False, False)[0])


@pytest.mark.parametrize("window", [(-1, -1), (-1, 0), (4, 0)])
def test_varlen(window):
    q, k, v, g = (data(45, 4, seed=s).bfloat16() for s in range(4))
    cum = torch.tensor(QUERIES, dtype=torch.int32, device="trn")
    seen = None if window == (-1, -1) else between(45 if window[0] < 0 else window[0], 0)
    got = both_ways(lambda *t: varlen_attn(*t, cum, cum, 37, 37, window_size=window),
                    [t.to("trn") for t in (q, k, v)], g.to("trn"))
    want = both_ways(lambda *t: exact(*t, QUERIES, QUERIES, seen)[0],
                     [t.double() for t in (q, k, v)], g.double())
    near(got, want, 2e-2)


def test_lengths_in_use_and_what_is_refused():
    q, k, v = (data(45, 2, seed=s).to("trn") for s in range(3))
    cum = torch.tensor(QUERIES, dtype=torch.int32, device="trn")
    used = torch.tensor([2, 0, 30, 1], dtype=torch.int32, device="trn")
    out = A._flash_attention_forward(q, k, v, cum, cum, 37, 37, 0.0, False, False,
                                     seqused_k=used)[0]
    for i, n in enumerate(used.tolist()):
        a, e = QUERIES[i], QUERIES[i + 1]
        want = F.scaled_dot_product_attention(
            q[a:e].transpose(0, 1), k[a:a + n].transpose(0, 1), v[a:a + n].transpose(0, 1))
        torch.testing.assert_close(out[a:e], want.transpose(0, 1), atol=1e-5, rtol=1e-5)
    with pytest.raises(RuntimeError, match="4 sequences of queries and 3 of keys"):
        A._flash_attention_forward(q, k, v, cum, cum[:-1], 37, 37, 0.0, False, False)
    with pytest.raises(NotImplementedError, match="no alibi_slopes"):
        A._flash_attention_forward(q, k, v, cum, cum, 37, 37, 0.0, False, False,
                                   alibi_slopes=torch.ones(2, device="trn"))
