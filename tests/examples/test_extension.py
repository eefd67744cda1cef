"""Other people's code: an operator with a kernel and a driver, built as strangers build them."""

import os
import shutil
import subprocess

import pytest
import torch
import torch_trn

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def build(name, tmp_path_factory):
    """Copies an example out of the tree and builds it with CMake against the package alone."""
    folder = tmp_path_factory.mktemp(name)
    source = shutil.copytree(os.path.join(ROOT, "examples", name), folder / name,
                             ignore=shutil.ignore_patterns("build", "__pycache__"))
    for command in (
        ["cmake", "-S", str(source), "-B", str(source / "build"),
         f"-DCMAKE_PREFIX_PATH={torch_trn.cmake_prefix_path}",
         f"-DTORCH_DIR={os.path.dirname(torch.__file__)}"],
        ["cmake", "--build", str(source / "build")],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
    return source


@pytest.fixture(scope="module")
def extension(tmp_path_factory):
    return build("extension", tmp_path_factory)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return str(build("driver", tmp_path_factory) / "build" / "libtoy.so")


USE = """
import sys, torch, torch.nn.functional as F
import trn_example
gate, up = (torch.randn(33, 17, dtype=torch.float64, device="trn", requires_grad=True)
            for _ in range(2))
before = torch.trn.launch_count()
out = trn_example.swiglu(gate, up)
assert torch.trn.launch_count() == before + 1
torch.testing.assert_close(out, F.silu(gate) * up)
assert torch.autograd.gradcheck(trn_example.swiglu, (gate[:2, :3], up[:2, :3]))
torch.library.opcheck(torch.ops.trn_example.swiglu.default, (gate, up), test_utils=(
    "test_schema", "test_faketensor"))
with torch.autocast("trn", dtype=torch.bfloat16):
    low = trn_example.swiglu(gate.detach().bfloat16(), up.detach().bfloat16())
assert low.dtype == torch.float32
x = torch.randn(9, dtype=torch.float64, device="trn", requires_grad=True)
torch.testing.assert_close(trn_example.soft_clip(x, 2.0), 2 * torch.tanh(x / 2))
assert torch.autograd.gradcheck(lambda t: trn_example.soft_clip(t, 2.0), (x,))
compiled = torch.compile(lambda g, u: trn_example.swiglu(g * 2, u) + 1, backend="aot_eager",
                         fullgraph=True)
torch.testing.assert_close(compiled(gate, up), trn_example.swiglu(gate * 2, up) + 1)
try:
    trn_example.swiglu(gate, up[:1])
except RuntimeError as error:
    assert "one shape and type" in str(error)
graph = torch.trn.TRNGraph()
g, u = gate.detach(), up.detach()
with torch.trn.graph(graph):
    y = trn_example.swiglu(g, u)
graph.replay()
torch.testing.assert_close(y, F.silu(g) * u)
print("worked")
"""


def test_an_operator_of_ones_own(extension, python):
    result = python(USE, env={"PYTHONPATH": os.pathsep.join(
        [str(extension), os.path.dirname(os.path.dirname(torch_trn.__file__))]),
        "TRN_FALLBACK": "error"})
    assert "worked" in result.stdout, result.stderr


TRAIN = """
import torch, torch_trn
assert torch.trn.get_device_name() == "toy device"
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
x, y = torch.randn(32, 8), torch.randn(32, 1)
def train(model, x, y):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
    return loss.item()
import copy
here = train(copy.deepcopy(model).to("trn"), x.to("trn"), y.to("trn"))
assert abs(here - train(model, x, y)) < 1e-5
assert torch.trn.launch_count() > 50
print("worked")
"""


def test_a_driver_of_ones_own(toy, python):
    result = python(TRAIN, env={"TRN_DRIVER": toy, "TRN_FALLBACK": "error"})
    assert "worked" in result.stdout, result.stderr


def test_the_driver_passes_the_conformance_suite(toy):
    suite = os.path.join(ROOT, "build", "tests", "core_tests")
    if not os.path.exists(suite):
        pytest.skip("the GoogleTest suites are not built here: make test-cpp builds them")
    done = subprocess.run([suite, "--gtest_filter=*Conformance*"], capture_output=True, text=True,
                          timeout=300, env={**os.environ, "TRN_CONFORMANCE": toy})
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "toy" in done.stdout
