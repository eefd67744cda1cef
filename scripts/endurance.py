"""Resident memory over many training steps of a small model: python scripts/endurance.py [STEPS].

Prints a row ten times a run and exits with 1 if memory of the process, or blocks of the device's
allocator, grew after the first tenth.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
import torch_trn  # noqa: F401 (makes the device)
from torch import nn

ALLOWED = 4 << 20  # bytes: what an interpreter's own heap moves by


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def main(steps: int) -> int:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32), nn.LayerNorm(32), nn.GELU(), nn.Dropout(0.1),
                          nn.Linear(32, 4)).to("trn")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    inputs = torch.randn(64, 16)
    start, first = time.perf_counter(), None
    for step in range(1, steps + 1):
        # What a program does in a step: data from the host, a value read now and then.
        x = inputs.to("trn", non_blocking=True)
        with torch.autocast("trn", torch.bfloat16, enabled=step % 2 == 0):
            loss = model(x).float().square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            loss.item()
        if step % max(1, steps // 10) == 0:
            now = resident(), torch.trn.memory_allocated(), torch.trn.memory_reserved()
            first = first or now
            print(f"step {step:7,}  {time.perf_counter() - start:6.1f} s  resident "
                  f"{now[0] / 2**20:7.1f} MiB  allocated {now[1]:,}  reserved {now[2]:,}",
                  flush=True)
    return int(now[0] > first[0] + ALLOWED or now[1] > first[1] or now[2] > first[2])


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000))
