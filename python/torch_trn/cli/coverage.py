"""torch-trn coverage: what of PyTorch, or of a model, runs on trn."""

from __future__ import annotations

import json
import sys

from ..coverage import render, trace


def print_coverage(target: str | None, form: str) -> int:
    """Prints the table of all operators, or a model's; 1 if the model has operators that fall
    back or are refused, 2 for a target that cannot be read."""
    if target is None:
        print(render.FORMS[form](render.gather()))
        return 0
    try:
        if form in ("html", "markdown"):
            raise ValueError(f"--{form} is for the table of all operators, without {target}")
        rows = trace.summary(trace.trace(trace.load(target)))
    except Exception as error:  # the model's own code may raise anything
        kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
        print(f"torch-trn coverage: {kind}{(str(error).splitlines() or [''])[0]}", file=sys.stderr)
        return 2
    missing = [r for r in rows if r["status"] in ("fallback", "refused")]
    if form == "json":
        print(json.dumps(rows, indent=1))
    else:
        width = max((len(r["operator"]) for r in rows), default=0)
        for r in rows:
            print(f"{r['status']:<10} {r['operator']:<{width}} {r['type']:<10} {r['calls']:>6}")
        print(f"{len(rows)} operators and types, {sum(r['calls'] for r in rows)} calls: "
              f"{len(missing)} would fall back or be refused")
    return 1 if missing else 0
