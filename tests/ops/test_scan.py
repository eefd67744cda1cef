"""Running sums, products and extremes along lines abreast, side by side and alone."""

import pytest
import torch

pytestmark = pytest.mark.usefixtures("native")

LAYOUTS = [((1, 300), 1), ((7, 50), 1), ((8, 50), 1), ((19, 33), 1), ((40, 3), 0), ((40, 257), 0),
           ((5, 20, 300), 1), ((3, 20, 5), 1), ((11,), 0)]


@pytest.mark.parametrize("shape, dim", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64,
                                   torch.uint8, torch.complex64])
def test_running_sums_and_products(isa, shape, dim, dtype):
    x = torch.randn(shape, dtype=torch.complex128).to(dtype) if dtype.is_complex else (
        torch.randn(shape).to(dtype) if dtype.is_floating_point
        else torch.randint(0, 9, shape).to(dtype))
    for f in (torch.cumsum, torch.cumprod):
        expected = f(x, dim)
        torch.testing.assert_close(f(x.to("trn"), dim).cpu(), expected)
        strided = torch.stack([x, x], -1).to("trn")[..., 1]
        torch.testing.assert_close(f(strided, dim).cpu(), expected)


@pytest.mark.parametrize("shape, dim", LAYOUTS)
def test_running_extremes(isa, shape, dim):
    x = torch.randint(0, 9, shape).float()
    x.view(-1)[2 * x.numel() // 3] = torch.nan
    for f in (torch.cummax, torch.cummin):
        values, where = f(x.to("trn"), dim)
        expected = f(x, dim)
        torch.testing.assert_close(values.cpu(), expected.values, equal_nan=True)
        assert torch.equal(where.cpu(), expected.indices)


@pytest.mark.parametrize("shape, dim", LAYOUTS)
def test_running_sums_of_exponentials(isa, shape, dim):
    x = torch.randn(shape, dtype=torch.float64)
    torch.testing.assert_close(x.to("trn").logcumsumexp(dim).cpu(), x.logcumsumexp(dim))
