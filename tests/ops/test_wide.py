"""Rows, norms and softmax that go four registers at a time: around their edges, with specials."""

import pytest
import torch

pytestmark = pytest.mark.usefixtures("native")
F = torch.nn.functional
A = torch.ops.aten
TYPES = [torch.float32, torch.bfloat16]
EDGES = [1, 15, 16, 17, 31, 63, 64, 65, 127, 513, 2047, 2049]
SPECIALS = torch.tensor([0.0, -0.0, float("inf"), -float("inf"), float("nan"), 1e-40, -1e-40, 3e38,
                         -3e38, 1.0, -1.0, 20.0, -20.0, 100.0, -100.0])

MAPS = {
    "add": lambda a, b: a + b, "sub": lambda a, b: torch.sub(a, b, alpha=0.5), "mul": torch.mul,
    "exp": lambda a, b: a.exp(), "tanh": lambda a, b: a.tanh(), "sigmoid": lambda a, b: a.sigmoid(),
    "relu": lambda a, b: a.relu(), "clamp_max": lambda a, b: a.clamp_max(0.5),
    "silu": lambda a, b: F.silu(a), "mish": lambda a, b: F.mish(a), "gelu": lambda a, b: F.gelu(a),
    "gelu_tanh": lambda a, b: F.gelu(a, approximate="tanh"),
    "glu": lambda a, b: F.glu(torch.stack([a, b]), 0)[0],
    "sigmoid_backward": A.sigmoid_backward, "tanh_backward": A.tanh_backward,
    "silu_backward": A.silu_backward, "mish_backward": A.mish_backward,
    "gelu_backward": A.gelu_backward,
    "gelu_tanh_backward": lambda a, b: A.gelu_backward(a, b, approximate="tanh"),
    "threshold_backward": lambda a, b: A.threshold_backward(a, b, 0.0),
    "log_sigmoid_backward": lambda a, b: A.log_sigmoid_backward(a, b, b.abs().neg().exp()),
    "dropout_backward": lambda a, b: A.native_dropout_backward(a, b > 0, 1.25),
}
# Where PyTorch's formula itself meets inf - inf or 0 * inf, and its CPU's kernels differ by type.
NOT_SPECIAL = {"silu_backward", "mish_backward", "gelu_backward", "gelu_tanh_backward", "mish",
               "dropout_backward", "sigmoid_backward", "glu"}
# The CPU makes NaN of infinity and infinity of 3e38 in gelu's vectors alone.
INSTEAD = {"gelu": lambda a, b: F.gelu(a.double()).float()}


def data(*shape, seed=0, dtype=torch.float32):
    return (torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 3).to(dtype)


def same_bits(a, b):
    return torch.equal(a.isnan(), b.isnan()) and torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0))


def close(got, want, dtype):
    """Within rounding of the type, relative to each number and to the largest."""
    step = {torch.float32: 2e-6, torch.bfloat16: 8e-3}[dtype]
    largest = max(1, want.abs().max().item())
    torch.testing.assert_close(got.cpu().double(), want, rtol=step, atol=step * largest)


