"""Graphs: launches recorded once and replayed without Python. torch.cuda.graphs' twins."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils import _pytree as pytree

from .. import _C
from . import streams
from .graph_inputs import InputWatch

__all__ = ["CUDAGraph", "TRNGraph", "graph", "graph_pool_handle", "make_graphed_callables"]

_MODES = ("default", "global", "thread_local", "relaxed")


def graph_pool_handle() -> tuple[int, int]:
    """The id of a new memory pool, for several graphs that never run at the same time to share."""
    return _C._new_pool_id()


class TRNGraph(torch._C._acceleratorGraph):
    """A recorded stretch of launches on one device.

    With ``keep_graph`` the graph is made ready by ``instantiate()`` or the first ``replay()``.
    """

    def __new__(cls, keep_graph: bool = False):
        return super().__new__(cls, keep_graph)

    def __init__(self, keep_graph: bool = False):
        super().__init__(keep_graph)
        self._inputs: InputWatch | None = None

    def capture_begin(self, pool: tuple[int, int] | None = None,
                      capture_error_mode: str = "global",
                      check_input_liveness: bool = False) -> None:
        """Starts to record the current stream, which must not be the default one.

        Raises RuntimeError when it is, or when this object holds a graph already. With
        ``check_input_liveness``, ``replay()`` raises once a tensor that the graph reads is gone.
        """
        if capture_error_mode not in _MODES:
            raise ValueError(f"expected one of {', '.join(_MODES)}, got {capture_error_mode!r}")
        super().capture_begin(pool=tuple(pool) if pool else None,
                              capture_error_mode=capture_error_mode)
        if check_input_liveness:
            self._inputs = InputWatch()
            self._inputs.start()

    def capture_end(self) -> None:
        """Ends the recording."""
        if self._inputs is not None:
            self._inputs.stop()
        super().capture_end()

    def replay(self) -> None:
        """Queues the recorded launches on the current stream.

        Raises RuntimeError when an input is gone and the capture was to watch them.
        """
        if self._inputs is not None:
            self._inputs.check()
        super().replay()

    def reset(self) -> None:
        """Gives up the graph and its memory."""
        if self._inputs is not None:
            self._inputs.stop()
            self._inputs = None
        super().reset()

    def register_generator_state(self, generator: torch.Generator) -> None:
        """Generators are known once they are drawn from: this checks the device only."""
        if generator.device.type not in ("trn", "cuda"):
            raise RuntimeError(f"expected a trn generator, got one of {generator.device}")

    def debug_dump(self, debug_path: str) -> None:
        """Writes one line a launch. ``enable_debug_mode()`` must come before the capture."""
        super().debug_dump(debug_path)


#: What redirected programs call it.
CUDAGraph = TRNGraph


class graph:  # noqa: N801 (torch.cuda's name)
    """Context manager that captures what is launched inside into ``cuda_graph``, a TRNGraph.

    The work goes to ``stream`` (a side stream of its own by default) and takes its memory from
    ``pool``: another graph's ``pool()`` or a ``graph_pool_handle()``. With
    ``check_input_liveness``, replaying after a tensor that the graph reads is gone raises
    RuntimeError. ``enable_annotations`` asks NVIDIA's driver for names: refused, RuntimeError.
    """

    default_capture_stream: streams.Stream | None = None

    def __init__(self, cuda_graph: TRNGraph, pool: tuple[int, int] | None = None,
                 stream: torch.Stream | None = None, capture_error_mode: str = "global",
                 enable_annotations: bool = False, check_input_liveness: bool = False):
        if enable_annotations:
            raise RuntimeError("annotations of kernels come from NVIDIA's driver; "
                               "TRNGraph.debug_dump() writes a graph's launches")
        cls = type(self)
        device = _C._current_device()
        if stream is None:
            stream = cls.default_capture_stream
            if stream is None or stream.device_index != device:
                stream = cls.default_capture_stream = streams.Stream(device)
        self.cuda_graph = cuda_graph
        self.check_input_liveness = check_input_liveness
        self.pool = pool
        self.capture_error_mode = capture_error_mode
        self.capture_stream = stream
        self.stream_ctx = streams.stream(stream)

    def __enter__(self) -> None:
        torch.trn.synchronize()
        if torch.compiler.config.force_cudagraph_gc:
            gc.collect()  # rarely frees memory and costs as much as many captures
        torch.trn.empty_cache()
        self.stream_ctx.__enter__()
        try:
            self.cuda_graph.capture_begin(self.pool, self.capture_error_mode,
                                          self.check_input_liveness)
        except BaseException:
            self.stream_ctx.__exit__(None, None, None)
            raise

    def __exit__(self, kind, error, traceback) -> None:
        try:
            if kind is None:
                self.cuda_graph.capture_end()
            else:
                self.cuda_graph.reset()  # the error in the block is the one to see
        finally:
            self.stream_ctx.__exit__(kind, error, traceback)


class _Graphed:
    """One callable's static tensors and its two graphs."""

    def __init__(self, call: Callable, args: tuple, allow_unused: bool):
        self.call, self.args, self.allow_unused = call, args, allow_unused
        self.params = tuple(call.parameters()) if isinstance(call, torch.nn.Module) else ()
        self.inputs = tuple(pytree.tree_leaves(args))
        for leaf in self.inputs:
            if not isinstance(leaf, torch.Tensor):
                raise AssertionError("make_graphed_callables takes tensors as sample arguments, "
                                     f"got {type(leaf).__name__}")
        self.surface = self.inputs + self.params
        self.wanted = tuple(t for t in self.surface if t.requires_grad)
        self.forward, self.backward = TRNGraph(), TRNGraph()

    def warm_up(self) -> None:
        leaves = pytree.tree_leaves(self.call(*self.args))
        outputs = tuple(o for o in leaves if o.requires_grad)
        if outputs:
            torch.autograd.grad(outputs, self.wanted, tuple(map(torch.empty_like, outputs)),
                                allow_unused=self.allow_unused)

    def capture_forward(self, pool) -> None:
        with graph(self.forward, pool=pool):
            outputs = self.call(*self.args)
        leaves, self.structure = pytree.tree_flatten(outputs)
        self.outputs = tuple(leaves)

    def capture_backward(self, pool) -> None:
        self.grad_outputs = tuple(
            torch.empty_like(o) if o.requires_grad else None for o in self.outputs)
        grads: tuple = ()
        if any(g is not None for g in self.grad_outputs):
            with graph(self.backward, pool=pool):
                grads = torch.autograd.grad(
                    tuple(o for o in self.outputs if o.requires_grad), self.wanted,
                    tuple(g for g in self.grad_outputs if g is not None),
                    allow_unused=self.allow_unused)
        found = iter(grads)
        self.grad_inputs = tuple(next(found, None) if t.requires_grad else None
                                 for t in self.surface)

    def _part_from_gradients(self) -> None:
        # Autograd may have kept a static gradient as ``.grad``; a replay would overwrite it.
        for tensor, static in zip(self.surface, self.grad_inputs, strict=True):
            kept = tensor.grad if tensor.is_leaf else None
            if static is not None and kept is not None and kept.data_ptr() == static.data_ptr():
                tensor.grad = kept.clone()

    def function(self) -> Callable:
        """The callable that replays: inputs are copied in, outputs are the static ones."""
        me = self

        class Replay(torch.autograd.Function):
            @staticmethod
            def forward(ctx, *inputs):
                for static, given in zip(me.inputs, inputs, strict=False):
                    if static.data_ptr() != given.data_ptr():
                        static.copy_(given)
                me.forward.replay()
                return tuple(o.detach() for o in me.outputs)

            @staticmethod
            @torch.autograd.function.once_differentiable
            def backward(ctx, *grads):
                for static, given in zip(me.grad_outputs, grads, strict=True):
                    if static is not None and static.data_ptr() != given.data_ptr():
                        static.copy_(given)
                me._part_from_gradients()
                me.backward.replay()
                return tuple(g.detach() if g is not None else None for g in me.grad_inputs)

        def replay(*args):
            leaves = pytree.tree_leaves(args)
            return pytree.tree_unflatten(Replay.apply(*leaves, *me.params), me.structure)

        return replay


