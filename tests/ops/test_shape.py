"""Ranges, padding's gradient and views of complex halves: against PyTorch's CPU."""

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
