"""mode="reduce-overhead": inference is recorded as a graph, and replayed with what is passed."""

import copy
import gc
import warnings

import pytest
import torch
from torch_trn import trn
from torch_trn.inductor import replay

pytestmark = pytest.mark.usefixtures("compiles", "ran")


@pytest.fixture
def replays(monkeypatch):
    """How often each graph has been replayed, in order of their recording."""
    counts = []

    class Counted(trn.TRNGraph):
        def __init__(self, *args):
            super().__init__(*args)
            self.number = len(counts)
            counts.append(0)

        def replay(self):
            counts[self.number] += 1
            super().replay()

    monkeypatch.setattr(replay.trn, "TRNGraph", Counted)
    return counts


def model():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.Linear(16, 4))


@torch.no_grad()
def test_inference_is_replayed_with_new_inputs_and_weights(replays):
    here, there = model(), model().to("trn")
    compiled = torch.compile(there, mode="reduce-overhead", fullgraph=True)
    kept = []
    for i in range(6):
        x = torch.randn(3, 8)
        kept.append((compiled(x.to("trn")), here(x)))
        if i == 4:  # in place: the graph reads the weights where they lie
            for p in (here[0].weight, there[0].weight):
                p.mul_(2)
    for got, expected in kept:  # no call overwrote another's result
        torch.testing.assert_close(got.cpu(), expected)
    assert sum(replays) >= 4 and len(replays) <= 2


@torch.no_grad()
def test_a_device_that_is_not_current(replays):
    here, there = model(), model().to("trn:1")
    compiled = torch.compile(there, mode="reduce-overhead")
    for _ in range(4):
        x = torch.randn(3, 8)
        torch.testing.assert_close(compiled(x.to("trn:1")).cpu(), here(x))
    assert sum(replays) and torch.trn.current_device() == 0


@torch.no_grad()
def test_replaced_weights_are_seen(replays):
    here, there = model(), model().to("trn")
    compiled = torch.compile(there, mode="reduce-overhead")
    x = torch.randn(3, 8)
    for _ in range(5):
        torch.testing.assert_close(compiled(x.to("trn")).cpu(), here(x))
        weight = torch.randn(16, 8)
        here[0].weight.data, there[0].weight.data = weight, weight.to("trn")
    assert sum(replays) >= 3 and len(replays) <= 2  # what keeps moving is copied


@torch.no_grad()
def test_random_numbers_advance(replays):
    @torch.compile(mode="reduce-overhead")
    def noise(x):
        return x + torch.rand_like(x)

    x = torch.zeros(64, device="trn")
    found = [noise(x) for _ in range(5)]
    assert sum(replays) >= 3
    assert all(not torch.equal(a, b) for i, a in enumerate(found) for b in found[:i])


@torch.no_grad()
def test_each_size_of_a_dynamic_shape_has_its_graph(replays):
    here, there = model(), model().to("trn")
    compiled = torch.compile(there, mode="reduce-overhead", dynamic=True)
    for _ in range(4):
        for rows in (2, 5, 9):
            x = torch.randn(rows, 8)
            torch.testing.assert_close(compiled(x.to("trn")).cpu(), here(x))
    assert sum(replays) >= 6 and len(replays) <= 6


@torch.no_grad()
def test_too_many_sizes_are_called_without_graphs():
    call = replay.Replayed(lambda args: (args[1] * args[0],))
    x = torch.ones(3, device="trn")
    with pytest.warns(UserWarning, match="too many sizes"):
        for n in range(12):
            for _ in range(2):
                assert call([n, x])[0].tolist() == [n] * 3


@torch.no_grad()
def test_what_cannot_be_recorded_is_called(replays):
    def twice(args):
        return (args[0].cpu().to("trn") * 2,)

    call = replay.Replayed(twice)
    x = torch.ones(3, device="trn")
    call([x])
    with pytest.warns(UserWarning, match="without a graph"):
        assert call([x])[0].tolist() == [2, 2, 2]
    assert call([x])[0].tolist() == [2, 2, 2]


