"""One wheel with the kernels of every instruction set; an sdist that builds."""

import glob
import os
import subprocess
import sys
import tarfile
import zipfile

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
pytestmark = pytest.mark.package

QUICK = """
import torch
import torch_trn
assert torch_trn.op_status("aten::add.Tensor") == "native"
x = torch.arange(6.0).to("trn")
assert (x * 2 + 1).sum().item() == 36.0 and torch.trn.launch_count() > 0
assert torch.trn.get_arch_list()[0] == "portable"
from torch_trn.migration import scope
with scope():
    assert torch.ones(2, device="cuda").is_cuda
print("quick tests passed")
"""


def run(*command, **options):
    result = subprocess.run(command, capture_output=True, text=True, timeout=1500, **options)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    return result


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    return tmp_path_factory.mktemp("dist")


@pytest.fixture(scope="module")
def wheel(dist):
    run(sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "-w",
        str(dist), ROOT)
    return glob.glob(str(dist / "*.whl"))


def test_wheel(wheel, tmp_path):
    assert len(wheel) == 1 and "none-any" not in wheel[0]
    names = zipfile.ZipFile(wheel[0]).namelist()
    for name in ("torch_trn/_C.so", "torch_trn/lib/libtorch_trn.so", "torch_trn_autoload.py",
                 "torch_trn/share/cmake/TorchTrnConfig.cmake"):
        assert name in names
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "CXX", "CC")}
    site = tmp_path / "site"
    run(sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(site), wheel[0])
    (tmp_path / "quick.py").write_text(QUICK)
    result = run(sys.executable, str(tmp_path / "quick.py"), cwd=tmp_path,
                 env={**env, "PYTHONPATH": str(site)})
    assert "passed" in result.stdout
    for command in ("bench", "coverage", "scan", "run", "compare"):
        run(sys.executable, "-m", "torch_trn", command, "--help", cwd=tmp_path,
            env={**env, "PYTHONPATH": str(site)})


def test_sdist(dist, tmp_path):
    run(sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(tmp_path), "sdist", "-d",
        str(dist), cwd=ROOT)
    (archive,) = glob.glob(str(dist / "*.tar.gz"))
    with tarfile.open(archive) as file:
        names = {name.split("/", 1)[1] for name in file.getnames() if "/" in name}
    tracked = run("git", "ls-files", cwd=ROOT).stdout.split()
    needed = {n for n in tracked if n.startswith(("csrc/", "kernels/", "python/", "cmake/"))}
    needed |= {"CMakeLists.txt", "setup.py", "pyproject.toml", "LICENSE", "README.md"}
    assert not needed - names, f"not in the sdist: {sorted(needed - names)}"
