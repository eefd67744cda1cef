"""torch.compile on trn: the same results as eager, from generated kernels on the queue."""

import shutil
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch._inductor.utils import run_and_get_code
from torch.utils.checkpoint import checkpoint

here = pytest.mark.usefixtures("compiles", "ran", "no_fallback")
F = nn.functional


class Block(nn.Module):
    def __init__(self, width=64, drop=0.0):
        super().__init__()
        self.norm, self.drop = nn.LayerNorm(width), nn.Dropout(drop)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        return x + self.drop(self.narrow(F.gelu(self.wide(self.norm(x)))))


def kernels_named(log):
    return [line for line in log.splitlines() if "host_function" in line]


def test_importing_the_device_imports_no_compiler():
    code = "import sys, torch, torch_trn; assert 'torch._inductor' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_fused_loops_run_on_the_queue(compiles, python):
    result = python(
        "import torch, torch_trn\n"
        "x = torch.randn(64, 1000, device='trn')\n"
        "f = torch.compile(lambda x: (x.sin() * 2 + 1).relu().sum(-1), fullgraph=True)\n"
        "y = f(x)\n"
        "expected = (x.cpu().sin() * 2 + 1).relu().sum(-1)\n"
        "torch.testing.assert_close(y.cpu(), expected)\n",
        env={"TRN_VERBOSE": "exec"})
    assert result.returncode == 0, result.stderr
    assert len(kernels_named(result.stderr)) == 1


@here
def test_a_profile_names_generated_kernels():
    from torch.profiler import ProfilerActivity, profile

    f = torch.compile(lambda x: (x.sin() * 2).sum(-1), fullgraph=True)
    x = torch.randn(64, 100, device="trn")
    f(x)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.PrivateUse1]) as found:
        f(x)
        torch.trn.synchronize()
    names = [e.name for e in found.events() if e.device_type != torch.autograd.DeviceType.CPU]
    assert [name for name in names if "fused" in name and "sin" in name], names


def test_caches_are_of_this_build(compiles, python, tmp_path):
    code = """
import sys, torch, torch_trn
from torch._dynamo.utils import counters
torch.compile(lambda x: x.sin() + 1)(torch.ones(100, device="trn"))
print(counters["inductor"]["fxgraph_cache_hit"], counters["inductor"]["fxgraph_cache_miss"])
"""
    other = "import torch_trn._version as v; v.__version__ = 'another'\n"
    env = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"), "TORCHINDUCTOR_AUTOGRAD_CACHE": "0"}
    runs = [python(first + code, env=env) for first in ("", "", other)]
    assert [r.stdout.split() for r in runs] == [["0", "1"], ["1", "0"], ["0", "1"]], (
        [r.stdout + r.stderr for r in runs])


@here
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_training_step(dtype):
    model = Block().to("trn")
    x = torch.randn(8, 32, 64, device="trn", requires_grad=True)

    def step(model):
        model.zero_grad()
        x.grad = None
        with torch.autocast("trn", dtype, enabled=dtype != torch.float32):
            loss = model(x).square().mean()
        loss.backward()
        return loss, x.grad, *[p.grad.clone() for p in model.parameters()]

    exact = dtype == torch.float32
    tolerance = {"rtol": 1e-4 if exact else 5e-2, "atol": 1e-6 if exact else 5e-3}
    expected = step(model)
    for got, want in zip(step(torch.compile(model, fullgraph=True)), expected):
        torch.testing.assert_close(got, want, **tolerance)


@here
def test_dynamic_shapes_compile_once():
    compiled = torch.compile(lambda x: (x * x.size(0)).softmax(-1), dynamic=True, fullgraph=True)
    for rows in (3, 7, 12):
        x = torch.randn(rows, 20 + rows, device="trn")
        torch.testing.assert_close(compiled(x).cpu(), (x.cpu() * rows).softmax(-1))


@here
@pytest.mark.parametrize("last", [False, True])
def test_convolutions_in_both_layouts(last):
    model = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
                          nn.Conv2d(32, 48, 3, stride=2), nn.Conv2d(48, 16, 1)).to("trn")
    x = torch.randn(4, 3, 16, 18, device="trn")
    if last:
        model, x = model.to(memory_format=torch.channels_last), x.to(
            memory_format=torch.channels_last)
    x.requires_grad_()
    compiled = torch.compile(model, fullgraph=True)
    inputs = [x, *model.parameters()]
    for _ in range(2):
        y, want = compiled(x), model(x)
        torch.testing.assert_close(y, want, rtol=1e-4, atol=1e-4)
        assert y.stride() == want.stride()
        ours, eager = (torch.autograd.grad(t.square().mean(), inputs) for t in (y, want))
        torch.testing.assert_close(ours, eager, rtol=1e-3, atol=1e-4)


