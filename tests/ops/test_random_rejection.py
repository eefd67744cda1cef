"""Gamma, Poisson, binomial and Dirichlet numbers: distributions, seeds, threads, gradients."""

import math

import numpy
import pytest
import torch
from scipy import special, stats
from torch_trn import _C

pytestmark = pytest.mark.usefixtures("native")
N = 100_000
BOUND = 1.95 / math.sqrt(N)  # a right generator stays below in 999 of 1,000 runs


def distance(sample, cdf):
    """Largest distance between a sample's distribution and the exact one, also of integers."""
    x, counts = sample.double().cpu().unique(return_counts=True)
    steps = counts.cumsum(0).double() / len(sample)
    exact = cdf(x)
    below = torch.cat([torch.zeros(1, dtype=torch.float64), steps[:-1]])
    if len(x) == len(sample):
        return max((exact - below).max().item(), (steps - exact).max().item())
    return (steps - exact).abs().max().item()


@pytest.mark.parametrize("shape", [0.05, 0.7, 1.0, 4.0, 300.0])
def test_gamma(shape):
    torch.manual_seed(1)
    alpha = torch.full((N,), shape, device="trn", dtype=torch.float64)
    x = torch._standard_gamma(alpha)
    assert distance(x, lambda x: torch.igamma(torch.tensor(shape, dtype=torch.float64), x)) < BOUND


@pytest.mark.parametrize("rate", [0.0, 0.3, 4.0, 9.9, 10.1, 57.0, 4000.0])
def test_poisson(rate):
    torch.manual_seed(2)
    x = torch.poisson(torch.full((N,), rate, device="trn"))
    assert x.dtype == torch.float32
    exact = torch.tensor(rate, dtype=torch.float64)
    assert distance(x, lambda k: torch.igammac(k + 1, exact) if rate else k * 0 + 1) < BOUND


@pytest.mark.parametrize("n, p", [(5, 0.3), (40, 0.1), (40, 0.9), (1000, 0.5), (1000, 0.03)])
def test_binomial(n, p):
    torch.manual_seed(3)
    count = torch.full((N,), float(n), device="trn")
    x = torch.binomial(count, torch.full((N,), p, device="trn"))
    k = torch.arange(n + 1, dtype=torch.float64)
    log = (math.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
           + k * math.log(p) + (n - k) * math.log1p(-p))
    cdf = log.exp().cumsum(0)
    assert distance(x, lambda k: cdf[k.long()]) < BOUND


def test_edges():
    one, zero = torch.ones(3, device="trn"), torch.zeros(3, device="trn")
    assert torch.binomial(7 * one, one).tolist() == [7] * 3
    assert torch.binomial(7 * one, zero).tolist() == [0] * 3
    assert torch.binomial(zero, one / 2).tolist() == [0] * 3
    for call in (lambda: torch.poisson(-one), lambda: torch.binomial(one, 2 * one)):
        with pytest.raises(RuntimeError, match="device-side assert"):
            call()
            torch.trn.synchronize()


def test_dirichlet():
    torch.manual_seed(4)
    alpha = torch.tensor([0.5, 2.0, 3.5], device="trn").expand(20000, 3)
    x = torch._sample_dirichlet(alpha)
    torch.testing.assert_close(x.sum(-1).cpu(), torch.ones(20000))
    torch.testing.assert_close(x.mean(0).cpu(), torch.tensor([0.5, 2.0, 3.5]) / 6, rtol=0.02,
                               atol=0.005)


def test_seeds_and_threads():
    rate = torch.linspace(0.1, 50, 9999, device="trn")

    def draw():
        torch.manual_seed(5)
        draws = torch.poisson, torch._standard_gamma, torch.poisson
        return [draw(rate).cpu() for draw in draws]

    before = _C._get_compute_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            _C._set_compute_threads(threads)
            results.append(draw())
    finally:
        _C._set_compute_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
    first, _, third = results[0]
    assert not torch.equal(first, third)
    together = torch.corrcoef(torch.stack([first - rate.cpu(), third - rate.cpu()]))[0, 1]
    assert abs(together) < 0.05


def test_gradient_of_gamma():
    alpha = torch.tensor([0.1, 0.9, 2.0, 7.0, 40.0, 900.0], dtype=torch.float64)
    for k in (-1.5, -0.3, 0.0, 0.5, 2.0):
        x = (alpha + k * alpha.sqrt()).clamp(min=1e-3)
        got = torch._standard_gamma_grad(alpha.to("trn"), x.to("trn")).cpu()
        torch.testing.assert_close(got, torch._standard_gamma_grad(alpha, x), rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_dirichlet_gradient(dtype):
    alpha = torch.tensor([0.02, 0.3, 1.0, 2.5, 7.0, 40.0, 900.0], dtype=torch.float64)
    alpha, beta, x = torch.broadcast_tensors(alpha[:, None, None], alpha[None, :, None],
                                             torch.tensor([0.0, 1e-6, 0.02, 0.3, 0.5, 0.8, 0.999]))
    x, total = x.double(), (alpha + beta).contiguous()
    got = torch._dirichlet_grad(*(t.to(dtype).contiguous().to("trn") for t in (x, alpha, total)))
    # d/dalpha of the distribution function, by differences, over the density.
    a, b, v = alpha.numpy(), beta.numpy(), x.numpy()
    h = 2e-5 * a
    below, above = (special.betainc(a + s * h, b, v) for s in (-1, 1))
    over, under = (special.betainc(b, a + s * h, 1 - v) for s in (-1, 1))
    slope = torch.from_numpy(numpy.where(below < 0.5, above - below, over - under) / (2 * h))
    with numpy.errstate(all="ignore"):
        want = -slope / torch.from_numpy(stats.beta(a, b).pdf(v)) / (1 - x)
    sure = want.isfinite() & (slope.abs() > 1e-200)
    assert sure.float().mean() > 0.5
    torch.testing.assert_close(got.cpu().double()[sure], want[sure], rtol=1e-4, atol=1e-9)
    assert got[(x == 0).to("trn")].eq(0).all()
