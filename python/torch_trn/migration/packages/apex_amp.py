"""apex.amp over torch.autocast, with apex's own scaling of the loss."""

from __future__ import annotations

import contextlib
import functools
import types
import weakref
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch.utils._pytree import tree_map

_FIRST_SCALE, _STEPS_TO_GROW = 2.0**16, 2000
_SCALES = {"O0": 1.0, "O1": "dynamic", "O2": "dynamic", "O3": 1.0}


class _Scaler:
    """What a loss is multiplied with: a fixed number, or as much as does not overflow."""

    def __init__(self, scale, lowest, highest) -> None:
        self.dynamic = scale == "dynamic"
        self.lowest, self.highest = lowest or 0.0, highest
        self.scale = min(_FIRST_SCALE, highest) if self.dynamic else float(scale)
        self.unskipped, self.overflow = 0, False

    def update(self) -> bool:
        """Follows what the last backward pass gave; whether its step is to be skipped."""
        skip, self.overflow = self.overflow and self.dynamic, False
        if skip:
            self.scale, self.unskipped = max(self.lowest, self.scale / 2), 0
            return True
        self.unskipped += 1
        if self.dynamic and self.unskipped == _STEPS_TO_GROW:
            self.scale, self.unskipped = min(self.highest, self.scale * 2), 0
        return False


# enabled is None before initialize; scaled are the optimizers whose gradients still are.
_state = types.SimpleNamespace(enabled=None, verbosity=1, scalers=[], scaled=weakref.WeakSet())


def initialize(models: torch.nn.Module | list, optimizers: Any = None, enabled: bool = True,
               opt_level: str = "O1", cast_model_type: torch.dtype | None = None,
               patch_torch_functions: bool | None = None,
               keep_batchnorm_fp32: bool | str | None = None, master_weights: bool | None = None,
               loss_scale: float | str | None = None,
               cast_model_outputs: torch.dtype | None = None, num_losses: int = 1,
               verbosity: int = 1, min_loss_scale: float | None = None,
               max_loss_scale: float = 2.0**24) -> Any:
    """Makes models compute in mixed precision and prepares the scales of their losses; gives back
    models, or (models, optimizers) if there are optimizers, each as it was given.

    O1, O2 and O3 all run a model's forward under torch.autocast in float16 (O2 and O3 in
    cast_model_type, if given) and cast what it returns to float32, or to cast_model_outputs. At
    every level the parameters stay float32: they are their own master weights, and batch norms
    keep their precision, whatever master_weights and keep_batchnorm_fp32 say. O0 computes in
    float32. loss_scale is a number, its text or "dynamic"; without it O1 and O2 scale dynamically
    and O0 and O3 by 1. There are num_losses scales, for scale_loss's loss_id. A verbosity of 0
    keeps quiet about overflows. Unless enabled, nothing is changed here or by the other functions.

    Raises RuntimeError for another opt_level, TypeError for models or optimizers that are neither
    one nor a list.
    """
    given = models if optimizers is None else (models, optimizers)
    _state.enabled, _state.verbosity, _state.scalers = bool(enabled), verbosity, []
    _state.scaled.clear()
    if not enabled:
        return given
    if opt_level not in _SCALES:
        raise RuntimeError(f"Unexpected optimization level {opt_level}. "
                           "Options are 'O0', 'O1', 'O2', 'O3'.")
    if not (optimizers is None or isinstance(optimizers, list) or _is_optimizer(optimizers)):
        raise TypeError("optimizers must be either a single optimizer or a list of optimizers.")
    if not isinstance(models, (list, torch.nn.Module)):
        raise TypeError("models must be either a single model or a list of models.")
    compute = _computed_in(opt_level, cast_model_type, patch_torch_functions)
    outputs = cast_model_outputs or (torch.float32 if compute else None)
    for model in models if isinstance(models, list) else [models]:
        if outputs:
            _wrap_forward(model, compute, outputs)
    scale = _SCALES[opt_level] if loss_scale is None else loss_scale
    _state.scalers = [_Scaler(scale, min_loss_scale, max_loss_scale) for _ in range(num_losses)]
    return given


def _is_optimizer(value) -> bool:
    return hasattr(value, "param_groups") and hasattr(value, "step")  # LARC is one of no base


def _computed_in(opt_level, cast_model_type, patch_torch_functions) -> torch.dtype | None:
    """What autocast is to lower to, None for nothing."""
    if opt_level == "O0" or opt_level == "O1" and patch_torch_functions is False:
        return None
    if opt_level == "O1" or cast_model_type is None:
        return torch.float16
    return None if cast_model_type in (False, torch.float32) else cast_model_type


def _wrap_forward(model, compute, outputs) -> None:
    plain = model.forward
    # A method of the model's, not one that holds the model: copies and pickles take it along.
    function = getattr(plain, "__func__", None) or (lambda self, *args, **kw: plain(*args, **kw))

    def cast(value):
        floats = isinstance(value, torch.Tensor) and value.is_floating_point()
        return value.to(outputs) if floats else value

    @functools.wraps(function)
    def forward(self, *args, **kwargs):
        lowered = torch.autocast("cuda", dtype=compute) if compute else contextlib.nullcontext()
        with lowered:
            out = function(self, *args, **kwargs)
        return tree_map(cast, out)

    model.forward = types.MethodType(forward, model)


