"""The loss of connectionist temporal classification, its gradient, its checks."""

import pytest
import torch
import torch.nn.functional as F

from .compare import check, check_errors, labels, make, same_for_any_threads

pytestmark = pytest.mark.usefixtures("native")


def log_probs(time=12, batch=3, classes=6, dtype=torch.float32):
    return make(time, batch, classes, dtype=dtype).log_softmax(-1).requires_grad_()


def loss(inputs, targets, **kwargs):
    return lambda p, y: F.ctc_loss(p, y, inputs, targets, **kwargs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_targets_of_both_forms(reduction, dtype):
    p = log_probs(dtype=dtype)
    for index in (torch.int64, torch.int32):
        y = (labels(5, 3, 4) + 1).to(index)
        check(loss((12, 9, 7), (4, 2, 3), reduction=reduction), p, y, tolerance=2e-5)
        check(
            loss((12, 9, 7), (4, 2, 3), reduction=reduction), p, y.reshape(-1)[:9], tolerance=2e-5
        )


def test_repeated_labels_blank_and_lengths_as_tensors():
    p, y = log_probs(), torch.tensor([[1, 1, 2], [0, 0, 0], [4, 1, 4]])
    check(loss((12, 12, 12), (3, 3, 2), blank=5), p, y)
    lengths = torch.tensor([12, 10, 8]), torch.tensor([3, 2, 1])
    check(lambda p, y: F.ctc_loss(p, y + 1, *lengths), p, y)
    check(
        loss((12, 12, 12), (3, 3, 2), blank=5),
        p.detach().transpose(0, 2).contiguous().transpose(0, 2).requires_grad_(),
        y,
    )


def test_sequences_that_no_alignment_fits():
    p, y = log_probs(time=4), torch.tensor([[1, 1, 1], [1, 2, 3], [2, 2, 0]])
    for zero in (False, True):
        check(loss((4, 4, 0), (3, 3, 0), reduction="none", zero_infinity=zero), p, y)
    check(loss((4, 2, 3), (3, 3, 0), zero_infinity=True), p, y)


def test_unbatched():
    check(
        loss((12,), (3,)),
        log_probs(batch=1).detach()[:, 0].requires_grad_(),
        torch.tensor([1, 2, 1]),
    )


def test_errors():
    p, y, ctc = (
        log_probs(5, 2, 4).detach(),
        torch.tensor([[1, 2], [3, 1]]),
        torch.ops.aten._ctc_loss,
    )
    check_errors(
        [
            lambda d: ctc(p.to(d), y.to(d), [5, 6], [2, 2]),
            lambda d: ctc(p.to(d), y.to(d), [5, 5], [2, 3]),
            lambda d: ctc(p.to(d), y.to(d), [5, 5], [2, -3]),
            lambda d: ctc(p.to(d), y.to(d), [5, -5], [2, 2]),
            lambda d: ctc(p.to(d), y.to(d), [5], [2, 2]),
            lambda d: ctc(p.to(d), y.to(d), [5, 5], [2]),
            lambda d: ctc(p.to(d), y.flatten()[:3].to(d), [5, 5], [2, 2]),
            lambda d: ctc(p.to(d), y.to(d), [5, 5], [2, 2], 7),
            lambda d: ctc(p[0].to(d), y.to(d), [5, 5], [2, 2]),
            lambda d: ctc(p[:, :0].to(d), y[:0].to(d), [], []),
        ]
    )
    with pytest.raises(NotImplementedError, match="not implemented for 'Half'"):
        ctc(p.half().to("trn"), y.to("trn"), [5, 5], [2, 2])
    ctc(p.to("trn"), (y + 9).to("trn"), [5, 5], [2, 2])
    with pytest.raises(RuntimeError):
        torch.trn.synchronize()


def test_same_for_any_number_of_threads():
    p, y = (
        log_probs(40, 9, 11).detach().to("trn").requires_grad_(),
        (labels(10, 9, 7) + 1).to("trn"),
    )

    def run():
        value = F.ctc_loss(p, y, [40] * 9, [7] * 9, reduction="sum")
        return value, torch.autograd.grad(value, p)[0]

    same_for_any_threads(run)
