"""Sparse, nested and quantized tensors on trn: made, converted, copied; arithmetic is counted."""

import copy
import io

import pytest
import torch

pytestmark = pytest.mark.usefixtures("ran")
DENSE = torch.tensor([[0, 1.0, 0, 0], [2, 0, 3, 0], [0, 0, 0, 0], [0, 4, 0, 5]])
MAKERS = {
    "coo": lambda t: t.to_sparse(),
    "csr": lambda t: t.to_sparse_csr(),
    "csc": lambda t: t.to_sparse_csc(),
    "bsr": lambda t: t.to_sparse_bsr((2, 2)),
    "bsc": lambda t: t.to_sparse_bsc((2, 2)),
}


def same(got, expected):
    assert got.device.type == "trn"
    got, expected = (t.to_dense() if t.layout != torch.strided else t for t in (got, expected))
    torch.testing.assert_close(got.cpu(), expected)


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


class TestSparse:
    def test_made_on_trn(self, make):
        got, expected = make(DENSE.to("trn")), make(DENSE)
        assert got.layout == expected.layout and got._nnz() == expected._nnz()
        same(got, expected)

    def test_copied(self, make):
        up = make(DENSE).to("trn")
        same(up, DENSE)
        assert torch.equal(up.cpu().to_dense(), DENSE)
        assert up.cpu().layout == up.layout
        same(up.clone(), DENSE)
        same(copy.deepcopy(up), DENSE)
        same(up.to(torch.float64), DENSE.double())

    def test_saved_and_printed(self, make):
        up = make(DENSE).to("trn")
        buffer = io.BytesIO()
        torch.save(up, buffer)
        buffer.seek(0)
        same(torch.load(buffer), DENSE)
        assert "trn:0" in repr(up)

    def test_arithmetic(self, make):
        up, here = make(DENSE).to("trn"), make(DENSE)
        for f in (torch.abs, torch.sqrt, torch.neg, torch.relu, lambda t: t * 2):
            same(f(up), f(here))

    def test_constructors(self):
        at, values = [[0, 1, 1, 3], [1, 0, 2, 1]], [1.0, 2, 3, 4]
        coo = torch.sparse_coo_tensor(at, values, (4, 4), device="trn")
        same(coo, torch.sparse_coo_tensor(at, values, (4, 4)))
        twice = torch.sparse_coo_tensor([[0, 0], [1, 1]], [1.0, 2], (2, 2), device="trn")
        merged = twice.coalesce()
        assert merged.indices().cpu().tolist() == [[0], [1]]
        assert merged.values().cpu().tolist() == [3]
        csr = torch.sparse_csr_tensor([0, 1, 3], [1, 0, 2], values[:3], (2, 3), device="trn")
        same(csr, torch.tensor([[0, 1.0, 0], [2, 0, 3]]))
        with pytest.raises((RuntimeError, ValueError), match="size|index"):
            torch.sparse_coo_tensor([[5], [0]], [1.0], (2, 2), device="trn",
                                    check_invariants=True)

    def test_products(self):
        ones = torch.ones(4, 3)
        for make in (MAKERS["coo"], MAKERS["csr"]):
            same(make(DENSE).to("trn") @ ones.to("trn"), DENSE @ ones)
        same(torch.sparse.mm(DENSE.to_sparse().to("trn"), ones.to("trn")), DENSE @ ones)

    def test_sparse_by_dense(self, ran, no_fallback):
        table, start = torch.randn(DENSE.size(1), 3), torch.randn(DENSE.size(0), 3)
        sparse, twice = DENSE.to_sparse(), torch.sparse_coo_tensor(
            [[0, 0, 1], [1, 1, 0]], [1.0, 2, 3], (2, DENSE.size(1)))  # an element in two parts
        for matrix in (sparse, twice):
            there, column = matrix.to("trn"), table[:, 0]
            same(torch.sparse.mm(there, table.to("trn")), matrix.to_dense() @ table)
            same(there @ table.to("trn"), matrix.to_dense() @ table)
            same(torch.mv(there, column.to("trn")), matrix.to_dense() @ column)
        same(torch.addmm(start.to("trn"), sparse.to("trn"), table.to("trn"), beta=0.5, alpha=2),
             torch.addmm(start, sparse, table, beta=0.5, alpha=2))
        nans = torch.full_like(start, float("nan")).to("trn")
        same(nans.addmm_(sparse.to("trn"), table.to("trn"), beta=0), DENSE @ table)
        leaf = table.to("trn").requires_grad_()
        torch.sparse.mm(sparse.to("trn"), leaf).square().sum().backward()
        same(leaf.grad, 2 * DENSE.T @ (DENSE @ table))
        with pytest.raises(RuntimeError, match="Expected dim 0 size"):
            sparse.to("trn") @ torch.ones(DENSE.size(1) + 1, 2, device="trn")

    @pytest.mark.parametrize("layout", ["csr", "csc"])
    def test_compressed_by_dense(self, ran, no_fallback, layout):
        table, start = torch.randn(DENSE.size(1), 3), torch.randn(DENSE.size(0), 3)
        there = MAKERS[layout](DENSE).to("trn")
        same(there @ table.to("trn"), DENSE @ table)
        same(table.T.to("trn") @ there.t(), table.T @ DENSE.T)
        same(torch.mv(there, table[:, 0].to("trn")), DENSE @ table[:, 0])
        same(torch.addmm(start.to("trn"), there, table.to("trn"), beta=0.5, alpha=2),
             torch.addmm(start, DENSE, table, beta=0.5, alpha=2))
        leaf = table.to("trn").requires_grad_()
        (there @ leaf).square().sum().backward()
        same(leaf.grad, 2 * DENSE.T @ (DENSE @ table))

    def test_conversions_between_layouts(self, ran, no_fallback):
        batch = torch.stack([DENSE, DENSE.roll(1)])
        batch[1, 0, 0] = 0 if batch[1].count_nonzero() > DENSE.count_nonzero() else batch[1, 0, 0]
        for dense in (DENSE, batch):
            for make in (MAKERS["csr"], MAKERS["csc"]):
                there, here = make(dense).to("trn"), make(dense)
                for change in (torch.Tensor.to_sparse_csr, torch.Tensor.to_sparse_csc,
                               lambda t: t.to_sparse(), lambda t: t.transpose(-1, -2)):
                    same(change(there), change(here))
        same(DENSE.to_sparse().to("trn").to_sparse_csr(), DENSE)
        same(DENSE.to_sparse().to("trn").to_sparse_csc(), DENSE)

    def test_what_falls_back_is_counted(self):
        torch.trn.reset_fallback_stats()
        up = DENSE.to_sparse().to("trn")
        same(torch.hspmm(up, DENSE.t().to("trn")), torch.hspmm(DENSE.to_sparse(), DENSE.t()))
        report = torch.trn.fallback_report()
        assert report["aten::hspmm"] == 1

    def test_sparse_gradients_train(self, ran, no_fallback):
        def step(device, optimizer):
            torch.manual_seed(0)
            table = torch.nn.Embedding(5, 3, sparse=True).to(device)
            table(torch.tensor([1, 2, 1], device=device)).square().sum().backward()
            assert table.weight.grad.is_sparse
            optimizer(table.parameters(), lr=0.1).step()
            return table.weight.detach()

        for optimizer in (torch.optim.SGD, torch.optim.SparseAdam, torch.optim.Adagrad):
            same(step("trn", optimizer), step("cpu", optimizer))


