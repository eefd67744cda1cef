"""A CPU shadow of each operator: the same call on the CPU, in its own type and in double."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.module_tracker import ModuleTracker

from .choices import is_right_too

_DOUBLE = {torch.float32: torch.float64, torch.float16: torch.float64,
           torch.bfloat16: torch.float64, torch.complex64: torch.complex128}
aten = torch.ops.aten

# Operators whose result is not a number to compare: uninitialised, or another storage's view.
_UNCOMPARED = {"empty", "empty_strided", "empty_like", "new_empty", "new_empty_strided",
               "empty_permuted", "set_", "resize_", "record_stream", "_pin_memory", "is_pinned"}


def _attention(q, k, v, bias=None, dropout=0.0, causal=False, return_mask=False, scale=None):
    return torch.nn.functional.scaled_dot_product_attention(
        q, k, v, bias, dropout, causal, scale=scale, enable_gqa=q.size(-3) != k.size(-3))


def _attention_backward(grad, q, k, v, bias, wanted, out, lse, cum_q, cum_k, max_q, max_k,
                        dropout, causal, seed, offset, *, scale=None):
    """The gradients from the formula: autograd does not record where operators are intercepted."""
    if dropout:
        raise NotImplementedError("dropout's mask is the device's own")
    scale = q.size(-1) ** -0.5 if scale is None else scale
    groups = q.size(-3) // k.size(-3)
    keys, values = (t.repeat_interleave(groups, -3) for t in (k, v))
    scores = q @ keys.mT * scale
    if bias is not None:
        scores = scores + bias
    if causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:]).tril() == 0, float("-inf"))
    weights = scores.softmax(-1).nan_to_num()
    inner = grad @ values.mT
    inner = weights * (inner - (inner * weights).sum(-1, keepdim=True))

    def grouped(t):
        return t.unflatten(-3, (-1, groups)).sum(-3)

    grads = (inner @ keys * scale, grouped(inner.mT @ q * scale), grouped(weights.mT @ grad),
             inner.sum_to_size(bias.shape) if bias is not None else None)
    return [g if want and g is not None else torch.empty(0) for g, want in zip(grads, wanted)]


def _convolution_backward(grad, x, weight, stride, padding, dilation, transposed, output_padding,
                          groups, wanted):
    bias = [weight.size(1) * groups if transposed else weight.size(0)]
    return aten.convolution_backward.default(grad, x, weight, bias, stride, padding, dilation,
                                             transposed, output_padding, groups, wanted)


# The device's own operators: what computes their results on the CPU, the first ones at least.
_ON_CPU: dict[Any, Callable] = {
    aten._scaled_dot_product_fused_attention_overrideable.default: _attention,
    aten._scaled_dot_product_fused_attention_overrideable_backward.default: _attention_backward,
    aten.convolution_overrideable.default: aten.convolution.default,
    aten.convolution_backward_overrideable.default: _convolution_backward,
}


def _is_device(t: Any) -> bool:
    return isinstance(t, torch.Tensor) and t.is_trn


def _to_cpu(double: bool) -> Callable:
    def move(x: Any) -> Any:
        if isinstance(x, torch.Tensor):
            x = x.detach()
            x = x.cpu() if _is_device(x) else x.clone()
            return x.to(_DOUBLE.get(x.dtype, x.dtype)) if double else x
        if isinstance(x, torch.device):
            return torch.device("cpu")
        if double and isinstance(x, torch.dtype):
            return _DOUBLE.get(x, x)
        return x

    return move


@dataclass
class Difference:
    """The first result that rounding does not explain."""

    operator: torch._ops.OpOverload
    module: str
    backward: bool
    output: int  # which result
    error: float  # greatest difference from the double-precision result
    explained: float  # what rounding in the result's type explains
    args: Any  # copies on the CPU, from before the call
    kwargs: Any
    seed: tuple[complex, complex] = (0.0, 0.0)  # the worst element: device, double
    refusal: str = ""  # what the CPU says where it refuses a call that the device ran

    @property
    def ratio(self) -> float:
        """How many times more than rounding explains."""
        return self.error / self.explained if self.explained else float("inf")


def _worst(result: torch.Tensor, exact: torch.Tensor) -> tuple[float, int]:
    gap = (result.to(exact.dtype) - exact).abs()
    same = (result == exact.to(result.dtype)) | (result.isnan() & exact.isnan())
    gap = torch.where(same, torch.zeros_like(gap), gap).nan_to_num(nan=float("inf"))
    at = int(gap.argmax())
    return float(gap.flatten()[at]), at


def _largest(exact: torch.Tensor) -> float:
    finite = exact.abs()[exact.abs().isfinite()]
    return float(finite.max()) if finite.numel() else 0.0


_SLACK = 8.0


def judge(device: torch.Tensor, plain: torch.Tensor, exact: torch.Tensor,
          more: float = 0.0) -> tuple[float, float, tuple[complex, complex]] | None:
    """(error, explained, worst pair) where the error is more than rounding explains, else None.

    ``plain`` is the CPU's result in the same type, ``exact`` in double. Rounding explains _SLACK
    times the CPU's own error, four units in the last place of the largest element, and ``more``.
    """
    device = device.cpu()
    if device.shape != plain.shape or device.dtype != plain.dtype:
        return float("inf"), 0.0, (0.0, 0.0)
    if device.numel() == 0:
        return None
    if not (device.is_floating_point() or device.is_complex()):
        unequal = (device != plain).flatten()
        if not bool(unequal.any()):
            return None
        at = int(unequal.to(torch.uint8).argmax())
        return float(unequal.sum()), 0.0, (float(device.flatten()[at]), float(plain.flatten()[at]))
    error, at = _worst(device, exact)
    own = _worst(plain, exact)[0]
    explained = _SLACK * (own if own != float("inf") else 0.0) + more
    explained += 4 * torch.finfo(device.dtype).eps * _largest(exact)
    explained = max(explained, torch.finfo(device.dtype).tiny)
    if error <= explained:
        return None
    return error, explained, (device.flatten()[at].item(), exact.flatten()[at].item())


def _shake(x: Any) -> Any:
    """A tensor in double, each element off by less than its own type rounds."""
    double = _to_cpu(True)(x)
    if not isinstance(x, torch.Tensor) or not (x.is_floating_point() or x.is_complex()):
        return double
    noise = torch.rand(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return double * (1 + torch.finfo(x.dtype).eps * (2 * noise - 1))


def _rounding_of_sums(operator: Any, inputs: list[torch.Tensor], exact: torch.Tensor,
                      dtype: torch.dtype) -> float:
    """How much adding up one element at a time may cost: the root of how many there are."""
    if torch.Tag.pointwise in operator.tags or dtype in (torch.float16, torch.bfloat16):
        return 0.0  # nothing is added up, or in float32
    first, second = (sorted((t.numel() for t in inputs), reverse=True) + [1, 1])[:2]
    out = max(exact.numel(), 1)
    return max(first / out, (first * second / out) ** 0.5) ** 0.5


def examine(operator: Any, args: Any, kwargs: Any, results: list[torch.Tensor]):
    """Yields (index, what judge says) of the results that rounding does not explain.

    ``args`` and ``kwargs`` are on the CPU. A result that seems wrong gets a second look: how far
    inputs that are off by their own rounding move it, as where large terms cancel.
    """
    def run(change: Callable) -> list[Any]:
        a, k = tree_map(change, (args, kwargs))
        return tree_leaves(_ON_CPU.get(operator, operator)(*a, **k))

    plain, exact = run(_to_cpu(False)), run(_to_cpu(True))
    shaken: list[Any] = []
    for index, (ours, cpu, best) in enumerate(zip(results, plain, exact)):
        if not _is_device(ours):
            continue
        wrong = judge(ours, cpu, best)
        if wrong and wrong[1] > 0:
            shaken = shaken or run(_shake)
            moved = _worst(shaken[index], best)[0]
            inputs = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
            sums = _rounding_of_sums(operator, inputs, best, ours.dtype)
            more = sums * torch.finfo(ours.dtype).eps * _largest(best)
            more += max(_SLACK, sums) * moved if moved != float("inf") else 0.0
            wrong = judge(ours, cpu, best, more)
        if wrong and not is_right_too(operator, args, kwargs, results, plain, index):
            yield index, wrong


_LACKS = ("not implemented", "not supported", "unsupported", "can't allocate", "Could not run")


def _refuses(operator: Any, before: Any) -> bool:
    """Whether the CPU, in the call's own types, finds it wrong, rather than lacks it."""
    if not isinstance(_ON_CPU.get(operator, operator), torch._ops.OpOverload):
        return False  # a formula of this file, which need not take all that the device does
    args, kwargs = tree_map(_to_cpu(False), before)
    try:
        _ON_CPU.get(operator, operator)(*args, **kwargs)
    except NotImplementedError:
        return False
    except (RuntimeError, TypeError, LookupError, ValueError) as error:
        return not any(word in str(error) for word in _LACKS)
    return False


