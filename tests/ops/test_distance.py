"""cdist and pdist in every norm, with gradients and broadcasting."""

import pytest
import torch

from .compare import check, check_errors, make, same_for_any_threads, strided

pytestmark = pytest.mark.usefixtures("native")
NORMS = [0.0, 0.5, 1.0, 1.7, 2.0, 3.0, float("inf")]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("p", NORMS)
def test_cdist(p, dtype):
    tolerance = 1e-4 if dtype == torch.float32 else 1e-11
    for a, b in (
        ((5, 37), (4, 37)),
        ((3, 5, 2), (3, 6, 2)),
        ((2, 1, 5, 3), (3, 4, 3)),
        ((5, 1), (5, 1)),
    ):
        x, y = (
            make(*a, dtype=dtype).requires_grad_(),
            make(*b, dtype=dtype, seed=2).requires_grad_(),
        )
        check(lambda x, y: torch.cdist(x, y, p), x, y, tolerance=tolerance)


def test_cdist_by_matrix_product():
    x, y = make(2, 40, 17).requires_grad_(), make(2, 30, 17, seed=2).requires_grad_()
    check(torch.cdist, x, y, tolerance=1e-3)
    for mode in ("use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist"):
        check(lambda x, y, m=mode: torch.cdist(x, y, 2.0, m), x, y, tolerance=1e-3)


def test_equal_rows_have_no_gradient():
    x = make(4, 6)
    x[1] = x[2]
    for p in NORMS:
        check(
            lambda x, y, p=p: torch.cdist(x, y, p),
            x.requires_grad_(),
            x.detach()[1:3],
            tolerance=1e-3,
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("p", NORMS)
def test_pdist(p, dtype):
    tolerance = 1e-4 if dtype == torch.float32 else 1e-11
    for shape in ((7, 19), (2, 3), (1, 4), (5, 0)):
        check(
            lambda x: torch.pdist(x, p),
            make(*shape, dtype=dtype).requires_grad_(),
            tolerance=tolerance,
        )
    check(lambda x: torch.pdist(x, p), strided(make(7, 19, dtype=dtype)), tolerance=tolerance)


def test_empty():
    for a, b in (((0, 3), (4, 3)), ((4, 3), (0, 3)), ((4, 0), (5, 0)), ((0, 2, 3), (0, 4, 3))):
        check(torch.cdist, make(*a).requires_grad_(), make(*b).requires_grad_())
    torch.cdist(make(2, 2).to("trn"), make(2, 2).to("trn"))


def test_errors():
    x = make(3, 4)
    check_errors(
        [
            lambda d: torch.cdist(x.to(d), x.to(d), -1.0),
            lambda d: torch.cdist(x.to(d), x.int().to(d)),
            lambda d: torch.cdist(x[0].to(d), x.to(d)),
            lambda d: torch.cdist(x.to(d), x.to(d)[:, :3]),
            lambda d: torch.pdist(x.to(d), -1.0),
            lambda d: torch.pdist(x[0].to(d)),
        ]
    )
    with pytest.raises(NotImplementedError, match="not implemented for 'Half'"):
        torch.cdist(x.half().to("trn"), x.half().to("trn"))
    torch.cdist(x.to("trn"), x.to("trn"))


def test_same_for_any_number_of_threads():
    x, y = make(30, 33).to("trn").requires_grad_(), make(20, 33, seed=2).to("trn").requires_grad_()

    def run():
        d = torch.cdist(x, y, 3.0)
        e = torch.pdist(x, 1.5)
        return d, e, *torch.autograd.grad(d.sum() + e.sum(), (x, y))

    same_for_any_threads(run)
