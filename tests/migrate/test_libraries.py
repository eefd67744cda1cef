"""CUDA programs that use public libraries: what they print on trn is what they print on the CPU."""

import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import pytest

PROGRAMS = pathlib.Path(__file__).parent / "programs"
_TRANSFORMERS = ["llama", "qwen2", "mistral", "mixtral", "gpt2", "mamba", "bert", "roberta", "t5",
                 "vit", "clip", "whisper"]


def _run(program, args, *start, **env):
    done = subprocess.run([sys.executable, *start, PROGRAMS / program, *args], timeout=600,
                          env={**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "0",
                               "PYTHONWARNINGS": "ignore", **env}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout, done.stderr


def _words(text):
    """Lines of words; one that holds a number as the number. Times are not compared."""
    return [re.split(r"\s+", line) for line in text.splitlines() if "runtime" not in line]


def _is_close(ours, cpus):
    try:
        return float(ours) == pytest.approx(float(cpus), rel=5e-3, abs=2e-4)
    except ValueError:
        return ours == cpus


@pytest.mark.parametrize(("program", "args", "needs"), [
    ("transformers_models.py", _TRANSFORMERS[:6], "transformers"),
    ("transformers_models.py", _TRANSFORMERS[6:], "transformers"),
    ("transformers_trainer.py", [], "transformers accelerate"),
    ("accelerate_loop.py", [], "accelerate"),
    ("lightning_fit.py", [], "lightning"),
    ("peft_lora.py", [], "peft transformers"),
    ("diffusers_models.py", ["unet", "dit", "vae"], "diffusers transformers"),
    ("small_libraries.py", [], "safetensors einops torchmetrics"),
    ("sentence_embeddings.py", [], "sentence_transformers"),
    ("geometric_nodes.py", [], "torch_geometric"),
    ("stable_baselines.py", [], "stable_baselines3"),
])
def test_prints_what_the_cpu_prints(program, args, needs):
    missing = [name for name in needs.split() if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    cpu, _ = _run(program, args, TORCH_DEVICE_BACKEND_AUTOLOAD="0")
    trn, receipt = _run(program, args, "-m", "torch_trn", "run")
    ours, cpus = _words(trn), _words(cpu)
    assert len(ours) == len(cpus) > 0
    for a, b in zip(ours, cpus):
        assert len(a) == len(b) and all(map(_is_close, a, b)), (a, b)
    assert "nothing fell back to the CPU" in receipt
    launched = re.search(r"kernels launched: ([\d,]+)", receipt)
    assert int(launched[1].replace(",", "")) > 100
