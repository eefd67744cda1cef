"""Ranges, concatenation, padding's gradient and views of complex halves: against PyTorch's CPU."""

import pytest
import torch

pytestmark = pytest.mark.usefixtures("native")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
@pytest.mark.parametrize("ends", [(4.3, 0), (0.7, 6.9), (1, 6)])
@pytest.mark.parametrize("steps", [1, 2, 50])
def test_ranges_of_integers_begin_and_end_at_integers(dtype, ends, steps):
    for make, base in ((torch.linspace, ()), (torch.logspace, (2.0,))):
        expected = make(*ends, steps, *base, dtype=dtype)
        assert torch.equal(make(*ends, steps, *base, dtype=dtype, device="trn").cpu(), expected)


def _joined(parts, dim):
    there = [p.to("trn") for p in parts]
    before = torch.trn.launch_count()
    out = torch.cat(there, dim)
    launches = torch.trn.launch_count() - before
    expected = torch.cat(parts, dim)
    assert out.stride() == expected.stride()
    assert torch.equal(out.cpu(), expected)
    return launches


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bfloat16, torch.float32, torch.complex128])
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_dense_parts_are_joined_nine_at_a_time(dtype, dim):
    sizes = [40, 17, 0, 64, 33, 16, 80, 25, 40, 41, 90]
    parts = []
    for n in sizes:
        shape = [5, 7, 64]
        shape[dim] = n if dim < 2 else n + 64
        parts.append(torch.randint(0, 100, shape).to(dtype))
    assert _joined(parts, dim) == 2  # of up to nine parts each


@pytest.mark.parametrize("parts", [
    pytest.param([torch.randn(2, 40, 5, 7).to(memory_format=torch.channels_last),
                  torch.randn(2, 24, 5, 7).to(memory_format=torch.channels_last)], id="last"),
    pytest.param([torch.randn(2, 40, 5, 7).to(memory_format=torch.channels_last),
                  torch.randn(2, 24, 5, 7)], id="two formats"),
    pytest.param([torch.randn(3, 9).t(), torch.randn(9, 4)], id="transposed"),
    pytest.param([torch.randn(9, 40)[:, ::2], torch.randn(9, 40)], id="steps"),
    pytest.param([torch.randn(9, 1), torch.randn(9, 2)], id="narrow"),
    pytest.param([torch.randn(9, 30), torch.randn(9, 30).half()], id="two types"),
    pytest.param([torch.zeros(0), torch.randn(9, 30)], id="empty vector"),
    pytest.param([torch.randn(9, 30, dtype=torch.cfloat).conj(),
                  torch.randn(9, 30, dtype=torch.cfloat)], id="one conjugate"),
])
def test_parts_of_any_layout_are_joined(parts):
    assert _joined(parts, 1) > 0


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64, torch.complex128])
def test_gradient_of_padding(mode, dtype):
    x = torch.randn(2, 3, 5, dtype=dtype)
    grad = torch.randn(2, 3, 9, dtype=dtype)
    found = []
    for device in ("cpu", "trn"):
        leaf = x.to(device).requires_grad_()
        y = torch.nn.functional.pad(leaf, (3, 1), mode)
        found.append(torch.autograd.grad(y, leaf, grad.to(device))[0].cpu())
    torch.testing.assert_close(found[1], found[0])


@pytest.mark.parametrize("view", [torch.conj, torch._neg_view, lambda z: torch._neg_view(z.conj())])
@pytest.mark.parametrize("dtype", [torch.complex32, torch.complex64, torch.complex128])
def test_signs_that_views_flip(view, dtype):
    z = torch.randn(7, dtype=torch.complex128).to(dtype)
    there = view(z.to("trn"))
    expected = view(z.to(torch.complex128))
    assert torch.equal(there.cpu().to(torch.complex128), expected)
    assert torch.equal(there.to(torch.complex128).cpu(), expected)
