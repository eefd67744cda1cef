"""Indexing, gather and scatter, masks: against PyTorch's CPU, for any number of threads."""

import itertools

import pytest
import torch

from .compare import same_for_any_threads

pytestmark = pytest.mark.usefixtures("native")

MOVED = [torch.bool, torch.uint8, torch.int16, torch.float16, torch.bfloat16, torch.int32,
         torch.float32, torch.int64, torch.float64, torch.complex64, torch.complex128]
SUMMED = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16,
          torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128]


def make(*shape, dtype=torch.float32, seed=0):
    g = torch.Generator().manual_seed(seed)
    if dtype == torch.bool:
        return torch.rand(shape, generator=g) < 0.5
    if dtype.is_floating_point or dtype.is_complex:
        return torch.randn(shape, generator=g, dtype=torch.float64).to(dtype)
    return torch.randint(0, 7, shape, generator=g).to(dtype)


def indices(n, *shape, seed=1, dtype=torch.long):
    return torch.randint(0, n, shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def to(x, device):
    if isinstance(x, torch.Tensor):
        return x.to(device)
    return tuple(to(y, device) for y in x) if isinstance(x, tuple) else x


def check(fn, *args, **tolerance):
    """fn gives on the device what it gives on the CPU."""
    want = fn(*[to(a, "cpu").clone() if isinstance(a, torch.Tensor) else a for a in args])
    got = fn(*[to(a, "trn") for a in args])
    torch.testing.assert_close(to(got, "cpu"), want, equal_nan=True, **tolerance)


@pytest.mark.parametrize("dtype", MOVED, ids=str)
def test_index_moves_every_type(dtype):
    x, i, j = make(5, 6, 7, dtype=dtype), indices(5, 4), indices(6, 4)
    check(lambda x, i, j: (x[i], x[:, j], x[i, j], x[i[:, None], j], x[i, :, j[:1]]), x, i, j)
    check(lambda x, i: x.gather(1, i), x, indices(6, 5, 3, 7))
    check(lambda x, i: torch.index_select(x, 2, i), x, indices(7, 9))
    check(lambda x, i: torch.take(x, i), x, indices(210, 3, 4))


LAYOUTS = {
    "dense": lambda x: x,
    "transposed": lambda x: x.transpose(0, 2),
    "sliced": lambda x: x[::2, 1:, ::3],
    "expanded": lambda x: x[:1].expand(5, -1, -1),
    "channels_last": lambda x: x[None].contiguous(memory_format=torch.channels_last)[0],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("index_dtype", [torch.int64, torch.int32])
def test_index_reads_any_layout(layout, index_dtype):
    view = LAYOUTS[layout]
    i = torch.tensor([2, 0, -1, 1, 1], dtype=index_dtype)
    check(lambda x, i: (view(x)[i], view(x)[:, i], view(x)[..., i], view(x)[i, :, i]),
          make(6, 8, 9), i)
    check(lambda x, i: view(x).index_select(-1, i), make(6, 8, 9), i.abs())


def test_masks_and_mixtures():
    x, m = make(4, 5, 6), make(4, 5, dtype=torch.bool)
    check(lambda x, m: (x[m], x[:, m[0]], x[m[:, 0], :, 2:],
                        x[..., None, m[0, :].nonzero()[:, 0], 0]), x, m)
    check(lambda x, i: (x[i], x[1, i, None], x[i, ..., 0]), x, torch.tensor([[0, 1], [-1, 2]]))
    check(lambda x: (x[torch.zeros(0, dtype=torch.long, device=x.device)],
                     x[:0][:, [1]], x[[]]), x)


def test_zero_dimensional():
    check(lambda x, i: (x.gather(0, i), x.index_select(0, i), x.take(i)), torch.tensor(3.0),
          torch.tensor(0))
    check(lambda x, i: x.clone().index_add_(0, i, x), torch.tensor(3.0), torch.tensor(0))
    check(lambda x: (x.nonzero(), x.masked_select(x > 0)), torch.tensor(3.0))


@pytest.mark.parametrize("dtype", SUMMED, ids=str)
def test_index_put_accumulates_every_type(dtype):
    def put(x, i, v):
        x.index_put_((i,), v, accumulate=True)
        return x

    check(put, make(9, 4, dtype=dtype), indices(9, 30), make(30, 4, dtype=dtype, seed=2),
          rtol=2e-2, atol=2e-2)
    check(put, make(9, dtype=dtype), indices(9, 30), make(1, dtype=dtype, seed=2), rtol=2e-2,
          atol=2e-2)


def test_index_put_forms():
    def put(x, i, j, v):
        x[i, j] = v[0, 0]
        x[i] = v
        x[:, :, j] += 1
        x[i, :, j] = 2.5
        x[x > 1] = -1
        x.transpose(0, 1).index_put_((j, i), v[:, 0], accumulate=True)
        x[..., 0].index_put_((i[:, None], j), v[:, :4, 0], accumulate=True)
        return x

    check(put, make(5, 6, 7), torch.tensor([4, 0, 2, 1]), torch.tensor([1, -2, 3, 5]),
          make(4, 6, 7, seed=3))


def test_index_put_of_a_mask_and_of_split_indices_accumulates():
    def put(x, m, i):
        x.index_put_((m,), torch.ones((), device=x.device), accumulate=True)
        x.index_put_((i, i), x[0, 0].clone()[:1], accumulate=True)
        torch.ops.aten.index_put_(x, [i, None, i], torch.full((3, 6), 0.5, device=x.device), True)
        return x

    check(put, make(5, 6, 7), make(5, 6, dtype=torch.bool), torch.tensor([1, 1, 4]))


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("dtype", SUMMED, ids=str)
def test_scatter_family(dim, dtype):
    x, src = make(6, 5, 4, dtype=dtype), make(6, 7, 4, dtype=dtype, seed=3)
    size = [3, 4, 2]
    i = indices(x.size(dim), *size)
    tolerance = {"rtol": 2e-2, "atol": 2e-2}
    unique = torch.stack([torch.randperm(x.size(dim))[:size[dim]] for _ in range(24)])
    unique = unique[:24 // size[dim]].reshape([s for d, s in enumerate(size) if d != dim % 3] +
                                             [size[dim]]).movedim(-1, dim)
    check(lambda x, i, s: x.scatter(dim, i, s), x, unique, src)
    check(lambda x, i: x.scatter(dim, i, 3), x, i)
    check(lambda x, i, s: x.scatter_add(dim, i, s), x, i, src, **tolerance)
    if not dtype.is_complex:
        for how, own in itertools.product(["sum", "prod", "mean", "amax", "amin"], [True, False]):
            options = {"reduce": how, "include_self": own}
            check(lambda x, i, s, options=options: x.scatter_reduce(dim, i, s, **options),
                  x, i, src, **tolerance)
    check(lambda x, i: x.scatter(dim, i, 2, reduce="multiply"), x, i, **tolerance)


@pytest.mark.parametrize("dtype", SUMMED + [torch.bool], ids=str)
def test_index_add_copy_fill(dtype):
    x, s = make(6, 5, 4, dtype=dtype), make(6, 3, 4, dtype=dtype, seed=5)
    i = torch.tensor([4, 0, 4])
    check(lambda x, i, s: x.index_add(1, i, s), x, i, s, rtol=2e-2, atol=2e-2)
    check(lambda x, i, s: x.index_copy(1, i[:2], s[:, :2]), x, i, s)
    check(lambda x, i: x.index_fill(-2, i, 1), x, i)
    if dtype != torch.bool:
        check(lambda x, i, s: x.index_add(1, i, s, alpha=3), x, i, s, rtol=3e-2, atol=3e-2)
    if not dtype.is_complex and dtype != torch.bool:
        for how in ("prod", "mean", "amax", "amin"):
            check(lambda x, i, s, how=how: x.index_reduce(1, i, s, how, include_self=False),
                  x, i, s, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("accumulate", [False, True])
def test_put(accumulate):
    check(lambda x, i, v: x.put_(i, v, accumulate), make(4, 5), torch.tensor([[3, -1], [0, 7]]),
          make(2, 2, seed=4))
    check(lambda x, i, v: x.t().put_(i, v, accumulate), make(4, 5), torch.tensor([3, 19]), make(2))


def test_nan_wins_in_extremes():
    x = torch.tensor([1.0, float("nan"), 2.0])
    check(lambda x, i, s: (x.scatter_reduce(0, i, s, "amax"), x.scatter_reduce(0, i, s, "amin")),
          x, torch.tensor([0, 1, 2]), torch.tensor([float("nan"), 5.0, 1.0]))


@pytest.mark.parametrize("shape", [(70001,), (300, 257), (3, 4, 5000), (2, 300, 7, 9)], ids=str)
def test_masked(shape):
    x, m = make(*shape), make(*shape, dtype=torch.bool, seed=7)
    check(lambda x, m: (x.masked_select(m), m.nonzero(), x.nonzero(), m.count_nonzero(),
                        m.count_nonzero(0), x.masked_fill(m, 2)), x, m)
    check(lambda x, m: x.transpose(0, -1).masked_select(m.transpose(0, -1)), x, m)
    check(lambda x, m: torch.nonzero_static(m, size=50, fill_value=-3), x.sign(), m)
    check(lambda x, m: x.masked_scatter(m, x * 2), x, m)
    assert m.to("trn").nonzero().stride() == m.nonzero().stride()


def test_large_writes_do_not_depend_on_threads():
    n = 200_000
    i, v = indices(1000, n).to("trn"), make(n).to("trn")
    exact = torch.zeros(1000, dtype=torch.float64).index_add_(0, i.cpu(), v.cpu().double())

    def close(result):
        torch.testing.assert_close(result.double(), exact, rtol=1e-4, atol=1e-4)

    zeros = torch.zeros(1000, device="trn")
    close(same_for_any_threads(lambda: zeros.clone().index_put_((i,), v, accumulate=True)))
    close(same_for_any_threads(lambda: zeros.scatter_add(0, i, v)))
    close(same_for_any_threads(lambda: zeros.index_add(0, i, v)))
    close(same_for_any_threads(lambda: zeros.clone().put_(i, v, accumulate=True)))
    # Without accumulation the last of the values that meet stays.
    last = torch.zeros(1000)
    last[i.cpu()] = v.cpu()
    order = torch.arange(n, device="trn").float()
    kept = same_for_any_threads(lambda: zeros.scatter(0, i, order))
    want = torch.zeros(1000).scatter_reduce(0, i.cpu(), order.cpu(), "amax")
    assert torch.equal(kept, want)


@pytest.mark.parametrize("dim", [0, 1])
def test_wide_writes_do_not_depend_on_threads(dim):
    x, v = make(300, 500).to("trn"), make(300, 500, seed=1).to("trn")
    i = indices(x.size(dim), 300, 500).to("trn")
    got = same_for_any_threads(lambda: x.scatter_add(dim, i, v))
    expected = x.cpu().scatter_add(dim, i.cpu(), v.cpu())
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    row = i.flatten()[:x.size(dim)]
    got = same_for_any_threads(lambda: x.index_add(dim, row, v))
    expected = x.cpu().index_add(dim, row.cpu(), v.cpu())
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("width", [1, 2, 7, 16, 33, 128])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.complex64],
                         ids=str)
def test_rows_that_meet_do_not_depend_on_threads(dtype, width):
    n = 5000
    x, v, i = make(300, width, dtype=dtype), make(n, width, dtype=dtype, seed=1), indices(300, n)
    if dtype.is_floating_point:
        v[7, 0], v[8, width - 1], x[1] = float("nan"), -float("inf"), -0.0
    plain = (lambda t: t.nan_to_num(7.0)) if dtype.is_floating_point else (lambda t: t)
    dx, dv, di = x.to("trn"), v.to("trn"), i.to("trn")
    table, strided = di[:, None].expand(n, width), dv.t().contiguous().t()
    want = x.clone().index_put_((i,), v, accumulate=True)
    close = dict(equal_nan=True, rtol=3e-2 if dtype == torch.bfloat16 else 1e-4, atol=1e-2)
    for fn in (lambda: dx.index_add(0, di, dv), lambda: dx.scatter_add(0, table, dv),
               lambda: dx.index_put((di,), strided, accumulate=True),
               lambda: dx.t().contiguous().t().index_add(0, di, dv)):
        got = same_for_any_threads(lambda fn=fn: plain(fn()))
        torch.testing.assert_close(got, plain(want), **close)
    got = same_for_any_threads(lambda: plain(dx.scatter(0, table, dv)))
    last = torch.full((300,), -1).scatter_reduce(0, i, torch.arange(n), "amax")
    assert torch.equal(got, plain(torch.where(last[:, None] < 0, x, v[last])))
    if not dtype.is_complex:
        got = same_for_any_threads(lambda: plain(dx.scatter_reduce(0, table, dv, "amax")))
        want = x.scatter_reduce(0, i[:, None].expand(n, width), v, "amax")
        assert torch.equal(got, plain(want))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int32], ids=str)
