"""What a run did: what was redirected, what fell back to the CPU, launches, memory, warnings."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, TextIO

from .. import _C, __version__, migration, trn
from ..migration import cuda_api
from . import options
from .called import called


def short(site: str) -> str:
    """A file:line relative to the current folder where that is shorter; "-" for none."""
    if not site:
        return "-"
    try:
        relative = os.path.relpath(site)
    except FileNotFoundError:  # the current folder is gone
        return site
    return relative if len(relative) < len(site) else site


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError


@dataclass
class Receipt:
    """A run. Bytes, seconds; sites are "file:line".

    ``processes`` are counted together, those that the program started among them; of these,
    ``without_account`` were killed or had not ended, so that what they did is not known.
    """

    command: list[str]
    exit_code: int
    seconds: float
    versions: dict[str, str]
    redirected: list[dict[str, Any]] = field(default_factory=list)
    fallbacks: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    launches: int = 0
    memory: list[dict[str, Any]] = field(default_factory=list)
    processes: int = 1
    without_account: int = 0

    @property
    def fallback_calls(self) -> int:
        """Operator calls that ran on the CPU."""
        return sum(entry["calls"] for entry in self.fallbacks)

    @property
    def fallback_bytes(self) -> int:
        """Bytes that moved between device and host for them."""
        return sum(entry["bytes"] for entry in self.fallbacks)

    def figures(self) -> dict[str, float]:
        """What ``--budget`` can limit."""
        return {"fallbacks": self.fallback_calls, "fallback_bytes": self.fallback_bytes,
                "fallback_seconds": sum(e["seconds"] for e in self.fallbacks),
                "warnings": sum(e["count"] for e in self.warnings), "seconds": self.seconds,
                "memory": max((m["allocated"] for m in self.memory), default=0)}

    def as_json(self) -> str:
        """The receipt as a JSON object; ``figures`` are the sums."""
        return json.dumps({**asdict(self), "figures": self.figures()}, indent=1)


class Watch:
    """Collects warnings and time from its making on; ``receipt`` closes the account."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.warnings: dict[tuple[str, str, str], int] = {}
        self._show: Callable = warnings.showwarning
        warnings.showwarning = self._note

    def _note(self, message, category, filename, lineno, file=None, line=None) -> None:
        key = (f"{filename}:{lineno}", category.__name__, " ".join(str(message).split())[:500])
        self.warnings[key] = self.warnings.get(key, 0) + 1
        self._show(message, category, filename, lineno, file, line)

    def receipt(self, command: list[str], exit_code: int) -> Receipt:
        """The receipt of this process so far."""
        warnings.showwarning = self._show
        import torch

        made = Receipt(command, exit_code, time.perf_counter() - self.started, {
            "torch-trn": __version__, "torch": torch.__version__,
            "python": platform.python_version(), "kernels": _C._active_isa(),
            "machine": platform.machine(), "cores": str(os.cpu_count()),
        })
        made.redirected = _redirected()
        made.fallbacks = [
            {"operator": op, "site": site, **entry}
            for (op, site), entry in sorted(trn.report.fallback_details("line").items())]
        made.warnings = [{"site": site, "category": category, "message": message, "count": count}
                         for (site, category, message), count in self.warnings.items()]
        made.launches = _C._launch_count()
        if trn.is_initialized():
            made.memory = [
                {"device": f"trn:{i}", "allocated": trn.max_memory_allocated(i),
                 "reserved": trn.max_memory_reserved(i)}
                for i in range(trn.device_count()) if trn.max_memory_allocated(i)]
        return made


def _redirected() -> list[dict[str, Any]]:
    found = []
    for (name, site), calls in migration.redirections().items():
        row = cuda_api.find(name)
        factory = name.startswith("aten::")
        found.append({"name": name, "site": site, "calls": calls,
                      "called": called(site) if factory else "",
                      "mark": row.mark if row else "same",
                      "what": "made on trn" if factory else row.text if row else ""})
    return sorted(found, key=lambda e: (-e["calls"], e["name"], e["site"]))


def _table(rows: list[tuple[str, str, str]], out: TextIO) -> None:
    width = max(len(name) for name, _, _ in rows)
    for name, calls, site in rows:
        print(f"  {name:<{width}}  {calls:>9}  {site}", file=out)


