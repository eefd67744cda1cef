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
