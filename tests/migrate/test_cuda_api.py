"""The table of CUDA's names is whole, and every name does what its mark says."""

import importlib
import inspect
import warnings

import pytest
import torch
from torch_trn.migration import cuda_api, scope

if torch.cuda.is_available():
    pytest.skip("these tests are about machines without CUDA", allow_module_level=True)

PARTS = ("amp", "comm", "gds", "graphs", "memory", "nccl", "nvtx", "profiler", "random", "tunable")


def public_names():
    names = [f"torch.cuda.{name}" for name in torch.cuda.__all__]
    for part in PARTS:
        module = importlib.import_module(f"torch.cuda.{part}")
        names += [f"torch.cuda.{part}.{name}" for name in module.__all__]
    return names


def resolve(name):
    parts = name.split(".")
    value = importlib.import_module("torch")
    for part in parts[1:]:
        value = getattr(value, part)
    return value


def rows(mark, prefix="torch.cuda."):
    return [row for row in cuda_api.rows().values()
            if row.mark == mark and row.name.startswith(prefix)]


@pytest.mark.parametrize("name", public_names())
def test_public_names_are_in_the_table(name):
    assert cuda_api.find(name) is not None


def test_the_table_names_nothing_that_is_not():
    wrong = []
    for row in cuda_api.rows().values():
        if row.name.startswith(("torch.cuda.", "torch.backends.")):
            try:
                resolve(row.name)
            except AttributeError:
                wrong.append(row.name)
    assert not wrong


def test_every_row_says_what_it_must():
    for row in cuda_api.rows().values():
        assert row.mark == "same" or row.what or row.name.startswith("torch.cuda.tunable"), row
        assert bool(row.advice) == (row.mark == "refused"), row
        assert len(row.text) < 100
    with pytest.raises(ValueError):
        cuda_api._parse("[torch]\nsame a a")
    with pytest.raises(ValueError):
        cuda_api._parse("[torch]\nperhaps a")


@pytest.mark.parametrize("row", rows("refused"), ids=lambda row: row.name)
def test_refused_names_say_what_to_do(row):
    with scope():
        value = resolve(row.name)
        if inspect.ismodule(value):
            assert all(r.mark == "refused" for r in cuda_api.rows().values()
                       if r.name.startswith(row.name + "."))
            return
        with pytest.raises(RuntimeError) as error:
            value("anything")
        assert str(error.value) == cuda_api.refusal(row.name) and row.advice in str(error.value)


#: Arguments with which a name can be called to see that it answers; other names take none.
ARGUMENTS = {
    "can_device_access_peer": (0, 1), "caching_allocator_alloc": (256,), "check_error": (0,),
    "manual_seed": (1,), "manual_seed_all": (1,), "set_device": (0,), "device": (0,),
    "device_of": (torch.empty(1),), "set_per_process_memory_fraction": (1.0,),
    "set_stream": (None,), "stream": (None,), "StreamContext": (None,),
    "set_sync_debug_mode": ("warn",), "caching_allocator_enable": (True,),
    "use_mem_pool": (None,), "ExternalStream": (0,), "get_stream_from_external": (0,),
}
#: These need something made before, and have tests of their own below or in test_programs.
ELSEWHERE = {"caching_allocator_delete", "set_rng_state", "set_rng_state_all", "cudaStatus",
             "CudaError", "DeferredCudaCallError", "graph",
             "make_graphed_callables", "temperature", "power_draw", "clock_rate"}


@pytest.mark.parametrize("name", sorted(torch.cuda.__all__))
def test_every_name_answers(name):
    row = cuda_api.find(f"torch.cuda.{name}")
    with scope():
        value = getattr(torch.cuda, name)
        if row.mark == "refused" or name in ELSEWHERE or not callable(value):
            return
        if inspect.isclass(value) and name.endswith(("Tensor", "Storage")):
            made = value(2)
            assert len(made) == 2 and made.is_cuda and str(made.dtype).startswith("torch.")
            return
        value(*ARGUMENTS.get(name, ()))
        torch.cuda.set_sync_debug_mode(0)


def test_raw_memory():
    with scope():
        address = torch.cuda.caching_allocator_alloc(1024)
        before = torch.cuda.memory_allocated()
        torch.cuda.caching_allocator_delete(address)
        assert torch.cuda.memory_allocated() == before - 1024


def test_host_telemetry_answers_or_says_why():
    with scope():
        for name in ("temperature", "power_draw", "clock_rate"):
            try:
                assert getattr(torch.cuda, name)() >= 0
            except RuntimeError as error:
                assert "does not tell" in str(error)


def test_errors_and_runtime():
    with scope():
        with pytest.raises(torch.cuda.CudaError, match="error 2"):
            torch.cuda.check_error(2)
        runtime = torch.cuda.cudart()
        assert runtime.cudaMemGetInfo(0)[1] == torch.cuda.mem_get_info()[1]
        assert int(runtime.cudaProfilerStart()) == int(runtime.cudaProfilerStop()) == 0
        with pytest.raises(AttributeError, match="no CUDA runtime"):
            runtime.cudaMalloc(1)


