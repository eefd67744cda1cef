"""Bags of embeddings: every mode, padding, sample weights, gradients."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from .compare import FLOATS, check, labels, make, same_for_any_threads

pytestmark = pytest.mark.usefixtures("native")
OFFSETS = torch.tensor([0, 3, 3, 7, 12])  # bag 1 is empty


def bag(mode, padding=None, by_frequency=False, last=False):
    def fn(weight, indices, offsets, samples=None):
        return F.embedding_bag(
            indices,
            weight,
            offsets,
            mode=mode,
            per_sample_weights=samples,
            padding_idx=padding,
            scale_grad_by_freq=by_frequency,
            include_last_offset=last,
        )

    return fn


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_modes(mode, dtype):
    weight = make(10, 7, dtype=dtype).requires_grad_()
    indices = labels(10, 15)
    for padding, index in itertools.product((None, 4, -1), (torch.int32, torch.int64)):
        check(bag(mode, padding), weight, indices.to(index), OFFSETS.to(index))


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_rows_of_equal_bags_and_wide_tables(mode):
    check(
        lambda w, i: F.embedding_bag(i, w, mode=mode),
        make(20, 2500).requires_grad_(),
        labels(20, 3, 5),
    )


def test_sample_weights():
    weight, samples = make(10, 7).requires_grad_(), make(15, seed=3).requires_grad_()
    for padding in (None, 4):
        check(bag("sum", padding), weight, labels(10, 15), OFFSETS, samples)


def test_gradient_by_frequency():
    # The CPU divides by the count of another row, so the plain gradient is the oracle.
    weight, indices = make(10, 7).to("trn").requires_grad_(), labels(10, 15).to("trn")
    counts = torch.bincount(indices, minlength=10).clamp(min=1)[:, None]
    for mode in ("sum", "mean"):
        found = []
        for by_frequency in (False, True):
            y = bag(mode, by_frequency=by_frequency)(weight, indices, OFFSETS.to("trn"))
            found.append(torch.autograd.grad(y.square().sum(), weight)[0])
        torch.testing.assert_close(found[1], found[0] / counts)


def test_last_offset():
    ends = torch.tensor([0, 3, 3, 7, 15])
    for mode in ("sum", "mean", "max"):
        check(bag(mode, last=True), make(10, 7).requires_grad_(), labels(10, 15), ends)


def test_tables_of_any_strides():
    check(bag("sum"), make(7, 10).t(), labels(10, 15), OFFSETS)
    check(bag("max"), make(10, 14)[:, ::2], labels(10, 15), OFFSETS)


def test_empty():
    weight = make(10, 7)
    check(bag("mean"), weight, labels(10, 0), torch.tensor([0, 0]))
    check(bag("sum"), weight, labels(10, 0), labels(10, 0))


def test_module():
    here = torch.nn.EmbeddingBag(30, 8, mode="mean", padding_idx=2)
    there = torch.nn.EmbeddingBag(30, 8, mode="mean", padding_idx=2).to("trn")
    there.load_state_dict(here.state_dict())
    indices = labels(30, 6, 4)
    torch.testing.assert_close(there(indices.to("trn")).cpu(), here(indices))


def test_index_out_of_range_is_reported():
    F.embedding_bag(torch.tensor([[1, 99]], device="trn"), make(10, 7).to("trn"))
    with pytest.raises(RuntimeError):
        torch.trn.synchronize()


def test_same_for_any_number_of_threads():
    weight = make(50, 33).to("trn").requires_grad_()
    indices = labels(50, 40, 20).to("trn")

    def run():
        y = F.embedding_bag(indices, weight, mode="mean")
        return y, torch.autograd.grad(y.square().sum(), weight)[0]

    same_for_any_threads(run)
