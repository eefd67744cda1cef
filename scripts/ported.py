"""Runs public CUDA programs, unmodified, on trn and on the CPU, and writes docs/ported.md.

python scripts/ported.py FOLDER    where FOLDER/nanoGPT, FOLDER/minGPT, FOLDER/examples are clones
A program whose source is not there is listed as skipped. Losses of both runs have to agree.
"""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
import time
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOLERANCE = 0.02  # of a loss, relative: a few steps of training in another order of sums

_NANO = ("config/train_shakespeare_char.py --max_iters=10 --eval_iters=2 --eval_interval=10 "
         "--log_interval=5 --n_layer=2 --n_embd=64 --n_head=2 --block_size=64 --batch_size=8 "
         "--dropout=0.0 --out_dir=out-ported")


@dataclass(frozen=True)
class Program:
    """A program: its clone, folder and command; ``on_cpu`` is what makes it use the CPU."""

    clone: str
    folder: str
    command: str
    exercises: str
    on_cpu: str = ""
    losses: str = r"loss\s+([0-9.]+)"


_WORDS = "main.py --epochs 1 --emsize 32 --nhid 32 --batch_size 8 --log-interval 20 --dropout 0 "
_WORD_LOSS = r"(?:test|valid) loss\s+([0-9.]+)"
PROGRAMS = [
    Program("nanoGPT", ".", f"train.py {_NANO} --compile=False --dtype=float32",
            "attention, fused AdamW, pinned memory, checkpoints", "--device=cpu",
            r"iter \d+: loss ([0-9.]+)"),
    Program("nanoGPT", ".", f"train.py {_NANO} --compile=False --dtype=bfloat16",
            "autocast in bfloat16", "--device=cpu", r"iter \d+: loss ([0-9.]+)"),
    Program("nanoGPT", ".", f"train.py {_NANO} --compile=False --dtype=float16",
            "autocast in float16, GradScaler", "--device=cpu --dtype=float32",
            r"iter \d+: loss ([0-9.]+)"),
    Program("nanoGPT", ".", f"train.py {_NANO} --compile=True --dtype=float32", "torch.compile",
            "--device=cpu --compile=False", r"iter \d+: loss ([0-9.]+)"),
    Program("minGPT", ".", "projects/adder/adder.py --trainer.max_iters=40 "
            "--trainer.num_workers=0", "DataLoader, AdamW, sampling", "--trainer.device=cpu",
            r"train loss ([0-9.]+)"),
    *(Program("examples", "word_language_model", _WORDS + f"--accel --model {model}", text,
              "CPU", _WORD_LOSS)
      for model, text in (("LSTM", "LSTM, gradient clipping, checkpoints"), ("GRU", "GRU"),
                          ("RNN_TANH", "plain recurrence"),
                          ("Transformer --nhead 2", "torch.nn.Transformer"))),
]


def _arguments(program: Program, cpu: bool) -> list[str]:
    words = program.command.split()
    if not cpu:
        return words
    if program.on_cpu == "CPU":  # a program that uses the CPU unless told otherwise
        return [word for word in words if word != "--accel"]
    return words + program.on_cpu.split()


def _run(program: Program, folder: pathlib.Path, cpu: bool) -> tuple[int, float, list[float], str]:
    start = [sys.executable] if cpu else [sys.executable, "-m", "torch_trn", "run"]
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'python'}{os.pathsep}{folder}"}
    if cpu:
        env["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
    began = time.perf_counter()
    done = subprocess.run([*start, *_arguments(program, cpu)], cwd=folder, env=env,
                          capture_output=True, text=True, timeout=900)
    took = time.perf_counter() - began
    losses = [float(x) for x in re.findall(program.losses, done.stdout)]
    return done.returncode, took, losses, done.stdout + done.stderr


def _commit(clone: pathlib.Path) -> str:
    return subprocess.run(["git", "rev-parse", "--short=10", "HEAD"], cwd=clone,
                          capture_output=True, text=True).stdout.strip()


def row(program: Program, folder: pathlib.Path) -> str:
    """One line of the table."""
    clone = folder / program.clone
    where = clone / program.folder
    head = f"| {program.clone}/{program.folder} | "
    command = f"`{program.command}`"
    if not (where / program.command.split()[0]).exists():
        return head + f"- | {command} | skipped: no source here | - | {program.exercises} |"
    code, took, losses, output = _run(program, where, cpu=False)
    cpu_code, cpu_took, cpu_losses, _ = _run(program, where, cpu=True)
    if code or cpu_code or not losses or len(losses) != len(cpu_losses):
        result = f"exit code {code}, on the CPU {cpu_code}: " + output.strip()[-80:]
    else:
        gap = max(abs(a - b) / max(abs(b), 1e-6) for a, b in zip(losses, cpu_losses))
        fell = "" if "nothing fell back" in output else ", with fallbacks"
        result = f"{'agrees' if gap < TOLERANCE else 'DIFFERS'} (greatest difference " \
                 f"{gap:.1e} of {len(losses)} losses){fell}"
    return head + f"{_commit(clone)} | {command} | {result} | {took / cpu_took:.2f} | " \
                  f"{program.exercises} |"


def main(folder: pathlib.Path) -> None:
    """Runs all and writes the page."""
    rows = []
    for program in PROGRAMS:
        rows.append(row(program, folder))
        print(rows[-1], flush=True)
    (ROOT / "docs" / "ported.md").write_text(
        "# Public programs, unmodified, on trn\n\nEach runs under `torch-trn run` and, with the "
        "same seed, on the CPU; losses have to agree.\nTime is the whole process, start-up "
        "included, against the CPU's; small sizes, so mostly overhead.\nWritten by "
        "`scripts/ported.py`.\n\n| program | commit | command | result | time against CPU | "
        "exercises |\n|---|---|---|---|--:|---|\n" + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())
