"""Every optimizer of PyTorch's optim_db on trn against the CPU, in each implementation."""

import pytest
import torch
from torch.testing._internal.common_optimizers import optim_db

IMPLEMENTATIONS = ("for loop", "foreach", "fused", "capturable")


def supports(info, how):
    if how == "for loop":
        return True
    if how == "capturable":
        return info.has_capturable_arg
    return how in info.supported_impls


CASES = [pytest.param(info, how, id=f"{info.optim_cls.__name__}-{how}")
         for info in optim_db for how in IMPLEMENTATIONS if supports(info, how)]


def flags(how):
    return {"for loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True},
            "capturable": {"foreach": True, "capturable": True}}[how]


def trained(info, kwargs, device):
    """Parameters and losses after a few steps of a small regression."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2))
    x, y = torch.randn(16, 6), torch.randn(16, 2)
    # A line search follows the last bit of float32 anywhere.
    dtype = torch.float64 if info.step_requires_closure else torch.float32
    model, x, y = (t.to(device, dtype) for t in (model, x, y))
    parameters = [p for p in model.parameters() if p.dim() == 2] if (
        info.optim_cls.__name__ == "Muon") else list(model.parameters())
    if info.only_supports_sparse_grads:
        table = torch.nn.Embedding(8, 3, sparse=True).to(device)
        parameters = list(table.parameters())
    optimizer = info.optim_cls(parameters, **kwargs)

    def closure():
        optimizer.zero_grad()
        loss = (table(torch.tensor([1, 2, 1], device=device)).square().sum()
                if info.only_supports_sparse_grads else (model(x) - y).square().mean())
        loss.backward()
        return loss

    for _ in range(3):
        if info.step_requires_closure:
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()
    return [p.detach().cpu() for p in parameters], optimizer


@pytest.mark.usefixtures("ran")
@pytest.mark.parametrize("info, how", CASES)
def test_same_parameters_as_the_cpu(info, how):
    inputs = list(info.optim_inputs_func("cpu"))
    for given in inputs[:6]:
        kwargs = dict(given.kwargs)
        if any(isinstance(v, torch.Tensor) for v in kwargs.values()) and how != "capturable":
            continue
        if how != "for loop" and not info.step_requires_closure:
            kwargs.update(flags(how))
        here = {k: v for k, v in kwargs.items() if k not in ("foreach", "fused", "capturable")}
        try:
            expected, _ = trained(info, here, "cpu")
        except (ValueError, TypeError):
            continue
        got, optimizer = trained(info, kwargs, "trn")
        for g, e in zip(got, expected, strict=True):
            torch.testing.assert_close(
                g, e, rtol=1e-4, atol=1e-5, msg=lambda m, k=kwargs: f"{k}: {m}")
        for state in optimizer.state.values():
            for name, value in state.items():
                if isinstance(value, torch.Tensor) and value.dim():
                    assert value.device.type == "trn", name
