"""Products of sparse tensors, softmax over their elements, and sums of compressed ones."""

import pytest
import torch

from .compare import make

pytestmark = pytest.mark.usefixtures("ran", "native")


def holes(*shape, seed=0, dtype=torch.float32):
    """A dense tensor with about half of its elements zero."""
    values = make(*shape, seed=seed).to(dtype)
    return values * (make(*shape, seed=seed + 100) > 0)


def both(work, *inputs):
    """The work on trn and on the CPU, and the gradients of its inputs, agree."""
    results = []
    for device in ("trn", "cpu"):
        leaves = [x.to(device).detach().requires_grad_() for x in inputs]
        out = work(*leaves)
        assert out.device.type == device
        weighed = torch.sparse.sum(out * 3) if out.layout == torch.sparse_coo else (
            out.to_dense() if out.layout != torch.strided else out).square().sum()
        weighed.backward()
        results.append([out, *(x.grad for x in leaves)])
    for got, want in zip(*results):
        assert got.layout == want.layout and got.dtype == want.dtype
        torch.testing.assert_close(got.detach().to_dense().cpu(), want.detach().to_dense())


def unsorted(dense):
    """The same, with every element twice and the last ones first."""
    half = (dense / 2).to_sparse()
    return torch.sparse_coo_tensor(half.indices().repeat(1, 2).flip(1),
                                   half.values().repeat(2).flip(0), dense.shape)


@pytest.mark.parametrize("form", [torch.Tensor.to_sparse, unsorted])
def test_sparse_times_sparse(form):
    a, b = holes(7, 6), holes(6, 5, seed=1)
    both(torch.sparse.mm, form(a), form(b))
    both(torch.sparse.mm, form(a * 0), form(b))
    product = torch.sparse.mm(form(a).to("trn"), form(b).to("trn"))
    assert product.is_coalesced()
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        torch.sparse.mm(form(a).to("trn"), form(a).to("trn"))
    both(lambda a, b: a * b, a.to_sparse(), holes(7, 6, seed=2).to_sparse())
    met = form(a).to("trn") * form(holes(7, 6, seed=2)).to("trn")
    torch.testing.assert_close(met.to_dense().cpu(), a * holes(7, 6, seed=2))
    both(lambda a: torch.sparse.mm(a, torch.ones(6, 2, device=a.device)), form(a))


@pytest.mark.parametrize("shape", [(6,), (7, 1), (1, 6), (1,), (7, 6)])
def test_times_a_dense_one_that_reaches_it(shape):
    x, by = unsorted(holes(7, 6)), make(*shape, seed=4)
    for left, right in ((x, by), (by, x)):
        got = left.to("trn") * right.to("trn")
        torch.testing.assert_close(got.to_dense().cpu(), x.to_dense() * by)


def test_batches():
    both(torch.bmm, holes(3, 4, 5).to_sparse(), make(3, 5, 2, seed=1))
    with pytest.raises(RuntimeError, match="must match"):
        torch.bmm(holes(3, 4, 5).to_sparse().to("trn"), make(3, 4, 2).to("trn"))


@pytest.mark.parametrize("dims, dim", [(2, 0), (2, 1), (3, 1), (3, 2)])
@pytest.mark.parametrize("work", [torch.sparse.softmax, torch.sparse.log_softmax])
def test_softmax(work, dims, dim):
    shape = (4, 5, 3)[:dims]
    dense = make(*shape, seed=3) * (make(*shape, seed=7) > -0.5)
    weight = make(*shape, seed=9)
    both(lambda x: work(x, dim) * weight.to(x.device), dense.to_sparse())
    if dims == 3:
        both(lambda x: work(x, dim) * weight.to(x.device), dense.to_sparse(2))
    nothing = torch.sparse_coo_tensor(size=shape, device="trn")
    assert work(nothing, dim)._nnz() == 0


def test_softmax_of_many_places():
    indices = torch.tensor([[0, 0, 99999], [3, 99999, 5], [1, 1, 7]])
    x = torch.sparse_coo_tensor(indices, torch.tensor([1.0, 2.0, 3.0]), (100000, 100000, 8))
    got = torch.sparse.softmax(x.to("trn"), 1)
    torch.testing.assert_close(got.values().cpu(), torch.sparse.softmax(x, 1).values())


@pytest.mark.parametrize("layout", [torch.sparse_csr, torch.sparse_csc])
def test_compressed_ones(layout):
    a, b = (holes(5, 6, seed=s).to_sparse(layout=layout) for s in range(2))
    dense = make(5, 6, seed=8)
    works = [lambda a, b, d: a + b, lambda a, b, d: torch.add(a, b, alpha=-2),
             lambda a, b, d: a + d, lambda a, b, d: torch.add(d, a, alpha=0.5),
             lambda a, b, d: a * 2]
    if layout == torch.sparse_csr:
        works += [lambda a, b, d: a * b, lambda a, b, d: a * d,
                  lambda a, b, d: a @ b.to_dense().t().to_sparse_csr()]
    for work in works:
        for other in (a, b):
            got = work(a.to("trn"), other.to("trn"), dense.to("trn"))
            want = work(a.to_dense(), other.to_dense(), dense)  # the CPU does not add columns
            torch.testing.assert_close(got.to_dense().cpu(), want.to_dense())


def test_products_at_the_places_of_a_pattern():
    pattern, a, b = holes(5, 4, seed=2).to_sparse_csr(), make(5, 6), make(6, 4, seed=1)
    both(torch.sparse.sampled_addmm, pattern, a, b)
    got = torch.sparse.sampled_addmm(pattern.to("trn"), a.to("trn"), b.to("trn"), beta=0.5, alpha=2)
    want = torch.sparse.sampled_addmm(pattern, a, b, beta=0.5, alpha=2)
    torch.testing.assert_close(got.to_dense().cpu(), want.to_dense())


@pytest.mark.parametrize("form", [torch.Tensor.to_sparse, unsorted, lambda x: x.to_sparse(1)])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_index_select(form, dim):
    x, index = form(holes(5, 6)), torch.tensor([3, 0, 3, 4])
    got = x.to("trn").index_select(dim, index.to("trn"))
    torch.testing.assert_close(got.to_dense().cpu(), x.to_dense().index_select(dim, index))
    assert x.to("trn").index_select(dim, index[:0].to("trn"))._nnz() in (0, x._nnz())
