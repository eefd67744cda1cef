"""Streams, events and generators through Python."""

import pytest
import torch


def test_classes():
    stream, event = torch.trn.Stream(), torch.trn.Event()
    assert isinstance(stream, torch.Stream) and isinstance(event, torch.Event)
    assert stream.device == torch.device("trn", 0)
    assert torch.trn.Stream(device="trn:1").device.index == 1
    low, high = torch.trn.Stream.priority_range()
    assert low == 0 and high < 0
    assert torch.trn.Stream(priority=high).priority == high
    assert torch.trn.Stream(priority=-100).priority == high


def test_current_default_and_context():
    default = torch.trn.default_stream()
    assert torch.trn.current_stream() == default
    side, other = torch.trn.Stream(), torch.trn.Stream(device=1)
    with torch.trn.stream(side):
        assert torch.trn.current_stream() == side != default
        with torch.trn.stream(other):
            assert torch.trn.current_device() == 1
            assert torch.trn.current_stream() == other
            assert torch.trn.current_stream(0) == side
        assert torch.trn.current_device() == 0
    with torch.trn.stream(None):
        assert torch.trn.current_stream() == default
    assert torch.trn.current_stream(1) == torch.trn.default_stream(1)
    with side:
        assert torch.trn.current_stream() == side
    assert len({side, torch.trn.current_stream(), default}) == 2


def test_events_order_streams():
    side = torch.trn.Stream()
    x = torch.arange(1 << 20).to("trn")
    side.wait_stream(torch.trn.current_stream())
    with torch.trn.stream(side):
        y = x.clone()
    event = side.record_event()
    torch.trn.current_stream().wait_event(event)
    assert torch.equal(y.cpu(), torch.arange(1 << 20))
    event.synchronize()
    assert event.query() and side.query()
    x.record_stream(side)


def test_events_across_devices():
    x = torch.arange(1 << 16).to("trn:0")
    event = torch.trn.Event()
    event.record()
    with torch.trn.device(1):
        event.wait()
        y = x.to("trn:1")
    assert torch.equal(y.cpu(), torch.arange(1 << 16))


def test_timing():
    first, last = (torch.trn.Event(enable_timing=True) for _ in range(2))
    assert first.query()  # never recorded: nothing to wait for, as on CUDA
    first.record()
    x = torch.empty(1 << 22, device="trn")
    x.copy_(torch.zeros(1 << 22))
    last.record()
    last.synchronize()
    assert 0 < first.elapsed_time(last) < 60_000
    untimed = torch.trn.Event()
    untimed.record()
    with pytest.raises((RuntimeError, ValueError)):
        untimed.elapsed_time(last)
    with pytest.raises(RuntimeError, match="shared between processes"):
        torch.trn.Event(interprocess=True)


def test_generators_state():
    state = torch.trn.get_rng_state()
    assert state.dtype == torch.uint8 and state.numel() == 16 and state.device.type == "cpu"
    torch.manual_seed(7)
    assert torch.trn.initial_seed() == 7
    assert [g.initial_seed() for g in torch.trn.default_generators] == [7, 7]
    torch.trn.manual_seed_all(9)
    saved = torch.trn.get_rng_state_all()
    assert saved[0][:8].view(torch.int64).item() == 9
    torch.trn.seed_all()
    assert len({g.initial_seed() for g in torch.trn.default_generators}) == 1
    torch.trn.set_rng_state_all(saved)
    assert torch.trn.initial_seed() == 9
    torch.trn.set_rng_state(state)
    own = torch.Generator("trn:1")
    assert own.device == torch.device("trn", 1)
    assert own.manual_seed(3).initial_seed() == 3


def test_random_numbers_repeat(ran):
    torch.trn.manual_seed(5)
    first = torch.randn(1000, device="trn")
    state = torch.trn.get_rng_state()
    second = torch.rand(10, device="trn")
    torch.trn.manual_seed(5)
    assert torch.equal(torch.randn(1000, device="trn").cpu(), first.cpu())
    torch.trn.set_rng_state(state)
    assert torch.equal(torch.rand(10, device="trn").cpu(), second.cpu())
    with torch.random.fork_rng(devices=[0], device_type="trn"):
        torch.rand(3, device="trn")
    torch.trn.set_rng_state(state)
    assert torch.equal(torch.rand(10, device="trn").cpu(), second.cpu())


def test_a_thousand_operations_wait_for_nothing(python):
    result = python(
        "import sys, torch, torch_trn\n"
        "a, x = torch.ones(3000, 3000, device='trn'), torch.zeros(8, device='trn')\n"
        "torch.trn.synchronize()\n"
        "print('begin', file=sys.stderr, flush=True)\n"
        "for _ in range(4):\n"
        "    a = a @ a\n"
        "for i in range(1000):\n"
        "    x = x + 1\n"
        "still_at_work = not torch.trn.current_stream().query()\n"
        "print('end', file=sys.stderr, flush=True)\n"
        "assert still_at_work and x.tolist() == [1000.0] * 8\n",
        env={"TRN_VERBOSE": "sync"})
    assert result.returncode == 0, result.stderr
    before, rest = result.stderr.split("begin\n")
    during, after = rest.split("end\n")
    assert "sync" in before and "sync" in after and during == ""
