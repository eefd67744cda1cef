"""Jagged tensors of torch.nested: padded and back, and the operators that go that way."""

import pytest
import torch
import torch.nn.functional as F

from .compare import FLOATS, check, make

pytestmark = pytest.mark.usefixtures("native")
OFFSETS = torch.tensor([0, 3, 3, 7, 8])


@pytest.mark.parametrize("dtype", [*FLOATS, torch.int64, torch.bool], ids=str)
@pytest.mark.parametrize("shape", [(8,), (8, 3), (8, 2, 3)], ids=str)
def test_padded_and_back(shape, dtype):
    values = make(*shape).mul(3).to(dtype)
    pads = torch.ops.aten._jagged_to_padded_dense_forward
    back = torch.ops.aten._padded_dense_to_jagged_forward
    for longest in (4, 6, 2):
        padded = pads(values.to("trn"), [OFFSETS.to("trn")], [longest], 1)
        assert padded.dtype == dtype
        want = torch.ones(4, longest, *shape[1:], dtype=dtype)
        for row, (begin, end) in zip(want, OFFSETS.unfold(0, 2, 1), strict=True):
            kept = values[begin:end][:longest]
            row[:len(kept)] = kept
        assert torch.equal(padded.cpu(), want)
        if longest >= 4:
            for total in (8, None):
                rows = back(padded, [OFFSETS.to("trn")], total)
                assert torch.equal(rows.cpu(), values)


def test_nothing_to_pad():
    pads = torch.ops.aten._jagged_to_padded_dense_forward
    none = pads(torch.empty(0, 3, device="trn"), [torch.zeros(3, dtype=torch.long, device="trn")],
                [2], 5.0)
    assert none.tolist() == [[[5.0] * 3] * 2] * 2
    with pytest.raises(RuntimeError, match="only a single jagged dim"):
        pads(torch.zeros(2, 3, device="trn"), [torch.zeros(3, dtype=torch.long, device="trn")] * 2,
             [2, 2], 0.0)


def _nested(x, offsets):
    return torch.nested.nested_tensor_from_jagged(x, offsets)


@pytest.mark.parametrize("operator", [
    lambda x: x.softmax(-1), lambda x: F.layer_norm(x, x.shape[-1:]),
    lambda x: x.detach().sum(1), lambda x: x.mean(-1), lambda x: F.silu(x) * 2],
    ids=["softmax", "layer_norm", "sum", "mean", "silu"])
def test_operators_of_jagged_tensors(operator):
    def run(x, offsets):
        y = operator(_nested(x, offsets))
        return y.values() if y.is_nested else y

    check(run, make(8, 4).requires_grad_(), OFFSETS)


def test_attention():
    def run(q, k, v, offsets):
        heads = [_nested(t, offsets).unflatten(-1, (2, 4)).transpose(1, 2) for t in (q, k, v)]
        y = F.scaled_dot_product_attention(*heads)
        return y.transpose(1, 2).values()

    offsets = torch.tensor([0, 3, 5, 9])
    check(run, *(make(9, 8, seed=i).requires_grad_() for i in range(3)), offsets)
