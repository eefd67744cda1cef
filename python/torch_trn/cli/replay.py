"""torch-trn replay: runs the launches of a log again, one by one, and times them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable

from .. import _C


def replay_lines(lines: Iterable[str], times: int) -> list[tuple[str, int, float]]:
    """Runs each different launch among ``lines`` (as TRN_VERBOSE=exec prints them) ``times`` times.

    Returns (line, how often it occurs, best time in microseconds), most time in all first; other
    lines are passed over. Raises ValueError for a launch that this library cannot run.
    """
    seen = Counter(line.strip() for line in lines
                   if line.startswith(("trn,exec,", "exec,")))
    done = [(line, count, min(_C._replay(line, times))) for line, count in seen.items()]
    return sorted(done, key=lambda one: -one[1] * one[2])


def replay(path: str, times: int) -> int:
    """Prints the table of a log file ("-": standard input); 2 when there is no launch in it."""
    try:
        if path == "-":
            sys.stdin.reconfigure(errors="replace")
            rows = replay_lines(sys.stdin, times)
        else:
            with open(path, errors="replace") as file:
                rows = replay_lines(file, times)
    except (OSError, ValueError, RuntimeError) as error:  # out of device memory is the last
        print(f"torch-trn replay: {str(error).splitlines()[0]}", file=sys.stderr)
        return 2
    if not rows:
        print(f"torch-trn replay: no launch in {path}; TRN_VERBOSE=exec prints them",
              file=sys.stderr)
        return 2
    print(f"{'calls':>6} {'best us':>10} {'sum us':>12}  launch")
    for line, count, best in rows:
        print(f"{count:>6} {best:>10.1f} {count * best:>12.1f}  "
              f"{line.removeprefix('trn,').removeprefix('exec,')}")
    return 0
