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


def _moved(x: torch.Tensor, like: torch.Tensor):
    y = x.to("cuda").to("cuda:0", torch.float64)
    return y, y.to(like), y.to(like.device), x.to(torch.device("cuda"), non_blocking=True)


def test_scripted_moves(redirected):
    scripted = torch.jit.script(_moved)
    x = torch.rand(3, requires_grad=True)
    moved = scripted(x, torch.ones(2, device="cuda"))
    assert all(y.is_cuda for y in moved)
    sum(y.sum() for y in moved).backward()
    assert torch.equal(x.grad, torch.full((3,), 4.0))
    assert scripted(moved[0].float(), torch.ones(2))[2].device.type == "cpu"
