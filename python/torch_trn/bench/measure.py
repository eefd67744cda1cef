"""Times pairs of the same work, interleaved in one process, and the machine's own limits."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch

from .. import _C, trn
from .row import Count, Row, Unavailable, Work

# What a turn does before it is timed: the other side's idle threads spin for up to 9 ms, and a
# virtual core that slept needs some 20 ms of work to run at full speed again.
_WARM_SECONDS = 0.03
_TURN_SAMPLES = 3


@dataclass
class Result:
    """Seconds of one call on each side, best and median of the samples.

    ``cpu`` is the side that trn is compared with, which ``row.against`` names.
    """

    row: Row
    threads: int
    cpu: list[float]
    trn: list[float]
    error: str = ""

    @property
    def best(self) -> tuple[float, float]:
        return min(self.cpu), min(self.trn)

    @property
    def median(self) -> tuple[float, float]:
        return statistics.median(self.cpu), statistics.median(self.trn)

    @property
    def ratio(self) -> float:
        """Best time of the other side over best time of trn: above 1 trn is faster."""
        return self.best[0] / self.best[1]

    @property
    def met(self) -> bool:
        return not self.error and self.ratio >= self.row.goal


@dataclass
class Counted:
    """What a Count gave, or why it gave nothing."""

    row: Count
    threads: int
    value: float | None = None
    error: str = ""
    unavailable: str = ""

    @property
    def met(self) -> bool:
        return self.value is not None and self.value <= self.row.goal


def set_threads(threads: int) -> None:
    """Both sides compute on this many threads from now on."""
    torch.set_num_threads(threads)
    _C._set_compute_threads(threads)


def _sample(work: Work, repeats: int, finish: Callable[[], None]) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    finish()
    return (time.perf_counter() - start) / repeats


def _turn(work: Work, repeats: int, finish: Callable[[], None]) -> list[float]:
    """The samples of one side's turn, after untimed work that makes the machine its own."""
    until = time.perf_counter() + _WARM_SECONDS
    first = _sample(work, repeats, finish)
    if first * repeats > 10 * _WARM_SECONDS:  # the start weighs little in work as long as this
        return [first]
    while time.perf_counter() < until:
        _sample(work, repeats, finish)
    return [_sample(work, repeats, finish) for _ in range(_TURN_SAMPLES)]


def _no_wait() -> None:
    return None


def measure(row: Row, threads: int, *, rounds: int = 9, seconds: float = 4.0,
            sample: float = 0.01) -> Result:
    """Samples both sides in turns, at most `rounds` times, or for `seconds` but at least 3 times.

    A sample repeats its work until it lasts about `sample` seconds; a turn is untimed work and
    then up to three samples. Work that alone lasts longer than `seconds` is sampled once.
    """
    result = Result(row, threads, [], [])
    previous = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(row.precision)
    try:
        sides = []
        for make, device, finish, inside, times in _sides(row, result):
            work = make(torch.device(device))
            with inside():
                _sample(work, 1, finish)
                once = _sample(work, 1, finish)
            if once > seconds:
                times.append(once)
                continue
            repeats = max(1, round(sample / max(once, 1e-7)))
            sides.append((work, repeats, finish, inside, times))
        until = time.perf_counter() + seconds
        for i in range(rounds):
            if i >= 3 and time.perf_counter() > until:
                break
            for work, repeats, finish, inside, times in sides:
                with inside():
                    times += _turn(work, repeats, finish)
    except (RuntimeError, NotImplementedError) as error:
        result.error = str(error).splitlines()[0]
    finally:
        torch.set_float32_matmul_precision(previous)
    return result


def _sides(row: Row, result: Result):
    """Of the other side and of trn's: make, device, how to wait, what to be in, the samples."""
    other = ((row.make, "cpu", _no_wait) if row.base is None
             else (row.base, "trn", trn.synchronize))
    return ((*other, nullcontext, result.cpu),
            (row.make, "trn", trn.synchronize, row.inside, result.trn))


