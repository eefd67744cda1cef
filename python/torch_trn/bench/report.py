"""A run of the benchmark as text, JSON, Markdown and HTML."""

from __future__ import annotations

import datetime
import html
import platform
from collections.abc import Iterable

import torch

from .. import __version__, trn
from .measure import Limits, Result

Run = tuple[dict[int, Limits], list[Result]]


def machine() -> dict[str, object]:
    """What the numbers depend on."""
    p = trn.get_device_properties(0)
    return {
        "processor": p.name.split("(", 1)[-1].rstrip(")"), "kernels": p.isa,
        "l1_bytes": p.l1_cache_size, "l2_bytes": p.L2_cache_size, "l3_bytes": p.l3_cache_size,
        "torch": torch.__version__, "torch-trn": __version__,
        "python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}",
        "date": datetime.date.today().isoformat(),
    }


def duration(seconds: float) -> str:
    """Seconds in the unit that reads best."""
    for unit, scale in (("s", 1), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale or unit == "us":
            return f"{seconds / scale:.3g} {unit}"
    raise AssertionError


def speed(result: Result) -> str:
    """GFLOP/s of trn where the row counts operations, else GB/s."""
    row, seconds = result.row, result.best[1]
    if row.flops > 4 * row.bytes or not row.bytes:
        return f"{row.flops / seconds / 1e9:.0f} GFLOP/s" if row.flops else ""
    return f"{row.bytes / seconds / 1e9:.1f} GB/s"


HEADINGS = ("", "row", "CPU best", "trn best", "trn median", "speed", "of limit", "ratio",
            "(median)", "goal")


def cells(result: Result, limits: Limits) -> tuple[str, ...]:
    """The columns of one row, as HEADINGS names them."""
    row = result.row
    if result.error:
        return ("!", row.name, *[""] * 6, result.error[:60], f"{row.goal:.1f}")
    cpu, ours = result.best
    share = limits.share(row, ours) if row.flops or row.bytes else 0
    medians = result.median
    return ("ok" if result.met else "-", row.name, duration(cpu), duration(ours),
            duration(medians[1]), speed(result), f"{share:.0%}" if share else "",
            f"{result.ratio:.2f}", f"{medians[0] / medians[1]:.2f}", f"{row.goal:.1f}")


def limit_lines(limits: Limits) -> Iterable[str]:
    """The machine's limits, one a line."""
    for isa, kinds in sorted(limits.peaks.items()):
        yield f"peak {isa}: " + ", ".join(f"{k} {v / 1e9:.0f} GFLOP/s" for k, v in kinds.items())
    yield "copy (bytes read and written): " + ", ".join(
        f"{k} {v / 1e9:.0f} GB/s" for k, v in limits.copies.items())


def line(result: Result, limits: Limits) -> str:
    """One row for a terminal."""
    mark, name, *rest = cells(result, limits)
    widths = (10, 10, 10, 13, 5, 6, 7, 5)
    return f"{mark:>2} {name:<44}" + " ".join(f"{c:>{w}}" for c, w in zip(rest, widths))


def as_json(run: Run) -> dict[str, object]:
    """Everything measured, samples included."""
    all_limits, results = run
    return {
        "machine": machine(),
        "limits": {t: {"peaks": x.peaks, "copies": x.copies} for t, x in all_limits.items()},
        "rows": [{
            "group": r.row.group, "name": r.row.name, "threads": r.threads, "goal": r.row.goal,
            "flops": r.row.flops, "bytes": r.row.bytes, "error": r.error,
            "cpu_seconds": r.cpu, "trn_seconds": r.trn,
            "ratio": None if r.error else r.ratio,
        } for r in results],
    }


def _groups(results: list[Result]) -> dict[tuple[int, str], list[Result]]:
    groups: dict[tuple[int, str], list[Result]] = {}
    for r in results:
        groups.setdefault((r.threads, r.row.group), []).append(r)
    return groups


def as_markdown(run: Run) -> str:
    """docs/performance.md."""
    all_limits, results = run
    facts = machine()
    out = ["# Performance", "",
           "Written by `torch-trn bench --markdown docs/performance.md`. Both sides of a row do "
           "the same work in one process, in turns, on as many threads; ratio is PyTorch's CPU "
           "time over `trn` time, of the best samples and (in brackets) of the medians. "
           "`of limit` is the time that the machine needs at least, by its arithmetic or its "
           "memory as measured in the same run, over the time taken; a dash marks a missed goal.",
           ""]
    out += [f"- {key}: {value}" for key, value in facts.items()]
    for threads, limits in all_limits.items():
        out += ["", f"## {threads} thread{'s' if threads > 1 else ''}", ""]
        out += [f"- {text}" for text in limit_lines(limits)]
        for (t, group), rows in _groups(results).items():
            if t != threads:
                continue
            out += ["", f"### {group}", "", "| " + " | ".join(HEADINGS) + " |",
                    "|" + "---|" * len(HEADINGS)]
            out += ["| " + " | ".join(cells(r, limits)) + " |" for r in rows]
    return "\n".join(out) + "\n"


def as_html(run: Run) -> str:
    """One self-contained page: tables, ratio bars and a roofline."""
    from .plots import ratio_bars, roofline

    all_limits, results = run
    parts = ["<!doctype html><meta charset=utf-8><title>torch-trn bench</title><style>"
             "body{font:14px system-ui;margin:2em;max-width:75em}td,th{padding:1px 8px;"
             "text-align:right}td:nth-child(2){text-align:left}.miss{color:#b00}</style>"
             "<h1>torch-trn bench</h1><ul>"]
    parts += [f"<li>{html.escape(f'{k}: {v}')}" for k, v in machine().items()]
    parts.append("</ul>")
    for threads, limits in all_limits.items():
        own = [r for r in results if r.threads == threads]
        parts.append(f"<h2>{threads} thread{'s' if threads > 1 else ''}</h2>")
        parts += [f"<p>{html.escape(text)}" for text in limit_lines(limits)]
        parts.append(roofline(own, limits))
        for (_, group), rows in _groups(own).items():
            parts.append(f"<h3>{html.escape(group)}</h3>{ratio_bars(rows)}<table><tr>"
                         + "".join(f"<th>{h}" for h in HEADINGS))
            for r in rows:
                parts.append(f"<tr class={'hit' if r.met else 'miss'}>" + "".join(
                    f"<td>{html.escape(c)}" for c in cells(r, limits)))
            parts.append("</table>")
    return "\n".join(parts) + "\n"
