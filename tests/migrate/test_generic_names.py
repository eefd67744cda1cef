"""CUDA under torch's generic names: events, profilers, pinned memory, streams by their handle."""

import pytest
import torch

pytestmark = pytest.mark.usefixtures("redirected")


def test_events_by_a_devices_name():
    first, last = torch.Event("cuda", enable_timing=True), torch.Event(
        device="cuda", enable_timing=True)
    first.record()
    last.record()
    last.synchronize()
    assert first.elapsed_time(last) >= 0
    assert torch.Event("cpu").device.type == "cpu"


def test_profilers_support_cuda():
    assert torch.profiler.ProfilerActivity.CUDA in torch.profiler.supported_activities()


def test_memory_pinned_for_cuda():
    pinned = torch.ones(3).pin_memory("cuda")
    assert pinned.is_pinned("cuda") and pinned.is_pinned()
    assert not torch.ones(3).is_pinned("cuda")


def test_streams_by_their_handle():
    stream = torch.cuda.Stream()
    assert torch.cuda.ExternalStream(stream.cuda_stream) == stream
    assert torch.cuda.get_stream_from_external(0) == torch.cuda.default_stream()
    with pytest.raises(RuntimeError, match="no trn stream has the handle 0x4d2"):
        torch.cuda.ExternalStream(1234)


def test_dlpack_on_another_stream():
    x = torch.arange(3.0, device="cuda")
    with torch.cuda.stream(torch.cuda.Stream()):
        y = torch.from_dlpack(x)
    assert y.data_ptr() == x.data_ptr() and y.tolist() == [0, 1, 2]
