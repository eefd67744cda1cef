"""torch.use_deterministic_algorithms on trn, and the same bits on each run."""

import pytest
import torch
import torch.nn.functional as F
from torch_trn import _C

pytestmark = pytest.mark.usefixtures("ran")


@pytest.fixture
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def programs():
    torch.manual_seed(0)
    index = torch.randint(0, 50, (20000,), device="trn")
    values = torch.randn(20000, device="trn")
    x = torch.randn(2, 3, 33, 31, device="trn", requires_grad=True)
    return {
        # Those for which CUDA raises, or takes a slower way, in deterministic mode.
        "index_add": lambda: torch.zeros(50, device="trn").index_add(0, index, values),
        "scatter_add": lambda: torch.zeros(50, device="trn").scatter_add(0, index, values),
        "index_put": lambda: torch.zeros(50, device="trn").index_put(
            (index,), values, accumulate=True),
        "bincount": lambda: torch.bincount(index, values),
        "cumsum": lambda: values.cumsum(0),
        "histc": lambda: torch.histc(values, 30),
        "median": lambda: values.median(),
        "kthvalue": lambda: values.kthvalue(100).values,
        "embedding": lambda: torch.autograd.grad(
            F.embedding(index, w := torch.ones(50, 4, device="trn", requires_grad=True)).sum(),
            w)[0],
        "max_pool": lambda: torch.autograd.grad(F.max_pool2d(x, 3, 1).sum(), x)[0],
        "adaptive": lambda: torch.autograd.grad(F.adaptive_avg_pool2d(x, 5).sum(), x)[0],
        "bilinear": lambda: torch.autograd.grad(
            F.interpolate(x, scale_factor=2, mode="bilinear").sum(), x)[0],
        "reflect": lambda: torch.autograd.grad(F.pad(x, (2, 2, 2, 2), "reflect").sum(), x)[0],
        "nll_loss": lambda: F.nll_loss(values.view(-1, 10), index[:2000] % 10),
        "sum": lambda: values.sum(),
    }


@pytest.mark.parametrize("name", sorted(programs()))
def test_nothing_is_refused_and_bits_repeat(name, deterministic):
    # Every kernel adds in an order that does not depend on threads, so none has to refuse.
    threads = _C._get_compute_threads()
    first = programs()[name]().cpu()
    try:
        for count in (1, 3):
            _C._set_compute_threads(count)
            assert torch.equal(programs()[name]().cpu(), first), f"{count} threads"
    finally:
        _C._set_compute_threads(threads)


def test_fresh_memory_is_filled(deterministic):
    # As PyTorch promises: NaN for floating types, the largest value for integers.
    assert torch.empty(5, device="trn").isnan().all()
    assert torch.empty_strided((2, 3), (3, 1), device="trn").isnan().all()
    assert (torch.empty(5, dtype=torch.int32, device="trn") == 2**31 - 1).all()
    x = torch.zeros(2, device="trn")
    x.resize_(5)
    assert x[2:].isnan().all() and (x[:2] == 0).all()


def test_fill_can_be_turned_off(deterministic):
    torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        before = torch.trn.launch_count()
        torch.empty(5, device="trn")
        assert torch.trn.launch_count() == before
        torch.ones(1, device="trn")
    finally:
        torch.utils.deterministic.fill_uninitialized_memory = True


def test_warn_only_mode_is_quiet_too():
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        programs()["scatter_add"]()
    finally:
        torch.use_deterministic_algorithms(False)
