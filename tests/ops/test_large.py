"""More than 2**31 elements: offsets and counts are 64-bit everywhere. In int8, 2 to 7 GiB each;
they run where that much memory is free, and say so where not."""

import os

import pytest
import torch

N = 2**31 + 17
GIB = 2**30


def free_bytes():
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def needs(gib):
    return pytest.mark.skipif(
        free_bytes() < (gib + 2) * GIB or torch.trn.mem_get_info()[1] < gib * GIB,
        reason=f"needs {gib} GiB of free memory")


@pytest.fixture(autouse=True)
def released():
    yield
    torch.trn.empty_cache()


@pytest.fixture
def long():
    x = torch.zeros(N, dtype=torch.int8, device="trn")
    x[-1], x[2**31] = 3, 2
    return x


pytestmark = [needs(7), pytest.mark.usefixtures("ran", "no_fallback")]


def test_elementwise(long):
    y = long + 1
    assert y[-1].item() == 4 and y[2**31].item() == 3 and y[5].item() == 1
    long.mul_(5)
    assert long[-1].item() == 15 and long[2**31].item() == 10


def test_elementwise_of_a_wide_matrix():
    x = torch.ones(3, 2**30, dtype=torch.int8, device="trn")
    y = x.t()[-2:] - torch.tensor([1, 2, 3], dtype=torch.int8, device="trn")
    assert y.cpu().tolist() == [[0, -1, -2], [0, -1, -2]]


def test_sum(long):
    assert long.sum().item() == 5


def test_reduce(long):
    assert long.max().item() == 3
    assert long.argmax().item() == N - 1
    assert long.any().item() is True


def test_copy(long):
    y = torch.empty_like(long)
    y.copy_(long)
    assert y[-1].item() == 3 and y[2**31].item() == 2
    assert long[2**31 - 1:].cpu().tolist()[:2] == [0, 2]
    assert long.view(-1)[::2**30][:3].cpu().tolist() == [0, 0, 2]


def test_index(long):
    at = torch.tensor([N - 1, 2**31, 0], device="trn")
    assert long.index_select(0, at).cpu().tolist() == [3, 2, 0]
    assert long[at].cpu().tolist() == [3, 2, 0]
    assert torch.gather(long, 0, at).cpu().tolist() == [3, 2, 0]
    long.index_put_((at,), torch.tensor([7, 8, 9], dtype=torch.int8, device="trn"))
    assert [long[i].item() for i in (N - 1, 2**31, 0)] == [7, 8, 9]


def test_cat(long):
    y = torch.cat([long, torch.ones(3, dtype=torch.int8, device="trn")])
    assert y.numel() == N + 3
    assert y[-4:].cpu().tolist() == [3, 1, 1, 1] and y[2**31].item() == 2


def test_nonzero_and_flip(long):
    assert torch.nonzero(long).view(-1).cpu().tolist() == [2**31, N - 1]
    assert long.flip(0)[0].item() == 3