@pytest.mark.parametrize("include_self", [True, False])
def test_means_over_rows_that_an_index_chooses(dtype, include_self):
    x, v = make(9, 12, 5, dtype=dtype), make(30, 12, 5, dtype=dtype, seed=1)
    i, j = indices(9, 30), indices(12, 12, seed=2)
    close = dict(rtol=1e-2, atol=1e-2) if dtype == torch.float16 else {}
    # Expanded on the device: a copy to it is dense.
    for dim, index, shape in ((0, i[:, None, None], (30, 12, 5)), (0, i[:, None, None], (30, 7, 5)),
                              (0, i[:, None, None].repeat(1, 12, 5), (30, 12, 5)),
                              (1, j[:, None], (9, 12, 5)), (1, j[:4, None], (6, 4, 3)),
                              (0, i[:0, None, None], (0, 12, 5))):
        for reduce in ("mean", "sum", "amin", "prod"):
            check(lambda x, i, v, d=dim, r=reduce, s=shape: x.scatter_reduce(
                d, i.expand(s), v, r, include_self=include_self), x, index, v, **close)


def test_two_indices_of_which_one_moves_accumulate():
    x, v = make(40, 50, 3), make(30, 20, 3, seed=1)
    i, j = indices(40, 30), indices(50, 20, seed=2) - 25
    for index in ((i[:, None], j), (i[:, None], j, torch.tensor(1)), (i[:20], j)):
        index_ = tuple(k.to("trn") for k in index)
        value = v[..., 0] if len(index) == 3 else v[0] if index[0].dim() == 1 else v
        got = same_for_any_threads(
            lambda k=index_, v=value: x.to("trn").index_put(k, v.to("trn"), accumulate=True))
        torch.testing.assert_close(got, x.index_put(index, value, accumulate=True))


