"""What CUDA programs do, done on trn."""

import io
import warnings

import pytest
import torch
from torch_trn.migration import redirections

if torch.cuda.is_available():
    pytest.skip("these tests are about machines without CUDA", allow_module_level=True)


pytestmark = pytest.mark.usefixtures("redirected")


def test_devices():
    assert torch.cuda.is_available() and torch.cuda.device_count() == 2
    assert torch.cuda.get_device_name(0) == torch.cuda.get_device_properties("cuda:0").name
    assert torch.cuda.get_device_capability() >= (8, 0) and torch.cuda.is_bf16_supported()
    torch.cuda.set_device("cuda:1")
    assert torch.cuda.current_device() == 1
    assert torch.empty(1, device="cuda").device == torch.device("cuda", 1)
    torch.cuda.set_device(0)
    with torch.cuda.device(1):
        assert torch.empty(1, device="cuda").get_device() == 1


def test_identity():
    x = torch.empty(2, device="cuda")
    assert x.is_cuda and x.device.type == "cuda" and str(x.device) == "cuda:0"
    assert x.device == torch.device("cuda:0") and {x.device: 1}[torch.device("cuda", 0)] == 1
    assert repr(torch.device("cuda")) == "device(type='cuda')"
    assert not torch.empty(1).is_cuda and torch.device("cpu").type == "cpu"


@pytest.mark.parametrize("move", [
    lambda x: x.cuda(), lambda x: x.cuda(1), lambda x: x.cuda("cuda:0"), lambda x: x.to("cuda"),
    lambda x: x.to(torch.device("cuda", 1)), lambda x: x.to("cuda", torch.float64),
    lambda x: x.to(device="cuda", non_blocking=True),
    lambda x: x.cuda(device=torch.device("cuda")),
    lambda x: torch.empty(2, device="cuda").copy_(x),
    lambda x: torch.tensor([1.0, 2.0], device="cuda"),
    lambda x: torch.empty_like(x, device="cuda").copy_(x),
    lambda x: torch.asarray([1.0, 2.0], device="cuda"), lambda x: x.to(0),
])
def test_ways_to_the_device(move):
    y = move(torch.tensor([1.0, 2.0]))
    assert y.is_cuda and y.tolist() == [1.0, 2.0]


def test_old_tensor_types():
    x = torch.tensor([1.0, 2.0])
    kind = torch.cuda.FloatTensor
    assert kind.__name__ == "FloatTensor" and repr(kind) == "<class 'torch.trn.FloatTensor'>"
    for name in (kind, "torch.cuda.FloatTensor"):
        y = x.double().type(name)
        assert isinstance(y, kind) and y.dtype == torch.float32 and y.tolist() == [1, 2]
    assert y.type() == "torch.cuda.FloatTensor" and x.type() == "torch.FloatTensor"
    assert y.type(torch.cuda.LongTensor).type() == "torch.cuda.LongTensor"
    assert not y.type(torch.FloatTensor).is_cuda and y.type(torch.float16).is_cuda
    assert kind(x.shape[0], 2).fill_(1.0).tolist() == [[1, 1], [1, 1]]
    with pytest.raises(ValueError):
        x.type("torch.nonsense.FloatTensor")


@pytest.mark.parametrize("name", torch.trn.sparse.__all__)
def test_old_sparse_types(name):
    kind, dense = getattr(torch.cuda.sparse, name), getattr(torch.cuda, name)
    i, v = torch.tensor([[0, 1], [1, 2]]), torch.tensor([3.0, 4.0])
    for made, shape, count in (
            (kind(i, v), (2, 3), 2), (kind(i, v, torch.Size([2, 4])), (2, 4), 2),
            (kind(i.cuda(), v.cuda(), (4, 3)), (4, 3), 2), (kind(2, 3), (2, 3), 0),
            (kind(torch.Size([5])), (5,), 0), (kind(), (0,), 0)):
        assert made.is_cuda and made.layout == torch.sparse_coo and made._nnz() == count
        assert made.shape == shape and made.dtype == dense(0).dtype
        assert isinstance(made, kind) and not isinstance(made, dense)
        assert made.type() == f"torch.cuda.sparse.{name}"
    assert kind(i, v).to_dense().tolist() == [[0, 3, 0], [0, 0, 4]]
    assert repr(kind) == f"<class 'torch.trn.sparse.{name}'>" and kind.__name__ == name
    assert not isinstance(dense(2), kind) and not isinstance(kind(i, v).cpu(), kind)
    assert kind(2, 3, device="cuda:1").get_device() == 1
    with pytest.raises(TypeError, match="takes .indices, values"):
        kind([2, 3])


