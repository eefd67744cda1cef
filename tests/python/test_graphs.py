"""Graphs: captured once, replayed with new data, memory and random numbers of their own."""

import pytest
import torch

trn = torch.trn
pytestmark = pytest.mark.usefixtures("ran")


def capture(work, **options):
    graph = trn.TRNGraph()
    with trn.graph(graph, **options):
        out = work()
    return graph, out


def test_replay_computes_from_what_the_inputs_hold_then():
    x = torch.zeros(1000, device="trn")
    graph, y = capture(lambda: (x * 2 + 1).relu().sum())
    for value in (1.0, -3.0, 5.0):
        x.fill_(value)
        graph.replay()
        assert y.item() == 1000 * max(0.0, value * 2 + 1)


def test_capture_runs_nothing():
    x = torch.zeros(4, device="trn")
    before = trn.launch_count()
    graph, _ = capture(lambda: x.add_(1))
    assert x.tolist() == [0] * 4
    launched = trn.launch_count() - before
    graph.replay()
    graph.replay()
    assert x.tolist() == [2] * 4
    assert trn.launch_count() - before == launched + 2


def test_accelerator_graph():
    x = torch.zeros(8, device="trn")
    graph, stream = torch.accelerator.Graph(), torch.Stream()
    with stream, graph:
        assert trn.is_current_stream_capturing()
        x += 1
    assert not trn.is_current_stream_capturing()
    graph.replay()
    assert x.sum().item() == 8


def test_random_numbers_advance_on_replay_as_in_eager():
    x = torch.ones(4096, device="trn")

    def work():
        return torch.nn.functional.dropout(x, 0.5), torch.rand(7, device="trn"), torch.randn_like(x)

    torch.manual_seed(5)
    eager = [work() for _ in range(3)]
    state = trn.get_rng_state()
    torch.manual_seed(5)
    graph, out = capture(work)
    assert torch.equal(trn.get_rng_state()[8:], torch.zeros(8, dtype=torch.uint8))
    for expected in eager:
        graph.replay()
        assert all(torch.equal(a, b) for a, b in zip(expected, out, strict=True))
    assert torch.equal(trn.get_rng_state(), state)


def test_two_generators():
    mine = torch.Generator("trn").manual_seed(9)
    graph, (a, b) = capture(lambda: (torch.rand(5, device="trn", generator=mine),
                                     torch.rand(5, device="trn")))
    torch.manual_seed(1)
    graph.replay()
    torch.manual_seed(1)
    assert torch.equal(b, torch.rand(5, device="trn"))
    assert torch.equal(a, torch.rand(5, device="trn", generator=mine.manual_seed(9)))


def test_training_step_in_a_graph_equals_eager():
    def build():
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.GELU(),
                                    torch.nn.Linear(32, 4)).to("trn")
        return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    data = [(torch.randn(8, 16), torch.randint(4, (8,))) for _ in range(6)]
    x, y = (t.to("trn") for t in data[0])

    def step(model, optimizer):
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    def losses(run):
        out = []
        for a, b in data:
            x.copy_(a)
            y.copy_(b)
            out.append(run().item())
        return out

    side = trn.Stream()

    def warm_up(made):
        side.wait_stream(trn.current_stream())
        with trn.stream(side):
            values = [step(*made).item() for _ in range(3)]
        trn.current_stream().wait_stream(side)
        return values

    eager = build()
    warm = warm_up(eager)
    expected = losses(lambda: step(*eager))

    captured = build()
    x.copy_(data[0][0])
    y.copy_(data[0][1])
    assert warm_up(captured) == warm
    graph, loss = capture(lambda: step(*captured))

    def replay():
        graph.replay()
        return loss

    assert losses(replay) == expected


