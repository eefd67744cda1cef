"""Reductions of every layout around the edges of vectors, blocks, strips and parts."""

import pytest
import torch
from torch_trn import _C

pytestmark = pytest.mark.usefixtures("native")

# Rows and columns on both sides of what is transposed, folded in lanes, taken in one block or
# strip, and cut into parts.
LAYOUTS = [
    ((3, 5), 1), ((70, 1), 1), ((1000, 3), 1), ((515, 17), 1), ((130, 64), 1), ((130, 65), 1),
    ((5, 2049), 1), ((3, 70001), 1), ((3, 5), 0), ((9, 513), 0), ((2001, 3), 0), ((5000, 16), 0),
    ((3000, 33), 0), ((2100, 600), 0), ((4, 7, 5), 1), ((3, 9, 530), 1), ((2, 300, 9), 1),
    ((6, 5, 4, 7), (0, 2, 3)), ((6, 5, 4, 7), (1, 3)), ((70, 40, 3), (0, 2)), ((200001,), 0),
]
FLOATS = [torch.float32, torch.float64, torch.bfloat16]
WHOLE = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool]


def data(shape, dtype, seed=0):
    g = torch.Generator().manual_seed(seed)
    if dtype.is_floating_point:
        return torch.randn(shape, generator=g, dtype=torch.float64).to(dtype)
    return torch.randint(0, 2 if dtype == torch.bool else 100, shape, generator=g).to(dtype)


def close(got, expected, dtype):
    limit = {torch.float32: 2e-6, torch.float64: 1e-13}.get(dtype, 1e-2)
    scale = expected.abs().max().item() + 1
    assert (got.cpu().double() - expected).abs().max().item() <= limit * scale


@pytest.mark.parametrize("shape, dim", LAYOUTS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_sums_and_extremes_of_floats(isa, shape, dim, dtype):
    x = data(shape, dtype)
    there, exact = x.to("trn"), x.double()
    close(there.sum(dim), exact.sum(dim), dtype)
    close(there.mean(dim), exact.mean(dim), dtype)
    close(torch.linalg.vector_norm(there, dim=dim), torch.linalg.vector_norm(exact, dim=dim), dtype)
    close(there.var(dim, correction=0), exact.var(dim, correction=0), dtype)
    assert torch.equal(there.amax(dim).cpu(), x.amax(dim))
    assert torch.equal(there.amin(dim).cpu(), x.amin(dim))
    if isinstance(dim, int):
        assert torch.equal(there.argmax(dim).cpu(), x.argmax(dim))
        low, high = torch.aminmax(there, dim=dim)
        assert torch.equal(low.cpu(), x.amin(dim)) and torch.equal(high.cpu(), x.amax(dim))


@pytest.mark.parametrize("shape, dim", LAYOUTS)
@pytest.mark.parametrize("dtype", WHOLE)
def test_reductions_of_integers_are_exact(isa, shape, dim, dtype):
    x = data(shape, dtype)
    there = x.to("trn")
    assert torch.equal(there.sum(dim).cpu(), x.sum(dim))
    assert torch.equal(there.amax(dim).cpu(), x.amax(dim))
    assert torch.equal(there.amin(dim).cpu(), x.amin(dim))
    assert torch.equal((there != 7).all(dim).cpu(), (x != 7).all(dim))
    if isinstance(dim, int):
        assert torch.equal(there.any(dim).cpu(), x.any(dim))
        assert torch.equal(there.prod(dim).cpu(), x.prod(dim))
        values, first = there.max(dim)
        ranked = (x == x.amax(dim, keepdim=True)).to(torch.uint8)
        assert torch.equal(values.cpu(), x.amax(dim))
        assert torch.equal(first.cpu(), ranked.argmax(dim))


@pytest.mark.parametrize("length", [1, 15, 64, 65, 127, 2048, 4097])
@pytest.mark.parametrize("dim", [0, 1])
def test_nan_wins_wherever_it_stands(isa, length, dim):
    places = sorted({0, length // 2, length - 1})
    x = torch.randn(length, 70)
    for column, place in enumerate(places):
        x[place, column] = torch.nan
    x[length - 1, 69] = torch.inf
    x = x if dim == 0 else x.t().contiguous()
    there = x.to("trn")
    for name in ("amax", "amin"):
        found, expected = getattr(there, name)(dim).cpu(), getattr(x, name)(dim)
        assert torch.equal(found.nan_to_num(7e9), expected.nan_to_num(7e9))
    for name in ("argmax", "argmin"):
        assert torch.equal(getattr(there, name)(dim).cpu(), getattr(x, name)(dim))
    assert there.max().isnan().item() and there.min().isnan().item()


@pytest.mark.parametrize("shape, dim", [((2500, 40), 0), ((40, 2500), 1), ((50, 9), 1)])
def test_the_first_of_equals_is_named(isa, shape, dim):
    x = torch.zeros(shape)
    for one in (x, torch.full(shape, -torch.inf), torch.full(shape, torch.nan)):
        assert one.to("trn").argmax(dim).cpu().eq(0).all()
        assert one.to("trn").min(dim).indices.cpu().eq(0).all()
    x = (torch.arange(x.numel()).view(shape) % 7).float()
    ranked = (x == 6).to(torch.uint8)
    assert torch.equal(x.to("trn").argmax(dim).cpu(), ranked.argmax(dim))


def test_sums_of_many_are_as_exact_as_in_double():
    for shape, dim in (((3, 1 << 20), 1), ((1 << 16, 40), 0)):
        x = torch.rand(shape) + 1
        error = (x.to("trn").sum(dim).cpu().double() / x.double().sum(dim) - 1).abs().max()
        assert error <= 2 ** -23


@pytest.mark.parametrize("shape, dim", [((40000, 24), 0), ((5, 150001), 1), ((20000, 6), 1)])
def test_bits_do_not_depend_on_threads(shape, dim):
    x = torch.randn(shape).to("trn")
    before = _C._get_compute_threads()
    try:
        found = []
        for threads in (1, 2, 3):
            _C._set_compute_threads(threads)
            found.append([f.cpu() for f in (x.sum(dim), x.var(dim), x.argmax(dim))])
    finally:
        _C._set_compute_threads(before)
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other))
