"""Copies between strides: transposed squares, wide elements, rows that repeat or run backwards."""

import pytest
import torch

pytestmark = pytest.mark.usefixtures("native")

DTYPES = [torch.uint8, torch.bfloat16, torch.float32, torch.float64, torch.complex128]


def numbers(*shape, dtype):
    n = torch.Size(shape).numel()
    return (torch.arange(n) % 251).to(dtype).view(shape)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows, columns", [(64, 64), (1, 5), (3, 200), (200, 3), (65, 129),
                                           (31, 47), (130, 16), (16, 130)])
def test_transposed(isa, rows, columns, dtype):
    x = numbers(rows, columns, dtype=dtype)
    assert torch.equal(x.to("trn").t().contiguous().cpu(), x.t())
    to = torch.empty(columns, 2 * rows, dtype=dtype, device="trn")[:, ::2]
    assert torch.equal(to.copy_(x.to("trn").t()).cpu(), x.t())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 5, 7, 4), (2, 33, 3, 8), (2, 70, 5, 16), (3, 3, 66, 65)])
@pytest.mark.parametrize("order", [(0, 2, 1, 3), (0, 2, 3, 1), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_permuted(isa, shape, order, dtype):
    x = numbers(*shape, dtype=dtype)
    there = x.to("trn").permute(order)
    assert torch.equal(there.contiguous().cpu(), x.permute(order))
    assert torch.equal(there[1:, :, 1:].contiguous().cpu(), x.permute(order)[1:, :, 1:])


@pytest.mark.parametrize("dtype", DTYPES)
def test_repeated_reversed_and_skipped(isa, dtype):
    x = numbers(37, 70, dtype=dtype)
    there = x.to("trn")
    assert torch.equal(there[:, :1].expand(37, 70).contiguous().cpu(), x[:, :1].expand(37, 70))
    assert torch.equal(there[:1].expand(37, 70).contiguous().cpu(), x[:1].expand(37, 70))
    assert torch.equal(there.flip(0).cpu(), x.flip(0))
    assert torch.equal(there.flip(1).cpu(), x.flip(1))
    assert torch.equal(there[:, ::3].contiguous().cpu(), x[:, ::3])
    assert torch.equal(there[3:4, 5:6].clone().cpu(), x[3:4, 5:6])


@pytest.mark.parametrize("shift", [1, 3, 15, 16, 63, 64, 1021])
@pytest.mark.parametrize("size", [640, 641, 5000, 100003])
def test_shifted_within_a_page(isa, size, shift):
    x = torch.arange(size + shift, dtype=torch.float32)
    there = x.to("trn")
    ahead, behind = torch.zeros_like(there), torch.zeros_like(there)
    ahead[shift:].copy_(there[:-shift])
    behind[:-shift].copy_(there[shift:])
    assert torch.equal(ahead.cpu()[shift:], x[:-shift]) and not ahead.cpu()[:shift].any()
    assert torch.equal(behind.cpu()[:-shift], x[shift:]) and not behind.cpu()[-shift:].any()
    rows = there.expand(3, -1).contiguous()
    assert torch.equal(rows.roll(shift, 1).cpu(), rows.cpu().roll(shift, 1))


def test_several_threads_share_one_copy():
    x = numbers(700, 900, dtype=torch.float32)
    assert torch.equal(x.to("trn").t().contiguous().cpu(), x.t())
    y = numbers(90, 40, 30, 8, dtype=torch.float32)
    assert torch.equal(y.to("trn").permute(0, 2, 1, 3).contiguous().cpu(), y.permute(0, 2, 1, 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
@pytest.mark.parametrize("rows, columns", [(300, 3), (1000, 17), (70, 63), (9, 64), (5, 1300)])
def test_broadcast_over_short_rows(isa, rows, columns, dtype):
    x, row, column = (numbers(*s, dtype=dtype) for s in ((rows, columns), (columns,), (rows, 1)))
    there = x.to("trn")
    for other in (row, column, numbers(columns, rows, dtype=dtype).t(), row.double(), column.int()):
        assert torch.equal((there + other.to("trn")).cpu(), x + other)
        assert torch.equal(torch.add(other.to("trn"), there).cpu(), other + x)
    out = torch.empty(columns, rows, dtype=dtype, device="trn").t()
    assert torch.equal(torch.mul(there, row.to("trn"), out=out).cpu(), x * row)


def test_zeros_of_forward_derivatives_take_no_memory(native):
    zeros = torch._efficientzerotensor((1 << 30,), device="trn")
    assert zeros._is_zerotensor() and zeros.data_ptr() == 0
    w, x = torch.randn(3, 3), torch.randn(3)

    def squares(x):
        return torch.tanh(w.to(x.device) @ x).square()

    for transform in (torch.func.jacfwd, torch.func.hessian):
        torch.testing.assert_close(transform(squares)(x.to("trn")).cpu(), transform(squares)(x))


@pytest.mark.parametrize("dtype", [torch.float8_e8m0fnu, torch.uint4, torch.bits8], ids=str)
def test_types_without_a_kernel_are_refused(dtype):
    x = torch.zeros(4, dtype=torch.uint8, device="trn").view(dtype)
    with pytest.raises(NotImplementedError, match='"copy_" not implemented for'):
        x.to(torch.float32)
    assert (torch.ones(3, device="trn") + 1).tolist() == [2] * 3
