"""A run of the benchmark as text, JSON, Markdown and HTML."""

from __future__ import annotations

import datetime
import html
import platform
from collections.abc import Iterable

import torch

from .. import __version__, trn
from .measure import Counted, Limits, Result

Run = tuple[dict[int, Limits], list[Result | Counted]]


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
COUNTED = ("", "row", "count", "at most")


def headings(results: list[Result | Counted]) -> tuple[str, ...]:
    """The columns of a group, all of one kind."""
    first = results[0]
    if isinstance(first, Counted):
        return COUNTED
    other = "CPU" if first.row.base is None else "base"
    return tuple(h.replace("CPU", other) for h in HEADINGS)


def cells(result: Result | Counted, limits: Limits) -> tuple[str, ...]:
    """The columns of one row, as headings() names them."""
    row = result.row
    if isinstance(result, Counted):
        return _counted_cells(result)
    goal = f"{row.goal:.2f}".removesuffix("0")
    if result.error:
        return ("!", row.title, *[""] * 6, result.error[:60], goal)
    cpu, ours = result.best
    share = limits.share(row, ours) if row.flops or row.bytes else 0
    medians = result.median
    return ("ok" if result.met else "-", row.title, duration(cpu), duration(ours),
            duration(medians[1]), speed(result), f"{share:.0%}" if share else "",
            f"{result.ratio:.2f}", f"{medians[0] / medians[1]:.2f}", goal)


def _counted_cells(result: Counted) -> tuple[str, ...]:
    row, goal = result.row, f"{result.row.goal:g} {result.row.unit}"
    if result.unavailable:
        return ("?", row.title, f"not available: {result.unavailable}", goal)
    if result.error:
        return ("!", row.title, result.error[:60], goal)
    return ("ok" if result.met else "-", row.title, f"{result.value:g} {row.unit}", goal)


def limit_lines(limits: Limits) -> Iterable[str]:
    """The machine's limits, one a line."""
    for isa, kinds in sorted(limits.peaks.items()):
        yield f"peak {isa}: " + ", ".join(f"{k} {v / 1e9:.0f} GFLOP/s" for k, v in kinds.items())
    yield "copy (bytes read and written): " + ", ".join(
        f"{k} {v / 1e9:.0f} GB/s" for k, v in limits.copies.items())


def line(result: Result | Counted, limits: Limits) -> str:
    """One row for a terminal."""
    mark, name, *rest = cells(result, limits)
    if isinstance(result, Counted):
        return f"{mark:>2} {name:<44} {rest[0]} (at most {rest[1]})"
    widths = (10, 10, 10, 13, 5, 6, 7, 5)
    return f"{mark:>2} {name:<44}" + " ".join(f"{c:>{w}}" for c, w in zip(rest, widths))


def as_json(run: Run) -> dict[str, object]:
    """Everything measured, samples included."""
    all_limits, results = run
    return {
        "machine": machine(),
        "limits": {t: {"peaks": x.peaks, "copies": x.copies} for t, x in all_limits.items()},
        "rows": [{
            **_facts(r), "against": r.row.against, "flops": r.row.flops, "bytes": r.row.bytes,
            "base_seconds" if r.row.base else "cpu_seconds": r.cpu, "trn_seconds": r.trn,
            "ratio": None if r.error else r.ratio,
        } for r in results if isinstance(r, Result)],
        "counts": [{
            **_facts(r), "unit": r.row.unit, "count": r.value, "unavailable": r.unavailable,
        } for r in results if isinstance(r, Counted)],
    }


def _facts(result: Result | Counted) -> dict[str, object]:
    row = result.row
    return {"group": row.group, "name": row.name, "threads": result.threads, "goal": row.goal,
            "error": result.error}


def _groups(results: list[Result | Counted]) -> Iterable[tuple[str, list[Result | Counted]]]:
    """Rows under one heading: of a group, and measured against the same kind of thing."""
    groups: dict[tuple[str, tuple[str, ...]], list[Result | Counted]] = {}
    for r in results:
        groups.setdefault((r.row.group, headings([r])), []).append(r)
    return ((group, rows) for (group, _), rows in groups.items())


def as_markdown(run: Run) -> str:
    """docs/performance.md."""
    all_limits, results = run
    facts = machine()
    out = ["# Performance", "",
           "Written by `torch-trn bench --markdown docs/performance.md`. Both sides of a row do "
           "the same work in one process, in turns, on as many threads; ratio is PyTorch's CPU "
           "time over `trn` time, of the best samples and (in brackets) of the medians. Where a "
           "row says `against`, that is the other side instead of PyTorch's CPU in eager mode; "
           "what is called base runs on `trn` too. "
           "`of limit` is the time that the machine needs at least, by its arithmetic or its "
           "memory as measured in the same run, over the time taken; a dash marks a missed goal.",
           ""]
    out += [f"- {key}: {value}" for key, value in facts.items()]
    for threads, limits in all_limits.items():
        out += ["", f"## {threads} thread{'s' if threads > 1 else ''}", ""]
        out += [f"- {text}" for text in limit_lines(limits)]
        for group, rows in _groups([r for r in results if r.threads == threads]):
            columns = headings(rows)
            out += ["", f"### {group}", "", "| " + " | ".join(columns) + " |",
                    "|" + "---|" * len(columns)]
            out += ["| " + " | ".join(cells(r, limits)) + " |" for r in rows]
    return "\n".join(out) + "\n"


def as_html(run: Run) -> str:
    """One self-contained page: tables, ratio bars and a roofline."""
    from .plots import ratio_bars, roofline

    all_limits, results = run
    parts = ["<!doctype html><meta charset=utf-8><title>torch-trn bench</title><style>"
             "body{font:14px system-ui;margin:2em;max-width:75em}td,th{padding:1px 8px;"
             "text-align:right}:is(td,th):nth-child(2){text-align:left}.miss{color:#b00}</style>"
             "<h1>torch-trn bench</h1><ul>"]
    parts += [f"<li>{html.escape(f'{k}: {v}')}" for k, v in machine().items()]
    parts.append("</ul>")
    for threads, limits in all_limits.items():
        own = [r for r in results if r.threads == threads]
        parts.append(f"<h2>{threads} thread{'s' if threads > 1 else ''}</h2>")
        parts += [f"<p>{html.escape(text)}" for text in limit_lines(limits)]
        parts.append(roofline([r for r in own if isinstance(r, Result)], limits))
        for group, rows in _groups(own):
            timed = [r for r in rows if isinstance(r, Result) and not r.error]
            parts.append(f"<h3>{html.escape(group)}</h3>{ratio_bars(timed) if timed else ''}"
                         "<table><tr>" + "".join(f"<th>{h}" for h in headings(rows)))
            for r in rows:
                parts.append(f"<tr class={_mark(r)}>" + "".join(
                    f"<td>{html.escape(c)}" for c in cells(r, limits)))
            parts.append("</table>")
    return "\n".join(parts) + "\n"


def _mark(result: Result | Counted) -> str:
    unknown = isinstance(result, Counted) and result.unavailable
    return "unknown" if unknown else "hit" if result.met else "miss"
