"""The Python half of the package: loads the C++ operator, and writes another in Python."""

import os

import torch
import torch_trn  # noqa: F401 (makes the device known where it is not loaded by itself)

torch.ops.load_library(os.environ.get("TRN_EXAMPLE_LIBRARY", os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "build", "libtrn_example.so")))


@torch.library.register_fake("trn_example::swiglu")
def _(gate, up):
    return torch.empty_like(gate)


@torch.library.register_fake("trn_example::swiglu_backward")
def _(grad, gate, up):
    return torch.empty_like(gate), torch.empty_like(up)


def _save(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


def _backward(ctx, grad):
    return torch.ops.trn_example.swiglu_backward(grad, *ctx.saved_tensors)


torch.library.register_autograd("trn_example::swiglu", _backward, setup_context=_save)

swiglu = torch.ops.trn_example.swiglu


@torch.library.custom_op("trn_example::soft_clip", mutates_args=())
def soft_clip(x: torch.Tensor, limit: float) -> torch.Tensor:
    """``limit * tanh(x / limit)``, made of operators that the device has."""
    return torch.tanh(x / limit) * limit


@soft_clip.register_fake
def _(x, limit):
    return torch.empty_like(x)


def _clip_save(ctx, inputs, output):
    ctx.limit = inputs[1]
    ctx.save_for_backward(output)


def _clip_backward(ctx, grad):
    (out,) = ctx.saved_tensors
    return grad * (1 - (out / ctx.limit) ** 2), None


soft_clip.register_autograd(_clip_backward, setup_context=_clip_save)
