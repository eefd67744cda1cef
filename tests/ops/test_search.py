"""searchsorted, isin, unique, bincount and histograms: against PyTorch's CPU."""

import pytest
import torch

pytestmark = pytest.mark.usefixtures("native")


def to(x, device):
    if isinstance(x, torch.Tensor):
        return x.to(device)
    return type(x)(to(y, device) for y in x) if isinstance(x, (tuple, list)) else x


def check(fn, *args, **tolerance):
    """fn gives on the device what it gives on the CPU."""
    want, got = fn(*args), fn(*to(args, "trn"))
    torch.testing.assert_close(to(got, "cpu"), tuple(want) if isinstance(want, tuple) else want,
                               equal_nan=True, **tolerance)


def integers(*shape, high=9, dtype=torch.int64):
    return torch.randint(0, high, shape, generator=torch.Generator().manual_seed(3)).to(dtype)


REAL = [torch.uint8, torch.int32, torch.int64, torch.float16, torch.bfloat16, torch.float32,
        torch.float64]


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_searchsorted(dtype, right):
    check(lambda s, v: torch.searchsorted(s, v, right=right), integers(20, dtype=dtype).sort()[0],
          integers(3, 7, dtype=dtype))
    check(lambda s, v: torch.searchsorted(s, v, right=right, out_int32=True),
          integers(4, 20, dtype=dtype).sort()[0], integers(4, 7, dtype=dtype))
    check(lambda v, s: torch.bucketize(v, s, right=right), integers(5, 6, dtype=dtype),
          integers(20, dtype=dtype).sort()[0])


def test_searchsorted_forms():
    s, order = integers(4, 20).flip(1).sort()
    check(lambda s, v, o: torch.searchsorted(s, v, sorter=o, side="right"),
          integers(4, 20).flip(1), integers(4, 3), order)
    nan = torch.tensor([0.0, 2.0, float("nan")])
    check(torch.searchsorted, nan, torch.tensor([1.0, float("nan"), 5.0, float("inf")]))
    check(lambda s: (torch.searchsorted(s, 4), torch.bucketize(4, s, right=True)), s[0])
    check(torch.searchsorted, torch.empty(0), torch.ones(3))


@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_isin(dtype):
    for n in (1, 3, 200):
        check(torch.isin, integers(6, 50, high=99, dtype=dtype), integers(n, high=99, dtype=dtype))
    check(lambda x, y: torch.isin(x, y, invert=True, assume_unique=True),
          torch.arange(9).to(dtype), torch.tensor([3, 5]).to(dtype))
    check(lambda x: (torch.isin(x, 3), torch.isin(2, x)), integers(9, dtype=dtype))


@pytest.mark.parametrize("dtype", [*REAL, torch.bool], ids=str)
def test_unique(dtype):
    for x in (integers(50, dtype=dtype), integers(4, 5, dtype=dtype), integers(40000, high=90),
              torch.empty(0, dtype=dtype), torch.tensor(3).to(dtype)):
        check(lambda x: torch.unique(x, return_inverse=True, return_counts=True), x)
        check(lambda x: torch.unique_consecutive(x, return_inverse=True, return_counts=True), x)


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_unique_slices(dim):
    for x in (integers(30, 3, high=2), integers(5, 20, 2, high=2, dtype=torch.float32),
              integers(12, 4, high=2).t()):
        check(lambda x: torch.unique(x, dim=dim, return_inverse=True, return_counts=True), x)
        check(lambda x: torch.unique_consecutive(x, dim=dim, return_inverse=True,
                                                 return_counts=True), x)


def test_unique_of_nan_and_of_nothing():
    x = torch.tensor([1.0, float("nan"), 1.0, float("nan")])
    check(lambda x: torch.unique(x, return_counts=True), x)
    check(lambda x: torch.unique(x, dim=0), torch.empty(0, 3))
    with pytest.raises(RuntimeError, match="0 sized dimensions, and they aren't selected"):
        torch.unique(torch.empty(2, 0, device="trn"), dim=0)


def test_bincount():
    x = integers(5000)
    check(lambda x: torch.bincount(x), x)
    check(lambda x: torch.bincount(x, minlength=20), integers(50, dtype=torch.uint8))
    check(lambda x, w: torch.bincount(x, w), x, x * 0.25)
    check(lambda x, w: torch.bincount(x, w), x, x)
    check(lambda x: torch.bincount(x, minlength=3), x[:0])
    with pytest.raises(RuntimeError, match="1-d non-negative integral"):
        torch.bincount(torch.tensor([-1], device="trn"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_histc(dtype):
    x = torch.linspace(-3, 5, 4001, dtype=dtype)
    x[7] = float("nan")
    check(lambda x: (torch.histc(x[8:]), torch.histc(x, 10, -1, 2), torch.histc(x[:1], 3)), x)
    with pytest.raises(RuntimeError, match="max must be larger than min"):
        torch.histc(x.to("trn"), 5, 3, 1)
    with pytest.raises(RuntimeError, match="is not finite"):
        torch.histc(torch.tensor([1.0, float("inf")], device="trn"))
    assert torch.histc(torch.arange(5, device="trn"), 5).tolist() == [1] * 5
    with pytest.raises(RuntimeError, match="^HalfTensor is not supported"):
        torch.histc(x.to("trn").half())
    with pytest.raises(NotImplementedError, match="^\"histc\" not implemented for 'BFloat16'"):
        torch.histc(x.to("trn").bfloat16())


@pytest.mark.parametrize("density", [False, True])
def test_histogram(density):
    x = torch.randn(500, 2, generator=torch.Generator().manual_seed(1))
    w = torch.rand(500, generator=torch.Generator().manual_seed(2))
    edges = torch.tensor([-2.0, -0.5, 0.0, 1.0])
    check(lambda x: torch.histogram(x, 7, density=density), x)
    check(lambda x, w: torch.histogram(x, 7, range=(-1.0, 2.0), weight=w), x[:, 0], w)
    check(lambda x, e: torch.histogram(x, e, density=density), x, edges)
    check(lambda x, w: torch.histogramdd(x, [3, 4], weight=w, density=density), x, w)
    check(lambda x, e: torch.histogramdd(x, [e, e], density=density), x, edges)