def test_tunable_settings_are_kept():
    with scope():
        torch.cuda.tunable.enable(True)
        torch.cuda.tunable.set_filename("a.csv", insert_device_ordinal=True)
        torch.cuda.tunable.set_max_tuning_duration(duration=7)
        assert torch.cuda.tunable.is_enabled() and torch.cuda.tunable.get_filename() == "a.csv"
        assert torch.cuda.tunable.get_max_tuning_duration() == 7
        torch.cuda.tunable.enable(False)
        assert not torch.cuda.tunable.is_enabled() and torch.cuda.tunable.get_results() == ()


def test_host_memory_statistics():
    with scope():
        torch.cuda.init()
        kept = torch.empty(1 << 20).pin_memory()
        assert torch.cuda.host_memory_stats()["active_bytes.current"] >= 4 << 20
        nested = torch.cuda.host_memory_stats_as_nested_dict()
        assert nested["allocations"]["current"] >= 1 and kept.is_pinned()


def test_pools_and_cache_switches_are_accepted():
    with scope():
        pool = torch.cuda.MemPool()
        with torch.cuda.use_mem_pool(pool), torch.cuda.memory.caching_allocator_disabled():
            assert torch.empty(3, device="cuda").is_cuda
        assert pool.snapshot()


def test_waiting_for_the_device_is_reported():
    said = "called a synchronizing CUDA operation"
    with scope():
        x, pinned = torch.ones(3, device="cuda"), torch.ones(3).pin_memory()
        torch.cuda.set_sync_debug_mode("error")
        assert torch.cuda.get_sync_debug_mode() == 2
        for wait in (lambda: x[0].item(), lambda: x.nonzero(), lambda: x.cpu(),
                     lambda: torch.ones(3).cuda(), lambda: bool(x[0] > 0)):
            with pytest.raises(RuntimeError, match=said):
                wait()
        x.add_(pinned.cuda(non_blocking=True))
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("warn")
        with pytest.warns(UserWarning, match=said):
            assert x[0].item() == 2
        with pytest.raises(RuntimeError, match="invalid value"):
            torch.cuda.set_sync_debug_mode("loud")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert x[0].item() == 2


def test_collectives_among_devices():
    with scope():
        xs = [torch.full((4,), float(i + 1), device=f"cuda:{i}") for i in range(2)]
        torch.cuda.nccl.all_reduce(xs)
        assert [x.tolist() for x in xs] == [[3.0] * 4] * 2
        assert torch.cuda.nccl.is_available(xs) and torch.cuda.nccl.version() >= (2, 10)
        assert not torch.cuda.nccl.is_available([xs[0], xs[0]])
        ys = torch.cuda.comm.broadcast(torch.arange(3.0).cuda(), devices=[0, 1])
        assert [y.device.index for y in ys] == [0, 1] and ys[1].tolist() == [0, 1, 2]
        parts = torch.cuda.comm.scatter(torch.arange(6.0).cuda(), [0, 1], dim=0)
        assert [p.tolist() for p in parts] == [[0, 1, 2], [3, 4, 5]]
        assert torch.cuda.comm.gather(parts, dim=0, destination=0).tolist() == list(range(6))
        assert torch.cuda.comm.gather(parts, destination="cpu").device.type == "cpu"
        assert torch.cuda.comm.reduce_add(list(parts), 1).tolist() == [3, 5, 7]
        outs = [torch.empty(2, device=f"cuda:{i}") for i in range(2)]
        torch.cuda.nccl.reduce_scatter(xs, outs)
        assert [o.tolist() for o in outs] == [[6.0, 6.0]] * 2


def test_backends(monkeypatch):
    # torch.testing, which other tests import, forbids the switches to be set for good.
    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    switch = vars(type(cudnn))["enabled"]
    monkeypatch.setitem(type(switch).__set__.__globals__, "flags_frozen", lambda: False)
    before_scope = torch.version.cuda, cuda.is_built(), cudnn.version()
    with scope():
        assert cuda.is_built() and cudnn.is_available() and cudnn.version() > 9000
        assert torch.version.cuda >= "12"
        assert cuda.cufft_plan_cache.size == 0 and cuda.cufft_plan_cache[0].max_size > 0
        cuda.cufft_plan_cache.clear()
        cuda.preferred_linalg_library("cusolver")
        assert cuda.preferred_linalg_library() == "cusolver"
        before = cuda.matmul.allow_tf32
        cuda.matmul.allow_tf32 = True
        assert torch.get_float32_matmul_precision() == "high"
        cuda.matmul.allow_tf32 = before
        for name in ("benchmark", "deterministic", "enabled", "allow_tf32"):
            value = getattr(cudnn, name)
            setattr(cudnn, name, not value)
            assert getattr(cudnn, name) != value
            setattr(cudnn, name, value)
        with cudnn.flags(enabled=False):
            assert not cudnn.enabled
        assert cuda.flash_sdp_enabled() and cuda.mem_efficient_sdp_enabled()
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            q = torch.randn(1, 2, 4, 8, device="cuda")
            assert torch.nn.functional.scaled_dot_product_attention(q, q, q).is_cuda
    assert (torch.version.cuda, cuda.is_built(), cudnn.version()) == before_scope