def test_old_sparse_types_in_programs():
    i, v = torch.tensor([[0, 1], [1, 2]]), torch.tensor([3.0, 4.0], requires_grad=True)
    there = torch.sparse_coo_tensor(i, v.detach(), (2, 3)).type(torch.cuda.sparse.DoubleTensor)
    assert isinstance(there, torch.cuda.sparse.DoubleTensor)
    product = torch.sparse.mm(torch.cuda.sparse.FloatTensor(i, v, (2, 3)), torch.ones(3, 1).cuda())
    assert product.is_cuda and product.tolist() == [[3], [4]]
    product.sum().backward()
    assert v.grad.tolist() == [1, 1]


def test_default_tensor_type():
    try:
        for name in (torch.cuda.DoubleTensor, "torch.cuda.DoubleTensor"):
            torch.set_default_tensor_type(name)
            assert torch.ones(2).is_cuda and torch.ones(2).dtype == torch.float64
            torch.set_default_tensor_type(torch.FloatTensor)
            assert not torch.ones(2).is_cuda and torch.ones(2).dtype == torch.float32
        with pytest.raises(TypeError):
            torch.set_default_tensor_type(torch.cuda.LongTensor)
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)


THREADS = """
import threading, torch, torch_trn.migrate
torch.set_default_tensor_type('torch.cuda.FloatTensor')
class Backward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1
    @staticmethod
    def backward(ctx, grad):
        return grad + torch.zeros(1) + torch.Tensor([1])
class Model(torch.nn.Module):
    def forward(self, x):
        return x + torch.arange(2.)
x = torch.ones(2, requires_grad=True)
Backward.apply(x).sum().backward()
assert x.grad.tolist() == [2, 2]
assert torch.nn.DataParallel(Model().cuda(), device_ids=[0, 1])(torch.zeros(4, 2)).sum().item() == 4
made = []
def work():
    made.append(torch.zeros(1))
    with torch.device('cpu'):
        made.append(torch.zeros(1))
    made.append(torch.zeros(1, device='cpu'))
def run():
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
run()
zeros = torch.zeros
torch.set_default_tensor_type('torch.FloatTensor')
run()
assert [t.is_cuda for t in made] == [True] + [False] * 5 and torch.zeros is not zeros
"""


def test_a_default_tensor_type_holds_in_every_thread(python):
    result = python(THREADS)
    assert result.returncode == 0, result.stderr


