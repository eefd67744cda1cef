"""torch-trn scan: what it finds, where, and what it says about it."""

import json

import pytest
from torch_trn.cli.scan import scan_command, scan_path
from torch_trn.cli.scan_uses import scan_source

SOURCE = '''import torch, os
import torch.nn as nn
import torch.cuda as gpu
from torch.cuda.amp import GradScaler as S
import flash_attn
os.environ["CUDA_VISIBLE_DEVICES"] = "0"
x = torch.zeros(3, device="cuda:1").cuda()
if x.is_cuda and gpu.is_available():
    gpu.synchronize()
g = torch.cuda.current_blas_handle(0)
d = f"cuda:{g}"
path = "cuda_checkpoint.pt"  # cuda in a comment is nothing
torch.cuda.memory.memory_stats()
torch.backends.cudnn.benchmark = True
torch.distributed.init_process_group("nccl")
'''


@pytest.fixture
def found():
    return {(f.line, f.name): f for f in scan_source(SOURCE, "a.py")}


def test_uses_are_found_with_their_lines(found):
    for use in [(4, "torch.cuda.amp.GradScaler"), (5, "import flash_attn"),
                (6, "CUDA_VISIBLE_DEVICES"), (7, '"cuda:1"'), (7, ".cuda"), (8, ".is_cuda"),
                (8, "torch.cuda.is_available"), (9, "torch.cuda.synchronize"),
                (10, "torch.cuda.current_blas_handle"), (11, 'f"cuda:{...}"'),
                (13, "torch.cuda.memory.memory_stats"), (14, "torch.backends.cudnn.benchmark"),
                (15, '"nccl"')]:
        assert use in found, use


def test_text_that_only_mentions_cuda_is_not_a_use(found):
    assert not [line for line, _ in found if line in (1, 2, 3, 12)]


def test_marks_and_advice(found):
    assert found[8, "torch.cuda.is_available"].mark == "same"
    assert found[14, "torch.backends.cudnn.benchmark"].mark == "no-op"
    stream = found[10, "torch.cuda.current_blas_handle"]
    assert stream.mark == "refused" and "torch.matmul" in stream.advice


def test_native_sources_triton_and_extensions(tmp_path):
    (tmp_path / "kernel.cu").write_text("__global__ void f() {}")
    (tmp_path / "t.py").write_text("import triton\n@triton.jit\ndef kernel(x):\n    pass\n")
    (tmp_path / "setup.py").write_text(
        "from torch.utils.cpp_extension import CUDAExtension\nCUDAExtension('a', ['a.cu'])\n")
    (tmp_path / "broken.py").write_text("def (")
    scan = scan_path(str(tmp_path))
    names = {f.name for f in scan.findings if f.mark == "refused"}
    assert {"CUDA C++", "Triton kernel kernel", "import triton",
            "torch.utils.cpp_extension.CUDAExtension"} <= names
    assert scan.grade == "D" and len(scan.unreadable) == 1 and scan.files == 3


@pytest.mark.parametrize("line", [
    "torch.compile(f)", "torch.Generator()", "torch.distributed.init_process_group('gloo')",
    "torch.autocast('cpu')", "torch.amp.GradScaler('cpu')", "torch.autograd.profiler.profile()",
    "from torch.amp import autocast", "args.cuda", "import fish; fish.cuda()",
    "'cuda' in name", "{'nccl': 1}", "def f():\n 'cuda'",
])
def test_what_does_not_name_cuda_is_not_a_use(line):
    assert scan_source(f"import torch\n{line}", "a.py") == []


