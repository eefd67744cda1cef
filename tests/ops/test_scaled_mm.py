"""Products of float8 matrices with scales, against the same product in double."""

import pytest
import torch
import torch.nn.functional as F
from torch.nn.functional import ScalingType

pytestmark = pytest.mark.usefixtures("native")
E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
M, K, N = 35, 96, 48


def matrices(left=E4M3, right=E4M3):
    """a [M, K], b [K, N] with columns side by side, as CUDA wants them."""
    make = torch.Generator().manual_seed(3)
    a = torch.randn(M, K, generator=make).to(left)
    b = torch.randn(N, K, generator=make).to(right).t()
    return a, b


def scales(kind):
    if kind == "whole":
        return torch.tensor(0.37), torch.tensor(1.9)
    return torch.linspace(0.1, 3, M).view(M, 1), torch.linspace(2, 0.3, N).view(1, N)


def exact(a, b, scale_a, scale_b):
    return a.double() @ b.double() * scale_a.double() * scale_b.double()


def on(*tensors):
    return [t.to("trn") for t in tensors]


@pytest.mark.parametrize("kind", ["whole", "rows"])
@pytest.mark.parametrize("left, right", [(E4M3, E4M3), (E4M3, E5M2), (E5M2, E4M3)])
@pytest.mark.parametrize("out_dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_scaled_mm(kind, left, right, out_dtype):
    a, b = matrices(left, right)
    sa, sb = scales(kind)
    got = torch._scaled_mm(*on(a, b, sa, sb), out_dtype=out_dtype)
    assert got.dtype == out_dtype
    want = exact(a, b, sa, sb)
    spacing = {torch.float32: 1e-6, torch.bfloat16: 2**-8, torch.float16: 2**-11}[out_dtype]
    torch.testing.assert_close(got.cpu().double(), want, atol=1e-4, rtol=1.01 * spacing)


@pytest.mark.parametrize("out_dtype", [torch.bfloat16, torch.float16])
def test_bias(out_dtype):
    a, b = matrices()
    sa, sb = scales("rows")
    bias = torch.linspace(-30, 30, N).to(out_dtype)
    got = torch._scaled_mm(*on(a, b, sa, sb), bias=bias.to("trn"), out_dtype=out_dtype)
    want = exact(a, b, sa, sb) + bias.double()
    torch.testing.assert_close(got.cpu().double(), want, atol=1e-2, rtol=2**-8)


def test_float8_results_keep_to_the_largest_number():
    a, b = matrices()
    sa, sb = torch.tensor(30.0), torch.tensor(2.0)
    got = torch._scaled_mm(*on(a, b, sa, sb))
    assert got.dtype == E4M3
    want = exact(a, b, sa, sb).clamp(-448, 448)
    assert (want.abs() == 448).any()
    torch.testing.assert_close(got.cpu().double(), want, atol=0.1, rtol=2**-3.9)
    halved = torch._scaled_mm(*on(a, b, sa, sb), scale_result=torch.tensor(0.01, device="trn"))
    torch.testing.assert_close(halved.cpu().double(), exact(a, b, sa, sb) * 0.01, atol=0.1,
                               rtol=2**-3.9)


@pytest.mark.parametrize("kind, recipe", [("whole", ScalingType.TensorWise),
                                          ("rows", ScalingType.RowWise)])
def test_named_scaling(kind, recipe):
    a, b = matrices()
    sa, sb = scales(kind)
    left, right, one, two = on(a, b, sa, sb)
    got = F.scaled_mm(left, right, one, recipe, two, recipe, output_dtype=torch.bfloat16)
    torch.testing.assert_close(got.cpu().double(), exact(a, b, sa, sb), atol=1e-4, rtol=2**-7.9)


def test_out():
    a, b = matrices()
    sa, sb = scales("whole")
    out = torch.empty(0, dtype=torch.float32, device="trn")
    assert torch._scaled_mm(*on(a, b, sa, sb), out_dtype=torch.float32, out=out) is out
    torch.testing.assert_close(out.cpu().double(), exact(a, b, sa, sb), atol=1e-4, rtol=1e-6)


def test_nothing_waits_on_the_scales():
    torch.trn.synchronize()
    a, b, sa, sb = on(*matrices(), *scales("whole"))
    graph = torch.trn.TRNGraph()
    with torch.trn.graph(graph):
        out = torch._scaled_mm(a, b, sa, sb, out_dtype=torch.float32)
    sa.fill_(4.0)
    graph.replay()
    want = exact(*(t.cpu() for t in (a, b, sa, sb)))
    torch.testing.assert_close(out.cpu().double(), want, atol=1e-4, rtol=1e-6)


@pytest.mark.parametrize("change, error, words", [
    (lambda a, b: (a[:, :40], b[:40]), RuntimeError, "divisible by 16"),
    (lambda a, b: (a, b[:80]), RuntimeError, "cannot be multiplied"),
    (lambda a, b: (a.float().to(E5M2), b.float().to(E5M2)), ValueError, "two Float8_e5m2"),
])
def test_refuses_what_cuda_refuses(change, error, words):
    a, b = change(*matrices())
    with pytest.raises(error, match=words):
        torch._scaled_mm(*on(a, b, *scales("whole")), out_dtype=torch.bfloat16)
    again = torch._scaled_mm(*on(*matrices(), *scales("whole")))  # the queue goes on
    assert again.float().isfinite().all()


def test_bias_of_another_type():
    with pytest.raises(RuntimeError, match="Bias must be BFloat16"):
        torch._scaled_mm(*on(*matrices(), *scales("whole")), out_dtype=torch.bfloat16,
                         bias=torch.zeros(N, dtype=torch.float16, device="trn"))
