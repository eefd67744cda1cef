"""What commands ask of their options: numbers from one on, files that may be replaced."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable


def positive(text: str) -> int:
    """A whole number from one on, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def why_not_written(path: str, kind: str, is_ours: Callable[[str], bool]) -> str | None:
    """Why a file of that kind cannot, or should not, be written there; None where it can.

    ``is_ours`` tells by the text of a file that is there whether it may be replaced; an empty one
    may.
    """
    there = os.path.lexists(path)
    if there and not os.path.isfile(path):
        return f"{path} is not a file"
    if not os.access(path if there else os.path.dirname(path), os.W_OK):
        return f"{path} cannot be written"
    if there:
        with open(path, errors="replace") as file:
            text = file.read()
        if text and not is_ours(text):
            return f"{path} is there and is not a {kind}; it is left as it is"
    return None
