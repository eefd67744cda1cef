"""segment_reduce in every reduction, and tables renormalised in place."""

import pytest
import torch
import torch.nn.functional as F

from .compare import FLOATS, check, labels, make, same_for_any_threads

pytestmark = pytest.mark.usefixtures("native")
REDUCTIONS = ["sum", "mean", "max", "min", "prod"]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_segments(reduction, dtype):
    lengths = torch.tensor([3, 0, 4, 1])
    for shape in ((8,), (8, 3)):
        x = make(*shape, dtype=dtype).requires_grad_()
        for initial in (None, 0.5):
            check(
                lambda x, n, i=initial: torch.segment_reduce(x, reduction, lengths=n, initial=i),
                x,
                lengths,
            )
    check(
        lambda x, o: torch.segment_reduce(x, reduction, offsets=o),
        make(8, dtype=dtype).requires_grad_(),
        torch.tensor([0, 3, 3, 7, 8]),
    )
    check(
        lambda x, n: torch.segment_reduce(x, reduction, lengths=n, axis=1),
        make(2, 6, 3, dtype=dtype).requires_grad_(),
        torch.tensor([[2, 4, 0], [1, 2, 3]]),
    )


def test_products_with_zeros_and_equal_extremes():
    x = torch.tensor([0.0, 2.0, 3.0, 0.0, 0.0, 5.0, 5.0, 1.0]).requires_grad_()
    for reduction in REDUCTIONS:
        check(
            lambda x, n, r=reduction: torch.segment_reduce(x, r, lengths=n),
            x,
            torch.tensor([3, 2, 3]),
        )


def test_same_for_any_number_of_threads():
    x = make(600, 33).to("trn").requires_grad_()
    lengths = torch.full((60,), 10, device="trn")

    def run():
        y = torch.segment_reduce(x, "mean", lengths=lengths)
        return y, torch.autograd.grad(y.square().sum(), x)[0]

    same_for_any_threads(run)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_embedding_renorm(dtype):
    table, indices = make(12, 2050, dtype=dtype) * 0.1, labels(6, 3, 4)
    for p in (1.0, 2.0, 3.0, float("inf")):
        for largest in (0.2, 1e9):
            here, there = table.double(), table.to("trn")
            F.embedding(indices, here, max_norm=largest, norm_type=p)
            F.embedding(indices.to("trn"), there, max_norm=largest, norm_type=p)
            tolerance = 1e-4 if dtype in (torch.float32, torch.float64) else 2e-2
            torch.testing.assert_close(there.cpu().double(), here, rtol=tolerance, atol=1e-7)
            assert torch.equal(there[6:].cpu(), table[6:])
