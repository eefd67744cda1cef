"""Fake quantization, learned steps, observers, and training that is aware of quantization."""

import copy
import warnings

import pytest
import torch
import torch.ao.quantization as tq
from torch import nn

from .compare import make

pytestmark = pytest.mark.usefixtures("ran", "native")
UNIFORM = torch.linspace(-4, 4, 509).reshape(1, -1) + torch.tensor([[0.013], [0.3], [-1.7]])


def same(got, want, **tolerance):
    for g, w in zip(got, want, strict=True):
        assert g.dtype == w.dtype
        torch.testing.assert_close(g.detach().cpu(), w.detach(), **tolerance)


def both(fn, *args, **kwargs):
    """fn on trn and on the CPU, both in the arguments' own types."""
    there = [a.detach().to("trn") if isinstance(a, torch.Tensor) else a for a in args]
    return fn(*there, **kwargs), fn(*args, **kwargs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("range_", [(0, 255, 120), (-128, 127, 0), (0, 15, 7)])
def test_one_scale(isa, dtype, range_):
    low, high, zero = range_
    got, want = both(torch.fake_quantize_per_tensor_affine, UNIFORM.to(dtype), 0.037, zero, low,
                     high)
    same([got], [want])
    got, want = both(torch.fake_quantize_per_tensor_affine, UNIFORM.to(dtype),
                     torch.tensor([0.037]), torch.tensor([zero], dtype=torch.int32), low, high)
    same([got], [want])


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("zero_type", [torch.int32, torch.float32])
def test_one_scale_a_channel(isa, axis, zero_type):
    x = make(3, 4, 5) * 3
    scale = torch.linspace(0.01, 0.2, x.size(axis))
    zero = torch.arange(x.size(axis)).to(zero_type) + (0.25 if zero_type.is_floating_point else 0)
    got, want = both(torch.ops.aten.fake_quantize_per_channel_affine_cachemask, x, scale, zero,
                     axis, 0, 31)
    same(got, want)
    assert 0 < int(want[1].sum()) < want[1].numel()


def test_gradients_pass_inside_the_range():
    x = make(7, 9).mul(20).to("trn").requires_grad_()
    torch.fake_quantize_per_tensor_affine(x, 0.1, 5, 0, 127).sum().backward()
    inside = (x.detach() / 0.1).round().add(5).clamp(0, 127).eq((x.detach() / 0.1).round().add(5))
    assert torch.equal(x.grad, inside.float())


@pytest.mark.parametrize("channels", [False, True])
def test_learned_steps(isa, channels):
    name = "channel" if channels else "tensor"
    fn = getattr(torch, f"_fake_quantize_learnable_per_{name}_affine")
    scale = torch.linspace(0.03, 0.05, 4) if channels else torch.tensor([0.04])
    zero = torch.tensor([0.2, 3.7, 9.5, 20.0]) if channels else torch.tensor([6.4])

    def run(device):
        given = [t.detach().to(device).requires_grad_() for t in (make(4, 300), scale, zero)]
        out = fn(*given, *([0] if channels else []), 0, 15, 0.5)
        return out, *torch.autograd.grad((out * out).sum(), given)

    same(run("trn"), run("cpu"), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("flags", [(1, 1), (1, 0), (0, 1), (0, 0)])
@pytest.mark.parametrize("sign", [0, 1, -1])
def test_observers(isa, channels, symmetric, flags, sign):
    def run(device):
        n = 3 if channels else 1
        state = [torch.full((n,), float("inf")), torch.full((n,), -float("inf")), torch.ones(n),
                 torch.zeros(n, dtype=torch.int32)]
        if not flags[0]:
            state[0].fill_(-1), state[1].fill_(2)
        state = [t.to(device) for t in state]
        on = [torch.tensor([f], dtype=torch.long, device=device) for f in flags]
        outs = []
        for step in range(3):
            x = make(3, 5, 4, seed=step).to(device) * (step + 1)
            x = x.abs() * sign if sign else x
            outs += torch.ops.aten._fused_moving_avg_obs_fq_helper(
                x, *on, *state, 0.3, -128, 127, 0, channels, symmetric)
        return *outs, *state

    same(run("trn"), run("cpu"), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("x", [torch.zeros(4), torch.full((4,), 1e-7), torch.tensor([-1e-6, 1e-7])])
def test_ranges_too_small_for_a_scale(x):
    def run(device):
        state = [torch.tensor([v], device=device) for v in (float("inf"), -float("inf"), 1.0)]
        state.append(torch.zeros(1, dtype=torch.int32, device=device))
        on = torch.ones(1, dtype=torch.long, device=device)
        torch.ops.aten._fused_moving_avg_obs_fq_helper(x.to(device), on, on, *state, 0.1, 0, 255, 0)
        return state

    same(run("trn"), run("cpu"), rtol=1e-6, atol=1e-9)


def test_ranges_are_made_for_channels_when_they_are_first_seen():
    x = make(6, 4).to("trn")
    state = [torch.empty(0, device="trn", dtype=d) for d in (*[torch.float32] * 3, torch.int32)]
    on = torch.ones(1, dtype=torch.long, device="trn")
    torch.ops.aten._fused_moving_avg_obs_fq_helper(x, on, on, *state, 0.1, -8, 7, 0, True, True)
    assert torch.equal(state[0], x.amin(1)) and torch.equal(state[1], x.amax(1))
    assert [t.numel() for t in state[2:]] == [6, 6]


def test_errors():
    x = make(3, 4).to("trn")
    with pytest.raises(RuntimeError, match="should be less than or equal to `quant_max`"):
        torch.fake_quantize_per_tensor_affine(x, 0.1, 0, 5, 1)
    with pytest.raises(RuntimeError, match="must be between `quant_min` and `quant_max`"):
        torch.fake_quantize_per_tensor_affine(x, 0.1, 300, 0, 255)
    scale, zero = torch.ones(3, device="trn"), torch.zeros(3, dtype=torch.int32, device="trn")
    with pytest.raises(RuntimeError, match="not consistent with input tensor"):
        torch.fake_quantize_per_channel_affine(x, scale, zero, 1, 0, 255)
    with pytest.raises(RuntimeError, match="must be between `quant_min` and `quant_max`"):
        torch.fake_quantize_per_channel_affine(x, scale, zero - 1, 0, 0, 255)


@pytest.mark.parametrize("engine", ["fbgemm", "qnnpack"])
def test_training_that_is_aware_of_quantization(engine):
    torch.manual_seed(0)
    model = nn.Sequential(tq.QuantStub(), nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(),
                          nn.Flatten(), nn.Linear(6 * 36, 5), tq.DeQuantStub())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.qconfig = tq.get_default_qat_qconfig(engine)
        model = tq.prepare_qat(tq.fuse_modules_qat(model.train(), [["1", "2", "3"]]))

    def train(device):
        trained = copy.deepcopy(model).to(device)
        optimizer = torch.optim.SGD(trained.parameters(), lr=0.05)
        losses = []
        for step in range(4):
            optimizer.zero_grad()
            loss = trained(make(8, 3, 8, 8, seed=step).to(device)).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    assert train("trn") == pytest.approx(train("cpu"), rel=2e-3)
