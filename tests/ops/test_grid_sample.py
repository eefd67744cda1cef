"""Sampling images and volumes at a grid's points, with both gradients."""

import pytest
import torch
import torch.nn.functional as F

from .compare import FLOATS, check, check_errors, make, same_for_any_threads, strided

pytestmark = pytest.mark.usefixtures("native")
PADDINGS = ["zeros", "border", "reflection"]


def grid_of(*shape, dtype=torch.float32):
    """Points of which a third lie outside."""
    return (make(*shape, seed=5) * 0.9).to(dtype)


def sample(mode, padding, align):
    return lambda x, g: F.grid_sample(x, g, mode, padding, align)


@pytest.mark.parametrize("align", [True, False])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_images(mode, padding, align):
    x, g = make(2, 3, 7, 5).requires_grad_(), grid_of(2, 9, 8, 2).requires_grad_()
    check(sample(mode, padding, align), x, g, tolerance=2e-4)
    x, g = x.detach().double().requires_grad_(), g.detach().double().requires_grad_()
    check(sample(mode, padding, align), x, g)


@pytest.mark.parametrize("align", [True, False])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_volumes(mode, padding, align):
    x = make(2, 3, 4, 6, 5, dtype=torch.float64).requires_grad_()
    g = grid_of(2, 3, 5, 4, 3, dtype=torch.float64).requires_grad_()
    check(sample(mode, padding, align), x, g)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_types(dtype):
    # Multiples of 1/64 are exact in every type, so all see the same places.
    g = (grid_of(1, 6, 6, 2) * 64).round() / 64
    x = make(1, 4, 9, 9, dtype=dtype).requires_grad_()
    check(sample("bilinear", "zeros", False), x, g.to(dtype))


def test_layouts():
    x, g = make(2, 3, 7, 5), grid_of(2, 9, 8, 2)
    for view in (
        x.to(memory_format=torch.channels_last),
        x.transpose(2, 3),
        strided(x),
        x[:1].expand(2, 3, 7, 5),
    ):
        check(
            sample("bilinear", "border", True), view.requires_grad_(), strided(g).requires_grad_()
        )


def test_places_that_no_number_tells_lie_outside():
    x = make(1, 1, 4, 4)
    g = torch.tensor([float("nan"), float("inf"), -float("inf"), 1e30, 0.0, 0.5]).view(1, 3, 1, 2)
    for mode in ("bilinear", "nearest", "bicubic"):
        got = F.grid_sample(x.to("trn"), g.to("trn"), mode, "zeros", False).cpu().flatten()
        want = F.grid_sample(x, g[:, 2:], mode, "zeros", False).flatten()
        torch.testing.assert_close(got, torch.cat([torch.zeros(2), want]))


def test_empty_batch():
    y = F.grid_sample(
        torch.empty(0, 3, 4, 4, device="trn"),
        torch.empty(0, 2, 2, 2, device="trn"),
        align_corners=False,
    )
    assert y.shape == (0, 3, 2, 2)
    F.grid_sample(make(1, 1, 2, 2).to("trn"), grid_of(1, 1, 1, 2).to("trn"), align_corners=False)


def test_affine_grid_and_sample():
    theta = make(2, 2, 3, seed=4).requires_grad_()
    check(
        lambda t, x: F.grid_sample(x, F.affine_grid(t, (2, 3, 6, 5), False), align_corners=False),
        theta,
        make(2, 3, 6, 5),
        tolerance=2e-4,
    )


def test_errors():
    x, g = make(1, 1, 4, 4), grid_of(1, 2, 2, 2)
    o = torch.ops.aten
    check_errors(
        [
            lambda d: F.grid_sample(x.to(d), grid_of(2, 2, 2, 2).to(d), align_corners=False),
            lambda d: F.grid_sample(x.to(d), grid_of(1, 2, 2, 3).to(d), align_corners=False),
            lambda d: F.grid_sample(x.to(d)[:, :, :0], g.to(d), align_corners=False),
            lambda d: o.grid_sampler_2d(x[None].to(d), grid_of(1, 2, 2, 2, 3).to(d), 0, 0, False),
            lambda d: F.grid_sample(
                make(1, 1, 2, 2, 2).to(d),
                grid_of(1, 2, 2, 2, 3).to(d),
                "bicubic",
                align_corners=False,
            ),
        ]
    )
    F.grid_sample(x.to("trn"), g.to("trn"), align_corners=False)


def test_same_for_any_number_of_threads():
    x, g = make(3, 5, 21, 17).to("trn").requires_grad_(), grid_of(3, 40, 30, 2).to("trn")
    g.requires_grad_()

    def run():
        y = F.grid_sample(x, g, "bicubic", "reflection", False)
        return y, *torch.autograd.grad(y.square().sum(), (x, g))

    same_for_any_threads(run)
