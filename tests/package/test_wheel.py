"""One wheel with the kernels of every instruction set; an sdist that it is built from."""

import glob
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
import torch

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
pytestmark = pytest.mark.package

QUICK = """
import torch
assert torch.ones(2).to("trn").sum().item() == 2.0
import torch_trn
assert torch_trn.__file__.startswith({environment!r})
assert torch_trn.op_status("aten::add.Tensor") == "native"
assert torch.trn.get_arch_list()[0] == "portable"
from torch_trn.migration import scope
with scope():
    assert torch.ones(2, device="cuda").is_cuda
"""
TESTS = ["tests/ops/test_instruction_sets.py", "tests/python/test_device.py"]


def run(*command, **options):
    result = subprocess.run(command, capture_output=True, text=True, timeout=3000, **options)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    return result


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    return tmp_path_factory.mktemp("dist")


@pytest.fixture(scope="module")
def sdist(dist, tmp_path_factory):
    run(sys.executable, "setup.py", "-q", "egg_info", "--egg-base",
        str(tmp_path_factory.mktemp("egg")), "sdist", "-d", str(dist), cwd=ROOT)
    (archive,) = glob.glob(str(dist / "*.tar.gz"))
    return archive


@pytest.fixture(scope="module")
def wheel(sdist, dist):
    """Built from the sdist, so that both are known to be whole."""
    run(sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "-w",
        str(dist), sdist)
    (archive,) = glob.glob(str(dist / "*.whl"))
    return archive


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A new environment with PyTorch, pytest, and neither us nor a compiler: its python."""
    folder = tmp_path_factory.mktemp("fresh")
    run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    (site,) = glob.glob(str(folder / "lib/python*/site-packages"))
    # A path file in the folder that a path file names is not read: an editable install stays out.
    with open(os.path.join(site, "torch.pth"), "w") as file:
        file.write(os.path.dirname(os.path.dirname(torch.__file__)) + "\n")
    return folder / "bin" / "python"


def test_wheel(wheel, fresh, tmp_path):
    assert "none-any" not in os.path.basename(wheel)
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("torch_trn/_C.so", "torch_trn/lib/libtorch_trn.so", "torch_trn_autoload.py",
                 "torch_trn/share/cmake/TorchTrnConfig.cmake",
                 "torch_trn/share/inductor/torch/csrc/inductor/aoti_include/trn.h"):
        assert name in names
    run(sys.executable, "-m", "pip", "--python", str(fresh), "install", "--no-deps", wheel)
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "CXX", "CC")}
    env["PATH"] = str(fresh.parent)
    for command in (["-c", QUICK.format(environment=str(fresh.parent.parent))],
                    *(["-m", "torch_trn", command, "--help"]
                      for command in ("bench", "coverage", "scan", "run", "compare"))):
        run(str(fresh), *command, cwd=tmp_path, env=env)
    shutil.copytree(os.path.join(ROOT, "tests"), tmp_path / "tests")
    run(str(fresh), "-m", "pytest", "-q", "--import-mode=importlib", *TESTS, cwd=tmp_path, env=env)


def test_sdist(sdist):
    with tarfile.open(sdist) as file:
        names = {name.split("/", 1)[1] for name in file.getnames() if "/" in name}
    tracked = run("git", "ls-files", cwd=ROOT).stdout.split()
    needed = {n for n in tracked if n.startswith(("csrc/", "kernels/", "python/", "cmake/"))}
    needed |= {"CMakeLists.txt", "setup.py", "pyproject.toml", "LICENSE", "README.md"}
    assert not needed - names, f"not in the sdist: {sorted(needed - names)}"