def _without_leaf(x: Any) -> Any:
    return x.detach() if isinstance(x, torch.Tensor) and x.requires_grad and x.is_leaf else x


class _Tracker(ModuleTracker):
    # A hook on a leaf, such as an input that a penalty is taken of, makes autograd.grad() raise.
    def _fw_pre_hook(self, mod, input):  # noqa: A002
        super()._fw_pre_hook(mod, tree_map(_without_leaf, input))


class _InThread(TorchDispatchMode):
    # The shadow of one more thread.
    def __init__(self, shadow: Shadow):
        super().__init__()
        self.shadow = shadow

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return self.shadow.__torch_dispatch__(func, types, args, kwargs)


class Shadow(TorchDispatchMode):
    """While it is on, every n-th device operator is checked; ``on_difference`` gets the first.

    With ``keep_going`` it gets all: an operator is checked by what it was given, so that one that
    is wrong does not make those after it wrong.
    """

    def __init__(self, every: int, on_difference: Callable[[Difference], None],
                 keep_going: bool = False):
        super().__init__()
        self.every, self.on_difference = max(every, 1), on_difference
        self.keep_going = keep_going
        self.calls = self.checked = 0
        self.unchecked: Counter[str] = Counter()
        self.tracker = _Tracker()
        self.found = False

    def __enter__(self):
        self.tracker.__enter__()
        self.run_thread = threading.Thread.run
        threading.Thread.run = lambda thread: self._watch(thread)  # a mode is its thread's own
        return super().__enter__()

    def _watch(self, thread) -> None:
        with _InThread(self):
            self.run_thread(thread)

    def __exit__(self, *args):
        super().__exit__(*args)
        threading.Thread.run = self.run_thread
        self.tracker.__exit__(*args)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if any(kind.__torch_dispatch__ is not torch.Tensor.__torch_dispatch__ for kind in types):
            return NotImplemented  # a subclass: what it makes of the call comes by again
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        over = self.found and not self.keep_going
        if over or not any(t.is_trn for t in tensors) or not self._wanted(func):
            return func(*args, **kwargs)
        if any(t.is_nested for t in tensors):
            self.unchecked[f"{func}: nested tensors have no one shape to compare"] += 1
            return func(*args, **kwargs)
        before = tree_map(_to_cpu(False), (args, kwargs))
        result = func(*args, **kwargs)
        self._check(func, before, result)
        return result

    def _wanted(self, func) -> bool:
        name = func._schema.name.split("::")[1]
        if name in _UNCOMPARED or torch.Tag.nondeterministic_seeded in func.tags or func.is_view:
            return False
        self.calls += 1
        return self.calls % self.every == 0

    def _check(self, func, before, result) -> None:
        refusal = wrong = None
        try:
            wrong = next(examine(func, *before, tree_leaves(result)), None)
        except torch.AcceleratorError:
            raise  # the program's own, of a kernel that ran before
        except (RuntimeError, TypeError, LookupError, ValueError) as error:
            refusal = error
        if refusal:
            torch.accelerator.synchronize()  # raises where the device refuses the call as well
            text = (str(refusal).splitlines() or [type(refusal).__name__])[0]
            if not _refuses(func, before):
                self.unchecked[f"{func}: {text[:80]}"] += 1
                return
            wrong = 0, (float("inf"), 0.0, (0.0, 0.0))
        self.checked += 1
        if wrong:
            self._tell(func, before, wrong, text if refusal else "")

    def _tell(self, func, before, wrong, refusal: str) -> None:
        index, (error, explained, pair) = wrong
        self.found = True
        parents = [p for p in self.tracker.parents if p != "Global"]
        self.on_difference(Difference(
            func, max(parents, key=len, default=""), self.tracker.is_bw, index, error, explained,
            *before, pair, refusal))
