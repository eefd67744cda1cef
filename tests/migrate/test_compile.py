"""torch.compile in CUDA programs: generated kernels on trn's queue, CUDA's name kept outside."""

import pytest

pytestmark = pytest.mark.usefixtures("compiles")
_PROGRAM = """
import torch, torch_trn.migrate
from torch import nn
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.LayerNorm(64), nn.Tanh(),
                      nn.Linear(64, 8)).cuda()
compiled = torch.compile(model, **{options})
x = torch.randn(16, 32, device="cuda")

def step(f):
    model.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled={autocast}):
        y = f(x)
    assert y.is_cuda and y.device.type == "cuda"
    y.float().square().mean().backward()
    return [y.float(), *(p.grad.clone() for p in model.parameters())]

plain = step(model)
print("COMPILED", flush=True)
for a, b in zip(plain, step(compiled)):
    torch.testing.assert_close(a, b, atol={tolerance}, rtol={tolerance})
assert x.is_cuda and str(x.device) == "cuda:0"
"""


@pytest.mark.parametrize(("options", "autocast"), [
    ({}, False), ({}, True), ({"mode": "reduce-overhead"}, False), ({"dynamic": True}, False)])
def test_training_step(python, options, autocast):
    result = python(_PROGRAM.format(options=options, autocast=autocast,
                                    tolerance=2e-2 if autocast else 1e-5),
                    env={"TRN_VERBOSE": "exec"})
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("host_function") >= 2  # one forward, one backward


def test_reduced_overhead_of_inference(python):
    result = python(
        "import torch, torch_trn.migrate\n"
        "from torch_trn.inductor import replay\n"
        "model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.GELU()).cuda()\n"
        "compiled, made = torch.compile(model, mode='reduce-overhead'), []\n"
        "init = replay._Recording.__init__\n"
        "replay._Recording.__init__ = lambda *a: (made.append(a), init(*a))[1]\n"
        "with torch.inference_mode():\n"
        "    for _ in range(5):\n"
        "        x = torch.randn(3, 4, device='cuda')\n"
        "        torch.testing.assert_close(compiled(x), model(x))\n"
        "assert len(made) in (1, 2), made\n")
    assert result.returncode == 0, result.stderr


def test_a_graph_that_asks_for_cuda(python):
    result = python(
        "import torch, torch_trn.migrate\n"
        "@torch.compile\n"
        "def f(x):\n"
        "    if x.device.type == 'cuda' and x.is_cuda:\n"
        "        return x.sin() + torch.arange(4, device='cuda') * torch.ones(4, device=x.device)\n"
        "    return x\n"
        "y = f(torch.zeros(4, device='cuda'))\n"
        "assert y.tolist() == [0, 1, 2, 3] and y.is_cuda\n")
    assert result.returncode == 0, result.stderr


def test_attention_whose_shapes_change(python):
    result = python(
        "import torch, torch_trn.migrate\n"
        "import torch.nn.functional as F\n"
        "@torch.compile(dynamic=True)\n"
        "def f(q, k, v):\n"
        "    return F.scaled_dot_product_attention(q, k, v, is_causal=True) * 2\n"
        "for rows, words in ((2, 8), (3, 12), (4, 20)):\n"
        "    q, k, v = torch.randn(3, rows, 4, words, 16, device='cuda').unbind(0)\n"
        "    expected = F.scaled_dot_product_attention(*(t.cpu() for t in (q, k, v)),\n"
        "                                              is_causal=True) * 2\n"
        "    torch.testing.assert_close(f(q, k, v).cpu(), expected)\n"
        "from torch._dynamo.utils import counters\n"
        "assert counters['stats']['unique_graphs'] == 1, counters['stats']\n")
    assert result.returncode == 0, result.stderr


def test_flex_attention(python):
    result = python(
        "import torch, torch_trn.migrate\n"
        "from torch.nn.attention.flex_attention import create_block_mask, flex_attention\n"
        "mask = create_block_mask(lambda b, h, i, j: i >= j, None, None, 96, 96, device='cuda')\n"
        "q, k, v = torch.randn(3, 2, 4, 96, 32, device='cuda').requires_grad_().unbind(0)\n"
        "with torch.autocast('cuda', torch.bfloat16):\n"
        "    y = torch.compile(flex_attention, fullgraph=True)(q, k, v, block_mask=mask)\n"
        "assert y.dtype == torch.bfloat16\n"
        "x = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)\n"
        "for a, b in zip((y.float(), *torch.autograd.grad(y.sin().sum(), (q, k, v))),\n"
        "                (x, *torch.autograd.grad(x.sin().sum(), (q, k, v)))):\n"
        "    torch.testing.assert_close(a, b, rtol=3e-2, atol=3e-2)\n")
    assert result.returncode == 0, result.stderr


def test_streams_in_a_graph(python):
    result = python(
        "import torch, torch_trn.migrate\n"
        "side = torch.cuda.Stream()\n"
        "@torch.compile(fullgraph=True)\n"
        "def f(x):\n"
        "    y = x.sin()\n"
        "    side.wait_stream(torch.cuda.current_stream())\n"
        "    with torch.cuda.stream(side):\n"
        "        z = y * 2\n"
        "    torch.cuda.current_stream().wait_stream(side)\n"
        "    with torch.cuda.device(x.device.index):\n"
        "        return z + y.cos()\n"
        "x = torch.randn(8, 9, device='cuda')\n"
        "torch.testing.assert_close(f(x), x.sin() * 2 + x.sin().cos())\n")
    assert result.returncode == 0, result.stderr


