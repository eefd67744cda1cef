"""Matrix products of every instruction set around the edges of their tiles."""

import itertools

import pytest
import torch

from .compare import same_for_any_threads

pytestmark = pytest.mark.usefixtures("native")
F = torch.nn.functional
LIMIT = {torch.float32: 2e-6, torch.float64: 1e-14, torch.bfloat16: 8e-3, torch.float16: 1e-3}
# Around rows and columns of register tiles, thin products, panels and strips of k.
EDGES = [(1, 17, 300), (3, 512, 33), (16, 65, 40), (17, 31, 5), (24, 33, 513), (97, 64, 256),
         (300, 19, 257), (13, 520, 1), (289, 130, 31), (70, 1, 1030), (18, 18, 0),
         (26, 40, 1040), (1120, 270, 20), (25, 47, 273), (36, 49, 545), (38, 80, 1089)]


def data(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def check(got, expected, scale, dtype):
    assert got.dtype == dtype
    error = (got.cpu().double() - expected).abs()
    assert (error <= LIMIT[dtype] * (scale + 1e-3)).all(), (error / (scale + 1e-3)).max().item()


@pytest.mark.parametrize("dtype", LIMIT)
@pytest.mark.parametrize("m, n, k", EDGES)
def test_edges_and_layouts(isa, dtype, m, n, k):
    for left, right in itertools.product((False, True), repeat=2):
        a = data(k, m, seed=1, dtype=dtype).t() if left else data(m, k, seed=1, dtype=dtype)
        b = data(n, k, seed=2, dtype=dtype).t() if right else data(k, n, seed=2, dtype=dtype)
        check(a.to("trn") @ b.to("trn"), a.double() @ b.double(),
              a.double().abs() @ b.double().abs(), dtype)


@pytest.mark.parametrize("dtype", LIMIT)
def test_any_strides_scales_and_batches(isa, dtype):
    a, b, c = data(3, 40, 90, dtype=dtype), data(3, 90, 62, seed=1, dtype=dtype), data(
        3, 20, 31, seed=2, dtype=dtype)
    x, y = a[:, ::2, ::3], b[:, ::3, ::2]
    tx, ty = a.to("trn")[:, ::2, ::3], b.to("trn")[:, ::3, ::2]
    expected = torch.baddbmm(c.double(), x.double(), y.double(), beta=0.5, alpha=-2)
    scale = 0.5 * c.double().abs() + 2 * (x.double().abs() @ y.double().abs())
    check(torch.baddbmm(c.to("trn"), tx, ty, beta=0.5, alpha=-2), expected, scale, dtype)
    out = torch.empty(3, 31, 20, dtype=dtype, device="trn").transpose(1, 2)
    check(torch.bmm(tx, ty, out=out), x.double() @ y.double(),
          x.double().abs() @ y.double().abs(), dtype)


@pytest.mark.parametrize("dtype", LIMIT)
def test_rows_that_start_anywhere(isa, dtype):
    # Contiguous k is read where it lies: odd distances of rows, odd first elements, a row too many.
    wide = data(38, 1081, dtype=dtype)
    b = data(1048, 45, seed=1, dtype=dtype)
    for a in (wide[:37, 33:], wide[1:, 1:1049], wide[:36, 33:]):
        on_device = wide.to("trn").as_strided(a.shape, a.stride(), a.storage_offset())
        check(on_device @ b.to("trn"), a.double() @ b.double(),
              a.double().abs() @ b.double().abs(), dtype)


@pytest.mark.parametrize("dtype", LIMIT)
@pytest.mark.parametrize("m, n, k", [(24, 33, 40), (29, 64, 300), (36, 300, 1090), (100, 49, 0)])
def test_a_row_is_added_to_each(isa, dtype, m, n, k):
    a, b, row = data(m, k, dtype=dtype), data(k, n, seed=1, dtype=dtype), data(2 * n, dtype=dtype)
    product, bound = a.double() @ b.double(), a.double().abs() @ b.double().abs()
    for step, beta, alpha in ((1, 1, 1), (2, -0.5, 1), (1, 2, 0.5)):
        added = row[: step * n : step]
        got = torch.addmm(row.to("trn")[: step * n : step], a.to("trn"), b.to("trn"), beta=beta,
                          alpha=alpha)
        check(got, alpha * product + beta * added.double(), bound + 2 * added.double().abs(), dtype)
    got = torch.addmm(row.to("trn")[:1], a.to("trn"), b.to("trn"))
    check(got, product + row[0].double(), bound + row[0].abs().item(), dtype)


def test_same_bits_for_any_number_of_threads():
    a, b = data(400, 600, dtype=torch.bfloat16), data(600, 300, seed=1, dtype=torch.bfloat16)
    a, b = a.to("trn"), b.to("trn")
    same_for_any_threads(lambda: a @ b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_specials_stay_where_they_belong(isa, dtype):
    a, b = data(40, 70, dtype=dtype), data(70, 50, seed=1, dtype=dtype)
    a[3, 69], a[5, 0], b[69, 49] = float("inf"), float("nan"), float("-inf")
    got, expected = (a.to("trn") @ b.to("trn")).cpu(), a.double() @ b.double()
    assert torch.equal(got.isnan(), expected.isnan())
    assert torch.equal(got.isinf(), expected.isinf())
    assert torch.equal(got[got.isinf()].sign().double(), expected[expected.isinf()].sign())


def test_float32_is_no_less_accurate_than_the_cpus(isa):
    # A wide range of exponents, and rows that cancel.
    a = data(64, 300) * torch.exp2(data(64, 300, seed=3) * 12)
    b = data(300, 48, seed=1) * torch.exp2(data(300, 48, seed=4) * 12)
    a[:, 150:] = -a[:, :150]
    b[150:] = b[:150] * (1 + 1e-3 * data(150, 48, seed=5))
    exact = a.double() @ b.double()
    ours = ((a.to("trn") @ b.to("trn")).cpu().double() - exact).abs().max()
    theirs = ((a @ b).double() - exact).abs().max()
    scale = (a.double().abs() @ b.double().abs()).max()
    assert ours <= max(2 * theirs, 1e-7 * scale)


def test_tiny_float32_numbers_are_kept(isa):
    a = data(20, 33) * 2.0**-120
    b = data(33, 40, seed=1) * 2.0**-20
    got = (a.to("trn") @ b.to("trn")).cpu().double()
    expected = a.double() @ b.double()
    assert (got - expected).abs().max() <= 40 * 2.0**-149 and got.abs().max() > 0


@pytest.mark.parametrize("m, n, k", [(1, 1, 1), (17, 33, 5), (96, 100, 1031), (13, 64, 4),
                                     (24, 47, 1090), (36, 16, 2179)])
def test_int_mm(isa, m, n, k):
    a = torch.randint(-128, 128, (m, k), dtype=torch.int8)
    b = torch.randint(-128, 128, (n, k), dtype=torch.int8).t()
    expected = (a.long() @ b.long()).int()
    for left in (a.to("trn"), a.t().to("trn").t()):
        assert torch.equal(torch._int_mm(left, b.to("trn")).cpu(), expected)
        assert torch.equal(torch._int_mm(left, b.contiguous().to("trn")).cpu(), expected)
    out = torch.empty(n, m, dtype=torch.int32, device="trn").t()
    assert torch.equal(torch._int_mm(a.to("trn"), b.to("trn"), out=out).cpu(), expected)


def test_int_mm_refuses_what_the_cpu_refuses():
    a = torch.zeros(4, 4, dtype=torch.int8, device="trn")
    with pytest.raises(RuntimeError, match="needs to match"):
        torch._int_mm(a, torch.zeros(3, 4, dtype=torch.int8, device="trn"))
    with pytest.raises(RuntimeError, match="int8"):
        torch._int_mm(a, a.float())


WIDE_TYPES = [torch.bfloat16, torch.float32, torch.float16]


def int8_layer(m, n, k, dtype):
    x, w = data(m, k, dtype=dtype), torch.randint(-128, 128, (n, k), dtype=torch.int8)
    return x, w, (data(n, seed=1) * 0.01).to(dtype)


@pytest.mark.parametrize("dtype", WIDE_TYPES)
@pytest.mark.parametrize("m, n, k", [(1, 70, 1100), (5, 70, 1100), (8, 33, 4130), (9, 33, 545),
                                     (70, 70, 1100), (205, 600, 64), (24, 16, 1)])
def test_weight_only_int8(isa, m, n, k, dtype):
    x, w, scales = int8_layer(m, n, k, dtype)
    expected = x.double() @ w.double().t() * scales.double()
    scale = x.double().abs() @ w.double().abs().t() * scales.double().abs()
    # Rows of x may lie anywhere.
    for at in (x.to("trn"), x.t().to("trn").t()):
        check(torch._weight_int8pack_mm(at, w.to("trn"), scales.to("trn")), expected, scale, dtype)


def test_weight_only_int8_keeps_infinities_apart(isa):
    for m in (1, 20):
        x, w, scales = int8_layer(m, 40, 96, torch.bfloat16)
        x[0, 5] = float("inf")
        w[:, 5] = torch.where(w[:, 5] == 0, 1, w[:, 5])
        got = torch._weight_int8pack_mm(x.to("trn"), w.to("trn"), scales.to("trn")).cpu()
        sign = (w[:, 5].sign() * scales.sign()).float()
        assert torch.equal(got[0].float(), sign * float("inf")) and got[1:].isfinite().all()


def int4_layer(m, n, k, group, dtype):
    """x, packed weights, scales and zeros on trn; the product and its bound in double precision."""
    x, codes = data(m, k, dtype=dtype), torch.randint(16, (n, k))
    scale_and_zero = data(k // group, n, 2, seed=1, dtype=dtype)
    s, z = (t.t().repeat_interleave(group, 1) for t in scale_and_zero.double().unbind(2))
    whole = (codes - 8).double() * s
    packed = (codes[:, ::2] << 4 | codes[:, 1::2]).to(torch.uint8).to("trn")
    packed = torch._convert_weight_to_int4pack(packed, 2)
    assert packed.shape == (n // 8, k // 32, 32, 1) and packed.dtype == torch.int32
    bound = x.double().abs() @ (whole.abs() + z.abs()).t()
    return x.to("trn"), packed, scale_and_zero.to("trn"), x.double() @ (whole + z).t(), bound


@pytest.mark.parametrize("dtype", WIDE_TYPES)
@pytest.mark.parametrize("m, n, k, group", [
    (1, 72, 1152, 128), (1, 8, 32, 32), (3, 72, 1184, 32), (8, 40, 4416, 64), (9, 72, 1152, 32),
    (9, 24, 768, 256), (70, 536, 448, 64), (205, 24, 4224, 128)])
def test_weight_only_int4(isa, m, n, k, group, dtype):
    x, packed, factors, expected, bound = int4_layer(m, n, k, group, dtype)
    check(torch._weight_int4pack_mm(x, packed, group, factors), expected, bound, dtype)


@pytest.mark.parametrize("m", [1, 30])
def test_weight_only_has_the_same_bits_for_any_number_of_threads(m):
    x, w, scales = (t.to("trn") for t in int8_layer(m, 1200, 600, torch.bfloat16))
    same_for_any_threads(lambda: torch._weight_int8pack_mm(x, w, scales))
    x, packed, factors, _, _ = int4_layer(m, 1200, 640, 64, torch.bfloat16)
    same_for_any_threads(lambda: torch._weight_int4pack_mm(x, packed, 64, factors))


def test_weight_only_int4_has_whole_groups():
    x = torch.zeros(1, 96, device="trn", dtype=torch.bfloat16)
    packed = torch._convert_weight_to_int4pack(
        torch.zeros(8, 48, dtype=torch.uint8, device="trn"), 2)
    with pytest.raises(RuntimeError, match="multiple of 64"):
        torch._weight_int4pack_mm(x, packed, 64, torch.zeros(1, 8, 2, device="trn").bfloat16())


def test_types_may_not_differ():
    a, b = data(2, 3, 4).to("trn"), data(2, 4, 5, dtype=torch.float64).to("trn")
    for product in (lambda: a[0] @ b[0], lambda: a @ b, lambda: a[0] @ b[0, :, 0]):
        with pytest.raises(RuntimeError, match="same dtype|expected scalar type|to have"):
            product()
    (a @ b.float()).cpu()


@pytest.mark.parametrize("kept", ["half", "float"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_products_of_halves_kept_in_float(dtype, kept):
    a, b = data(3, 40, 70, seed=1, dtype=dtype), data(3, 70, 50, seed=2, dtype=dtype)
    c = data(50, seed=3, dtype=dtype if kept == "half" else torch.float32)
    x, y, z = (t.to("trn") for t in (a, b, c))
    product, scale = a.double() @ b.double(), a.double().abs() @ b.double().abs()
    wide = torch.float32
    for name, tensors, factors, limit in (
            ("mm", (x[0], y[0]), {}, (product[0], scale[0])),
            ("bmm", (x, y), {}, (product, scale)),
            ("addmm", (z, x[0], y[0]), {"beta": 2, "alpha": 0.5},
             (product[0] / 2 + 2 * c.double(), scale[0] + 2 * c.double().abs())),
            ("baddbmm", (z.expand(3, 40, 50), x, y), {},
             (product + c.double(), scale + c.double().abs()))):
        op = getattr(torch, name)
        check(op(*tensors, out_dtype=wide, **factors), *limit, wide)
        out = torch.empty(0, device="trn")
        assert op(*tensors, out_dtype=wide, out=out, **factors) is out
        check(out, *limit, wide)
        with pytest.raises(RuntimeError, match="same as the dtype of the provided out tensor"):
            op(*tensors, out_dtype=wide, out=torch.empty(0, device="trn", dtype=dtype), **factors)
    with pytest.raises(RuntimeError, match="out_dtype must be the same as input dtype or fp32"):
        torch.mm(x[0], y[0], out_dtype=torch.float64)


INTEGERS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@pytest.mark.parametrize("m, n, k", [(1, 1, 7), (3, 40, 33), (4, 512, 5), (17, 31, 129),
                                     (70, 130, 64), (5, 9, 0), (2, 300, 20000)])
def test_integers_around_the_edges_of_tiles(isa, dtype, m, n, k):
    g = torch.Generator().manual_seed(m)
    # Products and sums wrap around in every type.
    numbers = [torch.randint(-2**62, 2**62, s, generator=g).to(dtype)
               for s in ((2, m, k), (2, k, n), (2, m, n))]
    a, b, c = numbers
    da, db, dc = (t.to("trn") for t in numbers)
    assert torch.equal((da @ db).cpu(), a @ b)
    got = torch.bmm(da, db.transpose(1, 2).contiguous().transpose(1, 2))
    assert torch.equal(got.cpu(), torch.bmm(a, b))
    flipped = da.transpose(1, 2).contiguous().transpose(1, 2)
    got = torch.baddbmm(dc, flipped, db, alpha=3, beta=-2)
    assert torch.equal(got.cpu(), torch.baddbmm(c, a, b, alpha=3, beta=-2))
    same_for_any_threads(lambda: da @ db)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
@pytest.mark.parametrize("m, n, k", [(3, 5, 7), (8, 8, 512), (33, 40, 129), (64, 70, 65),
                                     (200, 9, 33), (9, 200, 34), (16, 16, 0), (1, 150, 300),
                                     (3, 300, 65), (300, 2, 70), (1, 1, 40000)])
def test_complex_products_are_those_of_their_parts(isa, dtype, m, n, k):
    a, b, c = (data(2, *s, seed=i, dtype=dtype)
               for i, s in enumerate(((m, k), (k, n), (m, n))))
    a, b = a + data(2, m, k, seed=4).mul(1j), b - data(2, k, n, seed=5).mul(1j)
    da, db, dc = a.to("trn"), b.to("trn"), c.to("trn")
    close = dict(rtol=1e-5, atol=1e-4) if dtype == torch.complex64 else dict(rtol=1e-12, atol=1e-12)

    def same(got, want):
        torch.testing.assert_close(got.cpu(), want, **close)

    wide = torch.complex128
    want = (a.to(wide) @ b.to(wide)).to(a.dtype)
    close = dict(rtol=1e-5, atol=1e-4) if want.dtype == torch.complex64 else close
    same(da @ db, want)
    same(da[0] @ db[0], want[0])
    same(db.mT @ da.mT, want.mT)
    same(db.mH @ da.mH, want.mH)
    same(da.contiguous().conj() @ db.conj(), want.conj())
    same(da.mT.contiguous().mT @ db.mT.contiguous().mT, want)
    out = torch.empty(2, n, m, dtype=want.dtype, device="trn").mT
    same(torch.bmm(da, db, out=out), want)
    got = torch.baddbmm(dc.to(want.dtype), da, db, alpha=2 - 1j, beta=0.5j)
    exact = torch.baddbmm(c.to(wide), a.to(wide), b.to(wide), alpha=2 - 1j, beta=0.5j)
    same(got, exact.to(want.dtype))
    row = dc.to(want.dtype)[0, 0]
    same(torch.addmm(row, da[0], db[0]), row.cpu() + want[0])
    nothing = torch.full_like(got, float("nan"))
    same(torch.baddbmm(nothing, da, db, beta=0), want)
    vector, added = db[0, :, 0], dc.to(want.dtype)[0, :, 0].contiguous()
    exact = torch.addmv(added.cpu(), a[0].to(want.dtype), vector.cpu().to(want.dtype), alpha=2j)
    same(torch.addmv(added, da[0].to(want.dtype), vector.to(want.dtype), alpha=2j), exact)
    same(added.clone().addmv_(da[0].to(want.dtype), vector.to(want.dtype), alpha=2j), exact)
    same_for_any_threads(lambda: da @ db)
