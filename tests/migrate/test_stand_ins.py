"""What torch.cuda's neighbours answer where only trn is there."""

import pytest
import torch
from torch.backends.cuda import SDPAParams
from torch.nn.attention import SDPBackend, sdpa_kernel

pytestmark = pytest.mark.usefixtures("redirected")


def asked(dtype, mask=None, width=8, device="cuda"):
    q = torch.ones(1, 2, 16, width, device=device, dtype=dtype)
    params = SDPAParams(q, q, q, mask, 0.0, False, False)
    cuda = torch.backends.cuda
    return cuda.can_use_flash_attention(params), cuda.can_use_efficient_attention(params)


def test_fused_attention_is_offered_for_what_cuda_offers_it():
    assert asked(torch.float16) == asked(torch.bfloat16) == (True, True)
    assert asked(torch.float32) == (False, True)
    assert asked(torch.float64) == (False, False)
    assert asked(torch.float16, width=512) == (False, False)
    assert asked(torch.float16, torch.ones(16, 16, device="cuda")) == (False, True)
    assert asked(torch.float16, device="cpu") == (False, False)
    with sdpa_kernel(SDPBackend.MATH):
        assert asked(torch.float16) == (False, False)


@pytest.mark.parametrize("layout", [torch.sparse_csr, torch.sparse_csc])
def test_compressed_tensors_go_to_the_device(layout):
    there = torch.eye(4).to_sparse(layout=layout)
    for moved in (there.to("cuda"), there.to("cuda:0", non_blocking=True), there.cuda(),
                  there.to(device="cuda", dtype=torch.float64)):
        assert moved.is_cuda and moved.layout == layout
        assert torch.equal(moved.to_dense().cpu().float(), torch.eye(4))
    for like in (there, there.cuda()):
        made = torch.empty_like(like, device="cuda")
        assert made.is_cuda and made.layout == layout and made.shape == there.shape
        made = torch.zeros_like(like, device="cuda")
        assert made.is_cuda and made.layout == layout and not made.to_dense().any()
    assert torch.empty_like(there, device="cpu").device.type == "cpu"
