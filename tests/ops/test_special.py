"""Special functions away from the sweep of test_accuracy: parameters, specials, other shapes."""

import math
from fractions import Fraction

import pytest
import torch

pytestmark = pytest.mark.usefixtures("native")
S = torch.special


def check(fn, *args, rtol=1e-6, atol=0.0):
    """fn on the device in float32 and float64 is fn on the CPU in double."""
    want = fn(*[a.double() for a in args])
    for dtype in (torch.float32, torch.float64):
        got = fn(*[a.to(dtype).to("trn") for a in args]).cpu()
        assert got.dtype == dtype
        # What float32 cannot hold is left to test_accuracy.
        keep = (want.abs() < 1e37) & (want.abs() > 1e-37) | ~want.isfinite() | (want == 0)
        torch.testing.assert_close(got.double()[keep], want[keep], rtol=rtol, atol=atol,
                                   equal_nan=True)


POLYNOMIALS = [name for name in dir(S) if "polynomial" in name]


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials(name):
    x = torch.cat([torch.linspace(-1.5, 1.5, 25), torch.tensor([1.0, -1.0, 0.0])])
    n = torch.arange(-1, 14)
    check(lambda x, n: getattr(S, name)(x, n), x[:, None], n[None].float(), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("order", [0, 1, 2, 5, 10])
def test_polygamma(order):
    x = torch.tensor([-3.5, -2.0, -0.25, 0.0, 1e-3, 0.5, 1.0, 7.25, 100.0, float("inf")])
    x = x[x > 0] if order > 1 else x[(x != -2) & (x.abs() < 1e30)]
    check(lambda x: torch.polygamma(order, x), x, rtol=1e-5)


def test_zeta():
    s = torch.tensor([0.5, 1.0, 1.001, 2.0, 3.0, 9.5, 50.0])
    q = torch.tensor([-2.0, -1.5, 0.0, 0.1, 1.0, 6.0, 1e4])
    check(S.zeta, s[:, None], q[None], rtol=1e-5)


@pytest.mark.parametrize("fn", [torch.igamma, torch.igammac], ids=["lower", "upper"])
def test_incomplete_gamma(fn):
    a = torch.tensor([0.0, 1e-3, 0.5, 1.0, 5.0, 80.0, 1e4, 3e7, float("inf"), -1.0, float("nan")])
    x = torch.tensor([0.0, 1e-4, 0.5, 2.0, 6.0, 79.0, 1.01e4, 3e7, float("inf"), -2.0])
    check(fn, a[:, None], x[None], rtol=2e-5, atol=1e-7)


def test_tails():
    x = torch.tensor([-40.0, -38.5, -10.0, -1.0, 0.0, 1.0, 10.0, float("inf"), -float("inf")])
    check(S.log_ndtr, x, rtol=1e-5)
    check(S.erfcx, x[3:], rtol=1e-5)
    p = torch.tensor([0.0, 1e-30, 1e-7, 0.1, 0.25, 0.5, 0.9, 1 - 2.0**-20, 1.0, 1.5, -0.1])
    check(S.ndtri, p, rtol=1e-5)


def bessel_j(order, x):
    """J_order(x) from its power series in exact arithmetic."""
    half = Fraction(x) / 2
    term = half**order / math.factorial(order)
    total = term
    for k in range(1, 60):
        term *= -half * half / (k * (k + order))
        total += term
    return float(total)


def test_bessel():
    x = torch.linspace(0.01, 15, 150, dtype=torch.float64)
    j = [[S.bessel_j0, S.bessel_j1][n](x.to("trn")).cpu() for n in (0, 1)]
    for n in (0, 1):
        exact = torch.tensor([bessel_j(n, v) for v in x.tolist()], dtype=torch.float64)
        torch.testing.assert_close(j[n], exact, rtol=1e-13, atol=1e-16)
    y = [fn(x.to("trn")).cpu() for fn in (S.bessel_y0, S.bessel_y1)]
    torch.testing.assert_close(j[1] * y[0] - j[0] * y[1], 2 / (math.pi * x), rtol=1e-12, atol=0)
    assert S.bessel_y0(torch.tensor([-1.0, 0.0], device="trn")).tolist()[1] == -math.inf
    assert S.bessel_y1(torch.tensor(-1.0, device="trn")).isnan()


def test_airy():
    # Abramowitz and Stegun, table 10.11, and the first zero.
    x = torch.tensor([0.0, 1.0, -1.0, 5.0, -2.338107410459767, -10.0], dtype=torch.float64)
    want = torch.tensor([0.355028053887817, 0.135292416312881, 0.535560883292352,
                         1.083444281360744e-4, 0.0, 0.040241238486442], dtype=torch.float64)
    got = S.airy_ai(x.to("trn")).cpu()
    torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-15)
    assert S.airy_ai(torch.tensor([200.0], device="trn")).item() == 0


