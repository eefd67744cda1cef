"""Who asked for what is redirected: the receipt lists the program's calls, not torch's own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

from .. import _C

#: Modules that ask for whoever called them: torch's other names for what is counted, and what
#: stands between a decorated function, or one left to a with block, and its caller.
_FOR_OTHERS = ("torch.cuda.amp.", "torch.library", "torch._library.", "contextlib",
               "typing_extensions", "warnings")


def _torch_asks(frame: FrameType | None) -> bool:
    while frame is not None:
        module = frame.f_globals.get("__name__") or ""
        if not module.startswith(_FOR_OTHERS):
            # Inductor names the modules that it generates after its own.
            return module.partition(".")[0] in ("torch", "torch_trn")
        frame = frame.f_back
    return True  # none of Python's: a thread that only torch starts


def noting(name: str) -> Callable[[], None]:
    """What a redirected function calls first: counts ``name`` if the program called the function.

    It has to be called by that function itself. Torch asks torch.cuda.is_available hundreds of
    times while it compiles, which says nothing about the program.
    """
    redirection, note = _C._redirection_id(name), _C._note_redirection

    def note_program() -> None:
        if not _torch_asks(sys._getframe(2)):
            note(redirection)

    # What a compiler traces is torch's call, which is not counted: nothing to put into a graph.
    note_program._dynamo_marked_constant = True
    return note_program
