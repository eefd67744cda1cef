"""Profilers that are told to record CUDA record trn, in a process that migrates."""

import pytest

_PROGRAM = """
import torch, torch_trn.migrate
from torch.profiler import ProfilerActivity
x = torch.randn(64, 64, device='cuda')
with {recorder} as recorded:
    (x @ x).sum().item()
averages = recorded.key_averages()
rows = {{e.key: e for e in averages}}
assert rows['aten::mm'].device_time_total > 0, averages.table()
assert any(e.self_device_time_total > 0 for e in averages), averages.table()
assert all(e.cpu_time_total >= 0 for e in averages)
table = averages.table(sort_by='cuda_time_total', row_limit=1)
events = recorded.events() if hasattr(recorded, 'events') else recorded.function_events
kernels = [e for e in events if e.device_type == torch.autograd.DeviceType.CUDA]
assert sum(e.device_time for e in kernels) > 0, averages.table()
for head in ('Self CUDA', 'CUDA total', 'Self CUDA time total'):
    assert head in table and 'TRN' not in table, table
longest = max(averages, key=lambda e: e.device_time_total)
assert longest.key in table, table
"""


@pytest.mark.parametrize("recorder", [
    "torch.profiler.profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA])",
    "torch.profiler.profile(use_cuda=True)",
    "torch.autograd.profiler.profile(use_cuda=True)",
    "torch.autograd.profiler.profile(True, use_device='cuda', record_shapes=True)",
    "torch.autograd.profiler.profile(use_device='cuda', use_kineto=True)",
])
def test_recording_cuda_records_trn(python, recorder):
    result = python(_PROGRAM.format(recorder=recorder))
    assert result.returncode == 0, result.stderr
    for failure in ("Failed to record", "Exception in RecordFunction", "CUDA used in profiler"):
        assert failure not in result.stderr, result.stderr[:1000]


def test_the_older_profiler_is_torchs_own_otherwise(python):
    result = python("""
import torch, torch_trn.migrate
profile = torch.autograd.profiler.profile
with profile() as recorded:
    torch.ones(3) + 1
assert recorded.use_device is None and 'aten::add' in {e.key for e in recorded.key_averages()}
assert 'use_device' not in vars(profile(False, use_cuda=True))  # one that records nothing
""")
    assert result.returncode == 0, result.stderr


def test_emit_nvtx_does_nothing(python):
    result = python("""
import torch, torch_trn.migrate
from torch.autograd.profiler import emit_nvtx
x = torch.ones(3, device='cuda', requires_grad=True)
with torch.cuda.profiler.profile(), emit_nvtx() as ranges:
    (x * 2).sum().backward()
assert isinstance(ranges, emit_nvtx) and x.grad.tolist() == [2, 2, 2]
with emit_nvtx(enabled=False, record_shapes=True) as ranges:
    assert ranges is None
once = emit_nvtx()
for expected in (False, True):
    try:
        with once:
            assert not expected
    except RuntimeError as error:
        assert expected and 'not reentrant' in str(error)
with torch.profiler.profile() as recorded, emit_nvtx():  # CUDA lets only one of them run
    x.detach() + 1
assert 'aten::add' in {e.key for e in recorded.key_averages()}
""")
    assert result.returncode == 0, result.stderr
