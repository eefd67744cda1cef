"""A scan as SARIF, for code hosts, and as a page."""

from __future__ import annotations

import os
from collections import Counter
from html import escape

from .page import chip, page, table, tiles
from .scan import Scan
from .scan_uses import MARKS, Finding

_LEVEL = {"same": "none", "adapted": "note", "no-op": "note", "refused": "error",
          "unknown": "warning"}


def _location(file: str, root: str, f: Finding | None = None) -> dict:
    place: dict = {"artifactLocation": {"uri": os.path.relpath(file, root or ".")}}
    if f and not f.cell:  # a cell's lines are not the notebook's
        place["region"] = {"startLine": f.line, "startColumn": f.column}
    return {"physicalLocation": place}


def as_sarif(scan: Scan, version: str) -> dict:
    """SARIF 2.1.0; a refused use is an error, an adapted one a note, an unread file a warning."""
    root = scan.path if os.path.isdir(scan.path) else os.path.dirname(scan.path)
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "torch-trn scan", "version": version, "rules": [
                {"id": mark, "shortDescription": {"text": f"CUDA use that is {mark} on trn"}}
                for mark in MARKS]}},
            "invocations": [{
                "executionSuccessful": scan.files > 0,
                "toolExecutionNotifications": [{
                    "level": "warning", "message": {"text": f"not read: {failed.reason}"},
                    "locations": [_location(failed.file, root)]} for failed in scan.unreadable],
            }],
            "results": [{
                "ruleId": f.mark, "level": _LEVEL[f.mark],
                "message": {"text": f"{f.name}: {f.what}."
                            + (f" Instead: {f.advice}." if f.advice else "")
                            + (f" In cell {f.cell}, line {f.line}." if f.cell else "")},
                "locations": [_location(f.file, root, f)],
            } for f in scan.findings],
        }],
    }


_KIND = {"A": "good", "B": "calm", "C": "fair", "D": "bad", None: "bad"}
_VERDICT = {
    "A": "Nothing here has to change", "B": "Almost nothing here has to change",
    "C": "Some of this has to change", "D": "Much of this needs CUDA itself",
    None: "No source was read",
}


def _place(f: Finding, root: str) -> str:
    cell = f" cell {f.cell}" if f.cell else ""
    return f"<code>{escape(os.path.relpath(f.file, root))}{cell}:{f.line}</code>"


def scan_page(scan: Scan, version: str) -> str:
    """The scan as a page: what has to change first, then what is used how often, then all."""
    root = scan.path if os.path.isdir(scan.path) else os.path.dirname(scan.path) or "."
    marks = Counter(f.mark for f in scan.findings)
    body = tiles([(f"{len(scan.findings):,}", f"uses of CUDA in {scan.files:,} files"),
                  *((f"{marks[m]:,}", m) for m in MARKS)])
    body += "<h2>What has to change</h2>" + table(
        ("line", "use", "why", "instead"),
        ((_place(f, root), f"<code>{escape(f.name)}</code>", escape(f.what), escape(f.advice))
         for f in scan.findings if f.mark == "refused"),
        "Nothing: every use of CUDA in these files is the same, adapted or accepted on trn.")
    uses = Counter((f.name, f.mark, f.what) for f in scan.findings)
    body += "<h2>What is used</h2>" + table(
        ("use", "on trn", "#times"),
        ((f"<code>{escape(name)}</code>",
          f"{chip(mark)} <span class=soft>{escape(what)}</span>", f"{times:,}")
         for (name, mark, what), times in uses.most_common()), "No use of CUDA was found.")
    body += "<h2>Every line</h2>" + table(
        ("line", "use", "on trn"),
        ((_place(f, root), f"<code>{escape(f.name)}</code>", chip(f.mark))
         for f in scan.findings), "None.")
    if scan.unreadable:
        body += "<h2>Files that could not be read</h2>" + table(
            ("file", "why"),
            ((escape(failed.file), escape(failed.reason)) for failed in scan.unreadable), "")
    if scan.skipped:
        body += "<h2>Folders left out</h2>" + table(
            ("folder",), ((escape(folder),) for folder in scan.skipped), "")
    return page(f"torch-trn scan: {scan.path}", _VERDICT[scan.grade], _KIND[scan.grade],
                scan.grade or "–",
                f"<code>torch-trn scan {escape(scan.path)}</code>", body, f"torch-trn {version}")