def test_out_and_in_place():
    x, i = make(4, 5), torch.tensor([1, 3])
    dx, di = x.to("trn"), i.to("trn")
    out = torch.empty(0, device="trn")
    torch.index_select(dx, 1, di, out=out)
    assert torch.equal(out.cpu(), x[:, i])
    strided = torch.zeros(5, 4, device="trn").t()
    torch.gather(dx, 1, torch.zeros(4, 5, dtype=torch.long, device="trn"), out=strided)
    assert torch.equal(strided.cpu(), x[:, :1].expand(4, 5))
    spread = torch.zeros(2 * int((x > 0).sum()), device="trn")[::2]
    torch.masked_select(dx, dx > 0, out=spread)
    assert torch.equal(spread.cpu(), x[x > 0])


def test_backward():
    def loss(x, i, m):
        x = x.clone().requires_grad_()
        y = x[i] * 2 + x[:, i[2:]].sum() + x.gather(0, i[None].expand(2, 4)).sum()
        z = x.index_put((i,), torch.ones_like(x[i])).square().sum()
        w = (x.scatter_add(0, i[:, None].expand(-1, 4), x[:4]) ** 2).sum() + x[m].sum()
        (y.sum() + z + w + x.index_select(0, i).prod() + x.masked_fill(m, 1).sum()).backward()
        return x.grad

    check(loss, make(6, 4), torch.tensor([1, 5, 1, 0]), make(6, 4, dtype=torch.bool))


