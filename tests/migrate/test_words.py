"""Messages in CUDA's words: programs look for them in what they catch."""

import numpy
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


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_convolutions_of_two_devices_name_both_types(redirected, dims):
    image, weight = torch.ones(1, 3, *[4] * dims), torch.ones(3, 3, *[3] * dims)
    for kind in ("conv", "conv_transpose"):
        convolve = getattr(torch.nn.functional, f"{kind}{dims}d")
        with pytest.raises(RuntimeError, match=r"^Input type \(torch.cuda.FloatTensor\) and weight "
                                               r"type \(torch.FloatTensor\) should be the same$"):
            convolve(image.cuda(), weight)
        with pytest.raises(RuntimeError, match=r"^Input type \(torch.cuda.FloatTensor\) and bias "
                                               r"type \(torch.FloatTensor\) should be the same$"):
            convolve(image.cuda(), weight.cuda(), torch.ones(3))
        with pytest.raises(RuntimeError, match=r"\(torch.cuda.FloatTensor\) and weight type "
                                               r"\(torch.cuda.HalfTensor\) should be the same$"):
            convolve(image.cuda(), weight.cuda().half())


def test_a_convolution_of_a_cpu_image(redirected):
    weight = torch.ones(3, 3, 3, 3, device="cuda")
    with pytest.raises(RuntimeError, match=r"^Input type \(torch.FloatTensor\) and weight type "
                                           r"\(torch.cuda.FloatTensor\) should be the same or "):
        torch.nn.functional.conv2d(torch.ones(16, 3, 8, 8), weight)
    with pytest.raises(RuntimeError, match="weight is on cuda:0, different from other tensors on "
                                           "cpu .*method wrapper_CUDA___slow_conv2d_forward"):
        torch.nn.functional.conv2d(torch.ones(1, 3, 4, 4), weight)


def test_operators_of_two_devices_name_both(redirected):
    x, y = torch.ones(3, device="cuda"), torch.ones(3)
    words = "^Expected all tensors to be on the same device, but found at least two devices, cuda:0"
    for call in (lambda: x + y, lambda: y.add_(x), lambda: torch.where(x > 0, x, y),
                 lambda: torch.sin(x, out=y), lambda: torch._foreach_mul([x], [y])):
        with pytest.raises(RuntimeError, match=f"{words} and cpu!$"):
            call()
    for call in (x.numpy, lambda: numpy.asarray(x)):
        with pytest.raises(TypeError, match="^can't convert cuda:0 device type tensor to numpy. "
                                            "Use Tensor.cpu"):
            call()


def test_types_have_cudas_names(redirected):
    with pytest.raises(RuntimeError, match="but got torch.cuda.FloatTensor instead .*embedding"):
        torch.nn.functional.embedding(torch.ones(2).cuda(), torch.ones(3, 2).cuda())
    with pytest.raises(NotImplementedError, match="^\"im2col_out_cuda\" not implemented for"):
        torch.nn.functional.unfold(torch.ones(1, 1, 4, 4, device="cuda").long(), 2)


def test_other_programs_find_the_devices_own():
    with pytest.raises(torch.OutOfMemoryError, match="^TRN out of memory. Tried to allocate"):
        torch.empty(1 << 46, dtype=torch.uint8, device="trn")
    with pytest.raises(torch.AcceleratorError, match="^TRN error: invalid device ordinal"):
        torch.trn.set_device(200)
    with pytest.raises(RuntimeError, match="on trn:0 .*method wrapper_TRN__native_layer_norm"):
        torch.nn.functional.layer_norm(torch.ones(2, 2, device="trn"), (2,), torch.ones(2))
    with pytest.raises(RuntimeError, match="at least two devices, trn:0 and cpu!$"):
        torch.ones(2, device="trn") + torch.ones(2)