def count(row: Count, threads: int) -> Counted:
    """Counts what a Count asks for."""
    result = Counted(row, threads)
    try:
        result.value = row.count()
    except Unavailable as why:
        result.unavailable = str(why)
    except (RuntimeError, NotImplementedError) as error:
        result.error = str(error).splitlines()[0]
    return result


@dataclass(frozen=True)
class Limits:
    """What the machine does at most: operations and bytes (read and written) a second."""

    threads: int
    peaks: dict[str, dict[str, float]]  # instruction set -> type -> operations
    copies: dict[str, float]  # "L1", "L2", "L3", "memory" -> bytes

    def peak(self, kind: str) -> float:
        """The best rate of a type; of float32 where the processor has none for it."""
        best = {k: v for kinds in self.peaks.values() for k, v in kinds.items()}
        for kinds in self.peaks.values():
            for k, v in kinds.items():
                best[k] = max(best[k], v)
        return best.get(kind, best["f32"])

    def share(self, row: Row, seconds: float) -> float:
        """Time that the machine needs at least for a row, over the time that it took."""
        # Work that fits a cache may pass its bytes faster than memory does.
        caches = trn.get_device_properties(0)
        level = "memory"
        for name, size in (("L1", caches.l1_cache_size), ("L2", caches.L2_cache_size)):
            if row.bytes and row.bytes <= size * self.threads:
                level = name
                break
        else:
            if row.bytes and row.bytes <= caches.l3_cache_size:
                level = "L3"
        return max(row.flops / self.peak(row.peak), row.bytes / self.copies[level]) / seconds


_TYPES = {"f32": torch.float32, "f64": torch.float64, "bf16": torch.bfloat16, "i8": torch.int8}


def _rate(launch: Callable[[torch.Tensor, int], object], threads: int,
          milliseconds: float) -> float:
    done = torch.zeros(threads, dtype=torch.float64, device="trn")
    rounds, best = 1, 0.0
    for _ in range(10):
        trn.synchronize()
        start = time.perf_counter()
        if launch(done, rounds) is False:
            return 0.0
        trn.synchronize()
        seconds = time.perf_counter() - start
        if seconds > milliseconds * 5e-4:
            best = max(best, done.sum().item() / seconds)
        rounds = max(1, int(rounds * min(100, milliseconds * 1e-3 / max(seconds, 1e-6))))
    return best


def measure_limits(threads: int, *, milliseconds: float = 50.0) -> Limits:
    """Measures the peak of each instruction set and the copy bandwidth of each cache level."""
    set_threads(threads)
    active = _C._active_isa()
    peaks: dict[str, dict[str, float]] = {}
    present = {isa for family, _, isa in _C._kernels() if family == "probe_peak"}
    try:
        for isa in present:
            _C._set_active_isa(isa)
            if _C._active_isa() != isa:
                continue
            own = {k for family, k, i in _C._kernels() if family == "probe_peak" and i == isa}
            for kind, dtype in _TYPES.items():
                if str(dtype).removeprefix("torch.") not in {_torch_name(k) for k in own}:
                    continue
                rate = _rate(lambda d, n, t=dtype: _C._probe_peak(t, d, n), threads, milliseconds)
                peaks.setdefault(isa, {})[kind] = rate
    finally:
        _C._set_active_isa(active)
    p = trn.get_device_properties(0)
    # Both halves of a copy lie in the level, and well beyond the level before.
    sizes = {"L1": p.l1_cache_size // 4, "L2": p.L2_cache_size // 4,
             "L3": max(p.l3_cache_size // (4 * threads), p.L2_cache_size),
             "memory": max(4 * p.l3_cache_size, 64 << 20) // threads}
    copies = {}
    for level, size in sizes.items():
        size = max(size, 4096) // 64 * 64
        memory = torch.zeros(threads, 2, size, dtype=torch.uint8, device="trn")
        copies[level] = _rate(lambda d, n, m=memory: _C._probe_copy(d, m, n), threads,
                              milliseconds)
    return Limits(threads, peaks, copies)


def _torch_name(scalar_type: str) -> str:
    return {"Float": "float32", "Double": "float64", "BFloat16": "bfloat16",
            "Char": "int8"}[scalar_type]
