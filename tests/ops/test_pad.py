"""Padding by reflection and by repeating the edge, with rows of any stride, cropped ones too."""

import pytest
import torch
import torch.nn.functional as F

pytestmark = pytest.mark.usefixtures("native")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.complex64])
@pytest.mark.parametrize("mode", ["reflect", "replicate"])
def test_pad(mode, dtype):
    g = torch.Generator().manual_seed(0)
    for spatial, shape in ((1, (2, 3, 33)), (2, (2, 3, 9, 17)), (3, (1, 2, 5, 6, 7))):
        x = torch.randint(-9, 9, shape, generator=g).to(dtype)
        for t in (x, x.transpose(-1, -2).contiguous().transpose(-1, -2), x.flip(0)):
            for amount in ((2, 3), (4, 0), (0, 1), (-2, 3), (-1, -2)):
                check(t, amount * spatial, mode)


def check(x, amount, mode):
    results = []
    for device in ("cpu", "trn"):
        t = x.detach().to(device).requires_grad_()
        y = F.pad(t, amount, mode=mode)
        (grad,) = torch.autograd.grad(y, t, torch.full_like(y, 2))
        results.append((y.cpu(), grad.cpu()))
    torch.testing.assert_close(results[1], results[0])