def test_memory_is_private_and_comes_back():
    x = torch.ones(1 << 18, device="trn")
    trn.synchronize()
    trn.empty_cache()
    reserved = trn.memory_reserved()
    graph, y = capture(lambda: x * 2)
    private = [s for s in trn.memory_snapshot() if s["segment_pool_id"] == graph.pool()]
    assert private and trn.memory_reserved() > reserved
    others = [torch.zeros_like(x) for _ in range(8)]
    graph.replay()
    assert y[0].item() == 2 and all(o[0].item() == 0 for o in others)
    del y, others
    graph.reset()
    trn.empty_cache()
    assert trn.memory_reserved() == reserved


def test_graphs_may_share_a_pool():
    x = torch.ones(1 << 18, device="trn")
    first, y = capture(lambda: x + 1)
    second, z = capture(lambda: y + 1, pool=first.pool())
    assert first.pool() == second.pool()
    first.replay()
    second.replay()
    assert z[0].item() == 3


def test_other_streams_join_the_capture():
    x, side = torch.ones(1000, device="trn"), trn.Stream()

    def work():
        main = trn.current_stream()
        side.wait_stream(main)
        with trn.stream(side):
            assert trn.is_current_stream_capturing()
            y = x * 3
        z = x * 2
        main.wait_stream(side)
        return y + z

    graph, out = capture(work)
    x.fill_(2)
    graph.replay()
    assert out.sum().item() == 10000


def test_unjoined_work_is_refused():
    x, side = torch.ones(10, device="trn"), trn.Stream()

    def work():
        side.wait_stream(trn.current_stream())
        with trn.stream(side):
            x.mul_(2)

    with pytest.raises(RuntimeError, match="unjoined work"):
        capture(work)
    assert x.sum().item() == 10


@pytest.mark.parametrize("work", [
    lambda x: x.sum().item(), lambda x: x.cpu(), lambda x: trn.synchronize(),
    lambda x: trn.current_stream().synchronize(), lambda x: trn.current_stream().query(),
    lambda x: x.nonzero(), lambda x: torch.trn.manual_seed(3), lambda x: torch.trn.Event().wait(),
], ids=["item", "cpu", "device", "stream", "query", "nonzero", "seed", "unrecorded event"])
def test_host_synchronisation_is_refused(work, request):
    x = torch.ones(10, device="trn")
    if "unrecorded" in request.node.name:
        capture(lambda: (work(x), x + 1))  # waits for nothing
        return
    with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
        capture(lambda: work(x))
    assert (x + 1).sum().item() == 20  # the device goes on


def test_pageable_copies_are_refused_and_pinned_ones_recorded():
    x, host = torch.zeros(10, device="trn"), torch.arange(10.0)
    with pytest.raises(RuntimeError, match="unless the CPU tensor is pinned"):
        capture(lambda: x.copy_(host))
    pinned = host.pin_memory()
    with pytest.raises(RuntimeError, match="non_blocking=True"):
        capture(lambda: x.copy_(pinned))
    graph, _ = capture(lambda: x.copy_(pinned, non_blocking=True))
    pinned.fill_(4)
    graph.replay()
    assert x.sum().item() == 40


def test_a_swallowed_error_still_fails_the_capture():
    x, graph = torch.ones(3, device="trn"), trn.TRNGraph()
    with pytest.raises(RuntimeError, match="capture failed"):
        with trn.graph(graph):
            with pytest.raises(RuntimeError):
                x.sum().item()
    with pytest.raises(RuntimeError, match="without a preceding successful capture"):
        graph.replay()


def test_fallback_is_refused():
    matrix = torch.eye(3, device="trn")
    with pytest.raises(RuntimeError, match="runs on the CPU"):
        capture(lambda: torch.linalg.eigvals(matrix))


def test_misuse():
    graph = trn.TRNGraph()
    with pytest.raises(RuntimeError, match="non-default stream"):
        graph.capture_begin()
    with pytest.raises(RuntimeError, match="without a preceding"):
        graph.replay()
    x = torch.ones(3, device="trn")
    graph, _ = capture(lambda: x + 1)
    with pytest.raises(RuntimeError, match="already owns a captured graph"):
        with trn.graph(graph):
            pass