@here
def test_dropout_and_checkpoint():
    model = Block(drop=0.5).to("trn")
    x = torch.ones(16, 64, device="trn", requires_grad=True)
    compiled = torch.compile(lambda x: checkpoint(model, x, use_reentrant=False))
    y = compiled(x)
    y.sum().backward()
    assert torch.isfinite(x.grad).all().item()
    dropped = F.dropout(torch.ones(10000, device="trn"), 0.5)
    kept = torch.compile(lambda x: F.dropout(x, 0.5))(torch.ones(10000, device="trn"))
    for sample in (dropped, kept):
        assert abs((sample > 0).float().mean().item() - 0.5) < 0.03


@here
def test_host_scalars_are_safe():
    scale = torch.tensor(3.0)
    x = torch.randn(50, device="trn")
    y = torch.compile(lambda x, s: (x * s).exp())(x, scale)
    torch.testing.assert_close(y.cpu(), (x.cpu() * 3).exp())


@here
def test_host_scalars_stay_operands_wherever_they_stand():
    def step(rate, keep, p, grad, mean):
        mean.lerp_(grad, 1 - keep)
        smaller, = torch._foreach_mul([grad], rate)
        p.sub_(rate * mean / (rate + keep) + torch.where(mean > 0, keep, smaller))
        return keep * rate

    compiled = torch.compile(step, fullgraph=True, dynamic=False)
    values = [torch.randn(8, 4) for _ in range(3)]
    ours, expected = [x.to("trn") for x in values], [x.clone() for x in values]
    for i in range(4):
        rate, keep = 0.1 * (i + 1), 0.5 + 0.1 * i
        product, codes = run_and_get_code(compiled, torch.tensor(rate), torch.tensor(keep), *ours)
        assert product.device.type == "cpu"
        step(torch.tensor(rate), torch.tensor(keep), *expected)
        for code in codes:  # a loop on the host would not wait for the device's memory
            assert "empty_strided_cpu((8, 4)" not in code
    for a, b in zip(ours, expected):
        torch.testing.assert_close(a.cpu(), b)


@here
def test_the_same_loop_on_the_host_is_done_when_called():
    compiled = torch.compile(lambda x, y: (x.sin() + 1, y.sin() + 1), fullgraph=True)
    busy = torch.randn(1500, 1500, device="trn")
    for _ in range(3):
        x, y = torch.randn(300, 1000, device="trn"), torch.randn(300, 1000)
        busy @ busy
        device, host = compiled(x, y)
        torch.testing.assert_close(host, y.sin() + 1)
        torch.testing.assert_close(device.cpu(), x.cpu().sin() + 1)


@here
def test_graphs_within_a_graph():
    linear = nn.Linear(8, 8).to("trn")

    @torch.compile(fullgraph=True)
    def either(x):
        with torch.autocast("trn", torch.bfloat16):
            return torch.cond(x.sum() > 0, lambda x: linear(x).sin(), lambda x: -linear(x), (x,))

    for sign in (1, -1):
        x = sign * torch.rand(4, 8, device="trn")
        found, plain = either(x), linear(x)
        torch.testing.assert_close(found.float(), plain.sin() if sign > 0 else -plain,
                                   rtol=5e-2, atol=5e-2)
        found.sum().backward()
    assert torch.isfinite(linear.weight.grad).all()


@here
@pytest.mark.parametrize("wrapper", ["python", "cpp"])
def test_the_device_need_not_be_the_current_one(wrapper):
    x = torch.randn(600, 500, device="trn:1")  # a product that a loop elsewhere would overtake
    options = {"cpp_wrapper": wrapper == "cpp"}
    y = torch.compile(lambda x: (x @ x.mT).relu() + 1, fullgraph=True, options=options)(x)
    assert y.device == x.device and torch.trn.current_device() == 0
    torch.testing.assert_close(y.cpu(), (x.cpu() @ x.cpu().mT).relu() + 1, rtol=1e-4, atol=1e-4)


def test_what_a_cache_holds_is_compiled_in_a_new_process(compiles, python, tmp_path):
    program = ("import torch, torch_trn\n"
               "f = torch.compile(lambda x: x.sin() + 1, options={'cpp_wrapper': True})\n"
               "x = torch.randn(64, device='trn')\n"
               "torch.testing.assert_close(f(x), x.sin() + 1)\n")
    cache = tmp_path / "cache"
    for _ in range(2):
        result = python(program, env={"TORCHINDUCTOR_CACHE_DIR": str(cache)})
        assert result.returncode == 0, result.stderr
        for folder in cache.iterdir():  # all but the traced graphs and their sources
            if folder.name not in ("fxgraph", "aotautograd"):
                shutil.rmtree(folder)


@here
def test_loops_before_an_event_are_queued_before_it():
    @torch.compile(fullgraph=True)
    def f(x):
        event = torch.trn.Event()
        y = x.sin()
        event.record()
        event.wait()
        return y.cos()

    x = torch.randn(64, device="trn")
    torch.testing.assert_close(f(x), x.sin().cos())


def test_isolated_memory_refuses_in_words(python):
    result = python(
        "import torch, torch_trn\n"
        "torch.compile(lambda x: x.sin() + 1)(torch.ones(8, device='trn'))\n",
        env={"TRN_STRICT": "isolate"})
    assert result.returncode == 1 and "TRN_STRICT=isolate" in result.stderr
