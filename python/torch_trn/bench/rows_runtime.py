"""Rows of the runtime: graphs, profiler, migration mode and compiler against work without them,
and what is counted."""

from __future__ import annotations

import functools
import gc
import shutil
import subprocess
import sys
from collections.abc import Iterator

import torch

from .. import migration, trn
from .row import Count, Make, Row, Unavailable
from .rows_steps import bert, chain, gpt, layers, resnet


def _replayed(device):
    work, graph = chain(device), trn.TRNGraph()
    work()
    with trn.graph(graph):
        work()
    return graph.replay


def _profiled():
    from torch.profiler import ProfilerActivity, profile

    return profile(activities=[ProfilerActivity.CPU, ProfilerActivity.PrivateUse1])


def _modes(tiny: bool) -> Iterator[Row]:
    def step(device):
        return gpt(device, tiny)

    yield Row("graphs", "150 dependent, replayed", 2.5, _replayed, against="eager", base=chain)
    yield Row("profiler", "GPT training, profiled", 0.91, step, against="no profiler", base=step,
              inside=_profiled)
    yield Row("migration", "150 dependent, migrated", 0.95, chain, against="no migration",
              base=chain, inside=migration.scope)


def _compiled(step: Make, **options) -> Make:
    """The same step with its model compiled; its cost is paid when the step first runs."""
    wrap = functools.partial(torch.compile, fullgraph=True, isolate_recompiles=True, **options)
    return lambda device: step(device, wrap=wrap)


def _layers(device, wrap):
    return torch.no_grad()(layers(device, wrap))


def _compiler(tiny: bool) -> Iterator[Row]:
    for name, make in (("GPT training", gpt), ("BERT inference", bert),
                       ("ResNet training", resnet)):
        step = functools.partial(make, tiny=tiny)
        # One object for both rows and both sides: what is compiled once is kept.
        compiled = functools.cache(_compiled(step))
        yield Row("torch.compile", f"{name}, compiled", 1.3, compiled, against="compiled CPU",
                  slow=True)
        yield Row("torch.compile", f"{name}, compiled", 1.0, compiled, against="eager", base=step,
                  slow=True)
    yield Row("torch.compile", "25 layers, reduce-overhead", 1.0,
              _compiled(_layers, mode="reduce-overhead"), against="default",
              base=_compiled(_layers), slow=True)
    small = functools.partial(gpt, tiny=True)
    yield Row("torch.compile", "small GPT training, reduce-overhead", 1.0,
              _compiled(small, mode="reduce-overhead"), against="default", base=_compiled(small),
              slow=True)


def _requested(tiny: bool) -> float:
    """Bytes that ten steps, after three that began with an empty cache, ask the system for."""
    gc.collect()
    trn.empty_cache()
    step = gpt(torch.device("trn"), tiny)
    for _ in range(3):
        step()
    trn.synchronize()
    before = trn.memory_stats()["reserved_bytes.all.allocated"]
    for _ in range(10):
        step()
    trn.synchronize()
    return trn.memory_stats()["reserved_bytes.all.allocated"] - before


_OPERATOR = """
import sys, torch, torch_trn
from torch.utils.benchmark import Timer
setup = f"import torch, torch_trn; x = torch.zeros(16, device={sys.argv[1]!r})"
counts = Timer("x + 1", setup=setup).collect_callgrind(number=200, collect_baseline=False)
print(counts.counts(denoise=True) / 200)
"""


def _instructions(device: str) -> float:
    """Instructions of one addition of 16 numbers, from Python to the end of its kernel."""
    if not shutil.which("valgrind"):
        raise Unavailable("valgrind is not installed")
    ran = subprocess.run([sys.executable, "-c", _OPERATOR, device], capture_output=True, text=True)
    if ran.returncode:
        raise Unavailable(f"callgrind: {ran.stderr.strip().splitlines()[-1]}")
    return float(ran.stdout.split()[-1])


def rows(tiny: bool) -> Iterator[Row | Count]:
    """All rows of the runtime; small ones for tests."""
    yield from _modes(tiny)
    yield from _compiler(tiny)
    yield Count("counted", "memory from the system, 10 GPT training steps", 0, "bytes",
                functools.partial(_requested, tiny))
    yield Count("counted", "x + 1, instructions", 1, "of the CPU's",
                lambda: _instructions("trn") / _instructions("cpu"), slow=True)
