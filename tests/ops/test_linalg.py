"""Dense linear algebra: what comes out is put together again and compared, in every type.

Sizes lie on both sides of the blocks that large matrices are cut into (16, 32 and 64).
"""

import pytest
import torch
from torch_trn import _C

pytestmark = pytest.mark.usefixtures("native")

DTYPES = [torch.float32, torch.float64, torch.complex64, torch.complex128]
SHAPES = [(1,), (3,), (2, 3, 17), (64,), (2, 65), (150,)]
WIDER = {torch.float32: torch.float64, torch.float64: torch.float64,
         torch.complex64: torch.complex128, torch.complex128: torch.complex128}
L = torch.linalg


@pytest.fixture(params=DTYPES, ids=lambda d: str(d)[6:])
def dtype(request):
    return request.param


@pytest.fixture(params=SHAPES, ids=str)
def square(request, dtype):
    return matrix(dtype, *request.param, request.param[-1])


def matrix(dtype, *shape):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape)))


def positive(a):
    return a @ a.mH + a.size(-1) * torch.eye(a.size(-1), dtype=a.dtype)


def tall_and_wide(a):
    """A matrix, one with 40 rows more and one with 40 columns more."""
    *batch, n = a.shape[:-1]
    return [a, matrix(a.dtype, *batch, n + 40, n), matrix(a.dtype, *batch, n, n + 40)]


def near(got, want, factor=1.0):
    """Equal to within rounding, measured against the largest element and the number of them."""
    assert got.shape == want.shape
    eps = torch.finfo(want.dtype).eps * 10 * (want.size(-1) + 10) * factor
    scale = max(want.abs().max().item(), 1e-30)
    assert (got - want).abs().max().item() <= eps * scale


def unitary(q):
    near(q.mH @ q, torch.eye(q.size(-1), dtype=q.dtype).expand(*q.shape[:-2], -1, -1))


def on_trn(function, *tensors, **options):
    out = function(*[t.to("trn") for t in tensors], **options)
    return out.cpu() if isinstance(out, torch.Tensor) else tuple(t.cpu() for t in out)


@pytest.mark.parametrize("upper", [False, True])
def test_cholesky(square, upper):
    a = positive(square)
    factor = on_trn(L.cholesky, a, upper=upper)
    near(factor.mH @ factor if upper else factor @ factor.mH, a)
    b = matrix(a.dtype, *a.shape[:-1], 40)
    near(a @ on_trn(torch.cholesky_solve, b, factor, upper=upper), b, 10)
    near(a @ on_trn(torch.cholesky_inverse, factor, upper=upper), torch.eye(a.size(-1)).to(a)
         .expand_as(a), 10)


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("upper", [False, True])
def test_triangular_systems(square, upper, left):
    t = (square.triu() if upper else square.tril()) / 10 + 3 * torch.eye(square.size(-1))
    t = t.to(square.dtype)
    b = matrix(t.dtype, *t.shape[:-1], 40)
    b = b if left else b.mT
    for a in (t.to("trn"), t.mT.contiguous().to("trn").mT, t.mH.contiguous().to("trn").mH):
        x = L.solve_triangular(a, b.to("trn"), upper=upper, left=left).cpu()
        near(t @ x if left else x @ t, b, 10)


def test_lu(square):
    for a in tall_and_wide(square):
        p, lower, upper = on_trn(L.lu, a)
        near(p @ lower @ upper, a)
        assert torch.equal(on_trn(L.lu_factor, a)[1], L.lu_factor(a)[1])
    a = positive(square)
    lower, upper = on_trn(L.lu, a, pivot=False)[1:]
    near(lower @ upper, a, 10)


def test_systems(square):
    a, b = positive(square), matrix(square.dtype, *square.shape[:-1], 40)
    near(a @ on_trn(L.solve, a, b), b, 10)
    near(on_trn(L.solve, a, b.mT, left=False) @ a, b.mT, 10)
    near(a @ on_trn(L.inv, a), torch.eye(a.size(-1)).to(a).expand_as(a), 10)
    lu, pivots = on_trn(L.lu_factor, a)
    near(a.mH @ on_trn(L.lu_solve, lu, pivots, b, adjoint=True), b, 10)
    several = b.expand(3, *b.shape)
    near(on_trn(L.lu_solve, lu, pivots, several), L.lu_solve(lu, pivots, several), 100)


