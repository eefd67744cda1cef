"""mode="reduce-overhead": a generated function is recorded as a graph and replayed."""

from __future__ import annotations

import collections
import threading
import warnings
import weakref
from collections.abc import Callable, Collection, Sequence

import torch
from torch._inductor.compile_fx import (
    get_expanded_dims,
    index_expanded_dims_and_copy_,
    static_input,
)

from .. import trn

# Inputs that keep moving, or sizes that keep changing, between more are not worth graphs.
_MOST_RECORDINGS = 4
_MOST_SIZES = 8

# Where results lie that graphs leave in their memory: a backward's graph reads them there.
_in_graphs: collections.Counter[int] = collections.Counter()


def _on_device(argument) -> bool:
    return isinstance(argument, torch.Tensor) and not argument.is_cpu


def _place(argument) -> int | float:
    """Where a tensor lies; a number itself, which a graph holds as it was."""
    if _on_device(argument):
        return argument.data_ptr()
    return argument.item() if isinstance(argument, torch.Tensor) else argument


def _fill(to: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    index_expanded_dims_and_copy_(to, source, get_expanded_dims(to))
    return to


def _copy(t: torch.Tensor) -> torch.Tensor:
    """A copy with the same strides, which generated code counts on."""
    return _fill(static_input(t), t)


def _seen_in(output: torch.Tensor, read: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """What makes of another tensor what `output` is of `read`, whose memory it shows."""
    if output.dtype != read.dtype:
        raise RuntimeError("a result shows an input's memory as another type")
    offset = output.storage_offset() - read.storage_offset()
    return lambda t: t.as_strided(output.size(), output.stride(), t.storage_offset() + offset)


class _Recording:
    """A graph of one call: inputs at `moving` are copied into its own memory, others are read where
    they lie. Results at `visible` are copied out of it, others are left there."""

    def __init__(self, call: Callable, inputs: Sequence, moving: Collection[int],
                 visible: Collection[int] | None, backward: bool) -> None:
        self.places = [_place(t) for t in inputs]
        self.own = {i: _copy(inputs[i]) for i in sorted(moving)}
        self.graph = trn.TRNGraph()
        read = [self.own.get(i, t) for i, t in enumerate(inputs)]
        with trn.graph(self.graph):
            outputs = call(list(read))
        # A backward may put results into what was saved for it.
        elsewhere = {i: t for i, t in enumerate(read)
                     if _on_device(t) and not (backward and i in self.own)}
        self._left: list[torch.UntypedStorage] = []
        self._results = [self._result(output, elsewhere, visible is None or i in visible)
                         for i, output in enumerate(outputs)]
        self._counts = self._users()
        places = [s.data_ptr() for s in self._left]
        _in_graphs.update(places)
        weakref.finalize(self, _in_graphs.subtract, places)

    def _result(self, output, read: dict[int, torch.Tensor],
                visible: bool) -> Callable[[Sequence], object]:
        """What makes a result of a call's inputs, of which it may show one, after the graph ran."""
        if not _on_device(output):
            if isinstance(output, torch.Tensor) and output.any():  # attention's seed for dropout
                raise RuntimeError("a result on the host would not change")
            return lambda inputs: output
        storage = output.untyped_storage()
        for i, t in read.items():
            if output is t:
                return lambda inputs: inputs[i]
            if t.untyped_storage()._cdata == storage._cdata:
                show = _seen_in(output, t)
                return lambda inputs: show(inputs[i])
        if visible:
            return lambda inputs: _copy(output)
        self._left.append(storage)
        return lambda inputs: output.detach()

    def _users(self) -> list[int]:
        return [torch._C._storage_Use_Count(s._cdata) for s in self._left]

    def free(self) -> bool:
        """Whether nobody has results any more that the next replay would overwrite."""
        return self._users() == self._counts

    def moved(self, inputs: Sequence) -> set[int]:
        """The inputs that the graph does not copy and that lie elsewhere now."""
        return {i for i, t in enumerate(inputs)
                if i not in self.own and _place(t) != self.places[i]}

    def fits(self, inputs: Sequence) -> bool:
        return not self.moved(inputs) and all(inputs[i].shape == t.shape
                                              for i, t in self.own.items())

    def replay(self, inputs: Sequence, mutated: Collection[int]) -> tuple:
        for i, t in self.own.items():
            _fill(t, inputs[i])
        self.graph.replay()
        for i in self.own.keys() & mutated:
            _fill(inputs[i], self.own[i])
        return tuple(result(inputs) for result in self._results)


class Replayed:
    """A generated function, recorded at its second call on a stream, for each of the numbers
    (sizes, scalars on the host) that it is called with.

    What lies where it lay at the call before (parameters) is read there at each replay, other
    inputs are copied, and those at `mutated` copied back. Results at `visible` (all, if None) are
    new tensors; others, the activations that a forward saves and the gradients that a backward
    makes, stay in the graph's memory. While a program still has these, a second graph is used.
    A function that cannot be recorded is called as it is, after a warning.
    """

    def __init__(self, call: Callable, device: int | None = None,
                 visible: Collection[int] | None = None, mutated: Collection[int] = (),
                 backward: bool = False) -> None:
        self._call = call
        self._device = device  # of all tensors; the current one if None
        self._visible = visible
        self._mutated = frozenset(mutated)
        self._backward = backward
        # By stream and numbers: where the inputs lay, the graphs.
        self._seen: dict[tuple, list[int | float]] = {}
        self._recordings: dict[tuple, list[_Recording]] = {}
        self._lock = threading.Lock()
        self._plain = False

    def __call__(self, args: list) -> tuple:
        if self._plain or trn.is_current_stream_capturing():
            return self._call(args)
        inputs = list(args)
        args.clear()
        with self._lock, trn.device(self._device):
            recording = self._ready(inputs)
            if recording is not None:
                return recording.replay(inputs, self._mutated)
        return self._call(inputs)

    def _ready(self, inputs: list) -> _Recording | None:
        hosts = [t for t in inputs if not _on_device(t)]
        if any(isinstance(t, torch.Tensor) and t.dim() for t in hosts):
            return self._give_up("an input is on another device")
        key = (trn.current_stream().stream_id, *map(_place, hosts))
        recordings = self._recordings.get(key, [])
        fitting = [r for r in recordings if r.fits(inputs)]
        for recording in fitting:
            if recording.free():
                return recording
        if len(recordings) == _MOST_RECORDINGS:
            return None if fitting else self._give_up("its inputs keep moving")
        if not recordings and len(self._recordings) == _MOST_SIZES:
            return self._give_up("it is called with too many sizes")
        moving = self._moving(key, inputs)
        if moving is None:
            return None
        try:
            made = _Recording(self._call, inputs, moving, self._visible, self._backward)
        except RuntimeError as error:
            return self._give_up(str(error).splitlines()[0])
        self._recordings.setdefault(key, []).append(made)
        return made

    def _moving(self, key: tuple, inputs: list) -> set[int] | None:
        """The inputs that a new graph has to copy; None at a first call, when that is unknown."""
        recordings = self._recordings.get(key)
        if recordings:
            moving = recordings[-1].moved(inputs) | set(recordings[-1].own)
        else:
            if len(self._seen) > _MOST_SIZES**2:  # sizes that do not come again
                self._seen.clear()
            before = self._seen.get(key)
            places = self._seen[key] = [_place(t) for t in inputs]
            if before is None:
                return None
            moving = {i for i, (a, b) in enumerate(zip(before, places, strict=True)) if a != b}
        return {i for i in moving if not _in_graphs[_place(inputs[i])]}

    def _give_up(self, why: str) -> None:
        self._plain = True
        self._recordings.clear()
        warnings.warn(f'mode="reduce-overhead" runs a function without a graph: {why}',
                      stacklevel=2)
