"""Fourier transforms: against PyTorch's CPU in double precision, for every kind of length."""

import pytest
import torch
from torch_trn import _C

from .compare import same_for_any_threads

pytestmark = pytest.mark.usefixtures("native")

# Powers, mixtures, primes with a pass and without, two launches, two launches of a chirp.
LENGTHS = [1, 2, 3, 4, 5, 6, 8, 15, 16, 31, 37, 60, 64, 97, 100, 128, 210, 441, 1000, 1021, 1024]
LONG = [30030, 65536, 100003, 2**18, 2 * 3**11]


def make(*shape, dtype=torch.complex64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(len(shape)))


def wide(x):
    return x.to(torch.complex128 if x.dtype.is_complex else torch.float64)


def check(fn, x):
    """fn on the device is near fn in double, measured against the largest value.

    In double both have their rounding, which is larger without fused multiply-adds.
    """
    got, want = fn(x.to("trn")).cpu(), fn(wide(x))
    assert got.shape == want.shape and got.dtype.is_complex == want.dtype.is_complex
    eps = 4e-15 if x.dtype in (torch.float64, torch.complex128) else 2e-6
    scale = want.abs().max().item() if want.numel() else 0
    torch.testing.assert_close(got.to(want.dtype), want, rtol=0, atol=eps * max(scale, 1e-30))