def test_determinants(square):
    sign, log = on_trn(L.slogdet, square)
    want = L.slogdet(square.to(torch.complex128 if square.is_complex() else torch.float64))
    torch.testing.assert_close(sign, want.sign.to(sign.dtype), rtol=0, atol=1e-4)
    torch.testing.assert_close(log, want.logabsdet.to(log.dtype), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("mode", ["reduced", "complete"])
def test_qr(square, mode):
    for a in tall_and_wide(square):
        q, r = on_trn(L.qr, a, mode=mode)
        near(q @ r, a)
        unitary(q)
        assert torch.equal(r, r.triu())


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("left", [False, True])
def test_products_with_q(square, left, transpose):
    h, tau = on_trn(torch.geqrf, square)
    q = on_trn(L.householder_product, h, tau)
    q = q.mH if transpose else q
    c = matrix(h.dtype, *h.shape)
    near(on_trn(torch.ormqr, h, tau, c, left=left, transpose=transpose), q @ c if left else c @ q)


@pytest.mark.parametrize("uplo", ["L", "U"])
def test_eigh(square, uplo):
    a = square + square.mH
    values, vectors = on_trn(L.eigh, a.tril() if uplo == "L" else a.triu(), UPLO=uplo)
    near((vectors * values.unsqueeze(-2)) @ vectors.mH, a)
    unitary(vectors)
    assert torch.equal(values, values.sort(-1).values)
    near(on_trn(L.eigvalsh, a), values)


@pytest.mark.parametrize("n, rank", [(64, 2), (96, 4), (128, 64), (256, 2), (256, 128), (512, 1)])
def test_eigh_of_few_samples(dtype, n, rank):
    x = matrix(dtype, rank, n).abs().to(dtype)
    a = x.mH @ x
    values, vectors = on_trn(L.eigh, a)
    unitary(vectors)
    near(vectors * values.unsqueeze(-2) @ vectors.mH, a)
    near(on_trn(L.eigvalsh, a), values)


@pytest.mark.parametrize("full", [False, True])
def test_svd(square, full):
    low_rank = square[..., :2] @ square[..., :2, :]
    equal_rows = square[..., :1, :].expand_as(square)
    zero = torch.zeros_like(square)
    for a in [*tall_and_wide(square), low_rank, equal_rows, zero, square * 1e-30, square * 1e30]:
        u, s, vh = on_trn(L.svd, a, full_matrices=full)
        k = s.size(-1)
        near((u[..., :k] * s.unsqueeze(-2)) @ vh[..., :k, :], a)
        unitary(u)
        unitary(vh.mH)
        assert (s >= 0).all() and torch.equal(s, s.sort(-1, descending=True).values)
        near(on_trn(L.svdvals, a), L.svdvals(a))


def test_matrix_exp(square):
    a = square / square.size(-1)
    for scale in (0.01, 1, 5):
        wide = a.to(torch.complex128 if a.is_complex() else torch.float64)
        near(on_trn(L.matrix_exp, a * scale), L.matrix_exp(wide * scale).to(a.dtype), 10)


def test_what_cannot_be_factored():
    a = torch.eye(70, dtype=torch.float64)
    a[66, 66] = -1
    batch = torch.stack([a, torch.eye(70, dtype=torch.float64)]).to("trn")
    assert L.cholesky_ex(batch).info.tolist() == [67, 0]
    with pytest.raises(L.LinAlgError, match=r"linalg.cholesky: \(Batch element 0\): The factori"):
        L.cholesky(batch)
    singular = torch.ones(40, 40, device="trn")
    assert L.lu_factor_ex(singular).info.item() == 2
    with pytest.raises(L.LinAlgError, match="singular"):
        L.solve(singular, torch.ones(40, device="trn"))
    for function in (L.svd, L.eigh):
        with pytest.raises(L.LinAlgError, match="failed to converge"):
            function(torch.full((5, 5), float("nan"), device="trn"))


def test_the_same_bits_for_any_number_of_threads():
    a = matrix(torch.float32, 3, 130, 130).to("trn")
    threads = _C._get_compute_threads()
    found = []
    for n in (1, 2):
        _C._set_compute_threads(n)
        found.append([*L.lu_factor(a), *L.qr(a), *L.svd(a), *L.eigh(a), L.inv(a)])
    _C._set_compute_threads(threads)
    assert all(torch.equal(x, y) for x, y in zip(*found, strict=True))


def test_lstsq(square):
    a = positive(square)
    for m in [a, *tall_and_wide(square)[1:]]:
        for columns in (1, 3):
            b = matrix(m.dtype, *m.shape[:-1], columns)
            got = L.lstsq(m.to("trn"), b.to("trn"))
            want = L.lstsq(m.to(WIDER[m.dtype]), b.to(WIDER[m.dtype]), driver="gels")
            for ours, exact in zip(got, want, strict=True):
                assert ours.shape == exact.shape
                near = 1e-3 if m.dtype in (torch.float32, torch.complex64) else 1e-9
                torch.testing.assert_close(ours.cpu().to(exact.dtype), exact, atol=near, rtol=near)


def test_lstsq_of_vectors_batches_and_what_it_refuses():
    a, b = matrix(torch.float64, 4, 6, 3), matrix(torch.float64, 4, 6)
    for x, y in ((a, b), (a[0], b[0]), (a[:1].expand(4, 6, 3), b[..., None])):
        got = L.lstsq(x.to("trn"), y.to("trn"))
        for ours, exact in zip(got, L.lstsq(x, y, driver="gels"), strict=True):
            torch.testing.assert_close(ours.cpu(), exact)
    for x, y, message in ((a, b.float(), "same dtype"), (a, b[:, :5], r"match other.size"),
                          (a, b[0, 0], "at least 1 dimension"), (a[0, 0], b, "at least 2 dim")):
        with pytest.raises(RuntimeError, match=message):
            L.lstsq(x.to("trn"), y.to("trn"))
    with pytest.raises(RuntimeError, match="should be one of"):
        L.lstsq(a.to("trn"), b.to("trn"), driver="svd")