def test_attention_of_jagged_tensors():
    lengths = [torch.randn(3, 16), torch.randn(5, 16)]
    whole = torch.nested.nested_tensor(lengths, layout=torch.jagged, device="cuda")
    q = whole.unflatten(-1, [2, 8]).transpose(1, 2)
    got = torch.nn.functional.scaled_dot_product_attention(q, q, q).transpose(1, 2).unbind()
    for x, y in zip(lengths, got, strict=True):
        heads = x.unflatten(-1, [2, 8]).transpose(0, 1)
        want = torch.nn.functional.scaled_dot_product_attention(heads, heads, heads)
        torch.testing.assert_close(y.cpu(), want.transpose(0, 1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_training_with_packed_projections_of_jagged_tensors(ran, no_fallback, dtype):
    lengths = [torch.randn(n, 16) for n in (3, 5, 1)]
    layer = torch.nn.Linear(16, 48)

    def attend(x):
        q, k, v = (t.unflatten(-1, [2, 8]).transpose(1, 2) for t in layer(x).chunk(3, -1))
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    sum(attend(x[None]).square().sum() for x in lengths).backward()
    want = layer.weight.grad.clone()
    layer.zero_grad()
    layer.to("cuda", dtype)
    x = torch.nested.nested_tensor(lengths, layout=torch.jagged, device="cuda", dtype=dtype)
    attend(x).values().float().square().sum().backward()
    close = 1e-4 if dtype == torch.float32 else 5e-2
    torch.testing.assert_close(layer.weight.grad.cpu().float(), want, atol=close * want.abs().max(),
                               rtol=close)


def test_optimizers_are_made_under_a_default_tensor_type(python):
    result = python(
        "import torch, torch_trn.migrate\n"
        "torch.set_default_tensor_type('torch.cuda.FloatTensor')\n"
        "layer = torch.nn.Linear(2, 2)\n"
        "optimizer = torch.optim.Adam(layer.parameters())\n"
        "layer(torch.ones(1, 2)).sum().backward()\n"
        "optimizer.step()\n"
        "assert layer.weight.is_cuda and torch.compile(layer)(torch.ones(1, 2)).is_cuda\n")
    assert result.returncode == 0, result.stderr


def test_tensor_follows_the_default_tensor_type():
    there = torch.ones(3)
    constructor = torch.Tensor.__new__
    try:
        torch.set_default_tensor_type(torch.cuda.HalfTensor)
        for made, shape in ((torch.Tensor(2, 3), (2, 3)), (torch.Tensor([1, 2]), (2,)),
                            (torch.Tensor(), (0,)), (torch.Tensor(torch.Size([])), ()),
                            (torch.nn.Parameter(torch.Tensor(2, 3)), (2, 3))):
            assert made.is_cuda and made.dtype == torch.float16 and made.shape == shape
        torch.set_default_dtype(torch.float32)
        assert torch.Tensor([1, 2]).tolist() == [1, 2] and torch.Tensor(2).is_cuda
        assert torch.Tensor(2).dtype == torch.float32
        assert torch.Tensor(there).data_ptr() == there.data_ptr()
        torch.set_default_tensor_type(torch.FloatTensor)
        assert not torch.Tensor(2, 3).is_cuda and torch.Tensor([1, 2]).tolist() == [1, 2]
        assert torch.Tensor.__new__ is constructor and "__new__" not in torch.Tensor.__dict__
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)


def test_moving_what_is_there_copies_nothing():
    x = torch.empty(3, device="cuda")
    assert x.to("cuda") is x and x.cuda() is x and x.to("cuda:0", torch.float32) is x
    assert x.to("cuda", copy=True) is not x
    w = torch.ones(2).cuda().requires_grad_()
    assert w.to("cuda") is w
    layer = torch.nn.Linear(2, 2).cuda()
    weight = layer.weight
    assert layer.to("cuda").weight is weight and layer.cuda().weight is weight


def test_memory_functions():
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    x = torch.empty(1 << 20, device="cuda")
    assert torch.cuda.memory_allocated() == before + (4 << 20)
    assert torch.cuda.max_memory_allocated() >= torch.cuda.memory.memory_allocated() > 0
    assert torch.cuda.memory_reserved() > 0 and "summary" in torch.cuda.memory_summary()
    assert torch.cuda.mem_get_info()[1] == torch.cuda.get_device_properties(0).total_memory
    with pytest.raises(torch.cuda.OutOfMemoryError):
        torch.empty(1 << 50, device="cuda")
    del x


def test_streams_and_events():
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    stream = torch.cuda.Stream()
    first.record()
    with torch.cuda.stream(stream):
        assert torch.cuda.current_stream() == stream
        x = torch.ones(1 << 16).pin_memory().to("cuda", non_blocking=True)
    torch.cuda.current_stream().wait_stream(stream)
    x.record_stream(torch.cuda.current_stream())
    last.record()
    torch.cuda.synchronize()
    assert first.elapsed_time(last) > 0
    assert isinstance(stream, torch.cuda.Stream) and stream.device.type == "cuda"
    assert torch.cuda.default_stream() == torch.cuda.current_stream()


def test_random():
    torch.cuda.manual_seed_all(3)
    assert torch.cuda.initial_seed() == 3
    state = torch.cuda.get_rng_state()
    torch.cuda.set_rng_state(state)
    torch.cuda.set_rng_state_all(torch.cuda.get_rng_state_all())
    for generator in (torch.Generator("cuda"), torch.Generator(device="cuda:0"),
                      torch.Generator(torch.device("cuda"))):
        assert generator.device == torch.device("cuda", 0)
        assert isinstance(generator, torch.Generator)
    assert torch.Generator().device.type == "cpu"
    with pytest.raises(RuntimeError):
        torch.Generator("nonsense")
    assert torch.cuda.default_generators[1].device.index == 1


def test_autocast_and_scaler():
    with torch.autocast("cuda", torch.bfloat16):
        assert torch.is_autocast_enabled() and torch.is_autocast_enabled("cuda")
        assert torch.get_autocast_dtype("cuda") == torch.bfloat16 == torch.get_autocast_gpu_dtype()
        assert not torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cuda")
    with torch.autocast("cuda:0"):
        assert torch.get_autocast_dtype("cuda") == torch.float16
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with torch.autocast("cuda", torch.float32):  # CUDA takes it, and casts to it
            assert torch.is_autocast_enabled("cuda")
            x = torch.ones(2, 2, device="cuda", dtype=torch.float16)
            assert torch.mm(x, x).dtype == torch.float32
    with torch.autocast(device_type="cuda", enabled=False):
        assert not torch.is_autocast_enabled("cuda")
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.is_autocast_enabled("cpu") and not torch.is_autocast_enabled("cuda")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        assert torch.cuda.amp.GradScaler().is_enabled()
        with torch.cuda.amp.autocast():
            assert torch.is_autocast_enabled("cuda")
    assert torch.amp.GradScaler("cuda").is_enabled()


def test_autocast_changes_types(ran):
    a = torch.ones(4, 4, device="cuda")
    with torch.autocast("cuda", torch.bfloat16):
        assert (a @ a).dtype == torch.bfloat16


@pytest.mark.parametrize("location", ["cuda", "cuda:0", torch.device("cuda"), {"cpu": "cuda:0"}])
def test_checkpoints(location):
    file = io.BytesIO()
    torch.save({"w": torch.ones(3)}, file)
    file.seek(0)
    assert torch.load(file, map_location=location)["w"].is_cuda


def test_a_file_says_cuda():
    file = io.BytesIO()
    torch.save(torch.ones(3).cuda(), file)
    assert b"cuda:0" in file.getvalue()
    file.seek(0)
    assert torch.load(file).is_cuda
    file.seek(0)
    assert torch.load(file, map_location="cpu").device.type == "cpu"


def test_errors_are_cudas():
    with pytest.raises(RuntimeError, match="invalid device ordinal"):
        torch.empty(1, device="cuda:7")
    with pytest.raises(TypeError, match=r"can't convert \w+:0 device type tensor to numpy"):
        torch.empty(1, device="cuda").numpy()


def test_counted_by_line():
    torch.cuda.ipc_collect()
    torch.cuda.ipc_collect()
    lines = {site: calls for (name, site), calls in redirections().items()
             if name == "torch.cuda.ipc_collect" and site.startswith(__file__ + ":")}
    assert len(lines) >= 2 and all(calls >= 1 for calls in lines.values())


def test_trains(ran):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
    model.cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05, fused=True)
    scaler = torch.amp.GradScaler("cuda")
    x = torch.randn(64, 8, device="cuda")
    y = x.sum(1, keepdim=True)
    losses = []
    for _ in range(30):
        with torch.autocast("cuda", torch.bfloat16):
            loss = torch.nn.functional.mse_loss(model(x).float(), y)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