@pytest.mark.parametrize("double", [False, True])
def test_every_kind_of_length(double):
    real = torch.float64 if double else torch.float32
    compl = torch.complex128 if double else torch.complex64
    for n in LENGTHS:
        x, r = make(5, n, dtype=compl), make(5, n, dtype=real)
        check(torch.fft.fft, x)
        check(torch.fft.ifft, x)
        check(torch.fft.rfft, r)
        check(torch.fft.fft, r)
        check(torch.fft.ihfft, r)
        check(lambda x, n=n: torch.fft.irfft(x, n), make(5, n // 2 + 1, dtype=compl))
        check(lambda x, n=n: torch.fft.hfft(x, n), make(5, n // 2 + 1, dtype=compl))


@pytest.mark.parametrize("n", LONG)
def test_long_lines(n):
    check(torch.fft.fft, make(2, n))
    check(torch.fft.ifft, make(n, dtype=torch.complex128))
    check(torch.fft.rfft, make(n, dtype=torch.float32))
    check(torch.fft.irfft, make(n // 2 + 1))


@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
def test_dimensions_and_norms(norm):
    x, r = make(4, 6, 10, 3), make(4, 6, 10, 3, dtype=torch.float32)
    for dim in [(0,), (1, 2), (2, 0), (0, 1, 2, 3), (3, -2)]:
        check(lambda x, dim=dim: torch.fft.fftn(x, dim=dim, norm=norm), x)
        check(lambda x, dim=dim: torch.fft.ifftn(x, dim=dim, norm=norm), x)
        check(lambda x, dim=dim: torch.fft.rfftn(x, dim=dim, norm=norm), r)
        check(lambda x, dim=dim: torch.fft.fftn(x, dim=dim, norm=norm), r)
        check(lambda x, dim=dim: torch.fft.irfftn(x, dim=dim, norm=norm), x)


def test_any_layout():
    x = make(6, 8, 10)
    check(torch.fft.fft, make(8, 6).t())
    check(lambda x: torch.fft.fft2(x[::2, 1:, ::3]), x)
    check(lambda x: torch.fft.fft(x[:1].expand(5, -1, -1), dim=1), x)
    check(lambda x: torch.fft.fft(x.conj(), dim=0), x)
    check(lambda x: torch.fft.rfft(x.real), x)
    check(lambda x: torch.fft.fft(x.view(1, 2, 3, 2, 4, 1, 2, 5, 1)), x)
    check(lambda x: torch.fft.fft(x, n=7), x)
    assert torch.fft.fft(x[:0].to("trn")).shape == (0, 8, 10)
    out = torch.empty(0, dtype=torch.complex64, device="trn")
    torch.fft.fft(x.to("trn"), out=out)
    torch.testing.assert_close(out.cpu(), torch.fft.fft(x), rtol=1e-4, atol=1e-4)


def test_lines_do_not_mix_and_do_not_depend_on_threads():
    x = make(50, 240)
    x[7, 3] = float("nan")
    before = _C._get_compute_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            _C._set_compute_threads(threads)
            results.append(torch.fft.fft(x.to("trn")).cpu())
    finally:
        _C._set_compute_threads(before)
    assert results[0].isnan().any(1).nonzero().tolist() == [[7]]
    for other in results[1:]:
        assert torch.equal(other.view(torch.float32).nan_to_num(1),
                           results[0].view(torch.float32).nan_to_num(1))


def test_stft_and_gradient():
    x, w = make(2, 400, dtype=torch.float32), torch.hann_window(64)

    def spectra(x):
        return torch.stft(x, 64, 16, window=w.to(x.device, x.dtype), return_complex=True)

    check(spectra, x)

    def gradient(x):
        x = x.detach().requires_grad_()
        torch.fft.rfft2(x).abs().square().sum().backward()
        return x.grad

    check(gradient, x)


@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft", "fft2", "ifft2",
                                  "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn", "hfftn",
                                  "ihfftn", "hfft2", "ihfft2"])
def test_half_is_computed_in_float(name):
    function = getattr(torch.fft, name)
    for x in (make(4, 8, dtype=torch.float32).half(), make(4, 8).to(torch.complex32)):
        if x.is_complex() and name in ("rfft", "ihfft", "rfft2", "rfftn", "ihfft2", "ihfftn"):
            continue
        want = function(x.to(torch.complex64 if x.is_complex() else torch.float32))
        half = torch.complex32 if want.is_complex() else torch.float16
        got = function(x.to("trn"))
        assert got.dtype == half
        torch.testing.assert_close(got.cpu().to(want.dtype), want, rtol=2e-3, atol=5e-3)


def test_gradients_and_spectrograms_of_half():
    x = torch.rand(64, device="trn").half().requires_grad_()
    torch.fft.rfft(x).abs().float().sum().backward()
    y = x.detach().cpu().float().requires_grad_()
    torch.fft.rfft(y).abs().sum().backward()
    assert x.grad.dtype == torch.float16
    torch.testing.assert_close(x.grad.cpu().float(), y.grad, rtol=2e-2, atol=2e-2)
    window = torch.hann_window(16, device="trn").half()
    got = torch.stft(x.detach(), 16, window=window, return_complex=True)
    want = torch.stft(y.detach(), 16, window=window.cpu().float(), return_complex=True)
    assert got.dtype == torch.complex32
    torch.testing.assert_close(got.cpu().to(want.dtype), want, rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize("lines", [1, 2, 7, 8, 9, 17])
@pytest.mark.parametrize("n", [15, 40, 66])
def test_lines_side_by_side_in_any_layout(lines, n):
    x, r = make(3, lines, n), make(3, lines, n + 2, dtype=torch.float32)[..., :n]
    layouts = {"dense": lambda t: t.contiguous(), "across": lambda t: t.mT.contiguous().mT,
               "outer": lambda t: t.transpose(0, 2).contiguous().transpose(0, 2),
               "odd rows": lambda t: torch.cat((t, t[..., :1]), -1)[..., :n],
               "sliced": lambda t: t.repeat_interleave(2, -1)[..., ::2]}
    for layout in layouts.values():
        for fn, t in ((torch.fft.fft, x), (torch.fft.rfft, r), (torch.fft.fft, r),
                      (lambda t: torch.fft.irfft(t, 2 * n - 2), x),
                      (lambda t: torch.fft.fft(t, dim=1), x),
                      (lambda t: torch.fft.rfft(t, dim=1), r),
                      (lambda t: torch.fft.irfft(t, dim=1, n=2 * lines), x)):
            check(lambda t, fn=fn, layout=layout: fn(layout(t)), t)
            placed = layout(t).to("trn")
            same_for_any_threads(lambda fn=fn, t=placed: fn(t))