def asserts(fn):
    with pytest.raises(RuntimeError, match="device-side assert"):
        fn()
        torch.trn.synchronize()
    torch.trn.synchronize()  # told once


@pytest.mark.parametrize("call", [
    lambda x, i: x[i], lambda x, i: x.gather(0, i), lambda x, i: x.scatter_add(0, i, x),
    lambda x, i: x.index_add(0, i, x[:1]), lambda x, i: x.index_select(0, i),
    lambda x, i: x.clone().index_put_((i,), x[:1]), lambda x, i: x.take(i),
], ids=["index", "gather", "scatter_add", "index_add", "index_select", "index_put", "take"])
def test_out_of_range_is_a_late_fault(call):
    x = torch.arange(5.0, device="trn")
    asserts(lambda: call(x, torch.tensor([5], device="trn")))
    asserts(lambda: call(x, torch.tensor([-6], device="trn")))


def test_negative_index_of_gather_is_a_fault():
    asserts(lambda: torch.arange(5.0, device="trn").gather(0, torch.tensor([-1], device="trn")))


def test_short_source_of_masked_scatter_is_a_fault():
    x = torch.zeros(5, device="trn")
    asserts(lambda: x.masked_scatter_(x == 0, torch.ones(3, device="trn")))


def test_errors_of_the_host():
    x = torch.zeros(3, 4, device="trn")
    x.add_(0)
    with pytest.raises(IndexError, match="too many indices"):
        x[torch.tensor([0], device="trn"), :, 0, torch.tensor([0], device="trn")]
    with pytest.raises(IndexError, match="must be long, int, byte or bool"):
        x[torch.tensor([0.5], device="trn")]
    with pytest.raises(IndexError, match="shape of the mask"):
        x[torch.ones(2, dtype=torch.bool, device="trn")]
    with pytest.raises(IndexError, match="supposed to be a vector"):
        x.index_select(0, torch.zeros(1, 1, dtype=torch.long, device="trn"))
    with pytest.raises(RuntimeError, match="source and destination dtypes match"):
        x.index_put_((torch.tensor([0], device="trn"),), torch.ones(4, device="trn").double())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("rows, width, n", [(7, 3, 50), (50, 1025, 9), (1, 2049, 70), (5, 8, 0)])