def about_processes(receipt: Receipt) -> list[str]:
    """A sentence for each thing there is to say of a run that was more than one process."""
    said = []
    if receipt.processes > 1:
        said.append(f"{receipt.processes} processes, counted together")
    if receipt.without_account:
        said.append(f"not known: what {receipt.without_account} of them did, which had not ended "
                    "or were killed")
    return said


def nothing_fell_back(receipt: Receipt) -> str:
    """What to say of a run without known fallbacks."""
    if receipt.without_account:
        return ("nothing known fell back to the CPU; processes that left no account: "
                f"{receipt.without_account}")
    return "nothing fell back to the CPU"


_LINES = 20  # of a table on a terminal; the page and the JSON file have all


def print_receipt(receipt: Receipt, out: TextIO | None = None) -> None:
    """Prints it for a terminal."""
    out = out or sys.stderr
    print("\n-- torch-trn receipt " + "-" * 58, file=out)
    for sentence in about_processes(receipt):
        print(sentence, file=out)
    if receipt.redirected:
        print("redirected from CUDA to trn (calls, line, what it calls):", file=out)
        _table([(e["name"], str(e["calls"]), f"{short(e['site'])}  {e['called']}".rstrip())
                for e in receipt.redirected[:_LINES]], out)
        if len(receipt.redirected) > _LINES:
            print(f"  and {len(receipt.redirected) - _LINES} more lines (--receipt FILE has all)",
                  file=out)
    else:
        print("nothing asked for CUDA", file=out)
    if receipt.fallbacks:
        print("fell back to the CPU (calls, line, bytes moved, reason):", file=out)
        _table([(e["operator"], str(e["calls"]),
                 f"{short(e['site'])}  {size(e['bytes'])}  {e['reason']}")
                for e in receipt.fallbacks], out)
    else:
        print(nothing_fell_back(receipt), file=out)
    print(f"kernels launched: {receipt.launches:,}", file=out)
    for entry in receipt.memory:
        print(f"peak memory of {entry['device']}: {size(entry['allocated'])} allocated, "
              f"{size(entry['reserved'])} reserved", file=out)
    out.flush()


def _files(path: str) -> list[str]:
    stem, ending = os.path.splitext(path)
    return [stem + ".json"] if ending == ".json" else [stem + ".json", path]


def _is_receipt(text: str) -> bool:
    from .page import RECEIPT_TITLE

    if f"<title>{RECEIPT_TITLE}" in text:
        return True
    try:
        return {"command", "exit_code", "figures"} <= json.loads(text).keys()
    except (ValueError, AttributeError):
        return False


def why_not_written(path: str) -> str | None:
    """Why ``write_receipt`` could not, or should not, write there; None where it can."""
    reasons = (options.why_not_written(file, "receipt", _is_receipt) for file in _files(path))
    return next(filter(None, reasons), None)


def write_receipt(receipt: Receipt, path: str) -> None:
    """Writes a page and, beside it, the same as JSON; a path ending in .json gets JSON only."""
    for name in _files(path):
        if name.endswith(".json"):
            text = receipt.as_json()
        else:
            from .page import receipt_page

            text = receipt_page(receipt)
        with open(name, "w") as file:
            file.write(text)


def parse_budget(text: str) -> dict[str, float]:
    """``fallbacks=0,fallback_bytes=1000000``. Raises ValueError for no figure's limit."""
    known = Receipt([], 0, 0.0, {}).figures()
    budget = {}
    for part in text.split(","):
        name, _, text = (word.strip() for word in part.partition("="))
        if name not in known:
            raise ValueError(f"--budget knows {', '.join(known)}; not {name!r}")
        try:
            limit = float(text)
        except ValueError:
            limit = math.nan
        if math.isnan(limit):
            raise ValueError(f"--budget {name}= needs a number; not {text!r}")
        budget[name] = limit
    return budget


def over_budget(receipt: Receipt, budget: dict[str, float]) -> list[str]:
    """A sentence for each figure above its limit, or perhaps above: all processes must be known."""
    figures = receipt.figures()
    excess = [f"over budget: {name} is {figures[name]:g}, limit {limit:g}"
              for name, limit in budget.items() if figures[name] > limit]
    unknown = budget.keys() - {"seconds"}  # which is measured here, whatever the others did
    if receipt.without_account and unknown:
        excess.append(f"over budget: {', '.join(sorted(unknown))} of {receipt.without_account} "
                      "processes that left no account, which is not known")
    return excess
