"""The parts of nn.SyncBatchNorm in one process, as if several had a piece of the batch each."""

import pytest
import torch
import torch.nn.functional as F

from .compare import FLOATS, TOLERANCE, make

pytestmark = pytest.mark.usefixtures("native")
EPS, MOMENTUM = 1e-5, 0.1
PARTS = (3, 1, 4)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("shape", [(8, 5), (8, 5, 7), (8, 5, 3, 4)], ids=str)
def test_pieces_together_are_the_batch(shape, dtype):
    channels = shape[1]
    x = make(*shape, dtype=dtype).mul(2).add(3)
    grad = make(*shape, dtype=dtype, seed=1)
    stat = torch.float64 if dtype == torch.float64 else torch.float32
    weight, bias = make(channels, dtype=stat, seed=2), make(channels, dtype=stat, seed=3)
    reference = [t.double().requires_grad_() for t in (x, weight, bias)]
    average, variance = torch.zeros(channels).double(), torch.ones(channels).double()
    want = F.batch_norm(reference[0], average, variance, *reference[1:], True, MOMENTUM, EPS)
    want.backward(grad.double())

    pieces, grads = (t.to("trn").split(PARTS) for t in (x, grad))
    weight, bias = weight.to("trn"), bias.to("trn")
    stats = [torch.batch_norm_stats(p, EPS) for p in pieces]
    counts = torch.tensor([p.numel() / channels for p in pieces], dtype=stat, device="trn")
    running = torch.zeros(channels, dtype=stat, device="trn"), torch.ones_like(weight)
    mean, invstd = torch.batch_norm_gather_stats_with_counts(
        pieces[0], *(torch.stack(s) for s in zip(*stats, strict=True)), *running, MOMENTUM, EPS,
        counts)
    got = [torch.batch_norm_elemt(p, weight, bias, mean, invstd, EPS) for p in pieces]
    sums = [torch.batch_norm_backward_reduce(g, p, mean, invstd, weight, True, True, True)
            for g, p in zip(grads, pieces, strict=True)]
    total, dot, weight_grad, bias_grad = (sum(s) for s in zip(*sums, strict=True))
    input_grad = [torch.batch_norm_backward_elemt(g, p, mean, invstd, weight, total, dot,
                                                  counts.int())
                  for g, p in zip(grads, pieces, strict=True)]

    found = [torch.cat(got), torch.cat(input_grad), weight_grad, bias_grad, *running]
    expected = [want.detach(), *(t.grad for t in reference), average, variance]
    near = TOLERANCE[dtype] * 5
    for f, e in zip(found, expected, strict=True):
        torch.testing.assert_close(f.cpu().double(), e, rtol=near, atol=near * e.abs().max().item())


def test_equal_counts_and_a_given_result():
    x = make(4, 3, 5).to("trn")
    mean, invstd = torch.batch_norm_stats(x, EPS)
    both = torch.stack([mean, mean]), torch.stack([invstd, invstd])
    merged = torch.batch_norm_gather_stats(x, *both, None, None, MOMENTUM, EPS, 20)
    torch.testing.assert_close(merged, (mean, invstd))
    out = torch.empty(0, device="trn")
    torch.batch_norm_elemt(x, None, None, mean, invstd, EPS, out=out)
    torch.testing.assert_close(out, torch.batch_norm_elemt(x, None, None, mean, invstd, EPS))