@pytest.mark.parametrize("line, mark", [
    ("try: import triton\nexcept ImportError: triton = None\n@triton.jit\ndef f(): 0", "adapted"),
    ("try: import triton\nexcept ImportError: raise", "refused"),
    ("import contextlib\nwith contextlib.suppress(ImportError): import triton", "adapted"),
    ("from torch.utils.cpp_extension import CUDA_HOME", "adapted"),
    ("torch.cuda.does_not_exist", "unknown"), ("torch.cuda.Event.record", "same"),
    ("'CUDA_LAUNCH_BLOCKING' in os.environ", "same"), ("from fish import m; m.cuda()", "same"),
    ("from torch.nn import DataParallel", "adapted"),
    ("from torch.cuda.amp.grad_scaler import GradScaler", "same"),
    ("'cuda:' + str(i)", "same"), ("'cuda:%d' % i", "same"), ("'cuda:{}'.format(i)", "same"),
    ("f(f\"{'cuda'}:{i}\")", "same"), ("f(f'cuda')", "same"),
    ("f('torch.cuda.FloatTensor')", "same"),
    ("f('cpu:gloo,cuda:nccl')", "adapted"), ("f('NCCL')", "adapted"),
    ("from numba import cuda", "refused"), ("import numba\n@numba.cuda.jit\ndef f(): 0", "refused"),
    ("from cuda import cudart", "refused"), ("import cuda.bindings.driver", "refused"),
    ("import nvidia.dali.fn", "refused"), ("CDLL('/usr/lib/libcudart.so.12')", "refused"),
    ("from torch.cuda import *", "same"), ("from torch.cuda.fish import *", "unknown"),
    ("t = torch; t.cuda.synchronize()", "same"),
    ("torch.profiler.ProfilerActivity.CUDA", "adapted"), ("env['NCCL_P2P_DISABLE']", "no-op"),
    ("env['TORCH_CUDA_ARCH_LIST']", "no-op"), ("torch.profiler.profile(use_cuda=True)", "adapted"),
    ("from torch.utils.cpp_extension import load\nload(sources=['x.cu'])", "refused"),
    ("torch.utils.cpp_extension.load_inline(cuda_sources=s)", "refused"),
])
def test_mark_of_one_line(line, mark):
    found = scan_source(f"import torch\n{line}", "a.py")
    assert {f.mark for f in found} == {mark}


@pytest.mark.parametrize("name, text, marks", [
    ("a.CU", "", ["refused"]), ("a.pyx", 'cdef extern from "cuda_runtime.h":', ["refused"]),
    ("a.cpp", "#include <c10/cuda/CUDAStream.h>\n#include <curl.h>", ["refused"]),
    ("a.h", "#ifndef CUDA_A_H\n#ifdef USE_CUDA\n#include <cuda.h>\n#endif\n#endif", ["adapted"]),
])
def test_native_sources_by_what_they_include(tmp_path, name, text, marks):
    (tmp_path / name).write_text(text)
    assert [f.mark for f in scan_path(str(tmp_path)).findings] == marks


def test_names_that_come_by_a_star():
    found = scan_source("from torch.cuda import *\nsynchronize()\ncurrent_blas_handle()\n"
                        "device = 'cpu'\nf(device)\n", "a.py")
    assert [(f.line, f.name, f.mark) for f in found] == [
        (1, "torch.cuda.*", "same"), (2, "torch.cuda.synchronize", "same"),
        (3, "torch.cuda.current_blas_handle", "refused")]


@pytest.mark.parametrize("sources", [
    "s = ['a.cpp', 'x.cu']", "s = ['a.cpp']\ns.append(os.path.join(d, 'x.cu'))",
    "s = ['a.cpp']\ns += glob('k/*.cu')", "k = ['x.cu']\ns = ['a.cpp'] + k",
    "s: list[str] = [p + '/x.cuh']"])
def test_sources_in_a_variable(sources):
    load = "from torch.utils.cpp_extension import load\n"
    assert [f.mark for f in scan_source(f"{load}{sources}\nload('m', s)", "a.py")] == ["refused"]
    assert scan_source(f"{load}s = ['a.cpp', s]\nload('m', sources=s)", "a.py") == []


def test_command_forms_and_exit_codes(tmp_path, capsys):
    file = tmp_path / "a.py"
    file.write_text("import torch\ntorch.cuda.synchronize()\n")
    assert scan_command(str(file), None) == 0
    out = capsys.readouterr().out
    assert f"{file}:2:1: same: torch.cuda.synchronize" in out and "grade A" in out
    file.write_text(SOURCE)
    assert scan_command(str(file), "json") == 1
    data = json.loads(capsys.readouterr().out)
    assert data["marks"]["refused"] == 1 and data["findings"][0]["file"] == str(file)
    assert scan_command(str(tmp_path), "sarif") == 1
    sarif = json.loads(capsys.readouterr().out)
    results = sarif["runs"][0]["results"]
    assert sarif["version"] == "2.1.0" and any(r["level"] == "error" for r in results)
    assert results[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "a.py"
    assert scan_command(str(tmp_path), "html") == 1
    html = capsys.readouterr().out
    assert html.startswith("<!doctype html>") and "torch.cuda.current_blas_handle" in html
    assert "<script" not in html and "http" not in html
    assert scan_command(str(tmp_path / "none"), None) == 2
