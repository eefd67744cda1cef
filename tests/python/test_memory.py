"""Memory: CUDA's numbers, limits and snapshots."""

import pickle
import subprocess
import sys

import pytest
import torch

MB = 1 << 20


@pytest.fixture(autouse=True)
def clean():
    torch.trn.synchronize()
    torch.trn.empty_cache()
    torch.trn.reset_peak_memory_stats()
    torch.trn.reset_accumulated_memory_stats()
    yield


def test_allocated_reserved_and_peak():
    base = torch.trn.memory_allocated()
    x = torch.empty(3 * MB, dtype=torch.uint8, device="trn")
    y = torch.empty(5 * MB, dtype=torch.uint8, device="trn")
    assert torch.trn.memory_allocated() == base + 8 * MB
    del y
    assert torch.trn.memory_allocated() == base + 3 * MB
    assert torch.trn.max_memory_allocated() == base + 8 * MB
    assert torch.trn.memory_reserved() >= 8 * MB
    torch.trn.reset_peak_memory_stats()
    assert torch.trn.max_memory_allocated() == base + 3 * MB
    del x
    torch.trn.empty_cache()
    assert torch.trn.max_memory_reserved() > torch.trn.memory_reserved()


def test_same_temporaries_allocate_once():
    def step():
        for n in (1000, 3 * MB, 70_000):
            torch.empty(n, dtype=torch.uint8, device="trn")

    step()
    before = torch.trn.memory_stats()["num_device_alloc"]
    for _ in range(50):
        step()
    stats = torch.trn.memory_stats()
    assert stats["num_device_alloc"] == before
    assert stats["allocation.all.allocated"] >= 150


def test_stats_have_cudas_keys():
    keys = set(torch.trn.memory_stats())
    for stat in ("allocation", "segment", "active", "inactive_split", "allocated_bytes",
                 "reserved_bytes", "active_bytes", "inactive_split_bytes", "requested_bytes"):
        for pool in ("all", "large_pool", "small_pool"):
            for metric in ("current", "peak", "allocated", "freed"):
                assert f"{stat}.{pool}.{metric}" in keys
    assert {"num_alloc_retries", "num_ooms"} <= keys


def test_summary():
    x = torch.empty(MB, device="trn")
    text = torch.trn.memory_summary()
    assert "TRN memory summary" in text and "Allocated memory" in text and "from small pool" in text
    assert "from small pool" not in torch.trn.memory_summary(abbreviated=True)
    assert len({len(line) for line in text.splitlines()}) <= 2
    del x


def test_out_of_memory_and_recovery():
    keep = torch.empty(MB, device="trn")
    with pytest.raises(torch.OutOfMemoryError, match="out of memory. Tried to allocate") as raised:
        torch.empty(1 << 50, dtype=torch.uint8, device="trn")
    assert isinstance(raised.value, torch.trn.OutOfMemoryError)
    assert torch.trn.memory_stats()["num_ooms"] == 1
    assert torch.empty(1000, device="trn").numel() == 1000
    del keep


