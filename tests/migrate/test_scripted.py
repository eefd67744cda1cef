"""TorchScript in CUDA programs."""

import torch


def _product(x: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cuda", dtype=torch.bfloat16):
        return torch.mm(x, x)


def test_scripted_autocast(redirected):
    scripted = torch.jit.script(_product)
    x = torch.rand(3, 3, device="cuda", requires_grad=True)
    y = scripted(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y, _product(x))
    y.sum().backward()
    assert x.grad.isfinite().all()
    assert scripted(x.detach().cpu()).dtype == torch.float32
