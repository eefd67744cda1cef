"""torch.profiler with a timeline of trn: kernels and copies, tied to operators and lines."""

import json

import pytest
import torch
from torch.profiler import ProfilerActivity, profile, record_function

pytestmark = pytest.mark.usefixtures("ran")
BOTH = [ProfilerActivity.CPU, ProfilerActivity.PrivateUse1]


def work():
    x = torch.randn(64, 64).to("trn")
    for _ in range(5):
        x = torch.nn.functional.gelu(x @ x).softmax(-1)  # the line
    return x.cpu()


def trace_of(prof, tmp_path):
    prof.export_chrome_trace(str(tmp_path / "trace.json"))
    return json.loads((tmp_path / "trace.json").read_text())["traceEvents"]


def device_events(events):
    return [e for e in events if e.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset")]


def test_table_has_device_columns():
    with profile(activities=BOTH) as prof:
        work()
    table = prof.key_averages().table(sort_by="self_device_time_total")
    assert "Self TRN" in table and "TRN total" in table
    rows = {e.key: e for e in prof.key_averages()}
    assert rows["aten::mm"].device_time_total > 0
    assert any("softmax" in key and e.self_device_time_total > 0 for key, e in rows.items())


def test_chrome_trace(tmp_path):
    side = torch.trn.Stream()
    with profile(activities=BOTH) as prof:
        with record_function("mine"):
            work()
        with torch.trn.stream(side):
            torch.ones(1000, device="trn") + 1
        torch.trn.synchronize()
    events = trace_of(prof, tmp_path)
    device = device_events(events)
    kernels = [e for e in device if e["cat"] == "kernel"]
    assert sum("matmul" in e["name"] or "gemm" in e["name"] for e in kernels) >= 5
    assert any("HtoD" in e["name"] for e in device) and any("DtoH" in e["name"] for e in device)
    assert {e["args"]["stream"] for e in device} >= {0, side.stream_id}
    # Each lies on the CPU's clock within the profile, and on one stream one after another.
    cpu = [e for e in events if e.get("cat") == "cpu_op"]
    first = min(e["ts"] for e in cpu)
    assert all(e["ts"] >= first - 1000 and e["dur"] >= 0 for e in device)
    for stream in (0, side.stream_id):
        line = sorted((e["ts"], e["dur"]) for e in device if e["args"]["stream"] == stream)
        assert all(a + b <= c + 1 for (a, b), (c, _) in zip(line, line[1:], strict=False))
    # Flows run from operators to kernels.
    starts = {e["id"] for e in events if e.get("ph") == "s" and e.get("cat") == "ac2g"}
    ends = {e["id"] for e in events if e.get("ph") == "f" and e.get("cat") == "ac2g"}
    assert starts & ends
    assert any("test_profiler.py:" in e["args"].get("python line", "") for e in kernels)
    assert all("operands" in e["args"] for e in kernels)


def test_chrome_trace_names_the_devices(tmp_path):
    with profile(activities=BOTH) as prof:
        work()
    path = tmp_path / "trace.json"
    prof.export_chrome_trace(str(path))
    found = json.loads(path.read_text())["deviceProperties"]
    assert [p["id"] for p in found] == list(range(torch.trn.device_count()))
    for p in found:
        there = torch.trn.get_device_properties(p["id"])
        assert (p["name"], p["totalGlobalMem"], p["numSms"]) == (
            there.name, there.total_memory, there.multi_processor_count)


def test_backward_is_attributed():
    model = torch.nn.Linear(32, 32).to("trn")
    x = torch.randn(8, 32, device="trn")
    with profile(activities=BOTH) as prof:
        model(x).sum().backward()
        torch.trn.synchronize()
    rows = {e.key: e for e in prof.key_averages()}
    assert rows["autograd::engine::evaluate_function: AddmmBackward0"].device_time_total > 0


def test_cpu_only_profile_has_no_device_events(tmp_path):
    with profile(activities=[ProfilerActivity.CPU]) as prof:
        work()
    assert not device_events(trace_of(prof, tmp_path))


def test_memory_and_schedule(tmp_path):
    seen = []
    with profile(activities=BOTH, profile_memory=True,
                 schedule=torch.profiler.schedule(wait=1, warmup=1, active=2),
                 on_trace_ready=lambda p: seen.append(trace_of(p, tmp_path))) as prof:
        for _ in range(4):
            work()
            prof.step()
    (events,) = seen
    assert len([e for e in device_events(events) if "HtoD" in e["name"]]) == 2
    assert any(e["name"] == "[memory]" and e["args"].get("Device Type") == 20 for e in events
               if "name" in e)


def test_profiling_twice_and_never_again(tmp_path):
    for _ in range(2):
        with profile(activities=BOTH) as prof:
            work()
        count = len(device_events(trace_of(prof, tmp_path)))
        assert count > 10
    work()