def test_fraction():
    total = torch.trn.mem_get_info()[1]
    try:
        torch.trn.set_per_process_memory_fraction(0.001)
        assert torch.trn.get_per_process_memory_fraction() == 0.001
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(total // 100, dtype=torch.uint8, device="trn")
    finally:
        torch.trn.set_per_process_memory_fraction(1.0)
    with pytest.raises(TypeError, match="must be `float`"):
        torch.trn.set_per_process_memory_fraction(1)
    with pytest.raises(ValueError, match="Allowed range: 0~1"):
        torch.trn.set_per_process_memory_fraction(1.5)


def test_snapshot_and_history_open_in_the_viewer(tmp_path):
    from torch.cuda import _memory_viz

    torch.trn.empty_cache()  # so that no cached block a little larger is taken
    torch.trn.memory._record_memory_history()
    try:
        x = torch.empty(3 * MB, device="trn")
        y = torch.empty(100, device="trn")
        del y
        torch.trn.memory._dump_snapshot(str(tmp_path / "snapshot.pickle"))
    finally:
        torch.trn.memory._record_memory_history(None)
    with open(tmp_path / "snapshot.pickle", "rb") as file:
        snapshot = pickle.load(file)
    actions = [e["action"] for e in snapshot["device_traces"][0]]
    assert {"alloc", "free_requested", "free_completed"} <= set(actions)
    entry = next(e for e in snapshot["device_traces"][0] if e["action"] == "alloc")
    assert any(f["filename"] == __file__ for f in entry["frames"])
    assert entry["time_us"] > 1_000_000_000_000_000
    block = next(b for s in snapshot["segments"] for b in s["blocks"]
                 if b["size"] == 12 * MB and b["state"] == "active_allocated")
    assert block["address"] == x.data_ptr()
    assert "Alloc" in _memory_viz.trace(snapshot) or "alloc" in _memory_viz.trace(snapshot)
    assert "<html" in _memory_viz.trace_plot(snapshot).lower()
    allocated = _memory_viz.Bytes(torch.trn.memory_allocated())
    assert f"total_allocated: {allocated}" in _memory_viz.segsum(snapshot)
    assert not torch.trn.memory._snapshot()["device_traces"][0]


def test_raw_allocation():
    before = torch.trn.memory_allocated()
    address = torch.trn.caching_allocator_alloc(1000, stream=torch.trn.current_stream())
    assert torch.trn.memory_allocated() == before + 1024
    torch.trn.caching_allocator_delete(address)
    assert torch.trn.memory_allocated() == before
    with pytest.raises(RuntimeError, match="invalid device pointer"):
        torch.trn.caching_allocator_delete(address)


def test_pinned_memory():
    x = torch.arange(1000).pin_memory()
    assert x.is_pinned() and not torch.arange(3).is_pinned()
    assert torch.equal(x.to("trn", non_blocking=True).cpu(), torch.arange(1000))
    y = torch.empty(1000, dtype=torch.long, pin_memory=True)
    y.copy_(x.to("trn"), non_blocking=True)
    torch.trn.synchronize()
    assert torch.equal(x, y)


def test_one_number_comes_down_at_once():
    a = torch.randn(600, 600, device="trn")
    for kind in (torch.float32, torch.int64):
        for i in range(5):
            b = a @ a
            number = torch.full((), i, dtype=kind, device="trn")
            assert number.to("cpu", non_blocking=True, copy=True).item() == i
            del b


def test_snapshot_of_one_pool():
    pool = torch.trn.MemPool()
    with torch.trn.use_mem_pool(pool):
        inside = torch.empty(3 * MB, dtype=torch.uint8, device="trn")
    outside = torch.empty(3 * MB, dtype=torch.uint8, device="trn")
    segments = torch.trn.memory_snapshot(pool.id, include_traces=False)
    addresses = [b["address"] for s in segments for b in s["blocks"]]
    assert inside.data_ptr() in addresses and outside.data_ptr() not in addresses
    assert segments == pool.snapshot()


OBSERVED = """
import torch, torch_trn
seen = []
def observer(device, asked, total, free):
    seen.append((device, asked, total, free, len(torch.trn.memory_snapshot())))
torch_trn._C._attach_out_of_memory_observer(observer)
held = torch.empty(1 << 20, device="trn")
try:
    torch.empty(1 << 40, device="trn")
except torch.OutOfMemoryError:
    pass
assert seen == [(0, 1 << 42, torch.trn.mem_get_info()[1], torch.trn.mem_get_info()[0], 1)], seen
def failing(*_):
    raise KeyError("observer")
torch_trn._C._attach_out_of_memory_observer(failing)
try:
    torch.empty(1 << 40, device="trn")
except KeyError:
    print("told")
assert torch.ones(3, device="trn").sum().item() == 3
"""


def test_observers_are_told_of_memory_that_ran_out():
    ran = subprocess.run([sys.executable, "-c", OBSERVED], capture_output=True, text=True)
    assert ran.stdout == "told\n", ran.stderr
