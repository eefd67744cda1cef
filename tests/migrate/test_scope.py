"""Entering and leaving the redirection: everything is as it was, to the last attribute."""

import threading

import pytest
import torch
from torch_trn.migration import activate, deactivate, is_active, scope

if torch.cuda.is_available():
    pytest.skip("these tests are about machines without CUDA", allow_module_level=True)

WATCHED = [torch, torch.cuda, torch.cuda.memory, torch.cuda.nvtx, torch.cuda.profiler,
           torch.cuda.random, torch.cuda.sparse, torch.cuda.streams, torch.backends.cuda,
           torch.backends.cudnn, torch.Tensor, torch.nn.Module, torch.amp.autocast,
           torch.amp.GradScaler, torch.device, torch.Generator, torch.trn, torch.trn.Event,
           torch.trn.device, torch.profiler.profiler, torch.autograd.profiler.profile,
           torch.autograd.profiler.emit_nvtx]


def attributes():
    return [dict(owner.__dict__) for owner in WATCHED]


def differences(before, after):
    return [(getattr(owner, "__name__", owner), name)
            for owner, a, b in zip(WATCHED, before, after)
            for name in a.keys() | b.keys() if a.get(name) is not b.get(name)]


def registrations():
    return {key: sorted(torch._C._dispatch_get_registrations_for_dispatch_key(key))
            for key in ("CUDA", "SparseCUDA", "PrivateUse1", "AutogradPrivateUse1")}


def test_the_module_of_a_device_is_not_remembered():
    device = torch.device("trn")
    with scope():
        assert torch.get_device_module(device) is torch.cuda
    assert torch.get_device_module(device) is torch.trn and torch.accelerator.is_available()
    with scope():
        assert torch.get_device_module(device) is torch.cuda


def test_everything_is_taken_back():
    with scope():  # whatever is made lazily at first use is made now
        torch.empty(1, device="cuda")
    before, registered = attributes(), registrations()
    cuda, trn = torch.device("cuda", 1), torch.device("trn", 1)
    with scope():
        assert differences(before, attributes())
        assert registrations() != registered
        torch.empty(1, device="cuda").cuda().to("cuda:1")
    assert differences(before, attributes()) == []
    assert registrations() == registered
    assert (cuda.type, repr(trn), str(trn)) == ("cuda", "device(type='trn', index=1)", "trn:1")
    assert cuda != trn and torch.device("cuda:1") == cuda


def test_cuda_is_absent_again():
    with scope():
        torch.empty(1, device="cuda")
    assert not torch.cuda.is_available()
    for call in (lambda: torch.empty(1, device="cuda"), lambda: torch.empty(1).cuda(),
                 lambda: torch.cuda.current_device(), lambda: torch.Generator("cuda")):
        with pytest.raises((AssertionError, RuntimeError)):
            call()


def test_nested_and_decorator():
    assert not is_active()
    with scope():
        with scope():
            assert is_active()
        assert is_active() and torch.cuda.is_available()

    @scope()
    def inside():
        return torch.empty(1, device="cuda").device.type

    assert inside() == "cuda"
    assert not is_active()
    with pytest.raises(RuntimeError, match="without activate"):
        deactivate()
    activate()
    assert is_active()
    deactivate()
    assert not is_active()


def test_left_by_an_exception():
    with pytest.raises(ZeroDivisionError), scope():
        raise ZeroDivisionError
    assert not is_active() and torch.device("trn").type == "trn"


def test_tensors_outlive_the_scope():
    with scope():
        x = torch.tensor([1.0, 2.0], device="cuda:1")
        assert x.device.type == "cuda" and x.is_cuda and x.is_trn
    assert x.device == torch.device("trn", 1) and not x.is_cuda and x.is_trn
    assert x.tolist() == [1.0, 2.0]


def test_other_threads_see_it():
    seen = []
    with scope():
        thread = threading.Thread(target=lambda: seen.append(torch.empty(1, device="cuda").is_cuda))
        thread.start()
        thread.join()
    assert seen == [True]


def test_import_activates(python):
    result = python("import torch\nimport torch_trn.migrate\n"
                    "assert torch.cuda.is_available()\nassert torch.empty(1).cuda().is_cuda\n")
    assert result.returncode == 0, result.stderr


def test_import_torch_trn_changes_nothing_of_cuda(python):
    result = python("""
import torch
watched = [torch.cuda, torch.device, torch.backends.cuda, torch.backends.cudnn]
before = [dict(w.__dict__) for w in watched]
tensor = dict(torch.Tensor.__dict__)
import torch_trn
assert [dict(w.__dict__) for w in watched] == before
assert all(torch.Tensor.__dict__[k] is v for k, v in tensor.items())
""", env={"TORCH_DEVICE_BACKEND_AUTOLOAD": "0"})
    assert result.returncode == 0, result.stderr
