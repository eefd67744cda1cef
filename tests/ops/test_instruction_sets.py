"""Every instruction set's kernels, and any number of threads, against double precision."""

import pytest
import torch
from torch_trn import _C

pytestmark = pytest.mark.usefixtures("native")
F = torch.nn.functional
ISAS = ["reference", "portable", "avx2", "avx512"]


@pytest.fixture(params=ISAS)
def isa(request):
    before = _C._active_isa()
    _C._set_active_isa(request.param)
    yield request.param
    _C._set_active_isa(before)


def data(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


PROGRAMS = {
    "matmul": (lambda a, b: a @ b, (67, 131), (131, 45)),
    "matmul_wide": (lambda a, b: a @ b, (300, 520), (520, 700)),
    "matmul_thin": (lambda a, b: a @ b, (3, 1000), (1000, 333)),
    "matmul_transposed": (lambda a, b: a.t() @ b.t(), (70, 40), (90, 70)),
    "batched": (lambda a, b: torch.bmm(a, b), (5, 33, 20), (5, 20, 17)),
    "elementwise": (lambda a, b: (a * b + a.exp() / (1 + b * b)).tanh(), (1001,), (1001,)),
    "broadcast": (lambda a, b: a + b, (37, 1, 19), (5, 1)),
    "softmax": (lambda a, b: (a + b).softmax(-1), (13, 1000), (1000,)),
    "log_softmax": (lambda a, b: (a + b).log_softmax(0), (700, 13), (13,)),
    "layer_norm": (lambda a, b: F.layer_norm(a, (777,), b), (9, 777), (777,)),
    "sum_rows": (lambda a, b: a.sum(1) + b, (300, 513), (300,)),
    "sum_columns": (lambda a, b: a.sum(0) + b, (513, 300), (300,)),
    "sum_all": (lambda a, b: a.sum() + b.mean(), (400, 999), (10,)),
    "extremes": (lambda a, b: a.amax(1) - a.amin(1) + b.argmax(), (50, 333), (20,)),
    "variance": (lambda a, b: a.var(1) + b.std(), (50, 333), (20,)),
    "convolution": (lambda a, b: F.conv2d(a, b, padding=1, stride=2), (2, 6, 17, 19), (8, 6, 3, 3)),
    "transpose": (lambda a, b: a.transpose(0, 2).contiguous() + b, (7, 33, 65), (7,)),
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_program(isa, name, dtype):
    program, shape_a, shape_b = PROGRAMS[name]
    a, b = data(*shape_a, seed=1).to(dtype), data(*shape_b, seed=2).to(dtype)
    expected = program(a.double(), b.double())
    got = program(a.to("trn"), b.to("trn")).cpu()
    limit = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 4e-2}[dtype]
    scale = expected.abs().max().item() + 1
    assert (got.double() - expected).abs().max().item() <= limit * scale


@pytest.mark.parametrize("name", PROGRAMS)
def test_bits_do_not_depend_on_threads(name):
    program, shape_a, shape_b = PROGRAMS[name]
    a, b = (data(*s, seed=3, dtype=torch.float32).to("trn") for s in (shape_a, shape_b))
    before = _C._get_compute_threads()
    try:
        results = []
        for n in (1, 2, 3, 4):
            _C._set_compute_threads(n)
            results.append(program(a, b).cpu())
        assert all(torch.equal(results[0], r) for r in results)
    finally:
        _C._set_compute_threads(before)
