"""torch-trn compare: the first operator of a program that computes wrongly, and a repro of it."""

from __future__ import annotations

import base64
import io
import os
import sys
import textwrap
import threading
import zlib
from dataclasses import dataclass
from typing import Any

from .options import why_not_written

_MADE_WITH = "from torch_trn.cli.shadow import examine"  # by which a repro is known
_REPRO = '''"""{title}

Run it: python {file}
"""

import base64
import io
import zlib

import torch
import torch_trn  # noqa: F401
from torch.utils._pytree import tree_leaves, tree_map
{made_with}

DATA = """
{data}
"""

args, kwargs = torch.load(io.BytesIO(zlib.decompress(base64.b64decode(DATA))), weights_only=False)
operator = torch.ops.{operator}


def to_device(x):
    if isinstance(x, torch.Tensor) and (x.dim() > 0 or x.is_floating_point()):
        return x.to("trn")
    return torch.device("trn") if isinstance(x, torch.device) else x


device_args, device_kwargs = tree_map(to_device, (args, kwargs))
results = tree_leaves(operator(*device_args, **device_kwargs))
wrong = list(examine(operator, args, kwargs, results))
for index, found in wrong:
    print(f"result {{index}}: error {{found[0]:.3g}}, rounding explains {{found[1]:.3g}}")
raise SystemExit(1 if wrong else print("every result is within its type's rounding"))
'''


def _site() -> str:
    from .. import _C

    return _C._site_text(_C._capture_site())


def describe(difference) -> str:
    """One paragraph about a difference."""
    where = f" in module {difference.module}" if difference.module else ""
    way = "backward" if difference.backward else "forward"
    if difference.refusal:
        return (f"{difference.operator}{where} ({way}): the device runs what the CPU refuses: "
                f"{difference.refusal}")
    many = "a wrong shape, type or number" if difference.explained == 0 else \
        f"{difference.ratio:.3g} times the error that rounding explains"
    device, exact = difference.seed
    return (f"{difference.operator}{where} ({way}): {many} in result {difference.output} "
            f"(error {difference.error:.3g}, explained {difference.explained:.3g}; worst element "
            f"{device:.6g} where {exact:.6g} is right)")


def write_repro(difference, path: str) -> None:
    """Writes a program that runs this one operator on its inputs and says whether it is wrong."""
    import torch

    buffer = io.BytesIO()
    torch.save((difference.args, difference.kwargs), buffer)
    data = base64.b64encode(zlib.compress(buffer.getvalue(), 6)).decode()
    text = _REPRO.format(
        title="\n".join(textwrap.wrap(describe(difference) + ".", 96)), file=path,
        made_with=_MADE_WITH,
        data="\n".join(textwrap.wrap(data, 96)), operator=str(difference.operator))
    with open(path, "w") as file:
        file.write(text)


@dataclass
class _Row:
    """An operator that differs: how often, by how much at most, where first, shown by what."""

    times: int
    ratio: float
    site: str
    shown_by: str


class _Found:
    """The operators that differ, each with a repro of its first difference."""

    def __init__(self, repro: str):
        self.repro = repro
        self.rows: dict[str, _Row] = {}  # by operator and way
        self._lock = threading.Lock()  # every thread of the program is watched

    def add(self, difference) -> None:
        """Tells of an operator's first difference and counts the others."""
        name = f"{difference.operator} ({'backward' if difference.backward else 'forward'})"
        with self._lock:
            row = self.rows.get(name)
            if row:
                row.times, row.ratio = row.times + 1, max(row.ratio, difference.ratio)
                return
            site, path = _site(), self._path()
            self.rows[name] = _Row(1, difference.ratio, site, path)
        print(f"torch-trn compare: {describe(difference)}" + (f", called from {site}" if site
                                                              else ""), file=sys.stderr)
        refusal = why_not_written(path, "repro", _is_repro)
        if refusal:
            print(f"torch-trn compare: no repro: {refusal}", file=sys.stderr)
            return
        write_repro(difference, path)
        print(f"torch-trn compare: {path} shows it alone", file=sys.stderr)

    def _path(self) -> str:
        stem, ending = os.path.splitext(self.repro)
        return f"{stem}_{len(self.rows) + 1}{ending}" if self.rows else self.repro

    def print_table(self) -> None:
        """What differed, most often first."""
        from .receipt import short

        print("times  worst, in errors that rounding explains  operator, line, repro",
              file=sys.stderr)
        for name, row in sorted(self.rows.items(), key=lambda item: -item[1].times):
            print(f"{row.times:5}  {row.ratio:5.3g}  {name}  {short(row.site)}  "
                  f"{os.path.basename(row.shown_by)}", file=sys.stderr)


def _is_repro(text: str) -> bool:
    return _MADE_WITH in text


def compare_program(script: str, args: list[str], *, is_module: bool = False, every: int,
                    repro: str, keep_going: bool = False) -> int:
    """Runs a script (or a module) with a CPU shadow of every n-th device operator.

    After the first that differs it goes on unwatched to its end, or watched with ``keep_going``,
    which ends in a table of all; 1 when one differed, else the script's exit code, and 2, before
    anything runs, when there is no such script or ``repro`` cannot be written. Threads are watched
    as well; processes that it starts are redirected only.
    """
    from .run import program_is_there, run_as_main

    repro = os.path.abspath(repro)
    if not program_is_there(script, is_module):
        return 2
    refusal = why_not_written(repro, "repro", _is_repro)
    if refusal:
        print(f"torch-trn: --repro: {refusal}", file=sys.stderr)
        return 2
    os.environ["TORCH_TRN_MIGRATE"] = "1"
    from .. import migration
    from . import accounts
    from .receipt import Receipt
    from .shadow import Shadow

    if not migration.is_active():
        migration.activate()
    found = _Found(repro)
    finish, children = accounts.begin(), Receipt([], 0, 0.0, {})
    shadow = Shadow(every, found.add, keep_going)
    with shadow:
        code = run_as_main(script, args, is_module)
    finish(children)
    _print_end(shadow, len(found.rows), children.processes - 1)
    if keep_going and found.rows:
        found.print_table()
    return 1 if found.rows else code


def _print_end(shadow: Any, found: int, children: int) -> None:
    verdict = "none differs from the CPU by more than its type's rounding"
    if found:
        verdict = "the first wrong one is above"
    if found > 1:
        verdict = f"{found} operators differ"
    elif not shadow.checked:
        verdict = "nothing is known of this program"
    print(f"torch-trn compare: {shadow.checked:,} of {shadow.calls:,} operator calls checked; "
          + verdict, file=sys.stderr)
    for name, count in shadow.unchecked.most_common():
        print(f"  not checked {count} times: {name}", file=sys.stderr)
    if children:
        print(f"  not checked: what {children} processes did that the program started",
              file=sys.stderr)
