"""The whole operator database through every check, in processes that may die.

    python -m tests.ops.sweep [--types float32,...] [--checks forward,...] [--only PREFIX,...]
                              [--samples N] [--processes N] [--rows FILE] [--keep] [--update]

Without options: every sample, type and check, in two processes, in half an hour on two free cores.
--rows writes what was seen of each entry, type and check; --keep leaves there what an earlier run
wrote of entries that this one does not sweep, so that a part can be swept again. --update records
all of it in python/torch_trn/coverage/measured.json.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import sys
import time
import warnings
from collections import Counter
from multiprocessing.connection import wait

LIMIT_S = 300  # a check that takes longer is reported as hanging


def rows_of(name: str, types: list[str], checks: list[str], limit: int | None, record: bool):
    import torch
    from torch_trn import _C

    from . import exclusions
    from .checks import CHECKS
    from .opdb import ENTRIES, types_of
    from .record import Recorder
    from .refusals import Skipped

    op = ENTRIES[name]
    for dtype in types_of(op):
        word = str(dtype).removeprefix("torch.")
        if word not in types:
            continue
        for check in checks:
            if exclusions.reason(name, word, check):
                continue
            row = {"entry": name, "type": word, "check": check}
            began = time.monotonic()
            _C._reset_fallback_counts()
            recorder = Recorder()
            watch = record and check == "forward"
            if watch:
                # Only to see what is called: under a mode PyTorch forgets conjugates of its own.
                with recorder, contextlib.suppress(Exception):
                    CHECKS[check](op, dtype, limit)
                row["calls"] = recorder.seen
            try:
                row["error"] = CHECKS[check](op, dtype, limit)
            except Skipped as why:
                row["skipped"] = str(why)
            except Exception as wrong:
                row["failed"] = f"{type(wrong).__name__}: {wrong}"[:500]
            row["fallbacks"] = sorted(_C._fallback_counts())
            try:
                torch.trn.synchronize()
            except RuntimeError as late:
                row["failed"] = f"late: {late}"[:500]
            row["seconds"] = round(time.monotonic() - began, 3)
            yield row


def work(pipe, *how):
    warnings.filterwarnings("ignore")
    import torch
    from torch_trn import _C

    torch.set_num_threads(1)
    _C._set_compute_threads(1)
    torch.trn.set_fallback_mode("silent")
    while (name := pipe.recv()) is not None:
        try:
            for row in rows_of(name, *how):
                pipe.send(row)
        except Exception as broken:
            pipe.send({"entry": name, "type": "", "check": "", "failed": f"{broken!r}"[:500]})
        pipe.send(None)


class Worker:
    def __init__(self, context, *args):
        self.context, self.args = context, args
        self.start()

    def start(self):
        self.pipe, theirs = self.context.Pipe()
        self.process = self.context.Process(target=work, args=(theirs, *self.args), daemon=True)
        self.process.start()
        theirs.close()
        self.name, self.last = None, None

    def give(self, name):
        self.name, self.last, self.since = name, None, time.monotonic()
        self.pipe.send(name)

    def die(self, why):
        """Ends the process and says what it was doing."""
        self.process.kill()
        self.process.join()
        row = {"entry": self.name, "type": "", "check": "", "failed":
               f"{why} (code {self.process.exitcode}) after {self.last}"}
        self.start()
        return row


def sweep(names, processes, *how):
    """Yields a row for every entry, type and check."""
    context = multiprocessing.get_context("spawn")
    todo = list(reversed(names))
    workers = [Worker(context, *how) for _ in range(min(processes, len(todo)))]
    for w in workers:
        w.give(todo.pop())
    while busy := [w for w in workers if w.name]:
        ready = wait([w.pipe for w in busy], timeout=5)
        for w in busy:
            if w.pipe in ready:
                try:
                    row = w.pipe.recv()
                except EOFError:
                    yield w.die("crashed")
                    row = None
                if row is not None:
                    w.last, w.since = (row["type"], row["check"]), time.monotonic()
                    yield row
                    continue
            elif time.monotonic() - w.since > LIMIT_S:
                yield w.die("hangs")
            else:
                continue
            w.name = None
            if todo:
                w.give(todo.pop())
    for w in workers:
        w.pipe.send(None)


def earlier_rows(path: str, swept: set[str]) -> list[dict]:
    with open(path) as rows:
        return [row for row in map(json.loads, rows) if row["entry"] not in swept]


def main() -> int:
    from .checks import CHECKS
    from .opdb import DTYPES, ENTRIES

    words = [str(d).removeprefix("torch.") for d in DTYPES]
    parser = argparse.ArgumentParser(prog="python -m tests.ops.sweep", description=__doc__)
    parser.add_argument("--types", default=",".join(words))
    parser.add_argument("--checks", default=",".join(CHECKS))
    parser.add_argument("--only", default="")
    parser.add_argument("--samples", type=int)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rows", help="write each row as a line of JSON")
    parser.add_argument("--keep", action="store_true", help="keep other entries' lines there")
    parser.add_argument("--update", action="store_true", help="record what was seen")
    options = parser.parse_args()
    names = [n for n in ENTRIES if n.startswith(tuple(options.only.split(",")))]
    kept = earlier_rows(options.rows, set(names)) if options.keep else []
    count, began = Counter(), time.monotonic()
    with open(options.rows or os.devnull, "w") as rows:
        rows.writelines(json.dumps(row) + "\n" for row in kept)
        for row in sweep(names, options.processes, options.types.split(","),
                         options.checks.split(","), options.samples, options.update):
            kept.append(row)
            outcome = next((k for k in ("failed", "skipped") if k in row), "passed")
            count[(row["type"], row["check"], outcome)] += 1
            if outcome == "failed":
                print(row["entry"], row["type"], row["check"], row["failed"], flush=True)
            print(json.dumps(row), file=rows, flush=True)
    if options.update:
        from .record import write

        write(kept)
    for key, n in sorted(count.items()):
        print(*key, n)
    print(f"{count.total()} rows, {(time.monotonic() - began) / 60:.0f} minutes")
    return any(outcome == "failed" for _, _, outcome in count)


if __name__ == "__main__":
    sys.exit(main())