def trained(net, step, device, steps=6):
    """Losses and final weights of a training on `device`; step(call, x) gives the loss."""
    net = copy.deepcopy(net).to(device)
    compiled = torch.compile(net, mode="reduce-overhead") if device == "trn" else net
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    torch.manual_seed(1)
    losses = []
    for _ in range(steps):
        losses.append(step(compiled, torch.randn(4, 8).to(device), optimizer))
    return [*losses, *(t.detach().cpu() for t in net.state_dict().values())]


def one(call, x, optimizer):
    optimizer.zero_grad()
    loss = call(x).square().mean()
    loss.backward()
    optimizer.step()
    return loss.item()


def into_zeros(call, x, optimizer):
    optimizer.zero_grad(set_to_none=False)
    return one_more(call, x, optimizer)


def one_more(call, x, optimizer):
    loss = call(x).square().mean()
    loss.backward()
    optimizer.step()
    return loss.item()


def two_forwards(call, x, optimizer):
    optimizer.zero_grad()
    first, second = call(x), call(x + 1)
    (first * second).sum().mul(0.01).backward()
    optimizer.step()
    return first.sum().item()


def two_backwards(call, x, optimizer):
    optimizer.zero_grad()
    loss = call(x).square().mean()
    loss.backward(retain_graph=True)
    loss.backward()
    optimizer.step()
    return loss.item()


def an_input_with_a_gradient(call, x, optimizer):
    x.requires_grad_()
    one_more(call, x, optimizer)
    optimizer.zero_grad()
    return x.grad.norm().item()


def no_backward(call, x, optimizer):
    held = call(x)
    loss = one(call, x, optimizer)
    return loss + held.sum().item()


@pytest.mark.parametrize("step", [one, into_zeros, one_more, two_forwards, two_backwards,
                                  an_input_with_a_gradient, no_backward])
def test_training_is_replayed(replays, step):
    net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.BatchNorm1d(16), torch.nn.Tanh(),
                              torch.nn.Linear(16, 4))
    with torch._functorch.config.patch(donated_buffer=step is not two_backwards):
        ours = trained(net, step, "trn")
    torch.testing.assert_close(ours, trained(net, step, "cpu"), atol=1e-5, rtol=1e-4)
    assert sum(replays) >= 6


