"""mode="reduce-overhead": a generated function is recorded as a graph and replayed."""

from __future__ import annotations

import itertools
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

# Of one function: graphs that are in use at the same time, sets of inputs, numbers it is called
# with, before more graphs are not worth it.
_MOST_AT_ONCE = 4
_MOST_RECORDINGS = 32
_MOST_SIZES = 8

# Storages that stay where they are: of parameters, and of results that graphs leave in their memory
# for a backward's graph to read there. With each, the recordings that read it.
_readers: dict[int, weakref.WeakSet[_Recording]] = {}


def _on_device(argument) -> bool:
    return isinstance(argument, torch.Tensor) and not argument.is_cpu


def _place(argument) -> int | float:
    """Where a tensor lies; a number itself, which a graph holds as it was."""
    if _on_device(argument):
        return argument.data_ptr()
    return argument.item() if isinstance(argument, torch.Tensor) else argument


def _is_another(argument, name: int) -> bool:
    """Whether an argument that lies elsewhere than before has not moved, but is another of those
    that stay: not the parameter of that name."""
    if isinstance(argument, torch.nn.Parameter):
        return id(argument) != name
    return _on_device(argument) and argument.untyped_storage()._cdata in _readers


def _signature(inputs: Sequence, moving: Collection[int]) -> tuple:
    """What a graph that copies the inputs at `moving` takes for given."""
    return tuple(t.shape if i in moving else _place(t) for i, t in enumerate(inputs))


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
        self.own = {i: _copy(inputs[i]) for i in sorted(moving)}
        self.graph: trn.TRNGraph | None = trn.TRNGraph()
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
        parameters = [t for t in inputs if isinstance(t, torch.nn.Parameter)]
        self._fixed = [s._cdata for s in (*self._left, *(t.untyped_storage() for t in parameters))]
        for storage in self._fixed:
            _readers.setdefault(storage, weakref.WeakSet())
        for t in filter(_on_device, inputs):
            readers = _readers.get(t.untyped_storage()._cdata)
            if readers is not None:
                readers.add(self)
        self._parameters = [weakref.ref(t, self._release) for t in parameters]

    def _release(self, _=None) -> None:
        """Gives the memory back when a model that it belongs to is gone."""
        self.graph, fixed = None, self._fixed
        self.own, self._left, self._results, self._fixed = {}, [], [], []
        for storage in fixed:
            for reader in list(_readers.pop(storage, ())):
                reader._release()

    def _result(self, output, read: dict[int, torch.Tensor],
                visible: bool) -> Callable[[Sequence], object]:
        """What makes a result of a call's inputs, of which it may show one, after the graph ran."""
        if not _on_device(output):
            if isinstance(output, torch.Tensor) and output.any():  # attention's zeros stay zeros
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
        return self.graph is not None and self._users() == self._counts

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
        # By stream and numbers: where inputs lay, with their names, and what graphs copy.
        self._seen: dict[tuple, list[tuple[int | float, int]]] = {}
        self._moving: dict[tuple, list[frozenset[int]]] = {}
        # By that, what is copied, and the signature.
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
        for moving in self._moving.get(key, []):
            fitting = self._recordings.get((key, moving, _signature(inputs, moving)), [])
            for recording in fitting:
                if recording.free():
                    return recording
            if len(fitting) == _MOST_AT_ONCE:
                return None
            if fitting:
                return self._record(key, inputs, moving)
        if key not in self._moving and len(self._moving) == _MOST_SIZES:
            return self._give_up("it is called with too many sizes")
        moving = self._moved(key, inputs)
        return None if moving is None else self._record(key, inputs, moving)

    def _moved(self, key: tuple, inputs: list) -> frozenset[int] | None:
        """The inputs that a new graph has to copy; None at a first call, when that is unknown."""
        if len(self._seen) > _MOST_SIZES**2:  # sizes that do not come again
            self._seen.clear()
        before = self._seen.get(key)
        self._seen[key] = [(_place(t), id(t)) for t in inputs]
        if before is None:
            return None
        moved = frozenset(i for i, (t, (place, name)) in enumerate(zip(inputs, before, strict=True))
                          if _place(t) != place and not _is_another(t, name))
        return moved.union(*self._moving.get(key, []))

    def _record(self, key: tuple, inputs: list, moving: frozenset[int]) -> _Recording | None:
        self._recordings = {place: alive for place, all_ in self._recordings.items()
                            if (alive := [r for r in all_ if r.graph])}
        if sum(len(r) for p, r in self._recordings.items() if p[0] == key) == _MOST_RECORDINGS:
            return self._give_up("its inputs keep moving")
        try:
            made = _Recording(self._call, inputs, moving, self._visible, self._backward)
        except RuntimeError as error:
            return self._give_up(str(error).splitlines()[0])
        known = self._moving.setdefault(key, [])
        if moving not in known:
            known.append(moving)
        place = (key, moving, _signature(inputs, moving))
        self._recordings.setdefault(place, []).append(made)
        return made

    def _give_up(self, why: str) -> None:
        self._plain = True
        for recording in itertools.chain(*self._recordings.values()):
            recording._release()
        self._recordings.clear()
        warnings.warn(f'mode="reduce-overhead" runs a function without a graph: {why}',
                      stacklevel=2)
