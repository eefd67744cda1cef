"""mode="reduce-overhead": inference is recorded as a graph, and replayed with what is passed."""

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
    torch._dynamo.reset()
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
    assert replays


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
def test_other_shapes_and_training_need_no_graph(replays):
    there = model().to("trn")
    compiled = torch.compile(there, mode="reduce-overhead", dynamic=True)
    for rows in (2, 5, 9):
        x = torch.randn(rows, 8, device="trn")
        torch.testing.assert_close(compiled(x), there(x))
    with torch.enable_grad():
        for _ in range(3):
            compiled(torch.randn(4, 8, device="trn")).sum().backward()
    assert all(p.grad is not None for p in there.parameters())


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
