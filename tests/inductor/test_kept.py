"""Operators that compiled programs leave to trn's kernels, however their operands lie."""

import pytest
import torch
from torch import nn

F = nn.functional
here = pytest.mark.usefixtures("compiles", "ran", "no_fallback")


OPERATORS = {
    "gelu": lambda c: F.gelu,
    "gelu_tanh": lambda c: lambda x: F.gelu(x, approximate="tanh"),
    "layer_norm": lambda c: nn.LayerNorm(c),
    "group_norm": lambda c: nn.GroupNorm(4, 16),
    "batch_norm": lambda c: nn.BatchNorm2d(16),
    "column_sum": lambda c: lambda x: x.flatten(0, 2).sum(0),
    "cat": lambda c: lambda x: torch.cat([x, x.flip(0)], 1),
}
LAYOUTS = {
    "contiguous": lambda x: x.contiguous(),
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "transposed": lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    "batch_inside": lambda x: x.transpose(0, 3).contiguous().transpose(0, 3),
    "sliced": lambda x: torch.cat([x, x], 3)[..., :x.shape[3]],
    "expanded": lambda x: x[:1].expand(x.shape),
}


@here
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", OPERATORS)
def test_every_layout(name, layout, dtype):
    module = OPERATORS[name](12)
    if isinstance(module, nn.Module):
        module = module.to("trn", dtype)
    x = LAYOUTS[layout](torch.randn(6, 16, 10, 12, device="trn", dtype=dtype)).requires_grad_()
    compiled = torch.compile(lambda x: module(x) * 2, fullgraph=True)
    got, want = compiled(x), module(x) * 2
    near = {"rtol": 1e-5, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 2e-2, "atol": 1e-2}
    torch.testing.assert_close(got, want, **near)
    # Gradients that lie as another operator's would, not as the result does.
    weight = LAYOUTS["transposed"](torch.randn(6, 16, 10, 12, device="trn", dtype=dtype))
    weight = weight if weight.shape == want.shape else torch.randn_like(want)
    ours, eager = (torch.autograd.grad((y * weight).sum(), x)[0] for y in (got, want))
    torch.testing.assert_close(ours, eager, **near)


@here
@pytest.mark.parametrize("shape", [(6, 16), (6, 16, 10), (6, 16, 2, 3, 4)], ids=str)
def test_batches_of_every_dimension(shape):
    module = (nn.BatchNorm3d if len(shape) == 5 else nn.BatchNorm1d)(16, device="trn")
    x = torch.randn(shape, device="trn", requires_grad=True)
    results = [(y, *torch.autograd.grad(y.square().sum(), [x, module.weight, module.bias]))
               for y in (torch.compile(module, fullgraph=True)(x), module(x))]
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-4)


@here
def test_statistics_of_batches_are_updated():
    models = [nn.BatchNorm2d(8, device="trn") for _ in range(2)]
    compiled = torch.compile(models[0], fullgraph=True)
    for k in range(3):
        x = torch.randn(4, 8, 5, 5, device="trn") + k
        torch.testing.assert_close(compiled(x), models[1](x))
    for name, value in models[1].state_dict().items():
        torch.testing.assert_close(models[0].state_dict()[name], value)


TRAINING = """
import torch, torch_trn
from torch import nn
model = nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64), nn.Linear(64, 128), nn.GELU()).to("trn")
step = torch.compile(lambda x: model(x).square().mean(), fullgraph=True)
step(torch.randn(256, 64, device="trn")).backward()
torch.trn.synchronize()
"""


def test_kernels_of_trn_run(compiles, python):
    result = python(TRAINING, env={"TRN_VERBOSE": "exec"})
    assert result.returncode == 0, result.stderr
    for kernel in ("gelu", "gelu_backward", "row_norm", "row_norm_backward", "sum"):
        assert f"exec,{kernel}_f32" in result.stderr, kernel


def test_the_cpu_and_other_shapes_of_sums_keep_their_loops(compiles, python):
    result = python("""
import torch, torch_trn
from torch._inductor.utils import run_and_get_code
f = torch.compile(lambda x: torch.nn.functional.gelu(x), fullgraph=True)
_, code = run_and_get_code(f, torch.randn(64))
assert "aten.gelu" not in code[0], code[0]
for f in (lambda x: x.sum(-1), lambda x: (x * 2 + 1).sum(0), lambda x: x.sum()):
    y, code = run_and_get_code(torch.compile(f, fullgraph=True), torch.randn(64, 32, device="trn"))
    assert "aten.sum" not in code[0], code[0]
_, code = run_and_get_code(torch.compile(lambda x: x.sum(0)), torch.randn(64, 32, device="trn"))
assert "aten.sum" in code[0], code[0]
""")
    assert result.returncode == 0, result.stderr