def test_more_forwards_before_a_backward_than_graphs(replays):
    here, there = model(), model().to("trn")
    compiled = torch.compile(there, mode="reduce-overhead")
    for _ in range(3):
        x = torch.randn(7, 3, 8)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "mode=.reduce-overhead. runs a function without")
            torch.stack([compiled(a.to("trn")) for a in x]).square().sum().backward()
        torch.stack([here(a) for a in x]).square().sum().backward()
    for a, b in zip(there.parameters(), here.parameters(), strict=True):
        torch.testing.assert_close(a.grad.cpu(), b.grad, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_backward_may_write_into_what_was_saved(replays):
    call = replay.Replayed(lambda args: (args[0].mul_(2), args[0][1:]), visible=(), backward=True)
    for i in range(5):
        held = torch.full((3,), float(i), device="trn"), torch.ones(4, device="trn")  # it moves
        twice, part = call([held[0]])
        assert twice.tolist() == [2.0 * i] * 3 and part.tolist() == [2.0 * i] * 2
        del twice, part
    assert sum(replays) >= 3


@pytest.mark.filterwarnings("error:mode=.reduce-overhead")
def test_layers_that_share_their_code(replays):
    """Parameters of other layers are other places, not inputs that move."""
    class Layer(torch.nn.Linear):
        def forward(self, x):
            return super().forward(x).sin() + x

    here = [Layer(8, 8) for _ in range(6)]
    there = copy.deepcopy(torch.nn.ModuleList(here)).to("trn")
    compiled = [torch.compile(m, mode="reduce-overhead") for m in there]
    for _ in range(4):
        x = torch.randn(3, 8)
        for layers, device in ((here, "cpu"), (compiled, "trn")):
            y = x.to(device)
            for layer in layers:
                y = layer(y)
            y.square().sum().backward()
    for a, b in zip(there.parameters(), torch.nn.ModuleList(here).parameters(), strict=True):
        torch.testing.assert_close(a.grad.cpu(), b.grad, atol=1e-4, rtol=1e-4)
    assert sum(replays) > 3 * 6 and len(replays) <= 5 * 6


def test_memory_goes_with_the_model(replays):
    torch.trn.synchronize()
    before = torch.trn.memory_allocated()
    net = torch.nn.Sequential(torch.nn.Linear(512, 512), torch.nn.Tanh()).to("trn")
    compiled = torch.compile(net, mode="reduce-overhead")
    for _ in range(4):
        compiled(torch.randn(256, 512, device="trn")).sum().backward()
        net.zero_grad()
    assert sum(replays) >= 4
    del net, compiled
    torch._dynamo.reset()
    gc.collect()
    torch.trn.synchronize()
    assert torch.trn.memory_allocated() - before < 1 << 16


def test_dropout_of_a_training_changes(replays):
    net = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Dropout()).to("trn")
    compiled = torch.compile(net, mode="reduce-overhead")
    x = torch.ones(16, 64, device="trn")
    gradients = []
    for _ in range(5):
        y = compiled(x)
        y.sum().backward()
        kept = (y != 0).float().mul(2)  # the backward's mask is the forward's
        torch.testing.assert_close(net[0].bias.grad, kept.sum(0))
        gradients.append(net[0].bias.grad.clone())
        net.zero_grad()
    assert sum(replays) >= 6
    assert not any(torch.equal(a, b) for a, b in zip(gradients, gradients[1:]))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_attention_of_a_training(replays, dropout):
    attention = torch.nn.functional.scaled_dot_product_attention
    compiled = torch.compile(lambda q, v: attention(q.sin(), q, v, dropout_p=dropout) * 1,
                             mode="reduce-overhead", fullgraph=True)
    for _ in range(5):
        q, v = (torch.randn(2, 2, 8, 16, device="trn", requires_grad=True) for _ in range(2))
        y = compiled(q, v)
        y.sum().backward()
        # Linear in v by the weights that are left, which are the same forward and backward.
        torch.testing.assert_close((v.grad * v).sum(), y.sum(), rtol=1e-4, atol=1e-3)
        assert q.grad.abs().sum() > 0
    assert sum(replays) >= 6


@torch.no_grad()
@pytest.mark.parametrize("view", [lambda x: x[:, ::2], lambda x: x.T, lambda x: x[:1].expand(8, 8)])
def test_inputs_that_do_not_lie_densely(replays, view):
    compiled = torch.compile(lambda x: x.sin() + 1, mode="reduce-overhead", fullgraph=True)
    for _ in range(5):
        x = torch.randn(8, 8)
        torch.testing.assert_close(compiled(view(x.to("trn"))).cpu(), view(x).sin() + 1)
    assert sum(replays) >= 3


@torch.no_grad()
def test_inputs_that_are_written(replays):
    @torch.compile(mode="reduce-overhead", fullgraph=True)
    def count(total, x):
        total.add_(x.sin())
        return total, x[0], total * 2

    fixed = torch.zeros(8, device="trn")
    expected = torch.zeros(8)
    for _ in range(5):
        moving, x = torch.zeros(8).to("trn"), torch.randn(8)
        for total, want in ((fixed, expected.add_(x.sin())), (moving, x.sin())):
            got, first, twice = count(total, x.to("trn"))
            assert got is total
            torch.testing.assert_close((got.cpu(), first.cpu(), twice.cpu()),
                                       (want, x[0], want * 2))
    assert sum(replays) >= 6
