"""What is still done when a program is told to end."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def before_termination(close: Callable[[int], Any]) -> Iterator[None]:
    """SIGTERM inside calls ``close`` with the exit code that shells give it, then ends the process.

    None of the program's code runs in between, as without this. A program that handles the signal
    itself is left to do so, and processes that it forks end at once.
    """
    owner = os.getpid()

    def terminate(number: int, frame: Any) -> None:
        signal.signal(number, signal.SIG_DFL)
        try:
            if os.getpid() == owner:
                close(128 + number)
        finally:
            os.kill(os.getpid(), number)

    def forget() -> None:
        if signal.getsignal(signal.SIGTERM) is terminate:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    ours = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if ours:
        try:
            signal.signal(signal.SIGTERM, terminate)
        except ValueError:  # not the main thread
            ours = False
    if ours:
        os.register_at_fork(after_in_child=forget)
    try:
        yield
    finally:
        if ours:
            forget()