class TestNested:
    PARTS = [torch.arange(6.0).view(2, 3), torch.arange(12.0).view(4, 3) / 7]

    @pytest.fixture(params=[torch.strided, torch.jagged], ids=["strided", "jagged"])
    def nested(self, request):
        return lambda device: torch.nested.nested_tensor(
            [p.clone() for p in self.PARTS], layout=request.param, device=device)

    def same(self, got, expected):
        assert got.device.type == "trn" and got.is_nested
        for g, e in zip(got.unbind(), expected.unbind(), strict=True):
            same(g, e)

    def test_made_and_copied(self, nested):
        here, there = nested("cpu"), nested("trn")
        self.same(there, here)
        self.same(here.to("trn"), here)
        self.same(there.clone(), here)
        self.same(there.to(torch.float64), here.to(torch.float64))
        for back, part in zip(there.cpu().unbind(), self.PARTS, strict=True):
            assert torch.equal(back, part)

    def test_converted(self, nested):
        padded = torch.nested.to_padded_tensor(nested("trn"), -1.0)
        same(padded * 1, torch.nested.to_padded_tensor(nested("cpu"), -1.0))

    def test_arithmetic(self, nested):
        w = torch.ones(5, 3)
        for f in (torch.relu, torch.neg, lambda t: t + t, lambda t: t.softmax(-1),
                  lambda t: torch.nn.functional.linear(t, w.to(t.device))):
            self.same(f(nested("trn")), f(nested("cpu")))


class TestQuantized:
    X = torch.linspace(-3, 3, 20).view(4, 5)

    def same(self, got, expected):
        assert got.device.type == "trn" and got.dtype == expected.dtype
        assert torch.equal(got.int_repr().cpu(), expected.int_repr())
        same(got.dequantize(), expected.dequantize())

    def per_tensor(self, device, dtype=torch.qint8):
        return torch.quantize_per_tensor(self.X.to(device), 0.07, 3, dtype)

    def per_channel(self, device):
        scales = torch.tensor([0.1, 0.2, 0.3, 0.04], device=device)
        zeros = torch.tensor([0, 1, -2, 3], device=device)
        return torch.quantize_per_channel(self.X.to(device), scales, zeros, 0, torch.qint8)

    @pytest.mark.parametrize("dtype", [torch.qint8, torch.quint8, torch.qint32], ids=str)
    def test_per_tensor(self, dtype):
        here, there = self.per_tensor("cpu", dtype), self.per_tensor("trn", dtype)
        assert there.q_scale() == here.q_scale() and there.q_zero_point() == here.q_zero_point()
        self.same(there, here)

    def test_per_channel(self):
        self.same(self.per_channel("trn"), self.per_channel("cpu"))

    @pytest.mark.parametrize("dtype", [torch.quint8, torch.qint8], ids=str)
    def test_per_channel_with_zero_points_between_the_numbers(self, dtype):
        parameters = torch.tensor([0.1, 0.2, 0.3, 0.04]), torch.tensor([0.4, 1.5, 2.3, 3.0])
        here = torch.quantize_per_channel(self.X, *parameters, 0, dtype)
        self.same(torch.quantize_per_channel(
            self.X.to("trn"), *(p.to("trn") for p in parameters), 0, dtype), here)

    @pytest.mark.parametrize("kind", ["per_tensor", "per_channel"])
    def test_copied(self, kind):
        here = getattr(self, kind)("cpu")
        there = here.to("trn")
        self.same(there, here)
        self.same(there.clone(), here)
        back = there.cpu()
        assert torch.equal(back.int_repr(), here.int_repr())
        assert back.qscheme() == here.qscheme()

    def test_views_and_arithmetic(self):
        here, there = self.per_tensor("cpu"), self.per_tensor("trn")
        self.same(there.view(5, 4), here.view(5, 4))
        self.same(there[1:3], here[1:3])
        self.same(torch.relu(there), torch.relu(here))
