"""Sorting and choosing from lines: against PyTorch's CPU, for every type, order and length."""

import pytest
import torch
from torch_trn import _C

pytestmark = pytest.mark.usefixtures("native")

TYPES = [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
         torch.uint16, torch.uint32, torch.uint64, torch.float16, torch.bfloat16, torch.float32,
         torch.float64]
# Up to 192 lines are merged, then sorted by radix in one thread, above 32768 by all.
LENGTHS = [0, 1, 2, 9, 191, 193, 1000, 33000, 70001]


def make(*shape, dtype=torch.float32, seed=0):
    g = torch.Generator().manual_seed(seed)
    if dtype.is_floating_point:
        x = torch.randn(shape, generator=g, dtype=torch.float64).mul_(4).to(dtype)
        flat = x.view(-1)
        for i, value in enumerate([float("nan"), -0.0, 0.0, float("inf"), -float("inf"), 0.0]):
            flat[i * 7 % max(flat.numel(), 1):][:1] = value
        return x
    if dtype == torch.bool:
        return torch.rand(shape, generator=g) < 0.5
    info = torch.iinfo(dtype)
    low, high = max(info.min, -(2**62)), min(info.max, 2**62)
    return torch.randint(low, high, shape, generator=g).to(dtype)


def in_order(x):
    """x as integers or doubles that the CPU can sort."""
    if x.dtype in (torch.uint16, torch.uint32, torch.uint64):
        return x.to(torch.int64)
    return x


def check_sort(x, dim, descending):
    values, indices = torch.sort(x.to("trn"), dim=dim, descending=descending, stable=True)
    want = torch.sort(in_order(x), dim=dim, descending=descending, stable=True)
    torch.testing.assert_close(in_order(values.cpu()), want.values, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(indices.cpu(), want.indices)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_sort_is_stable_for_every_type_and_length(dtype, descending):
    for n in LENGTHS:
        check_sort(make(n, dtype=dtype), 0, descending)
    check_sort(make(3, 70, dtype=dtype), 1, descending)


@pytest.mark.parametrize("descending", [False, True])
def test_sort_of_any_layout(descending):
    x = make(6, 300, 5)
    for dim in (0, 1, -1):
        check_sort(x, dim, descending)
        check_sort(x.transpose(0, 1), dim, descending)
        check_sort(x[:, ::3, 1:], dim, descending)
    check_sort(make(1).expand(7, 4), 0, descending)
    check_sort(make(2, 40000).t(), 0, descending)
    check_sort(torch.tensor(3.0), 0, descending)
    check_sort(make(1, 2, 1, 2, 1, 2, 1, 2, 5), -1, descending)


def test_sort_with_many_equal_elements_and_digits():
    check_sort(make(50000, dtype=torch.int64).remainder(3), 0, False)
    check_sort(torch.zeros(50000), 0, True)
    check_sort(torch.arange(50000).flip(0) << 20, 0, False)


def test_sort_into_given_tensors():
    x = make(5, 6).to("trn")
    values = torch.empty(6, 5, device="trn").t()
    indices = torch.empty(5, 6, dtype=torch.long, device="trn")
    torch.sort(x, 1, out=(values, indices))
    assert torch.equal(values.cpu().nan_to_num(9), x.cpu().sort(1).values.nan_to_num(9))
    here = x.clone()
    torch.sort(here, 1, out=(here, indices))
    assert torch.equal(here.cpu().nan_to_num(9), x.cpu().sort(1).values.nan_to_num(9))


def test_sort_does_not_depend_on_threads():
    x = make(300000).remainder(50).to("trn")
    before = _C._get_compute_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            _C._set_compute_threads(threads)
            results.append([t.cpu() for t in torch.sort(x, stable=True)])
    finally:
        _C._set_compute_threads(before)
    for values, indices in results[1:]:
        assert torch.equal(indices, results[0][1])
        torch.testing.assert_close(values, results[0][0], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("dtype", TYPES[1:], ids=str)
def test_topk(dtype, largest):
    for n, k in [(1, 1), (10, 10), (300, 7), (5000, 300), (5000, 2500), (70000, 20)]:
        x = make(2, n, dtype=dtype)
        values, indices = x.to("trn").topk(k, largest=largest)
        want = in_order(x).sort(descending=largest, stable=True)
        torch.testing.assert_close(in_order(values.cpu()), want.values[:, :k], rtol=0, atol=0,
                                   equal_nan=True)
        assert torch.equal(indices.cpu(), want.indices[:, :k])
    x = make(6, 4, dtype=dtype)
    values, _ = x.to("trn").topk(3, 0, largest=largest)
    torch.testing.assert_close(in_order(values.cpu()),
                               in_order(x).sort(0, descending=largest).values[:3], rtol=0, atol=0,
                               equal_nan=True)


CHOICES = {
    "kthvalue": lambda x, dim: x.kthvalue(3, dim),
    "median": lambda x, dim: x.median(dim),
    "nanmedian": lambda x, dim: x.nanmedian(dim),
    "mode": lambda x, dim: x.mode(dim),
    "kept": lambda x, dim: x.median(dim, keepdim=True),
}


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bfloat16, torch.float32,
                                   torch.float64], ids=str)
def test_chosen_from_lines(name, dtype):
    choose = CHOICES[name]
    for shape, dim in [((7,), 0), ((40, 5), 0), ((3, 200), 1), ((4, 5000), -1), ((3, 65, 4), 1)]:
        x = make(*shape, dtype=dtype)
        values, indices = choose(x.to("trn"), dim)
        want = choose(x, dim)
        torch.testing.assert_close(values.cpu(), want.values, rtol=0, atol=0, equal_nan=True)
        at = indices.cpu() if indices.dim() == x.dim() else indices.cpu().unsqueeze(dim)
        there = x.gather(dim, at).view(want.values.shape)
        torch.testing.assert_close(there, want.values, rtol=0, atol=0, equal_nan=True)


def test_median_of_everything():
    for x in (make(50, 40), make(31)[1:], torch.full((9,), float("nan")), torch.tensor([2, 9, 4])):
        for choose in (torch.median, torch.nanmedian):
            torch.testing.assert_close(choose(x.to("trn")).cpu(), choose(x), rtol=0, atol=0,
                                       equal_nan=True)


def test_errors():
    x = torch.zeros(3, 0, device="trn")
    x.add_(0)
    torch.ones(1, device="trn").add_(1)
    for name in ("median", "mode", "nanmedian"):
        with pytest.raises(IndexError, match="Expected reduction dim 1 to have non-zero size"):
            getattr(torch, name)(x, 1)
    with pytest.raises(RuntimeError, match="selected number k out of range for dimension 0"):
        torch.ones(3, device="trn").kthvalue(4)
