"""Resizing of images and volumes: every mode, its gradient, layouts and types, for any threads."""

import pytest
import torch
import torch.nn.functional as F
import torch_trn

pytestmark = pytest.mark.usefixtures("native")

# mode, spatial dimensions, takes align_corners, antialias
MODES = [
    *[(mode, n, False, False) for mode in ("nearest", "nearest-exact") for n in (1, 2, 3)],
    ("linear", 1, True, False),
    ("bilinear", 2, True, False),
    ("bicubic", 2, True, False),
    ("trilinear", 3, True, False),
    ("bilinear", 2, True, True),
    ("bicubic", 2, True, True),
]
RESIZES = [((7, 6, 9), (14, 12, 18)), ((7, 6, 9), (11, 6, 4)), ((8, 9, 10), (3, 5, 1)),
           ((1, 4, 5), (4, 1, 7)), ((3, 5, 6), (3, 5, 6))]
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12, torch.bfloat16: 2e-2, torch.float16: 2e-3}


def resize(x, mode, align, antialias, size=None, scale=None):
    kwargs = {"antialias": True} if antialias else {}
    return F.interpolate(x, size, scale, mode, align, **kwargs)


def aligned(takes):
    return (False, True) if takes else (None,)


def make(*shape, dtype=torch.float32):
    g = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=g, dtype=torch.float64).to(dtype)


def check(x, tolerance, **how):
    """Value and gradient of a resize are the CPU's, the value in double precision."""
    here = x.detach().double().requires_grad_()
    there = x.detach().to("trn").requires_grad_()
    want, got = resize(here, **how), resize(there, **how)
    assert got.dtype == x.dtype
    torch.testing.assert_close(got.cpu().double(), want, rtol=tolerance, atol=tolerance)
    grad = make(*want.shape, dtype=x.dtype)
    want.backward(grad.double())
    got.backward(grad.to("trn"))
    large = tolerance * max(1, here.grad.abs().max().item())
    torch.testing.assert_close(there.grad.cpu().double(), here.grad, rtol=tolerance, atol=large)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_sizes(mode, dtype):
    name, n, takes_align, antialias = mode
    for source, size in RESIZES:
        x = make(2, 3, *source[:n], dtype=dtype)
        for align in aligned(takes_align):
            check(x, TOLERANCE[dtype], mode=name, align=align, antialias=antialias, size=size[:n])


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_scale_factors(mode):
    name, n, takes_align, antialias = mode
    for scale in (2.0, 1.7, 0.4):
        for align in aligned(takes_align):
            x = make(2, 2, *(9, 8, 7)[:n], dtype=torch.float64)
            check(x, 1e-5, mode=name, align=align, antialias=antialias, scale=scale)


@pytest.mark.parametrize("mode", [m for m in MODES if m[1] > 1], ids=str)
def test_layouts(mode):
    name, n, takes_align, antialias = mode
    form = torch.channels_last if n == 2 else torch.channels_last_3d
    dense = make(2, 5, *(7, 6, 9)[:n])
    layouts = [dense.to(memory_format=form), dense.transpose(-1, -2), dense[:, ::2],
               dense[:1, :1].expand(2, 3, *dense.shape[2:])]
    for x in layouts:
        for align in aligned(takes_align):
            check(x, 2e-5, mode=name, align=align, antialias=antialias, size=(5, 11, 4)[:n])
    y = resize(layouts[0].to("trn"), name, aligned(takes_align)[0], antialias, (9, 9, 9)[:n])
    assert y.is_contiguous(memory_format=form)


def test_nearest_of_bytes():
    x = torch.arange(2 * 3 * 4 * 5, dtype=torch.uint8).view(2, 3, 4, 5)
    for size in ((8, 10), (3, 7)):
        got = F.interpolate(x.to("trn"), size, mode="nearest")
        assert torch.equal(got.cpu(), F.interpolate(x, size, mode="nearest"))


def test_infinities_stay_where_they_are():
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 2, 2] = float("inf")
    for mode, size in (("bilinear", (5, 5)), ("bilinear", (13, 11)), ("bicubic", (13, 11))):
        want = F.interpolate(x, size, mode=mode)
        got = F.interpolate(x.to("trn"), size, mode=mode).cpu()
        assert torch.equal(got.isfinite(), want.isfinite())


def test_empty_batch():
    for mode in ("nearest", "bilinear"):
        x = torch.empty(0, 3, 4, 4, device="trn", requires_grad=True)
        y = F.interpolate(x, (8, 8), mode=mode)
        assert y.shape == (0, 3, 8, 8)
        y.sum().backward()
        assert x.grad.shape == x.shape


def test_lanczos():
    x = make(2, 3, 20, 17)
    want = torch.ops.aten._upsample_lanczos2d_aa(x.double(), [9, 30], False)
    got = torch.ops.aten._upsample_lanczos2d_aa(x.to("trn"), [9, 30], False)
    torch.testing.assert_close(got.cpu().double(), want, rtol=1e-4, atol=1e-5)


def test_errors():
    x = torch.randn(1, 1, 4, 4)
    for call in (
        lambda t: F.interpolate(t, (0, 3), mode="bilinear"),
        lambda t: torch.ops.aten.upsample_nearest2d(t[0], [2, 2]),
        lambda t: torch.ops.aten.upsample_bicubic2d(t, [2], False),
    ):
        with pytest.raises(RuntimeError) as here:
            call(x)
        with pytest.raises(RuntimeError) as there:
            call(x.to("trn"))
        assert str(here.value) == str(there.value)
    with pytest.raises(NotImplementedError, match="not implemented for 'Long'"):
        F.interpolate(torch.ones(1, 1, 4, 4, dtype=torch.long, device="trn"), (2, 2))


def test_same_for_any_number_of_threads():
    x = make(3, 5, 41, 37).to("trn").requires_grad_()
    before = torch_trn._C._get_compute_threads()
    results = []
    try:
        for threads in (1, 2, 3, 4):
            torch_trn._C._set_compute_threads(threads)
            for mode in ("nearest", "bilinear", "bicubic"):
                y = F.interpolate(x, (90, 23), mode=mode)
                (grad,) = torch.autograd.grad(y.square().sum(), x)
                results.append((y.detach().cpu(), grad.cpu()))
    finally:
        torch_trn._C._set_compute_threads(before)
    for i, (y, grad) in enumerate(results[3:]):
        assert torch.equal(y, results[i % 3][0]) and torch.equal(grad, results[i % 3][1])