def test_round_to_decimals_and_frexp():
    x = torch.tensor([1.2345, -2.5, 1234.5, 0.05, float("inf"), float("nan"), 0.0, 1e-40])
    for places in (-2, 0, 1, 3):
        want = torch.round(x, decimals=places)
        torch.testing.assert_close(torch.round(x.to("trn"), decimals=places).cpu(), want,
                                   equal_nan=True)
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        mantissa, exponent = torch.frexp(x.to(dtype).to("trn"))
        want = torch.frexp(x.to(dtype))
        keep = x.isfinite()
        assert torch.equal(mantissa.cpu()[keep], want.mantissa[keep])
        assert torch.equal(exponent.cpu()[keep], want.exponent[keep])
        assert exponent.dtype == torch.int32


def test_integers_and_halves_are_promoted():
    for x in (torch.arange(1, 6), torch.tensor([True, False])):
        torch.testing.assert_close(S.bessel_j0(x.to("trn")).cpu(), S.bessel_j0(x))
        torch.testing.assert_close(torch.polygamma(1, x.to("trn")).cpu(), torch.polygamma(1, x))
    h = torch.linspace(-3, 3, 9).half()
    torch.testing.assert_close(torch.i0(h.to("trn")).cpu(), torch.i0(h))


def test_cross():
    for dtype in (torch.float32, torch.bfloat16, torch.int64, torch.complex64):
        a = torch.arange(60).remainder(7).view(4, 3, 5).to(dtype)
        b = torch.arange(60).remainder(11).view(4, 3, 5).to(dtype)
        want = torch.linalg.cross(a, b, dim=1)
        assert torch.equal(torch.linalg.cross(a.to("trn"), b.to("trn"), dim=1).cpu(), want)
        want = torch.linalg.cross(a[..., :1], b, dim=1)
        assert torch.equal(torch.linalg.cross(a[..., :1].to("trn"), b.to("trn"), dim=1).cpu(), want)


@pytest.mark.parametrize("fn", [torch.tril_indices, torch.triu_indices], ids=["lower", "upper"])
def test_triangle_indices(fn):
    for rows in (0, 1, 4, 7):
        for cols in (0, 1, 5, 8):
            for offset in range(-9, 10):
                assert torch.equal(fn(rows, cols, offset, device="trn").cpu(),
                                   fn(rows, cols, offset))
    assert fn(3, 3, dtype=torch.int32, device="trn").dtype == torch.int32


@pytest.mark.parametrize("name", ["sin", "cos", "tan", "fmod", "remainder", "floor_divide"])
def test_elements_that_take_the_slow_way_change_no_neighbour(name):
    fn = getattr(torch, name)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(700, generator=generator) * 50
    args = [x] if name in ("sin", "cos", "tan") else [x, torch.randn(700, generator=generator)]
    plain = fn(*[a.to("trn") for a in args]).cpu()
    far = torch.arange(0, 700, 97)
    x[far] = torch.tensor([3e5, -1e9, 1e30, 1e6, -2e5, 7e7, 1e20, -4e12])
    got = fn(*[a.to("trn") for a in args]).cpu()
    same = torch.ones(700, dtype=torch.bool).index_fill(0, far, False)
    assert torch.equal(got[same], plain[same])
    # Of such quotients PyTorch's CPU has all digits in double only.
    want = fn(*[a.double() for a in args])
    torch.testing.assert_close(got.double(), want, rtol=3e-7, atol=0)


