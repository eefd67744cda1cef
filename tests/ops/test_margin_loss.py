"""Hinge losses over classes, rrelu, channel_shuffle."""

import pytest
import torch
import torch.nn.functional as F

from .compare import FLOATS, check, check_errors, labels, make, strided

pytestmark = pytest.mark.usefixtures("native")
REDUCTIONS = ["none", "mean", "sum"]
SEVERAL = torch.tensor([[0, 3, -1, 2, 1], [-1, 0, 1, 2, 3], [4, 1, 2, 3, 0]])


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_multi_margin(reduction, dtype):
    x, y = make(6, 5, dtype=dtype).requires_grad_(), labels(5, 6)
    weight = make(5, dtype=dtype, seed=2).abs()
    for p, margin in ((1, 1.0), (2, 0.5)):
        for w in (None, weight):
            check(
                lambda x, y, w, p=p, m=margin: F.multi_margin_loss(
                    x, y, p, m, w, reduction=reduction
                ),
                x,
                y,
                w,
            )
    check(lambda x, y: F.multi_margin_loss(x, y, reduction=reduction), x[0].detach(), y[0])
    check(lambda x, y: F.multi_margin_loss(x, y, reduction=reduction), strided(x.detach()), y)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_multilabel_margin(reduction, dtype):
    x = make(3, 5, dtype=dtype).requires_grad_()
    check(lambda x, y: F.multilabel_margin_loss(x, y, reduction=reduction), x, SEVERAL)
    check(
        lambda x, y: F.multilabel_margin_loss(x, y, reduction=reduction),
        x[0].detach().requires_grad_(),
        SEVERAL[0],
    )
    check(
        lambda x, y: F.multilabel_margin_loss(x, y, reduction=reduction),
        strided(x.detach()),
        strided(SEVERAL),
    )


def test_errors():
    x, y = make(3, 4), labels(4, 3)
    check_errors(
        [
            lambda d: F.multi_margin_loss(x.to(d), y.int().to(d)),
            lambda d: torch.ops.aten.multi_margin_loss(x.to(d), y.to(d), 3),
            lambda d: F.multi_margin_loss(x.to(d), y.to(d)[:2]),
            lambda d: F.multi_margin_loss(x.to(d), y.to(d), weight=make(5).to(d)),
            lambda d: F.multi_margin_loss(x.to(d), y.to(d), weight=make(4).double().to(d)),
            lambda d: F.multilabel_margin_loss(x.to(d), y.to(d)),
            lambda d: F.multilabel_margin_loss(x.to(d)[:, :0], labels(2, 3, 0).to(d)),
            lambda d: F.multilabel_margin_loss(x.to(d), labels(4, 3, 4).int().to(d)),
            lambda d: F.rrelu(x.to(d), 0.5, 0.2, training=True),
            lambda d: torch.ops.aten.rrelu_with_noise(x.to(d), x[:2].to(d), 0.1, 0.2, True),
        ]
    )
    F.multi_margin_loss(x.to("trn"), torch.tensor([0, 1, 9], device="trn"))
    with pytest.raises(RuntimeError):
        torch.trn.synchronize()


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_rrelu(dtype):
    x = make(40, 50, dtype=dtype)
    there = x.to("trn").requires_grad_()
    y = F.rrelu(there, 0.25, 0.5, training=True)
    slope = (y.detach().cpu().double() / x.double())[x < 0]
    assert 0.249 <= slope.min() < 0.26 and 0.49 < slope.max() <= 0.501
    assert abs(slope.mean() - 0.375) < 0.01
    assert torch.equal(y.detach().cpu()[x > 0], x[x > 0])
    y.sum().backward()
    expected = torch.where(x > 0, 1, y.detach().cpu().double() / x.double())
    torch.testing.assert_close(there.grad.cpu().double(), expected, rtol=1e-2, atol=1e-2)
    torch.trn.manual_seed(3)
    a = F.rrelu(there.detach(), training=True)
    torch.trn.manual_seed(3)
    b = F.rrelu_(there.detach().clone(), training=True)
    assert torch.equal(a, b)
    check(lambda t: F.rrelu(t, training=False), x.requires_grad_())


def test_channel_shuffle():
    for x in (
        make(2, 6, 4, 5),
        make(2, 6, 4),
        make(2, 6, 4, 5).to(memory_format=torch.channels_last),
    ):
        check(lambda t: F.channel_shuffle(t, 3), x.requires_grad_())
    check(lambda t: F.pixel_unshuffle(F.pixel_shuffle(t, 2), 2), make(2, 8, 3, 5).requires_grad_())
