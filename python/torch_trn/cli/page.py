"""The pages of `run --receipt` and `scan --html`: one file each, no script, nothing fetched."""

from __future__ import annotations

import linecache
import os
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from ..migration.cuda_api import MARKS

_STYLE = """
:root { color-scheme: light dark;
  --bg: #f5f6f8; --card: #fff; --ink: #14181f; --soft: #5d6775; --line: #e3e7ec; --code: #f0f2f5;
  --good: #0b7a4b; --good-bg: #e2f5ec; --fair: #8a5a00; --fair-bg: #fdf1d8; --bad: #b3261e;
  --bad-bg: #fce8e6; --calm: #3f51b5; --calm-bg: #e8eaf9; --bar: #d9822b; }
@media (prefers-color-scheme: dark) { :root {
  --bg: #0f1318; --card: #171c23; --ink: #e8ecf1; --soft: #98a3b0; --line: #29313b; --code: #10151b;
  --good: #5fd3a0; --good-bg: #12362a; --fair: #f0c063; --fair-bg: #3a2c0d; --bad: #ff8a80;
  --bad-bg: #431a18; --calm: #a5b4fc; --calm-bg: #232a4d; --bar: #e39a4b; } }
* { box-sizing: border-box }
body { margin: 0; background: var(--bg); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif }
main { max-width: 1080px; margin: 0 auto; padding: 40px 24px 64px }
header { display: flex; gap: 20px; align-items: center; margin-bottom: 28px }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 4px; letter-spacing: -.01em }
h2 { font-size: 17px; margin: 36px 0 12px } h2 small { font-weight: 400; color: var(--soft) }
p { margin: 0 0 12px } .soft { color: var(--soft) }
code, pre { font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace }
.seal { flex: none; width: 68px; height: 68px; border-radius: 18px; display: grid;
  place-items: center; font-size: 32px; font-weight: 700 }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(158px, 1fr)); gap: 12px }
.tile, .card { background: var(--card); border: 1px solid var(--line); border-radius: 12px }
.tile { padding: 14px 16px } .tile b { display: block; font-size: 24px; letter-spacing: -.02em;
  font-variant-numeric: tabular-nums } .tile span { color: var(--soft); font-size: 13px }
.card { overflow-x: auto }
table { border-collapse: collapse; width: 100% }
th { text-align: left; font-size: 12px; font-weight: 600; color: var(--soft); white-space: nowrap }
th, td { padding: 9px 14px; border-bottom: 1px solid var(--line); vertical-align: top }
tr:last-child td { border-bottom: 0 }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
td code.src { display: block; color: var(--soft); white-space: pre-wrap; word-break: break-word }
.chip { display: inline-block; padding: 1px 9px; border-radius: 99px; font-size: 12px;
  font-weight: 600; white-space: nowrap }
.good { background: var(--good-bg); color: var(--good) }
.calm { background: var(--calm-bg); color: var(--calm) }
.fair { background: var(--fair-bg); color: var(--fair) }
.bad { background: var(--bad-bg); color: var(--bad) }
.meter { height: 6px; border-radius: 3px; background: var(--line); min-width: 90px;
  margin-top: 8px }
.meter i { display: block; height: 100%; border-radius: 3px; background: var(--bar) }
.empty { padding: 18px 16px; color: var(--soft) }
footer { margin-top: 40px; color: var(--soft); font-size: 13px }
@media print { body { background: #fff } main { padding: 0 } }
"""

#: Begins the title of a receipt's page, by which it is known.
RECEIPT_TITLE = "torch-trn receipt"

_KIND = dict(zip(MARKS, ("good", "calm", "calm", "bad")))


def chip(text: str, kind: str | None = None) -> str:
    """A coloured word; a mark of the table has its own colour."""
    return f'<span class="chip {kind or _KIND.get(text, "calm")}">{escape(text)}</span>'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], empty: str) -> str:
    """A table of HTML cells; a head that begins with "#" is a column of numbers."""
    right = [head.startswith("#") for head in heads]

    def line(tag: str, cells: Sequence[str]) -> str:
        return "<tr>" + "".join(f'<{tag}{" class=n" if r else ""}>{cell}</{tag}>'
                                for r, cell in zip(right, cells)) + "</tr>"

    body = "".join(line("td", row) for row in rows)
    if not body:
        return f'<div class="card empty">{escape(empty)}</div>'
    head = line("th", [escape(h.lstrip("#")) for h in heads])
    return f'<div class="card"><table>{head}{body}</table></div>'


def tiles(figures: Iterable[tuple[str, str]]) -> str:
    """Large numbers with their names under them."""
    return '<div class="tiles">' + "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span></div>'
        for value, name in figures) + "</div>"