def test_gradient_of_embedding(dtype, rows, width, n):
    index, grad = torch.randint(rows, (n,)), torch.randn(n, width).to(dtype)
    back = torch.ops.aten.embedding_dense_backward
    for padding, scale in ((-1, False), (0, False), (-1, True)):
        expected = back(grad.double(), index, rows, padding, scale)
        found = back(grad.to("trn"), index.to("trn").int(), rows, padding, scale).cpu()
        torch.testing.assert_close(found.double(), expected, rtol=1e-5 if dtype != torch.bfloat16
                                   else 1e-2, atol=1e-5 if dtype != torch.bfloat16 else 1e-1)


@pytest.mark.parametrize("accumulate", [False, True])
def test_values_of_another_type_are_refused(accumulate):
    x, i = torch.zeros(5, device="trn"), torch.tensor([1, 3], device="trn")
    with pytest.raises(RuntimeError, match="source and destination dtypes match"):
        x.index_put_((i,), torch.ones(2, device="trn", dtype=torch.double), accumulate=accumulate)
    a, b = torch.ones(2, 3, device="trn"), torch.ones(2, 3, device="trn", dtype=torch.double)
    with pytest.raises(RuntimeError, match="expected scalar type Float but found Double"):
        torch.linalg.cross(a, b)
