"""What a run did: what was redirected, what fell back to the CPU, launches, memory."""

from __future__ import annotations

import os
from typing import TextIO

from .. import _C, migration, trn


def _short(site: str) -> str:
    """A file:line relative to the current folder where that is shorter."""
    if not site:
        return "-"
    relative = os.path.relpath(site)
    return relative if len(relative) < len(site) else site


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError


def _table(rows: list[tuple[str, str, str]], out: TextIO) -> None:
    width = max(len(name) for name, _, _ in rows)
    for name, calls, site in rows:
        print(f"  {name:<{width}}  {calls:>9}  {site}", file=out)


def print_receipt(out: TextIO) -> None:
    """Prints the receipt of this process so far."""
    print("\n-- torch-trn receipt " + "-" * 58, file=out)
    redirected = migration.redirections()
    if redirected:
        print("redirected from CUDA to trn (calls, first line):", file=out)
        ordered = sorted(redirected.items(), key=lambda item: (-item[1][0], item[0]))
        _table([(name, str(calls), _short(site)) for name, (calls, site) in ordered], out)
    else:
        print("nothing asked for CUDA", file=out)
    fallen = trn.report.fallback_details("line")
    if fallen:
        print("fell back to the CPU (calls, line, bytes moved, reason):", file=out)
        _table([(op, str(entry["calls"]),
                 f"{_short(site)}  {_size(entry['bytes'])}  {entry['reason']}")
                for (op, site), entry in sorted(fallen.items())], out)
    else:
        print("nothing fell back to the CPU", file=out)
    print(f"kernels launched: {_C._launch_count():,}", file=out)
    if trn.is_initialized():
        for index in range(trn.device_count()):
            peak = trn.max_memory_allocated(index)
            if peak:
                print(f"peak memory of trn:{index}: {_size(peak)} allocated, "
                      f"{_size(trn.max_memory_reserved(index))} reserved", file=out)
    out.flush()