def place(site: str) -> str:
    """A file:line with the source of that line under it."""
    from .receipt import short

    if not site:
        return '<span class="soft">backward, or a thread without Python</span>'
    path, _, number = site.rpartition(":")
    source = linecache.getline(path, int(number)).strip() if number.isdigit() else ""
    under = f'<code class="src">{escape(source[:160])}</code>' if source else ""
    return f"<code>{escape(short(site))}</code>{under}"


def page(title: str, verdict: str, kind: str, seal: str, subtitle: str, body: str,
         footer: str) -> str:
    """A whole page; ``subtitle`` and ``body`` are HTML, the rest is text."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>"
        f'<header><div class="seal {kind}">{escape(seal)}</div><div><h1>{escape(verdict)}</h1>'
        f'<div class="soft">{subtitle}</div></div></header>{body}'
        f"<footer>{escape(footer)}</footer></main></body></html>\n")


def _verdict(receipt: Any) -> tuple[str, str, str]:
    if receipt.exit_code:
        return f"The program ended with exit code {receipt.exit_code}", "bad", "×"
    if receipt.fallbacks:
        many = len({e["operator"] for e in receipt.fallbacks})
        return f"It ran; {many} operator{'s' * (many > 1)} fell back to the CPU", "fair", "!"
    if receipt.without_account:
        return "It ran; what some of its processes did is not known", "fair", "!"
    return "It ran, all of it on the device", "good", "✓"


def _fallback_rows(receipt: Any):
    from .receipt import size

    most = max((e["seconds"] for e in receipt.fallbacks), default=0) or 1
    for e in sorted(receipt.fallbacks, key=lambda e: -e["seconds"]):
        share = f'<div class="meter"><i style="width:{100 * e["seconds"] / most:.0f}%"></i></div>'
        yield (f"<code>{escape(e['operator'])}</code>"
               f'<div class="soft">{escape(e["reason"])}</div>', place(e["site"]),
               f"{e['calls']:,}", size(e["bytes"]), f"{e['seconds'] * 1e3:,.1f} ms{share}")


def receipt_page(receipt: Any) -> str:
    """The receipt of a run as a page."""
    from .receipt import about_processes, nothing_fell_back, size

    verdict, kind, seal = _verdict(receipt)
    calls = sum(e["calls"] for e in receipt.redirected)
    lines = len({e["site"] for e in receipt.redirected})
    share = sum(e["seconds"] for e in receipt.fallbacks) / max(receipt.seconds, 1e-9)
    peak = max((m["allocated"] for m in receipt.memory), default=0)
    body = tiles([
        (f"{calls:,}", f"calls redirected from {lines} line{'s' * (lines != 1)}"),
        (f"{receipt.launches:,}", "kernels launched"),
        (f"{receipt.fallback_calls:,}", "calls that ran on the CPU"),
        (f"{100 * share:.1f} %", "of the time spent in them"),
        (size(peak), "peak device memory"), (f"{receipt.seconds:,.1f} s", "from start to end"),
    ])
    body += "".join(f'<p class="soft">{escape(sentence)}</p>'
                    for sentence in about_processes(receipt))
    body += "<h2>What ran on the CPU instead</h2>" + table(
        ("operator", "line", "#calls", "#moved", "#time"), _fallback_rows(receipt),
        nothing_fell_back(receipt))
    body += "<h2>What was redirected <small>from CUDA to trn, by line</small></h2>" + table(
        ("name", "line", "what it became", "#calls"),
        ((f"<code>{escape(e['name'])}</code>", place(e["site"]),
          f"{chip(e['mark'])} <span class=soft>{escape(e['what'])}</span>", f"{e['calls']:,}")
         for e in receipt.redirected), "Nothing in this run asked for CUDA.")
    body += "<h2>Warnings</h2>" + table(
        ("category", "line", "message", "#times"),
        ((escape(e["category"]), place(e["site"]), escape(e["message"]), f"{e['count']:,}")
         for e in receipt.warnings), "None.")
    body += "<h2>Memory</h2>" + table(
        ("device", "#peak allocated", "#peak reserved"),
        ((m["device"], size(m["allocated"]), size(m["reserved"])) for m in receipt.memory),
        "No device memory was used.")
    versions = ", ".join(f"{k} {v}" for k, v in receipt.versions.items())
    command = escape(" ".join(["torch-trn run", *receipt.command]))
    name = os.path.basename(receipt.command[0]) if receipt.command else ""
    return page(f"{RECEIPT_TITLE}: {name}", verdict, kind, seal, f"<code>{command}</code>", body,
                versions)
