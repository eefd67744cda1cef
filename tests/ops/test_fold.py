"""im2col and col2im, the gradient of Tensor.unfold, max_unpool, fractional pooling."""

import pytest
import torch
import torch.nn.functional as F

from .compare import FLOATS, check, check_errors, make, same_for_any_threads, strided

pytestmark = pytest.mark.usefixtures("native")
WINDOWS = [  # kernel, dilation, padding, stride
    ((2, 3), (1, 1), (0, 0), (1, 1)),
    ((3, 2), (2, 1), (1, 2), (2, 1)),
    ((1, 1), (1, 1), (0, 0), (3, 2)),
]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_unfold_and_fold(dtype, window):
    for x in (make(2, 3, 7, 8, dtype=dtype), make(3, 7, 8, dtype=dtype)):
        check(lambda t: F.unfold(t, *window), x.requires_grad_())
        columns = F.unfold(x.detach(), *window)
        check(lambda t: F.fold(t, (7, 8), *window), columns.requires_grad_())


def test_layouts_and_other_types():
    x, (kernel, *rest) = make(2, 3, 7, 8), WINDOWS[1]
    for view in (x.to(memory_format=torch.channels_last), strided(x), x.transpose(2, 3)):
        check(lambda t: F.unfold(t, kernel, *rest), view)
    columns = F.unfold(x, kernel, *rest)
    check(lambda t: F.fold(t, (7, 8), kernel, *rest), strided(columns))
    for other in (torch.complex(x, x.flip(0)), x > 0):
        got = F.unfold(other.to("trn"), kernel, *rest)
        want = F.unfold(other, kernel, *rest)
        assert torch.equal(got.cpu(), want)
        back = F.fold(got, (7, 8), kernel, *rest).cpu()
        torch.testing.assert_close(back, F.fold(want, (7, 8), kernel, *rest))


def test_fold_errors():
    x, c, o = make(1, 2, 4, 4), make(1, 8, 9), torch.ops.aten
    check_errors(
        [
            lambda d: o.im2col(x.to(d), [2], [1, 1], [0, 0], [1, 1]),
            lambda d: o.im2col(x.to(d), [2, 2], [1, 1], [0, -1], [1, 1]),
            lambda d: o.im2col(x.to(d), [9, 2], [1, 1], [0, 0], [1, 1]),
            lambda d: o.im2col(x[0, 0].to(d), [2, 2], [1, 1], [0, 0], [1, 1]),
            lambda d: o.col2im(c.to(d), [4, 4], [3, 2], [1, 1], [0, 0], [1, 1]),
            lambda d: o.col2im(c.to(d), [5, 4], [2, 2], [1, 1], [0, 0], [1, 1]),
            lambda d: o.col2im(c.to(d), [4], [2, 2], [1, 1], [0, 0], [1, 1]),
        ]
    )
    with pytest.raises(NotImplementedError, match="not implemented for 'Int'"):
        F.unfold(x.int().to("trn"), 2)
    F.unfold(x.to("trn"), 2)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_tensor_unfold_gradient(dtype):
    x = make(4, 9, 5, dtype=dtype).requires_grad_()
    for dim, size, step in ((1, 3, 2), (1, 2, 4), (0, 4, 1), (-1, 5, 1), (2, 0, 1)):
        check(lambda t, d=dim, s=size, p=step: t.unfold(d, s, p), x)
    check(lambda t: t.unfold(0, 1, 1), make(dtype=dtype).requires_grad_())


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_max_unpool(dtype):
    for n, pool in ((1, F.max_pool1d), (2, F.max_pool2d), (3, F.max_pool3d)):
        x = make(2, 3, *(6, 8, 4)[:n], dtype=dtype)
        y, i = pool(x, 2, return_indices=True)
        undo = (F.max_unpool1d, F.max_unpool2d, F.max_unpool3d)[n - 1]
        check(lambda t, i, u=undo: u(t, i, 2), y.requires_grad_(), i)
        check(lambda t, i, u=undo: u(t, i, 2), y[0].detach(), i[0])


def test_max_unpool_errors():
    x, i, o = make(1, 2, 2, 2), torch.zeros(1, 2, 2, 2, dtype=torch.long), torch.ops.aten
    x3, i3 = x.unsqueeze(2), i.unsqueeze(2)
    three = [4, 4, 4], [2, 2, 2], [0, 0, 0]
    check_errors(
        [
            lambda d: o.max_unpool2d(x.to(d), i.int().to(d), [4, 4]),
            lambda d: o.max_unpool2d(x.to(d), i[:, :1].to(d), [4, 4]),
            lambda d: o.max_unpool2d(x.to(d), i.to(d), [4]),
            lambda d: o.max_unpool2d(x[0, 0].to(d), i[0, 0].to(d), [4, 4]),
            lambda d: o.max_unpool3d(x3.to(d), i3.int().to(d), *three),
            lambda d: o.max_unpool3d(x3.to(d), i3[:, :1].to(d), *three),
            lambda d: o.max_unpool3d(x3.to(d), i3.to(d), [4], *three[1:]),
            lambda d: o.max_unpool3d(x3.to(d), i3.to(d), three[0], [2, 2, 0], three[2]),
            lambda d: o.max_unpool3d(x3.to(d), i3.to(d), three[0], [2, 2], three[2]),
        ]
    )
    o.max_unpool2d(x.to("trn"), (i + 99).to("trn"), [4, 4])
    with pytest.raises(RuntimeError):
        torch.trn.synchronize()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_fractional_max_pool(dtype):
    for n, pool in ((2, F.fractional_max_pool2d), (3, F.fractional_max_pool3d)):
        x = make(2, 3, *(9, 8, 7)[:n], dtype=dtype)
        samples = torch.rand(2, 3, n, generator=torch.Generator().manual_seed(0), dtype=dtype)

        def fn(t, s, n=n, pool=pool):
            size = (4, 5, 3)[:n]
            return pool(t, 2, output_size=size, return_indices=True, _random_samples=s)

        check(fn, x.requires_grad_(), samples, oracle=dtype)
        form = torch.channels_last if n == 2 else torch.channels_last_3d
        check(fn, x.detach().to(memory_format=form), samples, oracle=dtype)
        check(fn, x[0].detach(), samples[:1], oracle=dtype)
    y = F.fractional_max_pool2d(make(2, 3, 9, 9).to("trn"), 3, output_ratio=(0.5, 0.5))
    assert y.shape == (2, 3, 4, 4)


def test_same_for_any_number_of_threads():
    x = make(3, 5, 40, 30).to("trn")
    columns = F.unfold(x, 3)
    same_for_any_threads(lambda: (F.unfold(x, 3), F.fold(columns, (40, 30), 3)))
