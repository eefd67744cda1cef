"""Every module of PyTorch's module_db on trn against the CPU: forward, backward, halves, pickle."""

import copy
import inspect
import io

import pytest
import torch
from torch.testing._internal.common_modules import module_db
from torch.utils._pytree import tree_map

from . import opdb

LEFT_OUT = {
    "nn.TransformerEncoderLayer": "eval takes a fast path of CUDA's own; see the fallback report",
}
LAZY = "draws its parameters at the first forward; the plain module is tested"
LEFT_OUT.update({m.name: LAZY for m in module_db if m.name.startswith("nn.Lazy")})
INFOS = [pytest.param(m, id=m.name, marks=[pytest.mark.skip(LEFT_OUT[m.name])]
                      if m.name in LEFT_OUT else []) for m in module_db]
SAMPLES = 2


def made(info, dtype, training=True):
    """(module, args, kwargs) of the first samples, on the CPU, always the same numbers."""
    torch.manual_seed(0)
    samples = info.module_inputs_func(
        info, device="cpu", dtype=dtype, requires_grad=False, training=training)
    for sample in list(samples)[:SAMPLES]:
        torch.manual_seed(1)
        c = sample.constructor_input
        module = info.module_cls(*c.args, **{**c.kwargs, "dtype": dtype, "device": "cpu"}) if (
            takes_factory(info, c)) else info.module_cls(*c.args, **c.kwargs)
        yield module.to(dtype).train(training), sample.forward_input


def takes_factory(info, c):
    return "dtype" in inspect.signature(info.module_cls.__init__).parameters


def differentiable(tree):
    def prepare(t):
        if isinstance(t, torch.Tensor) and t.is_floating_point():
            return t.detach().clone().requires_grad_()
        return t

    return tree_map(prepare, tree)


def run(module, given):
    """Outputs and gradients of parameters and inputs."""
    args, kwargs = differentiable((list(given.args), given.kwargs))
    output = module(*args, **kwargs)
    results = opdb.tensors(output)
    losses = [t for t in results if t.requires_grad]
    if losses:
        sum((t * torch.linspace(0.5, 1, t.numel(), dtype=torch.float64).reshape(t.shape).to(t)
             ).sum() for t in losses).backward()
    inputs = [t for t in opdb.tensors((args, kwargs)) if t.requires_grad]
    gradients = [t.grad for t in [*module.parameters(), *inputs] if t.grad is not None]
    return results, gradients


def there(module, given):
    """The same module and inputs on trn."""
    class Given:
        args, kwargs = opdb.on_trn((list(given.args), given.kwargs))

    return copy.deepcopy(module).to("trn"), Given


def in_float32(module, given):
    """The same numbers in float32: the CPU adds gradients of halves in halves."""
    class Given:
        args, kwargs = tree_map(
            lambda t: t.float() if isinstance(t, torch.Tensor) and t.dtype == torch.bfloat16 else t,
            (list(given.args), given.kwargs))

    return copy.deepcopy(module).float(), Given


def close(got, expected, group, dtype):
    # Of halves only the digits of the largest of the outputs, or of the gradients, are sure: sums
    # cancel, and a ReLU at its edge falls to either side.
    largest = max((t.abs().max().item() for t in group if t.numel()), default=0)
    scale = largest if largest == largest else 1.0
    rtol, atol = (2e-2, 2e-2 * scale + 1e-2) if dtype == torch.bfloat16 else (1e-3, 1e-3)
    torch.testing.assert_close(got, expected, rtol=rtol, atol=atol, equal_nan=True)


@pytest.mark.parametrize("info", INFOS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_forward_and_backward(info, dtype):
    for module, given in made(info, dtype):
        if any(getattr(m, "p", 0) and "Dropout" in type(m).__name__ for m in module.modules()):
            module.eval()
        moved = there(module, given)
        try:
            expected = run(*in_float32(module, given))
        except RuntimeError:
            continue  # the CPU refuses this sample
        try:
            got = run(*moved)
        except NotImplementedError as refusal:
            assert dtype == torch.bfloat16 and "not implemented for 'BFloat16'" in str(refusal)
            pytest.skip(f"no such type: {refusal}")
        for mine, right in zip(got, expected, strict=True):
            assert len(mine) == len(right)
            for m, r in zip(mine, right, strict=True):
                assert m.device.type == "trn"
                close(m.cpu().to(r.dtype), r, right, dtype)


@pytest.mark.parametrize("info", INFOS)
def test_pickle_and_state(info):
    for module, _ in made(info, torch.float32):
        module = module.to("trn")
        buffer = io.BytesIO()
        torch.save(module.state_dict(), buffer)
        buffer.seek(0)
        loaded = torch.load(buffer)
        for name, value in module.state_dict().items():
            if isinstance(value, torch.Tensor):
                assert loaded[name].device == value.device
                assert torch.equal(loaded[name].cpu(), value.cpu())
        assert all(p.device.type == "trn" for p in module.parameters())
