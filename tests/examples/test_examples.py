"""The examples run, small: on trn, on the device itself, with nothing on the CPU instead."""

import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture
def example():
    def run(name, *args, env=None, launcher=()):
        result = subprocess.run(
            [sys.executable, *launcher, os.path.join(ROOT, "examples", name), *args],
            capture_output=True, text=True, timeout=600, env={**os.environ, **(env or {})})
        assert result.returncode == 0, result.stdout + result.stderr
        return result

    return run


def test_train_gpt(example):
    result = example("train_gpt.py", "--steps", "25", "--layers", "1", "--heads", "4",
                     "--width", "64", "--context", "64", "--batch", "8",
                     "--bytes", "200000", "--sample", "20", "--eval-every", "20",
                     launcher=("-m", "torch_trn", "run"), env={"TRN_FALLBACK": "error"})
    losses = [float(line.split("loss")[1].split()[0]) for line in result.stdout.splitlines()
              if line.startswith("step") and "val" not in line]
    assert losses[0] > 5 and losses[-1] < losses[0] - 1
    assert "same weights" in result.stdout and "peak memory" in result.stdout
    assert "nothing fell back to the CPU" in result.stderr
    assert "torch.cuda.is_available" in result.stderr and "train_gpt.py:" in result.stderr


def test_train_gpt_on_the_cpu(example):
    example("train_gpt.py", "--steps", "3", "--layers", "1", "--heads", "4", "--width", "32",
            "--context", "16", "--batch", "4", "--bytes", "50000", "--sample", "5",
            env={"TORCH_DEVICE_BACKEND_AUTOLOAD": "0", "CUDA_VISIBLE_DEVICES": ""})


def test_digits_cnn(example):
    pytest.importorskip("sklearn")
    result = example("digits_cnn.py", env={"TRN_FALLBACK": "error"},
                     launcher=("-c", WITH_DEVICE))
    assert "held-out accuracy 9" in result.stdout


def test_bert_inference(example):
    pytest.importorskip("transformers")
    result = example("bert_inference.py", env={"TRN_FALLBACK": "error"},
                     launcher=("-c", WITH_DEVICE))
    assert "on trn:0" in result.stdout and "equal to the CPU's output" in result.stdout


def test_table_is_fresh():
    pytest.importorskip("sklearn")
    pytest.importorskip("transformers")
    result = subprocess.run([sys.executable, os.path.join(ROOT, "scripts", "example_ops.py"),
                             "--check"], capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr


# The examples import torch only; without the entry point installed the device is imported here.
WITH_DEVICE = "import runpy, sys, torch_trn; del sys.argv[0]; runpy.run_path(sys.argv[0], " \
              "run_name='__main__')"


def test_libtorch(tmp_path):
    import shutil

    import torch
    import torch_trn

    if not shutil.which("cmake") or not shutil.which("ninja"):
        pytest.skip("cmake and ninja are needed to build a C++ program")
    if torch.version.cuda and not shutil.which("nvcc"):
        pytest.skip("the CMake package of a CUDA build of PyTorch needs the CUDA toolkit")
    prefix = f"{torch.utils.cmake_prefix_path};{torch_trn.cmake_prefix_path}"
    for command in (
        ["cmake", "-S", os.path.join(ROOT, "examples", "libtorch"), "-B", str(tmp_path), "-G",
         "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_BUILD_TYPE=Debug"],
        ["cmake", "--build", str(tmp_path)],
        [str(tmp_path / "train_mlp")],
    ):
        result = subprocess.run(command, capture_output=True, text=True, timeout=600,
                                env={**os.environ, "TRN_FALLBACK": "error"})
        assert result.returncode == 0, result.stdout + result.stderr
    assert "parameters on trn:0" in result.stdout
