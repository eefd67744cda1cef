"""weight_norm, by the operator and by both of torch.nn's wrappers."""

import pytest
import torch
from torch import nn

from .compare import FLOATS, check, make

pytestmark = pytest.mark.usefixtures("native")


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(("shape", "dim"), [((4, 3, 5), 0), ((4, 3, 5), 2), ((4, 3, 5), 1),
                                            ((7,), 0)], ids=str)
def test_weight_norm(shape, dim, dtype):
    sizes = [n if d == dim else 1 for d, n in enumerate(shape)]
    check(lambda v, g: torch._weight_norm(v, g, dim), make(*shape, dtype=dtype).requires_grad_(),
          make(*sizes, dtype=dtype, seed=1).requires_grad_())


def test_of_nothing():
    v, g = torch.ones(3, 0, device="trn"), torch.ones(3, 1, device="trn")
    w, norms = torch._weight_norm_interface(v, g, 0)
    assert w.shape == (3, 0) and norms.tolist() == [[0.0]] * 3
    torch.testing.assert_close(torch.ops.aten._weight_norm_interface_backward(w, v, g, norms, 0),
                               (v, torch.zeros_like(g)))


def test_twice_differentiated():
    v, g = make(4, 3).requires_grad_(), make(4, 1, seed=1).requires_grad_()

    def penalty(v, g):
        norm = torch._weight_norm(v, g, 0).square().sum().sqrt()
        return torch.autograd.grad(norm, v, create_graph=True)[0].square().sum()

    check(penalty, v, g)


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
@pytest.mark.parametrize("wrap", [nn.utils.weight_norm, nn.utils.parametrizations.weight_norm])
def test_a_convolution_of_a_vocoder(wrap):
    torch.manual_seed(0)
    here = wrap(nn.Conv1d(3, 4, 5))
    there = wrap(nn.Conv1d(3, 4, 5)).to("trn")
    there.load_state_dict(here.state_dict())
    x = make(2, 3, 16)
    for net, device in ((here, "cpu"), (there, "trn")):
        net(x.to(device)).square().sum().backward()
    for a, b in zip(there.parameters(), here.parameters(), strict=True):
        torch.testing.assert_close(a.grad.cpu(), b.grad, rtol=1e-4, atol=1e-4)