def test_gelu_of_every_bfloat16_is_within_six_tenths_of_its_last_place(isa):
    x = torch.arange(-32768, 32768, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    x = x[x.isfinite()]
    got = F.gelu(x.to("trn")).cpu().double()
    exact = x.double() * torch.special.erfc(x.double() * -(0.5**0.5)) / 2
    place = torch.exp2((exact.abs().log2().floor() - 7).clamp_min(-133))
    assert ((got - exact).abs() <= 0.6 * place).all()


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("name", MAPS)
def test_map(isa, name, dtype):
    f = MAPS[name]
    a, b = data(2100, seed=1, dtype=dtype), data(2100, seed=2, dtype=dtype)
    x, y = a.to("trn"), b.to("trn")
    whole = f(x, y)
    close(whole, f(a.double(), b.double()), dtype)
    for n in EDGES:
        for at in (0, 1, 5):
            part = f(x[at:at + n], y[at:at + n])
            assert same_bits(part.cpu(), whole[at:at + n].cpu()), (n, at)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("name", sorted(set(MAPS) - NOT_SPECIAL))
def test_specials(isa, name, dtype):
    a = SPECIALS.to(dtype).repeat(len(SPECIALS))
    b = SPECIALS.to(dtype).repeat_interleave(len(SPECIALS))
    got = MAPS[name](a.to("trn"), b.to("trn")).cpu()
    want = INSTEAD.get(name, MAPS[name])(a.float(), b.float()).to(dtype)
    # Below 1e-36 the CPU gives up; test_accuracy.py looks at what is there.
    torch.testing.assert_close(got, want, rtol=8e-3, atol=1e-36, equal_nan=True)
    zero = (want == 0) & (got == 0)
    assert torch.equal(got[zero].signbit(), want[zero].signbit())


def test_bfloat16_keeps_its_type_beside_others():
    # Only operands that all are bfloat16 may be taken as they are.
    a, b = data(100, dtype=torch.bfloat16), data(100, seed=1)
    torch.testing.assert_close((a.to("trn") * b.to("trn")).cpu(), a * b, rtol=0, atol=0)
    torch.testing.assert_close((a.to("trn") * 0.1).cpu(), a * 0.1, rtol=0, atol=0)
    out = torch.empty(100, dtype=torch.bfloat16, device="trn")
    torch.mul(b.to("trn"), b.to("trn"), out=out)
    torch.testing.assert_close(out.cpu(), (b * b).bfloat16(), rtol=0, atol=0)


ROWS = {
    "softmax": lambda x: x.softmax(-1), "log_softmax": lambda x: x.log_softmax(-1),
    "softmax of columns": lambda x: x.repeat(14, 1).t().contiguous().softmax(0)[:, :5].t(),
    "log_softmax of columns": lambda x: x.repeat(14, 1).t().contiguous().log_softmax(0)[:, :5].t(),
    "layer_norm": lambda x: F.layer_norm(x, x.shape[1:], *[torch.linspace(
        0, 2, x.shape[1], device=x.device, dtype=x.dtype)] * 2),
    "plain layer_norm": lambda x: F.layer_norm(x, x.shape[1:]),
    "rms_norm": lambda x: F.rms_norm(x, x.shape[1:], torch.linspace(
        0, 2, x.shape[1], device=x.device, dtype=x.dtype)),
}


def both_ways(f, x, grad):
    x = x.detach().requires_grad_()
    y = f(x)
    return y.detach(), torch.autograd.grad(y, x, grad)[0]


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("name", ROWS)
def test_rows(isa, name, dtype):
    for n in (16, 63, 64, 65, 128, 192, 1000, 2048, 2112, 5000):
        x, g = data(5, n, seed=n, dtype=dtype), data(5, n, seed=1, dtype=dtype)
        got = both_ways(ROWS[name], x.to("trn"), g.to("trn"))
        want = both_ways(ROWS[name], x.double(), g.double())
        for a, b in zip(got, want, strict=True):
            close(a, b, dtype)


WEIGHTED = {
    "layer_norm": lambda x, w, b: F.layer_norm(x, w.shape, w, b),
    "rms_norm": lambda x, w, b: F.rms_norm(x, w.shape, w) + b,
}


def gradients(name, x, w, b, grad):
    x, w, b = (t.detach().requires_grad_() for t in (x, w, b))
    return torch.autograd.grad(WEIGHTED[name](x, w, b), (x, w, b), grad)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("name", WEIGHTED)
def test_gradients_of_weights(isa, name, dtype):
    for rows, n in ((1, 64), (3, 128), (63, 65), (65, 64), (130, 1000), (129, 1024), (4300, 64),
                    (515, 96), (577, 1000), (3, 16448)):
        for mean in (0, 20):
            tensors = [data(rows, n, seed=5) + mean, data(n, seed=6), data(n, seed=7),
                       data(rows, n, seed=8)]
            tensors = [t.to(dtype) for t in tensors]
            got = gradients(name, *[t.to("trn") for t in tensors])
            want = gradients(name, *[t.double() for t in tensors])
            for a, b in zip(got, want, strict=True):
                close(a, b, dtype)


@pytest.mark.parametrize("rows, n, dtype, weights", [
    (513, 16448, torch.float32, torch.float32), (600, 96, torch.bfloat16, torch.float32),
    (600, 17, torch.float64, torch.float64), (600, 96, torch.float16, torch.float16)], ids=str)
def test_gradients_of_rows_and_weights_at_once(rows, n, dtype, weights):
    tensors = [data(rows, n, seed=5, dtype=dtype), data(n, seed=6).to(weights),
               data(n, seed=7).to(weights), data(rows, n, seed=8, dtype=dtype)]
    got = gradients("layer_norm", *[t.to("trn") for t in tensors])
    want = gradients("layer_norm", *[t.double() for t in tensors])
    for a, b in zip(got, want, strict=True):
        close(a, b, torch.float32 if dtype == torch.float64 else torch.bfloat16
              if a.dtype == torch.float16 else dtype)


def test_each_gradient_of_a_norm_alone():
    x, g, w = data(600, 96, seed=1), data(600, 96, seed=2), data(96, seed=3)
    _, mean, rstd = torch.native_layer_norm(x, [96], w, w, 1e-5)
    op = torch.ops.aten.native_layer_norm_backward
    inputs = (g, x, [96], mean, rstd, w, w)
    on = [t.to("trn") if isinstance(t, torch.Tensor) else t for t in inputs]
    every = op(*inputs, [True] * 3)
    for mask in ([True, False, False], [False, True, False], [False, False, True],
                 [True, False, True], [False, True, True]):
        for wanted, got, want in zip(mask, op(*on, mask), every, strict=True):
            assert (got is not None) == wanted
            if wanted:
                torch.testing.assert_close(got.cpu(), want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_softmax_of_specials(isa, dtype, log):
    inf = float("inf")
    x = data(6, 70, dtype=dtype)
    x[0, :69] = -inf
    x[1] = -inf
    x[2, 5] = float("nan")
    x[3, 69] = inf
    x[4] = 3e38
    x[5, 1:] = -90
    f = torch.log_softmax if log else torch.softmax
    got, want = f(x.to("trn"), -1).cpu(), f(x.double(), -1).to(dtype)
    torch.testing.assert_close(got, want, rtol=1e-2 if dtype == torch.bfloat16 else 2e-6,
                               atol=1e-45, equal_nan=True)


def affine(channels, x):
    return [torch.linspace(-1, 2, channels, device=x.device, dtype=x.dtype)] * 2


PLANES = {
    "group_norm": lambda x: F.group_norm(x, 2, *affine(6, x)),
    "plain group_norm": lambda x: F.group_norm(x, 3),
    "batch_norm": lambda x: F.batch_norm(x, None, None, *affine(6, x), training=True),
    "plain batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
}


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("name", PLANES)
def test_planes(isa, name, dtype):
    for shape in ((3, 6, 1, 2), (4, 6, 7, 9), (3, 6, 8, 8), (2, 6, 5, 13), (2, 6, 48, 49)):
        for mean in (0, 100):
            if mean and dtype == torch.bfloat16:
                continue
            x, g = data(*shape, seed=3, dtype=dtype) + mean, data(*shape, seed=4, dtype=dtype)
            got = both_ways(PLANES[name], x.to("trn"), g.to("trn"))
            want = both_ways(PLANES[name], x.double(), g.double())
            torch.testing.assert_close(
                [t.cpu().double() for t in got], list(want), rtol=0,
                atol={torch.float32: 3e-5, torch.bfloat16: 1e-1}[dtype])


def test_batch_norm_keeps_running_statistics():
    x = data(4, 6, 9, 9) + 5
    modules = [torch.nn.BatchNorm2d(6).to(device) for device in ("cpu", "trn")]
    for m, device in zip(modules, ("cpu", "trn"), strict=True):
        m(x.to(device)).square().sum().backward()
    cpu, trn = modules
    for a, b in ((cpu.running_mean, trn.running_mean), (cpu.running_var, trn.running_var),
                 (cpu.weight.grad, trn.weight.grad), (cpu.bias.grad, trn.bias.grad)):
        torch.testing.assert_close(b.cpu(), a, rtol=1e-5, atol=1e-3)
