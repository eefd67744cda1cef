"""Wrappers in C++: packages compiled ahead of time, and torch.compile's cpp_wrapper."""

import copy
import gc
import threading

import pytest
import torch
from torch import nn

pytestmark = pytest.mark.usefixtures("compiles")
here = pytest.mark.usefixtures("ran", "no_fallback")
F = nn.functional


class Reader(nn.Module):
    """Loops, products, a convolution, attention, a library call, and state that a call changes."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(4, 32, 3, padding=1), nn.LayerNorm(32)
        self.qkv, self.out = nn.Linear(32, 96), nn.Linear(32, 10)
        self.register_buffer("calls", torch.ones(10))

    def forward(self, x):
        x = self.norm(self.conv(x).transpose(1, 2))
        q, k, v = (t.unflatten(-1, (4, 8)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        x = x + F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        self.calls.add_(1)
        best = self.out(F.gelu(x)).mean(1).topk(10).values
        square = best.unsqueeze(-1) * best.unsqueeze(-2) + self.calls.diag()
        return torch.linalg.inv_ex(square).inverse


@pytest.fixture(scope="module")
def reader():
    torch.manual_seed(0)
    return Reader().eval()


@pytest.fixture(scope="module")
def package(reader, tmp_path_factory):
    model, x = copy.deepcopy(reader).to("trn"), torch.randn(3, 4, 16, device="trn")
    batch = torch.export.Dim("batch", min=2, max=64)
    with torch.no_grad():
        program = torch.export.export(model, (x,), dynamic_shapes={"x": {0: batch}})
        path = tmp_path_factory.mktemp("package") / "reader.pt2"
        return torch._inductor.aoti_compile_and_package(program, package_path=str(path))


def assert_same(got, want):
    torch.testing.assert_close(got.cpu(), want, atol=2e-5, rtol=1e-4)


@here
def test_package_computes_what_the_model_does(package, reader):
    model, loaded = copy.deepcopy(reader), torch._inductor.aoti_load_package(package)
    for batch in (3, 2, 40):  # the state goes on from call to call
        x = torch.randn(batch, 4, 16)
        with torch.no_grad():
            got = loaded(x.to("trn"))
            assert got.device == torch.device("trn:0")
            assert_same(got, model(x))


@here
def test_package_on_another_device_and_stream(package, reader):
    loaded = torch._inductor.aoti_load_package(package, device_index=1)
    x = torch.randn(3, 4, 16)
    assert torch.trn.current_device() == 0
    with torch.trn.stream(torch.trn.Stream(device=1)), torch.trn.device(0):
        got = loaded(x.to("trn:1"))
        assert got.device == torch.device("trn:1")
        with torch.no_grad():
            assert_same(got, copy.deepcopy(reader)(x))


@here
def test_constants_are_counted_given_and_freed(package, reader):
    gc.collect()
    torch.trn.synchronize()
    before = torch.trn.memory_allocated()
    loaded = torch._inductor.aoti_load_package(package)
    held = sum(t.untyped_storage().nbytes() for t in reader.state_dict().values())
    assert torch.trn.memory_allocated() - before >= held
    torch.manual_seed(1)
    other = Reader().eval()
    loaded.load_constants({k: v.to("trn") for k, v in other.state_dict().items()},
                          check_full_update=True)
    x = torch.randn(5, 4, 16)
    with torch.no_grad():
        assert_same(loaded(x.to("trn")), other(x))
    del loaded
    gc.collect()
    assert torch.trn.memory_allocated() == before


@here
def test_package_in_autocast_and_in_a_graph(package, reader):
    loaded, model = torch._inductor.aoti_load_package(package), copy.deepcopy(reader)
    x = torch.randn(3, 4, 16)
    ours, graph = x.to("trn"), torch.trn.TRNGraph()
    with torch.no_grad(), torch.autocast("trn", torch.bfloat16):
        assert_same(loaded(ours), model(x))
        with torch.trn.graph(graph):
            got = loaded(ours)
        for _ in range(2):
            graph.replay()
            assert_same(got, model(x))
        assert_same(loaded(ours), model(x))


@here
def test_threads_share_a_package(package, reader):
    loaded, x = torch._inductor.aoti_load_package(package), torch.randn(3, 4, 16)
    given, failed = x.to("trn"), []

    def work():
        try:
            for _ in range(20):
                assert loaded(given).isfinite().all()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    assert not failed


@here
def test_what_a_package_cannot_take(package):
    loaded = torch._inductor.aoti_load_package(package)
    with pytest.raises(RuntimeError, match="should be the same"):
        loaded(torch.randn(3, 4, 16))
    with pytest.raises(RuntimeError):
        loaded(torch.randn(3, 5, 16, device="trn"))
    assert loaded(torch.randn(3, 4, 16, device="trn")).isfinite().all()  # nothing is lost


@here
def test_training_step_in_a_wrapper_of_cpp():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(),
                          nn.Linear(8 * 36, 5))
    x, y = torch.randn(4, 3, 8, 8), torch.randint(0, 5, (4,))
    ours = copy.deepcopy(model).to("trn")
    compiled = torch.compile(ours, options={"cpp_wrapper": True}, fullgraph=True)
    for _ in range(2):
        for module, device in ((model, "cpu"), (compiled, "trn")):
            F.cross_entropy(module(x.to(device)), y.to(device)).backward()
    for a, b in zip(ours.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(a.grad.cpu(), b.grad, atol=1e-5, rtol=1e-4)


def test_cuda_programs_make_and_load_packages(python):
    result = python(
        "import torch, torch_trn.migrate\n"
        "model = torch.nn.Linear(16, 8).cuda()\n"
        "x = torch.randn(4, 16, device='cuda')\n"
        "with torch.no_grad():\n"
        "    path = torch._inductor.aoti_compile_and_package(torch.export.export(model, (x,)))\n"
        "    y = torch._inductor.aoti_load_package(path)(x)\n"
        "    assert y.is_cuda and torch.equal(y, model(x))\n")
    assert result.returncode == 0, result.stderr
