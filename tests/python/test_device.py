"""torch.trn's devices, and the errors people meet, in CUDA's types and words."""

import pytest
import torch

# Names of torch.cuda.__all__ without a twin, each with the reason.
WITHOUT_TWIN = {
    # CUDA's own libraries
    "CudaError", "cudaStatus", "cudart", "check_error", "current_blas_handle",
    "current_solver_handle", "DeferredCudaCallError", "GreenContext", "jiterator", "nccl",
    "tunable",
    # trn keeps its allocator
    "CUDAPluggableAllocator", "change_current_allocator",
    "caching_allocator_enable", "caching_allocator_disabled",
    # not observed
    "get_sync_debug_mode", "set_sync_debug_mode", "host_memory_stats",
    "host_memory_stats_as_nested_dict", "reset_accumulated_host_memory_stats",
    "reset_peak_host_memory_stats",
}


def test_twins_of_torch_cuda():
    missing = {name for name in torch.cuda.__all__ if not hasattr(torch.trn, name)}
    assert missing == WITHOUT_TWIN


def test_two_devices_and_the_current_one():
    assert torch.trn.device_count() == 2
    assert torch.trn.current_device() == 0
    with torch.trn.device(1):
        assert torch.trn.current_device() == 1
        assert torch.empty(1, device="trn").device.index == 1
        with torch.trn.device("trn:0"):
            assert torch.trn.current_device() == 0
        with torch.trn.device(-1):
            assert torch.trn.current_device() == 1
        assert torch.trn.current_device() == 1
    assert torch.trn.current_device() == 0
    with torch.trn.device_of(torch.empty(1, device="trn:1")):
        assert torch.trn.current_device() == 1
    with torch.trn.device_of(torch.empty(1)):
        assert torch.trn.current_device() == 0


def test_properties():
    p = torch.trn.get_device_properties(0)
    assert p.name == torch.trn.get_device_name() and "rainium" not in p.name
    assert p.total_memory == torch.trn.mem_get_info()[1] > 0
    assert p.multi_processor_count >= 1
    for name in ("max_threads_per_block", "shared_memory_per_block_optin", "clock_rate",
                 "memory_clock_rate", "memory_bus_width", "pci_bus_id"):
        assert isinstance(getattr(p, name), int)
    assert torch.trn.get_device_capability() == (p.major, p.minor)
    assert torch.trn.can_device_access_peer(0, 1) and not torch.trn.can_device_access_peer(1, 1)
    with pytest.raises(AssertionError, match="Invalid device id"):
        torch.trn.get_device_properties(5)


def test_accelerator_is_complete():
    acc = torch.accelerator
    assert acc.is_available() and acc.device_count() == 2
    assert acc.current_accelerator() == torch.device("trn")
    with acc.device_index(1):
        assert acc.current_device_index() == 1 == torch.trn.current_device()
    x = torch.empty(1024, device="trn")
    assert acc.memory_allocated() >= 4096 and acc.max_memory_allocated() >= 4096
    assert acc.memory_reserved() >= acc.memory_allocated()
    assert acc.memory_stats()["allocation.all.current"] >= 1
    free, total = acc.get_memory_info()
    assert 0 < free <= total
    stream = torch.Stream("trn")
    before = acc.current_stream()
    acc.set_stream(stream)
    assert acc.current_stream() == stream
    acc.set_stream(before)
    acc.synchronize()
    assert torch.float32 in acc.get_device_capability()["supported_dtypes"]
    del x
    acc.empty_cache()
    acc.reset_peak_memory_stats()
    acc.reset_accumulated_memory_stats()


@pytest.mark.parametrize("call, words", [
    (lambda: torch.empty(1, device="trn:7"), "invalid device ordinal"),
    (lambda: torch.trn.set_device(7), "invalid device ordinal"),
    (lambda: torch.zeros(1).to("trn:2"), "invalid device ordinal"),
    (lambda: torch.empty(1, device="trn").numpy(),
     "can't convert trn:0 device type tensor to numpy. Use Tensor.cpu"),
])
def test_error_words(call, words):
    with pytest.raises((RuntimeError, TypeError), match=words):
        call()
    assert torch.tensor([1, 2]).to("trn").cpu().tolist() == [1, 2]  # nothing is wedged


def test_device_argument_errors():
    with pytest.raises(ValueError, match="Expected a trn device"):
        torch.trn.set_device("cpu")
    with pytest.raises(ValueError, match="specified index"):
        torch.trn.set_device("trn")


def test_legacy_types():
    x = torch.trn.FloatTensor(2, 3)
    assert x.device.type == "trn" and x.shape == (2, 3) and x.dtype == torch.float32
    assert isinstance(x, torch.trn.FloatTensor) and not isinstance(x, torch.trn.LongTensor)
    assert torch.trn.LongTensor([1, 2]).tolist() == [1, 2]
    assert not isinstance(torch.empty(1), torch.trn.FloatTensor)


def test_methods_and_modules():
    x = torch.tensor([1.0, 2.0])
    assert x.trn().is_trn and x.trn(1).device == torch.device("trn", 1) and not x.is_trn
    layer = torch.nn.Linear(2, 2)
    weight = layer.weight
    layer.trn()
    assert layer.weight is weight and weight.is_trn  # parameters keep their identity
    assert layer.weight.untyped_storage().device.type == "trn"
