"""What operators without a kernel get on their way to the host."""

import torch


def test_products_of_transposed_strided_ones_run_somewhere():
    parts = [torch.randn(2, 4), torch.randn(3, 4)]
    nested = torch.nested.nested_tensor(parts, device="trn")
    got = torch.bmm(nested, nested.transpose(1, 2)) + nested @ nested.transpose(1, 2)
    for a, part in zip(got.unbind(), parts, strict=True):
        torch.testing.assert_close(a.cpu(), 2 * part @ part.t())
