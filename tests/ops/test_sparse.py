"""Arithmetic of COO tensors with numbers, dense tensors and each other, and their gradients."""

import pytest
import torch

from .compare import make

pytestmark = pytest.mark.usefixtures("ran", "native")
FORMS = {  # indices, values
    "in order": ([[0, 0, 2, 3], [1, 3, 0, 2]], (4,)),
    "twice": ([[3, 0, 3, 1], [2, 1, 2, 1]], (4,)),
    "none": ([[], []], (0,)),
    "hybrid": ([[2, 0, 2], [1, 3, 3]], (3, 5)),
}
MATRICES = ["in order", "twice", "none"]
PAIRS = [(a, b) for a in MATRICES for b in MATRICES]


def sparse(form, dtype=torch.float32, seed=0):
    indices, shape = FORMS[form]
    values = make(*shape, dtype=torch.float32, seed=seed).mul(4).to(dtype)
    out = torch.sparse_coo_tensor(torch.tensor(indices, dtype=torch.long), values,
                                  (4, 4, *shape[1:]))
    return out.coalesce() if form == "in order" else out


def same(got, want):
    assert got.device.type == "trn" and got.layout == want.layout and got.dtype == want.dtype
    torch.testing.assert_close(got.to_dense().cpu(), want.to_dense())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64])
@pytest.mark.parametrize("form", FORMS)
def test_times_a_number(form, dtype):
    x = sparse(form, dtype)
    there = x.to("trn")
    for by in (3, 2.5, torch.tensor(2.0), torch.tensor(3)):
        same(there * by, x * by)
        same(by * there, by * x)
        if isinstance(by, torch.Tensor):
            same(there * by.to("trn"), x * by)
    assert (there * 2).is_coalesced() == x.is_coalesced()
    same(there.clone().mul_(2), x.clone().mul_(2))
    if not dtype.is_floating_point:
        with pytest.raises(RuntimeError, match="can't be cast"):
            there.clone().mul_(2.5)


@pytest.mark.parametrize("form", FORMS)
def test_times_a_dense_one(form):
    x = sparse(form)
    dense = make(*x.shape, seed=5)
    same(x.to("trn") * dense.to("trn"), x * dense)
    same(dense.to("trn") * x.to("trn"), dense * x)


@pytest.mark.parametrize(("one", "other"), [*PAIRS, ("hybrid", "hybrid")])
def test_sums(one, other):
    x, y = sparse(one), sparse(other, torch.float64, seed=3)
    same(x.to("trn") + y.to("trn"), x + y)
    same(torch.add(x.to("trn"), y.to("trn"), alpha=-2), torch.add(x, y, alpha=-2))
    same(x.to("trn") - x.to("trn"), x - x)
    same(x.to("trn").add_(x.to("trn")), x + x)


@pytest.mark.parametrize(("form", "mask"), [p for p in PAIRS if p != ("none", "none")])
def test_elements_at_the_places_of_another(form, mask):
    x, places = sparse(form), sparse(mask, seed=9)
    got = x.to("trn").sparse_mask(places.to("trn"))
    assert torch.equal(got._indices().cpu(), places._indices())
    want = torch.stack([x.to_dense()[tuple(at)] for at in places._indices().t()]) \
        if places._nnz() else torch.zeros(0)
    torch.testing.assert_close(got._values().cpu(), want)


@pytest.mark.parametrize("form", ["in order", "twice"])
def test_values_of_a_product_are_learned(form):
    indices = torch.tensor(FORMS[form][0])
    table = make(4, 6)

    def gradient(device):
        values = make(4, seed=1).to(device).requires_grad_()
        matrix = torch.sparse_coo_tensor(indices.to(device), values, (4, 4))
        scaled = torch.sparse.mm(matrix, table.to(device)) * 2
        (scaled * scaled).sum().backward()
        return values.grad

    torch.testing.assert_close(gradient("trn").cpu(), gradient("cpu"))


def test_gradients_add_up():
    table = torch.nn.Embedding(9, 3, sparse=True).to("trn")
    for ids in ([1, 2], [2, 8, 2]):
        table(torch.tensor(ids, device="trn")).sum().backward()
    want = torch.zeros(9, 3).index_add_(0, torch.tensor([1, 2, 2, 8, 2]), torch.ones(5, 3))
    assert torch.equal(table.weight.grad.to_dense().cpu(), want)


@pytest.mark.parametrize("compressed", [False, True])
def test_products_of_two_types_are_refused(compressed):
    x = sparse("in order").to("trn")
    x = x.to_sparse_csr() if compressed else x
    with pytest.raises(RuntimeError, match="expected scalar type Float but found Double"):
        x @ torch.ones(4, 2, device="trn", dtype=torch.float64)
    same(x @ torch.ones(4, 2, device="trn"), sparse("in order") @ torch.ones(4, 2))
