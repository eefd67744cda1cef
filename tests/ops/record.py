"""Turns the rows of a sweep into python/torch_trn/coverage/measured.json."""

from __future__ import annotations

import json
from collections import defaultdict

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch_trn import _C
from torch_trn.coverage import registry

from . import exclusions, opdb

WORST = "nrdf"  # of two statuses seen for an overload and type the later letter counts


class Recorder(TorchDispatchMode):
    """How each overload with a trn tensor was computed: {name: letter of its status}."""

    def __init__(self):
        super().__init__()
        self.seen: dict[str, str] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        before = _calls()
        result = func(*args, **(kwargs or {}))
        found = tree_flatten((args, kwargs, result))[0]
        name = func.name()
        if name.startswith("aten::") and any(
                isinstance(t, torch.Tensor) and t.device.type == "trn" for t in found):
            plain = registry.registered().get(name, "native")
            letter = "f" if _calls() > before else "d" if plain == "decomposed" else "n"
            self.seen[name] = max(self.seen.get(name, "n"), letter, key=WORST.index)
        return result


def _calls() -> int:
    return sum(c["calls"] for c in _C._fallback_counts().values())


def measured(rows: list[dict]) -> dict:
    """The contents of the file."""
    checks, calls = defaultdict(set), {}
    for r in rows:
        if "failed" not in r and "skipped" not in r:
            checks[r["entry"]].add(r["check"])
        if r["check"] == "forward" and "calls" in r:
            calls[(r["entry"], r["type"])] = r
    return {"overloads": _overloads(calls, checks), "database": _database(rows),
            "exclusions": sorted(
                (name, why) for name in opdb.ENTRIES
                if (why := exclusions.reason(name, "float32", "forward")))}


def _overloads(calls, checks) -> dict:
    letters, errors, forms = defaultdict(dict), defaultdict(float), defaultdict(set)
    for (entry, word), row in calls.items():
        for name, letter in row["calls"].items():
            seen = letters[name].get(word, "n")
            letters[name][word] = max(seen, letter, key=WORST.index)
            errors[name] = max(errors[name], row.get("error", 0.0))
            forms[name] |= checks[entry]
    return {name: {
        "registered": registry.registered().get(name, "native"),
        "types": "".join(letters[name].get(t, "-") for t in registry.TYPES),
        "error": float(f"{errors[name]:.1e}"), "forms": sorted(forms[name]),
    } for name in sorted(letters)}


def _database(rows) -> dict:
    found = {}
    for word in registry.TYPES:
        dtype = getattr(torch, word)
        ran = {r["entry"]: r for r in rows if r["check"] == "forward" and r["type"] == word
               and "skipped" not in r}
        right = {n for n, r in ran.items() if "failed" not in r}
        native = {n for n in right if not ran[n]["fallbacks"]}
        cuda = {n for n in ran if opdb.cuda_has(opdb.ENTRIES[n], dtype)}
        found[word] = {"entries": len(ran), "right": len(right), "native": len(native),
                       "cuda": len(cuda), "native_cuda": len(native & cuda)}
    return found


def write(rows: list[dict]) -> None:
    registry.MEASURED.write_text(json.dumps(measured(rows), indent=0) + "\n")
