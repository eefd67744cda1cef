"""Pooling in every layout and type, with windows at the edges of registers, rows and planes."""

import itertools

import pytest
import torch
import torch.nn.functional as F

pytestmark = pytest.mark.usefixtures("native")

TYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
# kernel, stride, padding, dilation
WINDOWS = ((3, 2, 1, 1), (2, 2, 0, 1), (3, 1, 1, 1), (3, 3, 0, 1), (2, 5, 1, 1), (3, 2, 1, 2))


def make(shape, dtype, seed=0):
    g = torch.Generator().manual_seed(seed)
    # Few values: equal ones are met in every window, so that the first has to win.
    return (torch.randint(-9, 9, shape, generator=g) / 4).to(dtype)


def layouts(x):
    yield x
    last = torch.channels_last if x.dim() == 4 else torch.channels_last_3d
    yield x.contiguous(memory_format=last)
    yield x.transpose(-1, -2).contiguous().transpose(-1, -2)
    wide = torch.zeros(*x.shape[:-1], x.shape[-1] + 3, dtype=x.dtype)
    wide[..., 1:-2] = x
    yield wide[..., 1:-2]
    many = torch.zeros(x.shape[0], x.shape[1] + 2, *x.shape[2:], dtype=x.dtype)
    many = many.contiguous(memory_format=last)
    many[:, 1:-1] = x
    yield many[:, 1:-1]


def same(fn, x, *how, layout=True, **also):
    """Results and their layouts, and the gradient of the first, are those of the CPU."""
    results = []
    loose = {"rtol": 2e-2, "atol": 2e-2} if x.dtype.itemsize == 2 else {}
    for t in (x.double() if x.dtype.itemsize == 2 else x, x.to("trn")):
        t = t.detach().requires_grad_()
        y = fn(t, *how, **also)
        y = y if isinstance(y, tuple) else (y,)
        (grad,) = torch.autograd.grad(y[0], t, make(y[0].shape, t.dtype, 1).to(t.device))
        results.append((*y, grad))
    for want, got in zip(*results, strict=True):
        got = got.cpu()
        torch.testing.assert_close(got.to(want.dtype), want, equal_nan=True, **loose)
    assert not layout or results[0][0].stride() == results[1][0].stride()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(2, 3, 9, 7), (1, 16, 11, 40), (2, 70, 8, 9), (1, 33, 5, 17)])
def test_two_dimensions(shape, dtype):
    for x in layouts(make(shape, dtype)):
        for k, s, p, d in WINDOWS:
            if d * (k - 1) < min(shape[2:]):
                same(F.max_pool2d, x, k, s, p, d, return_indices=True)
            for count, divisor in itertools.product((False, True), (None, 7)):
                if d == 1:
                    same(F.avg_pool2d, x, k, s, p, True, count, divisor)
        for size in ((3, 5), (1, 1), (2, 3), shape[2:], (13, 4)):
            same(F.adaptive_avg_pool2d, x, size)
            same(F.adaptive_max_pool2d, x, size, return_indices=True)


@pytest.mark.parametrize("dtype", TYPES)
def test_one_and_three_dimensions(dtype):
    x = make((2, 3, 9001), dtype)
    for k, s, p, d in WINDOWS:
        same(F.max_pool1d, x, k, s, p, d, return_indices=True)
        same(F.avg_pool1d, x, k, s, p)
    same(F.adaptive_avg_pool1d, x, 4000)
    same(F.avg_pool1d, x[:, :, :6000].double(), 5000, 1, 0)
    for x in layouts(make((2, 5, 6, 9, 8), dtype)):
        for k, s, p, d in WINDOWS:
            if d == 1:
                same(F.avg_pool3d, x, k, s, p, True)
            same(F.max_pool3d, x, k, s, p, d, True, return_indices=True)
        same(F.adaptive_avg_pool3d, x, (2, 4, 4), layout=False)


def test_not_numbers():
    x = make((2, 40, 9, 20), torch.float32)
    x[x == 1] = torch.nan
    x[x == 2] = -torch.inf
    x[1, 5] = -torch.inf
    for t in (x, x.contiguous(memory_format=torch.channels_last)):
        same(F.max_pool2d, t, 3, 2, 1, return_indices=True)
        same(F.max_pool2d, t, 2, return_indices=True)
        same(F.adaptive_max_pool2d, t, (4, 7), return_indices=True)


def test_indices_of_equal_numbers_are_the_first():
    x = torch.zeros(1, 16, 8, 8)
    for t in (x, x.contiguous(memory_format=torch.channels_last)):
        got = F.max_pool2d(t.to("trn"), 3, 2, 1, return_indices=True)[1].cpu()
        assert torch.equal(got, F.max_pool2d(t, 3, 2, 1, return_indices=True)[1])


def test_empty():
    assert F.avg_pool2d(torch.zeros(0, 3, 8, 8, device="trn"), 2).shape == (0, 3, 4, 4)
    same(lambda t: F.max_pool2d(t, 2), make((1, 1, 2, 2), torch.float32))
    assert F.max_pool2d(torch.zeros(0, 3, 8, 8, device="trn"), 2).shape == (0, 3, 4, 4)