def test_the_backend_of_cuda_graphs_runs_without_them(python):
    result = python(
        "import torch, torch_trn.migrate\n"
        "model = torch.nn.Linear(4, 4).cuda()\n"
        "x = torch.randn(2, 4, device='cuda')\n"
        "y = torch.compile(model, backend='cudagraphs')(x)\n"
        "y.sum().backward()\n"
        "torch.testing.assert_close(y, model(x))\n")
    assert result.returncode == 0, result.stderr
    assert "reduce-overhead" in result.stderr


_PACKED = """
import torch, torch_trn.migrate
from torch.nn.attention.varlen import varlen_attn
import torch.nn.functional as F
torch.manual_seed(0)
begins = torch.tensor([0, 3, 10, 45], dtype=torch.int32, device="cuda")
x = torch.randn(45, 4, 16, device="cuda", requires_grad=True)
def varlen(x):
    return varlen_attn(x * 2, x, x, begins, begins, 35, 35, window_size=(-1, 0)).square().mean()
layer = torch.nn.Linear(16, 48).cuda()
rows = [torch.randn(n, 16) for n in (3, 5)]
rows = torch.nested.nested_tensor(rows, layout=torch.jagged, device="cuda")
def jagged(rows):
    q, k, v = (t.unflatten(-1, [2, 8]).transpose(1, 2) for t in layer(rows).chunk(3, -1))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(-2)
    return y.values().square().mean()
for function, given, of in ((varlen, x, x), (jagged, rows, layer.weight)):
    plain, compiled = function(given), torch.compile(function)(given)
    torch.testing.assert_close(compiled, plain)
    torch.testing.assert_close(torch.autograd.grad(compiled, of), torch.autograd.grad(plain, of))
"""


def test_attention_of_packed_sequences(python):
    result = python(_PACKED)
    assert result.returncode == 0, result.stderr


_SCAN = """
import torch, torch_trn.migrate
from torch._higher_order_ops.associative_scan import associative_scan
torch.manual_seed(0)
def combine(left, right):
    return left[0] * right[0], left[1] * right[0] + right[1]
def loop(decay, x):
    state, states = torch.zeros_like(x[:, 0]), []
    for t in range(x.shape[1]):
        state = state * decay[:, t] + x[:, t]
        states.append(state)
    return torch.stack(states, 1)
@torch.compile(fullgraph=True)
def scan(decay, x, reverse):
    return associative_scan(combine, (decay, x), 1, reverse=reverse, combine_mode="pointwise")[1]
for length in (5, 8):  # the second has another graph, not one of any length
    decay, x = (torch.rand(2, length, 3, device="cuda") for _ in range(2))
    torch.testing.assert_close(scan(decay, x, False), loop(decay, x))
torch.testing.assert_close(scan(decay, x, True), loop(decay.flip(1), x.flip(1)).flip(1))
"""


def test_associative_scan(python):
    result = python(_SCAN)
    assert result.returncode == 0, result.stderr


_TRACED = """
import torch, torch_trn.migrate
host, x = torch.ones(2, 2), torch.ones(2, 2, device="cuda")

def autocast(x):
    with torch.autocast("cuda", enabled=torch.is_autocast_enabled("cuda")):
        return x @ x

class Double(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cuda")
    def forward(ctx, x):
        return x * 2

    @staticmethod
    @torch.amp.custom_bwd(device_type="cuda")
    def backward(ctx, grad):
        return grad * 2

for f, a in (
        (lambda h: h.cuda() + 1, host), (lambda h: h.cuda(0) + 1, host),
        (lambda h: h.cuda(non_blocking=True) + 1, host), (lambda h: h.to("cuda") + 1, host),
        (lambda h: x + h.to("cuda:0"), host), (lambda h: torch.as_tensor(h, device="cuda"), host),
        (lambda h: h.to(device="cuda", dtype=torch.half), host), (lambda x: x.to("cpu") + 1, x),
        (lambda x: x * 2 if torch.is_autocast_enabled() else x + 1, x), (autocast, x),
        (lambda x: x.to(torch.get_autocast_dtype("cuda")), x),
        (lambda x: x.to(torch.get_autocast_gpu_dtype()), x), (Double.apply, x.requires_grad_()),
        (lambda x: x + torch.cuda.is_current_stream_capturing(), x)):
    torch._dynamo.reset()
    got, want = torch.compile(f, fullgraph=True)(a), f(a)
    assert got.device == want.device and got.dtype == want.dtype, (got, want)
    torch.testing.assert_close(got, want)
"""


def test_what_a_program_asks_cuda_is_traced(python):
    result = python(_TRACED)
    assert result.returncode == 0, result.stderr


_ASKED_OF_THE_DEVICE = """
import warnings
import torch, torch_trn.migrate
warnings.simplefilter("error", UserWarning)
x = torch.ones(3, device="cuda")

@torch.compile(backend="eager", fullgraph=True)
def asks(x):
    properties = torch.cuda.get_device_properties(x.device)
    torch.cuda.empty_cache()
    if torch.cuda.is_bf16_supported() and "H100" not in torch.cuda.get_device_name():
        return x * torch.cuda.device_count() + properties.major
    return x

assert asks(x).tolist() == [torch.cuda.device_count() + 8] * 3

@torch.compile(backend="eager")
def breaks(x):
    state, memory = torch.cuda.get_rng_state(), torch.cuda.memory_allocated()
    first = torch.rand_like(x)
    torch.cuda.set_rng_state(state)
    return first, torch.rand_like(x), memory

first, second, memory = breaks(x)
assert torch.equal(first, second) and memory > 0
"""


def test_questions_about_the_device_are_traced_as_cudas(python):
    result = python(_ASKED_OF_THE_DEVICE)
    assert result.returncode == 0, result.stderr
