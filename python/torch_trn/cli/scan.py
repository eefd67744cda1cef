"""torch-trn scan: the CUDA uses of a source tree, found in its syntax trees, with advice.

Nothing is imported or run, and torch is not needed.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from .. import __version__
from ..migration import cuda_api
from .scan_read import (
    HOSTED,
    NATIVE,
    cells,
    cuda_includes,
    ending,
    parse_cell,
    read,
    source_files,
)
from .scan_uses import CUDA_SOURCES, MARKS, Finding, Visitor, scan_source

_UNREADABLE = (OSError, SyntaxError, ValueError, RecursionError, MemoryError)


@dataclass(frozen=True)
class Unreadable:
    """A file, or a cell of a notebook, that could not be read, and why."""

    file: str
    reason: str


@dataclass
class Scan:
    """A tree's findings, how many sources were read, those that could not be, what was left out."""

    path: str
    findings: list[Finding] = field(default_factory=list)
    files: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @property
    def grade(self) -> str | None:
        """A: nothing refused; B: refused in under 2 % of uses; C: under 10 %; D: more.

        None where no source was read.
        """
        if not self.files:
            return None
        refused = sum(f.mark == "refused" for f in self.findings)
        share = refused / max(len(self.findings), 1)
        return "A" if not refused else "B" if share < 0.02 else "C" if share < 0.1 else "D"

    @property
    def code(self) -> int:
        """The exit code: 0 when nothing is refused, 1 when something is, 2 if nothing was read."""
        return int(self.grade != "A") if self.files else 2

    def fail(self, file: str, error: BaseException, where: str = "") -> None:
        """Lists a file as unreadable."""
        deep = isinstance(error, (RecursionError, MemoryError))
        reason = getattr(error, "strerror", None) or str(error)
        self.unreadable.append(
            Unreadable(_shown(file), where + ("nested too deeply" if deep else reason)))

    def add(self, file: str) -> None:
        """Reads one file and adds its uses. Raises what reading and parsing raise."""
        data, shown, kind = read(file), _shown(file), ending(file)
        if kind in NATIVE or kind in HOSTED:
            self.findings += _native(data, shown, kind)
        elif kind == ".ipynb":
            self._notebook(file, data)
            return
        else:
            self.findings += scan_source(data, shown)
        self.files += 1

    def _notebook(self, file: str, data: bytes) -> None:
        visitor = Visitor(_shown(file))
        failed = total = 0
        for visitor.cell, text in cells(data):
            total += 1
            try:
                visitor.visit(parse_cell(text, file))
            except _UNREADABLE as error:
                failed += 1
                self.fail(file, error, f"cell {visitor.cell}: ")
        self.findings += visitor.findings()
        self.files += not failed or failed < total


def _shown(file: str) -> str:
    """A path that can be printed, whatever bytes it is made of."""
    return os.fsencode(file).decode(errors="backslashreplace")


def _native(data: bytes, shown: str, kind: str) -> Iterator[Finding]:
    row = cuda_api.rows()[CUDA_SOURCES]
    if kind in NATIVE:
        yield Finding(shown, 1, 1, NATIVE[kind], row.mark, row.what, row.advice)
        return
    for line, column, header, always in cuda_includes(data):
        name = f"include {header}"
        if always:
            yield Finding(shown, line, column, name, row.mark, row.what, row.advice)
        else:
            yield Finding(shown, line, column, name, "adapted", "only where CUDA is asked for")


def scan_path(path: str) -> Scan:
    """Reads every Python file, script, notebook and CUDA source under a path, or the one file."""
    scan = Scan(path)
    failed = lambda error: scan.fail(error.filename, error)
    left_out = lambda folder: scan.skipped.append(_shown(folder))
    for file in source_files(path, left_out, failed):
        try:
            scan.add(file)
        except _UNREADABLE as error:
            scan.fail(file, error)
    return scan


def scan_command(path: str, form: str | None) -> int:
    """Prints the scan; 0 when nothing is refused, 1 when something is, 2 if nothing was read."""
    if not os.path.lexists(path):
        print(f"torch-trn: there is no {path}", file=sys.stderr)
        return 2
    scan = scan_path(path)
    try:
        _show(scan, form)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has seen enough; Python would complain again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return scan.code


def _show(scan: Scan, form: str | None) -> None:
    if form == "json":
        print(json.dumps({"path": scan.path, "grade": scan.grade, "files": scan.files,
                          "marks": Counter(f.mark for f in scan.findings),
                          "unreadable": [asdict(u) for u in scan.unreadable],
                          "skipped": scan.skipped,
                          "findings": [asdict(f) for f in scan.findings]}, indent=1))
    elif form == "sarif":
        from .scan_forms import as_sarif

        print(json.dumps(as_sarif(scan, __version__), indent=1))
    elif form == "html":
        from .scan_forms import scan_page

        print(scan_page(scan, __version__), end="")
    else:
        _print(scan)


def _print(scan: Scan) -> None:
    for f in scan.findings:
        advice = f" Instead: {f.advice}." if f.advice else ""
        cell = f" cell {f.cell}" if f.cell else ""
        print(f"{f.file}{cell}:{f.line}:{f.column}: {f.mark}: {f.name}: {f.what}.{advice}")
    for failed in scan.unreadable:
        print(f"not read: {failed.file}: {failed.reason}")
    for folder in scan.skipped:
        print(f"left out: {folder} (name it to scan it)")
    if not scan.files:
        print("no grade: no source was read")
        return
    marks = Counter(f.mark for f in scan.findings)
    print(f"grade {scan.grade}: {len(scan.findings)} uses of CUDA in {scan.files} files ("
          + ", ".join(f"{marks[m]} {m}" for m in MARKS) + ")")