@pytest.mark.parametrize("n", [1, 7, 8, 17, 511, 513])
@pytest.mark.parametrize("fn", [torch.logaddexp, torch.logaddexp2], ids=["e", "2"])
def test_sums_of_exponentials_that_cancel(fn, n):
    """Some numbers of a block go through double, where the sum is near 0."""
    a, b = torch.linspace(-2, 2, n), torch.linspace(-1, -9, n).roll(n // 3)
    a[n // 2] = b[n // 2]
    check(fn, a, b, rtol=4e-7, atol=3e-8)
    plain = fn(a[:1].to("trn"), b[:1].to("trn")).cpu()
    assert torch.equal(fn(a.to("trn"), b.to("trn")).cpu()[:1], plain)
    # Transposed, and with a broadcast number.
    got = fn(a.expand(3, n).t().to("trn"), b[:1].to("trn")).cpu()
    torch.testing.assert_close(got, fn(a.expand(3, n).t(), b[:1]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("fn", [torch.sinc, torch.lgamma, torch.digamma, torch.i0, S.i0e, S.i1,
                                S.i1e, lambda x: torch.polygamma(1, x)],
                         ids="sinc lgamma digamma i0 i0e i1 i1e trigamma".split())
def test_functions_in_vectors_at_specials(fn):
    x = torch.tensor([0.0, -0.0, 1.0, 2.0, -1.0, -2.0, -3.5, 0.5, -0.5, 8.0, 8.5, -9.0, 1e-45,
                      1e-30, 33.25, -33.25, float("inf"), float("nan")])
    for n in (1, 3, 17, 18, 100):
        y = x.repeat(6)[:n]
        want, got = fn(y.double()).float(), fn(y.to("trn")).cpu()
        # At poles PyTorch's CPU has large numbers, and NaN where a function grows without end.
        keep = ~((y.abs() == float("inf")) & want.isnan()) & (want.abs() < 1e15)
        keep |= (y == 0) | y.isnan()
        torch.testing.assert_close(got[keep], want[keep], rtol=5e-7, atol=1e-7, equal_nan=True)
        bf16 = fn(y.bfloat16().to("trn")).cpu().float()[keep]
        narrow = fn(y.bfloat16().float().to("trn")).cpu()[keep]
        torch.testing.assert_close(bf16, narrow.bfloat16().float(), rtol=0, atol=0, equal_nan=True)
    assert fn(x[:0].to("trn")).shape == (0,)


@pytest.mark.parametrize("decimals", [-3, -1, 0, 1, 2, 6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_round_to_decimals(dtype, decimals):
    x = torch.linspace(-2500, 2500, 1003, dtype=dtype)
    x[::100] = torch.tensor([0.0, -0.0, float("nan"), float("inf"), -float("inf"), 0.125, 2.5, -3.5,
                             1e30, -1e-30, 1234.5], dtype=dtype)
    for t in (x, x[::2], x[:1000].view(10, 100).t()):
        want = t.round(decimals=decimals)
        torch.testing.assert_close(t.to("trn").round(decimals=decimals).cpu(), want, rtol=0, atol=0,
                                   equal_nan=True)


@pytest.mark.parametrize("mode", ["trunc", "floor", "remainder", "fmod"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64],
                         ids=str)
def test_integers_divide_exactly(dtype, mode):
    info = torch.iinfo(dtype)
    least = info.min + 1 if info.min else 0  # the least by -1 stops PyTorch's CPU
    edges = [least, info.max, info.max - 1, 0, 1, 2, 3, 7, 100, 127]
    edges += [-1, -2, -7, -100] if info.min else []
    edges += [2**53 - 1, 2**53, 2**53 + 1, -2**53, 10**17 + 1] if dtype == torch.int64 else []
    generator = torch.Generator().manual_seed(0)
    a = torch.cat([torch.tensor(edges), torch.randint(least // 2, info.max // 2, (600,),
                                                      generator=generator)]).to(dtype)
    b = torch.tensor([e for e in edges if e]).to(dtype)
    fn = {"remainder": torch.remainder, "fmod": torch.fmod}.get(
        mode, lambda x, y: torch.div(x, y, rounding_mode=mode))
    for x in (a, a[:17], a[600:]):
        want = fn(x[:, None], b)
        assert torch.equal(fn(x[:, None].to("trn"), b.to("trn")).cpu(), want)
        assert torch.equal(fn(x.to("trn"), 7).cpu(), fn(x, 7))
    assert not fn(a.to("trn"), torch.zeros_like(a).to("trn")).any()
    if info.min:  # the one quotient that overflows wraps
        low = torch.full((9,), info.min, dtype=dtype)
        got = fn(low.to("trn"), -1).cpu()
        assert torch.equal(got, low if mode in ("trunc", "floor") else low * 0)