def _replace_forward(module: torch.nn.Module, replay: Callable) -> torch.nn.Module:
    training, eager = module.training, module.forward

    def forward(*args, **kwargs):
        # The other mode was not recorded.
        return replay(*args) if module.training == training else eager(*args, **kwargs)

    module.forward = forward
    return module


def make_graphed_callables(
    callables: Callable | tuple[Callable, ...], sample_args: Sequence[Any],
    num_warmup_iters: int = 3, allow_unused_input: bool = False,
    pool: tuple[int, int] | None = None,
):
    """Versions of ``callables`` (functions or modules) whose forward and backward are graphs.

    ``sample_args`` holds tensors (one tuple a callable) of the shapes, types and requires_grad
    that later calls will have. Callables must run in the order given here, each forward before its
    backward. Raises RuntimeError for modules with hooks and under autocast's cache.
    """
    if torch.is_autocast_enabled("trn") and torch.is_autocast_cache_enabled():
        raise RuntimeError("make_graphed_callables does not support the autocast caching. Please "
                           "set `cache_enabled=False`.")
    single = not isinstance(callables, tuple)
    if single:
        callables, sample_args = (callables,), (sample_args,)
    for call in callables:
        if isinstance(call, torch.nn.Module) and (
            call._forward_hooks or call._forward_pre_hooks or call._backward_hooks
        ):
            raise RuntimeError("Modules must not have hooks registered at the time they are "
                               "passed to make_graphed_callables.")
        if isinstance(call, torch.nn.Module) and any(b.requires_grad for b in call.buffers()):
            raise RuntimeError("Buffers of modules passed to make_graphed_callables must not "
                               "require gradients.")
    graphed = [_Graphed(call, tuple(args), allow_unused_input)
               for call, args in zip(callables, sample_args, strict=True)]
    pool = graph_pool_handle() if pool is None else pool
    torch.trn.synchronize()
    side = streams.Stream()
    with streams.stream(side):
        for one in graphed:
            for _ in range(num_warmup_iters):
                one.warm_up()
    torch.trn.synchronize()
    for one in graphed:
        one.capture_forward(pool)
    for one in reversed(graphed):
        one.capture_backward(pool)
    made = tuple(
        _replace_forward(one.call, one.function()) if isinstance(one.call, torch.nn.Module)
        else one.function() for one in graphed)
    return made[0] if single else made