def test_work_queued_elsewhere_meanwhile_runs():
    x, z = torch.ones(10, device="trn"), torch.ones(10, device="trn")
    default = trn.current_stream()

    def work():
        y = x + 1
        with trn.stream(default):
            z.add_(5)
        return y

    capture(work)
    assert z.sum().item() == 60


def test_debug_dump(tmp_path):
    x, graph = torch.ones(10, device="trn"), trn.TRNGraph()
    graph.enable_debug_mode()
    with trn.graph(graph):
        x.relu().add_(1)
    graph.debug_dump(str(tmp_path / "graph.csv"))
    lines = (tmp_path / "graph.csv").read_text().splitlines()
    assert len(lines) == 2 and all(line.startswith("exec,") for line in lines)


def test_make_graphed_callables():
    torch.manual_seed(0)
    plain = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Tanh()).to("trn")
    graphed = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Tanh()).to("trn")
    graphed.load_state_dict(plain.state_dict())
    sample = torch.randn(4, 8, device="trn", requires_grad=True)
    graphed = trn.make_graphed_callables(graphed, (sample,))
    for _ in range(3):
        x = torch.randn(4, 8, device="trn")
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        expected, got = plain(a), graphed(b)
        expected.square().sum().backward()
        got.square().sum().backward()
        assert torch.equal(expected, got) and torch.equal(a.grad, b.grad)
        for p, q in zip(plain.parameters(), graphed.parameters(), strict=True):
            assert torch.equal(p.grad, q.grad)
    graphed.eval()
    assert torch.equal(graphed(x), plain.eval()(x))


def test_mem_pool():
    pool = trn.MemPool()
    assert pool.use_count() == 1
    with trn.use_mem_pool(pool):
        assert pool.use_count() == 2
        x = torch.ones(1000, device="trn")
    y = torch.ones(1000, device="trn")
    (segment,) = pool.snapshot()
    assert segment["address"] <= x.data_ptr() < segment["address"] + segment["total_size"]
    assert not segment["address"] <= y.data_ptr() < segment["address"] + segment["total_size"]
    key = pool.id
    del x, pool
    assert all(s["segment_pool_id"] != key for s in trn.memory_snapshot())


def test_host_memory_stays_until_queued_replays_have_run():
    host = torch.ones(1000).pin_memory()
    x, y = torch.randn(1500, 1500, device="trn"), torch.zeros(1000, device="trn")
    graph = torch.trn.TRNGraph()
    with torch.trn.graph(graph):
        y.copy_(host, non_blocking=True)
    for _ in range(3):
        x = x @ x  # the replay is queued behind these
    graph.replay()
    del graph, host
    others = [torch.zeros(1000).pin_memory() for _ in range(4)]
    assert others and y.tolist() == [1] * 1000


def test_a_graph_can_watch_that_its_inputs_live():
    kept, gone = torch.ones(1000, device="trn"), [torch.ones(1000, device="trn")]
    graph, y = capture(lambda: (kept + gone[0]) * 2, check_input_liveness=True)
    graph.replay()
    assert y.sum().item() == 4000
    kept.fill_(2)  # values may change, and results of the graph itself may go
    gone.clear()
    del y
    with pytest.raises(RuntimeError, match=r"(?s)detected 1 dead tensor.*\(1000,\).*aten.add"):
        graph.replay()
    graph.reset()


def test_a_capture_takes_cudas_names():
    x = torch.ones(8, device="trn")
    graph = trn.TRNGraph()
    with trn.graph(cuda_graph=graph, pool=None, stream=trn.Stream(), check_input_liveness=False,
                   capture_error_mode="thread_local", enable_annotations=False):
        y = x + 1
    graph.replay()
    assert y.sum().item() == 16
    with pytest.raises(RuntimeError, match="debug_dump"):
        trn.graph(trn.TRNGraph(), enable_annotations=True)
