"""Messages in CUDA's words: programs look for them in what they catch."""

import pytest
import torch


def test_a_program_finds_cudas_words(redirected):
    with pytest.raises(torch.cuda.OutOfMemoryError, match="^CUDA out of memory. Tried to allocate"):
        torch.empty(1 << 46, dtype=torch.uint8, device="cuda")
    with pytest.raises(torch.AcceleratorError, match="^CUDA error: invalid device ordinal"):
        torch.empty(1, device="cuda:7")
    with pytest.raises(torch.AcceleratorError, match="^CUDA error: invalid device ordinal"):
        torch.cuda.set_device(200)
    table = torch.ones(4, 3, device="cuda")
    with pytest.raises(RuntimeError, match="^CUDA error: device-side assert"):
        table[torch.tensor([50], device="cuda")].cpu()
    with pytest.raises(ValueError, match="^Expected a cuda device, but got: cpu"):
        torch.cuda.synchronize("cpu")
    with pytest.raises(RuntimeError, match="^Called CUDAGraph::replay without"):
        torch.cuda.CUDAGraph().replay()
    with pytest.raises(RuntimeError, match="between CPU and CUDA tensors during CUDA graph"):
        with torch.cuda.graph(torch.cuda.CUDAGraph()):
            torch.ones(2).cuda()
    with pytest.raises(RuntimeError, match="Expected a 'cuda' device type for generator"):
        torch.empty(2, device="cuda").uniform_(generator=torch.Generator())
    with pytest.raises(RuntimeError, match="mat2 is on cpu, different from other tensors on cuda:0 "
                                           ".*method wrapper_CUDA_mm"):
        torch.ones(2, 2, device="cuda") @ torch.ones(2, 2)
    with pytest.raises(RuntimeError, match="^The device_index is invalid"):
        torch.Generator("cuda:9")
    with pytest.raises(NotImplementedError, match="^\"cholesky_cuda\" not implemented for 'Half'"):
        torch.linalg.cholesky(torch.eye(3, device="cuda").half())
    summary = torch.cuda.memory_summary()
    assert "PyTorch CUDA memory summary, device ID 0" in summary and "TRN" not in summary


def test_other_programs_find_the_devices_own():
    with pytest.raises(torch.OutOfMemoryError, match="^TRN out of memory. Tried to allocate"):
        torch.empty(1 << 46, dtype=torch.uint8, device="trn")
    with pytest.raises(torch.AcceleratorError, match="^TRN error: invalid device ordinal"):
        torch.trn.set_device(200)
    with pytest.raises(RuntimeError, match="on trn:0 .*method wrapper_TRN__native_layer_norm"):
        torch.nn.functional.layer_norm(torch.ones(2, 2, device="trn"), (2,), torch.ones(2))
