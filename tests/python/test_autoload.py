"""Either import order works, and `import torch` works whatever is wrong with us."""

import os
import shutil

import pytest
import torch_trn

PACKAGE = os.path.dirname(torch_trn.__file__)

USE = "x = torch.zeros(3).to('trn'); assert x.device.type == 'trn'; assert x.cpu().sum() == 0\n"


@pytest.fixture
def installed(tmp_path):
    """A folder to put on PYTHONPATH: a copy of the package with its entry point's metadata."""
    site = tmp_path / "site"
    shutil.copytree(PACKAGE, site / "torch_trn", symlinks=True,
                    ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(os.path.join(os.path.dirname(PACKAGE), "torch_trn_autoload.py"), site)
    info = site / "torch_trn-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torch-trn\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[torch.backends]\ntrn = torch_trn_autoload:load\n")
    return site


@pytest.fixture
def with_site(installed, python):
    def run(code, env=None):
        # An editable installation of the package under test must not stand in for the copy.
        path = f"import sys\nhere, other = {str(installed)!r}, {os.path.dirname(PACKAGE)!r}\n"
        path += "sys.path[:] = [here] + [p for p in sys.path if p not in (here, other)]\n"
        return python(path + code, env={"PYTHONPATH": str(installed), **(env or {})})

    return run


def succeeded(result):
    assert result.returncode == 0, result.stdout + result.stderr
    return result


@pytest.mark.parametrize("imports", [
    "import torch\n", "import torch_trn\nimport torch\n", "import torch, torch_trn\n",
    "import torch_trn.migration\nimport torch\n",
])
def test_import_order(with_site, imports):
    result = succeeded(with_site(imports + USE))
    assert "could not be loaded" not in result.stderr


def test_name_and_module(with_site):
    succeeded(with_site(
        "import torch, sys\n"
        "assert torch._C._get_privateuse1_backend_name() == 'trn'\n"
        "assert sys.modules['torch.trn'] is torch.trn\n"
        "assert torch.get_device_module('trn') is torch.trn\n"
        "import torch.trn\n"
        "assert torch.accelerator.current_accelerator().type == 'trn'\n"
        "assert not torch.trn.is_initialized()\n"))


def test_autoload_can_be_switched_off(with_site):
    succeeded(with_site("import torch\nassert not hasattr(torch, 'trn')\n",
                        env={"TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}))


def break_missing_extension(site):
    (site / "torch_trn" / "_C.so").unlink()


def break_missing_library(site):
    shutil.rmtree(site / "torch_trn" / "lib")


def break_corrupt_library(site):
    (site / "torch_trn" / "lib" / "libtorch_trn.so").write_bytes(b"\x7fELF but no more")


def break_corrupt_extension(site):
    (site / "torch_trn" / "_C.so").write_text("not a library")


def break_torch_version(site):
    version = site / "torch_trn" / "_version.py"
    version.write_text(version.read_text().replace('TORCH_MINOR = "2.13"', 'TORCH_MINOR = "1.99"'))


def break_syntax(site):
    (site / "torch_trn" / "trn" / "memory.py").write_text("def broken(:\n")


def break_missing_package(site):
    shutil.rmtree(site / "torch_trn")


@pytest.mark.parametrize("breaks", [
    break_missing_extension, break_missing_library, break_corrupt_library,
    break_corrupt_extension, break_torch_version, break_syntax, break_missing_package,
])
def test_broken_package_leaves_torch_working(installed, with_site, breaks):
    breaks(installed)
    result = succeeded(with_site("import torch\nassert torch.ones(2).sum() == 2\nprint('fine')\n"))
    assert "fine" in result.stdout
    assert result.stderr.count("torch-trn could not be loaded") == 1, result.stderr


@pytest.mark.parametrize("breaks, says", [
    (break_missing_library, "cannot be loaded"), (break_torch_version, "was built for torch 1.99"),
])
def test_broken_package_explains_itself(installed, with_site, breaks, says):
    breaks(installed)
    result = with_site("import torch_trn\n", env={"TORCH_DEVICE_BACKEND_AUTOLOAD": "0"})
    assert result.returncode == 1
    assert "ImportError" in result.stderr and says in result.stderr


@pytest.mark.parametrize("env", [{"TRN_DRIVER": "nowhere"}, {"TRN_DEVICES": "0"}])
def test_no_device_leaves_torch_working(with_site, env):
    result = succeeded(with_site(
        "import torch\n"
        "assert torch.ones(2).sum() == 2\n"
        "assert not torch.trn.is_available() and torch.trn.device_count() == 0\n"
        "torch.manual_seed(1)\n"
        "try:\n    torch.empty(2, device='trn')\n"
        "except RuntimeError as error:\n    print(error)\n"
        "else:\n    raise SystemExit('no error')\n", env=env))
    assert "TRN" in result.stdout


@pytest.mark.parametrize("first", ["torch", "torch_trn"])
def test_migrate_variable(with_site, first):
    succeeded(with_site(f"import {first}\nimport torch\nassert torch.cuda.is_available()\n"
                        "assert torch.empty(2, device='cuda').is_cuda\n",
                        env={"TORCH_TRN_MIGRATE": "1"}))
