"""mode="reduce-overhead": a generated function is recorded as a graph and replayed."""

from __future__ import annotations

import collections
import threading
import warnings
from collections.abc import Callable, Sequence

import torch

from .. import trn

# Inputs that keep moving, or sizes that keep changing, between more are not worth graphs.
_MOST_RECORDINGS = 4
_MOST_SIZES = 8


def _place(argument) -> int | float:
    """Where a tensor lies; a number itself, which a graph holds as it was."""
    return argument.data_ptr() if isinstance(argument, torch.Tensor) else argument


class _Recording:
    """A graph of one call: inputs at `moving` are copied into its own memory, others are read where
    they lie."""

    def __init__(self, call: Callable, inputs: Sequence, moving: set[int]) -> None:
        self.places = [_place(t) for t in inputs]
        self.own = {i: inputs[i].clone() for i in sorted(moving)}
        self.graph = trn.TRNGraph()
        with trn.graph(self.graph):
            self.outputs = call([self.own.get(i, t) for i, t in enumerate(inputs)])
        held = {t.untyped_storage().data_ptr() for t in (*inputs, *self.own.values())
                if isinstance(t, torch.Tensor)}
        if any(isinstance(t, torch.Tensor) and t.untyped_storage().data_ptr() in held
               for t in self.outputs):
            raise RuntimeError("an output is an input's memory")

    def moved(self, inputs: Sequence) -> set[int]:
        """The inputs that the graph does not copy and that lie elsewhere now."""
        return {i for i, t in enumerate(inputs)
                if i not in self.own and _place(t) != self.places[i]}

    def fits(self, inputs: Sequence) -> bool:
        return all(inputs[i].shape == t.shape for i, t in self.own.items())

    def replay(self, inputs: Sequence) -> tuple:
        for i, t in self.own.items():
            t.copy_(inputs[i])
        self.graph.replay()
        # The next replay overwrites the graph's memory.
        return tuple(t.clone() if isinstance(t, torch.Tensor) else t for t in self.outputs)


class Replayed:
    """A generated inference function, recorded at its second call on a stream, for each of the
    numbers (sizes) that it is called with.

    What lies where it lay at the call before (parameters) is read there at each replay, other
    inputs are copied, results are new tensors. A function that cannot be recorded is called as it
    is, after a warning.
    """

    def __init__(self, call: Callable, device: int | None = None) -> None:
        self._call = call
        self._device = device  # of all tensors; the current one if None
        # By stream and numbers: where the inputs lay, the graph, how often one was recorded.
        self._seen: dict[tuple, list[int | float]] = {}
        self._recordings: dict[tuple, _Recording] = {}
        self._recorded: collections.Counter[tuple] = collections.Counter()
        self._lock = threading.Lock()
        self._plain = False

    def __call__(self, args: list) -> tuple:
        if self._plain or trn.is_current_stream_capturing():
            return self._call(args)
        inputs = list(args)
        args.clear()
        with self._lock, trn.device(self._device):
            recording = self._ready(inputs)
            if recording is not None and recording.fits(inputs):
                return recording.replay(inputs)
        return self._call(inputs)

    def _ready(self, inputs: list) -> _Recording | None:
        if any(isinstance(t, torch.Tensor) and not t.is_trn for t in inputs):
            return self._give_up("an input is on another device")
        key = (trn.current_stream().stream_id,
               *(t for t in inputs if not isinstance(t, torch.Tensor)))
        recording = self._recordings.get(key)
        if recording is None:
            if len(self._seen) > _MOST_SIZES**2:  # sizes that do not come again
                self._seen.clear()
            before = self._seen.get(key)
            places = self._seen[key] = [_place(t) for t in inputs]
            if before is None:
                return None
            moving = {i for i, (a, b) in enumerate(zip(before, places, strict=True)) if a != b}
        else:
            moving = recording.moved(inputs)
            if not moving:
                return recording
            moving |= set(recording.own)
        if self._recorded[key] == _MOST_RECORDINGS:
            return self._give_up("its inputs keep moving")
        if len(self._recorded) == _MOST_SIZES and key not in self._recorded:
            return self._give_up("it is called with too many sizes")
        self._recorded[key] += 1
        try:
            self._recordings[key] = _Recording(self._call, inputs, moving)
        except RuntimeError as error:
            return self._give_up(str(error).splitlines()[0])
        return self._recordings[key]

    def _give_up(self, why: str) -> None:
        self._plain = True
        self._recordings.clear()
        warnings.warn(f'mode="reduce-overhead" runs a function without a graph: {why}',
                      stacklevel=2)