@contextlib.contextmanager
def scale_loss(loss: torch.Tensor, optimizers: Any, loss_id: int = 0,
               model: torch.nn.Module | None = None, delay_unscale: bool = False,
               delay_overflow_check: bool = False) -> Iterator[torch.Tensor]:
    """Gives the scaled loss to call backward() on; afterwards the gradients of the parameters of
    the optimizer, or the list of them, are as without scale.

    Gradients of earlier passes are kept and added to. After an overflow under a dynamic scale the
    optimizers' next step() does nothing and the scale is halved. delay_unscale leaves the gradients
    scaled, for the next pass to add to; delay_overflow_check leaves an overflow to the next pass.

    Raises RuntimeError before initialize; a step() that does nothing raises it for a closure.
    """
    if _state.enabled is None:
        raise RuntimeError("Invoked 'with amp.scale_loss`, but internal Amp state has not been "
                           "initialized.  model, optimizer = amp.initialize(model, optimizer, "
                           "opt_level=...) must be called before `with amp.scale_loss`.")
    if not _state.enabled:
        yield loss
        return
    scaler = _state.scalers[loss_id]
    if not scaler.dynamic and scaler.scale == 1.0:
        yield loss.float()
        return
    optimizers = list(optimizers) if isinstance(optimizers, (list, tuple)) else [optimizers]
    stashed = {} if delay_unscale else _stash(optimizers)
    yield loss.float() * scaler.scale
    if delay_unscale:
        _state.scaled.update(optimizers)
        return
    scaler.overflow |= _unscale(optimizers, stashed, scaler.scale)
    if not delay_overflow_check and scaler.update():
        for optimizer in optimizers:
            _skip_next_step(optimizer, scaler, loss_id)


def _stash(optimizers) -> dict[torch.Tensor, torch.Tensor]:
    """Takes the gradients off the parameters, but for those that are still scaled."""
    stashed = {p: p.grad for optimizer in optimizers if optimizer not in _state.scaled
               for p in master_params(optimizer) if p.grad is not None}
    for p in stashed:
        p.grad = None
    return stashed


@torch.no_grad()
def _unscale(optimizers, stashed, scale: float) -> bool:
    """Unscales the gradients and adds the stashed; whether any was infinite or not a number."""
    params = dict.fromkeys(p for optimizer in optimizers for p in master_params(optimizer))
    alike = defaultdict(list)
    for p in params:
        if p.grad is not None:
            alike[p.grad.device, p.grad.dtype].append(p.grad)
    found = []
    for (device, _), grads in alike.items():
        found.append(torch.zeros(1, device=device))
        torch._amp_foreach_non_finite_check_and_unscale_(
            grads, found[-1], torch.full((1,), 1 / scale, device=device))
    for p, earlier in stashed.items():
        p.grad = earlier if p.grad is None else p.grad.add_(earlier)
    _state.scaled.difference_update(optimizers)
    return any(flag.item() for flag in found)


def _skip_next_step(optimizer, scaler: _Scaler, loss_id: int) -> None:
    own = vars(optimizer).get("step")  # a learning rate's scheduler sets one
    if getattr(own, "skips", False):
        return

    def step(self, closure=None):
        if closure is not None:
            raise RuntimeError("Currently, Amp does not support closure use with optimizers.")
        if own is None:
            del self.step
        else:
            self.step = own
        if _state.verbosity > 0:
            print(f"Gradient overflow.  Skipping step, loss scaler {loss_id} reducing loss scale "
                  f"to {scaler.scale}")

    step.skips = True
    optimizer.step = types.MethodType(step, optimizer)


def master_params(optimizer: Any) -> Iterator[torch.Tensor]:
    """The parameters that the optimizer steps, which are the model's own."""
    for group in optimizer.param_groups:
        yield from group["params"]


def state_dict(destination: dict | None = None) -> dict[str, dict[str, Any]]:
    """Each loss's scale and its good steps since it changed; empty if nothing is scaled."""
    destination = OrderedDict() if destination is None else destination
    for i, scaler in enumerate(_state.scalers):
        destination[f"loss_scaler{i}"] = {"loss_scale": scaler.scale,
                                          "unskipped": scaler.unskipped}
    return destination


def load_state_dict(state_dict: Mapping[str, Mapping[str, Any]]) -> None:
    """Sets the scales to what state_dict() gave. Raises RuntimeError for other keys than its."""
    if not _state.enabled:
        return
    unexpected = [key for key in state_dict if "loss_scaler" not in key]
    if unexpected:
        raise RuntimeError("Error(s) in loading state_dict. Unexpected key(s) in state_dict: "
                           + _quoted(unexpected))
    if len(state_dict) != len(_state.scalers):
        print(f"Warning: state_dict contains {len(state_dict)} entries, while "
              f"{len(_state.scalers)} loss_scalers are used")
    for scaler, saved in zip(_state.scalers, state_dict.values()):
        scaler.scale, scaler.unskipped = saved["loss_scale"], saved["unskipped"]


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
