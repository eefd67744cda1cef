"""Saving, loading, copying and sharing tensors."""

import copy
import io
import pickle

import pytest
import torch


def saved(thing):
    file = io.BytesIO()
    torch.save(thing, file)
    file.seek(0)
    return file


@pytest.fixture
def x():
    return torch.arange(12, dtype=torch.float32).reshape(3, 4).to("trn:1")


@pytest.mark.parametrize("location, expected", [
    (None, "trn:1"), ("cpu", "cpu"), ("trn", "trn:0"), ("trn:0", "trn:0"),
    (torch.device("trn", 0), "trn:0"), ({"trn:1": "trn:0"}, "trn:0"),
    (lambda storage, location: storage, "cpu"),
])
@pytest.mark.parametrize("weights_only", [True, False])
def test_load_across_devices(x, location, expected, weights_only):
    back = torch.load(saved({"x": x}), map_location=location, weights_only=weights_only)["x"]
    assert back.device == torch.device(expected)
    assert torch.equal(back.cpu(), x.cpu())


def test_load_a_cpu_file_onto_trn():
    back = torch.load(saved(torch.ones(3)), map_location="trn:1")
    assert back.device == torch.device("trn", 1) and back.cpu().sum() == 3


def test_load_for_a_device_that_is_not_here(x, python, tmp_path):
    torch.save(x, tmp_path / "x.pt")
    result = python("import torch, torch_trn\ntorch.load('x.pt')", env={"TRN_DEVICES": "1"})
    assert result.returncode == 1
    assert "RuntimeError" in result.stderr and "device" in result.stderr
    result = python("import torch, torch_trn\nprint(torch.load('x.pt', map_location='cpu').sum())",
                    env={"TRN_DEVICES": "0"})
    assert "66" in result.stdout, result.stderr


def test_views_share_storage_after_loading(x):
    back = torch.load(saved([x, x[1]]))
    assert back[0].untyped_storage().data_ptr() == back[1].untyped_storage().data_ptr()


def test_pickle_and_deepcopy(x):
    back = pickle.loads(pickle.dumps(x))
    assert back.device == x.device and torch.equal(back.cpu(), x.cpu())
    twin = copy.deepcopy(x)
    assert twin.device == x.device and twin.data_ptr() != x.data_ptr()
    assert torch.equal(twin.cpu(), x.cpu())
    layer = torch.nn.Linear(2, 2).to("trn")
    assert copy.deepcopy(layer).weight.device.type == "trn"


def test_storage_resize_and_copy(x):
    storage = x.untyped_storage()
    assert storage.nbytes() == 48 and storage.device == torch.device("trn", 1)
    storage.resize_(96)
    assert torch.equal(x.cpu().flatten(), torch.arange(12.0))
    storage.resize_(0)
    assert storage.nbytes() == 0
    other = torch.arange(12.0).to("trn:0").untyped_storage()
    storage.resize_(48)
    storage.copy_(other)
    assert torch.equal(x.cpu().flatten(), torch.arange(12.0))
    assert storage.cpu().device.type == "cpu"


def test_share_memory_is_a_no_op_as_on_cuda(x):
    assert x.share_memory_() is x and x.is_shared()


def test_dlpack_shares_memory(x):
    with torch.trn.device(1):
        y = torch.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(x))
    assert y.data_ptr() == x.data_ptr() and y.device == x.device
    y.copy_(torch.zeros(3, 4))
    assert x.cpu().sum() == 0


def test_set_and_views():
    base = torch.arange(10).to("trn")
    t = torch.empty(0, dtype=torch.long, device="trn")
    t.set_(base.untyped_storage(), 2, (2, 3), (3, 1))
    assert t.cpu().tolist() == [[2, 3, 4], [5, 6, 7]]
    assert t.data_ptr() == base.data_ptr() + 16
    t.set_(base)
    assert t.shape == (10,)
    assert torch.empty(0, dtype=torch.long, device="trn").set_(base.untyped_storage()).numel() == 10
