"""torch-trn bench: the table of trn against PyTorch's CPU."""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import sys
from collections.abc import Iterator

from ..bench import (
    report,
    rows_conv,
    rows_functions,
    rows_linear,
    rows_memory,
    rows_norm,
    rows_runtime,
    rows_steps,
)
from ..bench.measure import count, measure, measure_limits, set_threads
from ..bench.row import Count, Row


def _rows(tiny: bool) -> Iterator[Row | Count]:
    for part in (rows_linear, rows_conv, rows_norm, rows_functions, rows_memory, rows_steps,
                 rows_runtime):
        yield from part.rows(tiny)


def _wanted(row: Row | Count, patterns: list[str], quick: bool) -> bool:
    name = f"{row.group}: {row.title}"
    if not patterns:
        return not (quick and row.slow)
    return any(p in name or fnmatch.fnmatch(name, p) for p in patterns)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)


def run_bench(options: argparse.Namespace) -> int:
    """Measures and prints; 0, or 2 when no row matches."""
    quick = options.quick or options.tiny
    rows = [r for r in _rows(options.tiny) if _wanted(r, options.only, quick)]
    if not rows:
        print(f"torch-trn: no row matches {' '.join(options.only)}", file=sys.stderr)
        return 2
    if options.list:
        for row in rows:
            print(f"{row.group}: {row.title}")
        return 0
    out = sys.stderr if options.json == "-" else sys.stdout
    run = _measure_all(rows, options, out)
    if options.json == "-":
        print(json.dumps(report.as_json(run)))
    elif options.json:
        _write(options.json, json.dumps(report.as_json(run)))
    if options.html:
        _write(options.html, report.as_html(run))
    if options.markdown:
        _write(options.markdown, report.as_markdown(run))
    return 0


def _measure_all(rows: list[Row | Count], options: argparse.Namespace, out) -> report.Run:
    quick = options.quick or options.tiny
    rounds, seconds = (3, 1.0) if quick else (9, 4.0)
    sample = 0.0 if options.tiny else 0.01
    all_limits, results = {}, []
    for threads in options.threads or [os.cpu_count() or 1]:
        limits = measure_limits(threads, milliseconds=2.0 if options.tiny else 50.0)
        all_limits[threads] = limits
        set_threads(threads)
        print(f"{threads} threads; ratio = time of PyTorch's CPU / time of trn", file=out)
        for text in report.limit_lines(limits):
            print(text, file=out)
        print(f"   {'':<44}  " + " ".join(report.HEADINGS[2:]), file=out)
        group = ""
        for row in rows:
            if row.group != group:
                group = row.group
                print(f"-- {group}", file=out)
            result = (count(row, threads) if isinstance(row, Count) else
                      measure(row, threads, rounds=rounds, seconds=seconds, sample=sample))
            results.append(result)
            print(report.line(result, limits), file=out, flush=True)
    return all_limits, results
