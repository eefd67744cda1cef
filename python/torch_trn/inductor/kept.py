"""Operators that stay calls of trn's kernels, which are ahead of the loops that Inductor would
generate for their parts, even where those would be fused with their neighbours."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch._inductor import decomposition, ir, lowering
from torch.utils import _pytree as pytree

from .devices import is_trn

aten = torch.ops.aten


def _is_batch(x) -> bool:
    return isinstance(x, ir.IRNode) and len(x.get_size()) > 1


def _in_one_format(_, *args, **kwargs):
    """Batches and their gradients as the batches lie: channels last, or one after another."""
    batch = [x for x in args if _is_batch(x)][-1]
    stride = batch.maybe_get_stride()
    last = len(batch.get_size()) == 4 and stride is not None and (
        ir.get_stride_order(stride) == ir.NHWC_STRIDE_ORDER)
    kernel = ir.ExternKernel
    require = kernel.require_channels_last if last else kernel.require_contiguous
    return tuple(require(x) if _is_batch(x) else x for x in args), kwargs


# Operators, and how their operands have to lie for a result to lie as a tracer expects it: where
# they differ, PyTorch's rule for the parts and that for the whole do too.
KEPT = {
    aten.gelu.default: None, aten.gelu_backward.default: None,
    aten.native_layer_norm.default: lowering.require_contiguous,
    aten.native_layer_norm_backward.default: lowering.require_contiguous,
    aten.native_group_norm.default: lowering.require_contiguous,
    aten.native_group_norm_backward.default: lowering.require_contiguous,
    aten._native_batch_norm_legit_functional.default: _in_one_format,
    aten.native_batch_norm_backward.default: _in_one_format,
}


def _on_trn(*args, **kwargs) -> bool:
    tensors = (a for a in pytree.arg_tree_leaves(*args, **kwargs) if isinstance(a, torch.Tensor))
    return any(is_trn(t.device) for t in tensors)


def _decomposed_elsewhere(parts: Callable) -> Callable:
    @functools.wraps(parts)
    def decompose(*args, **kwargs):
        return NotImplemented if _on_trn(*args, **kwargs) else parts(*args, **kwargs)

    return decompose


def _in_memory(x) -> bool:
    """Whether a node's values are in trn's memory already, so that no loop could make them."""
    return is_trn(x.get_device()) and ir.is_storage_and_layout(x)


def _sums_columns(x, axis=None, keepdims=False, *, dtype=None) -> bool:
    """Whether a sum takes all rows of a matrix together, as the gradient of a bias does.

    A generated loop goes down one strip of columns after the other.
    """
    axes = [axis] if isinstance(axis, int) else axis or ()
    ndim = len(x.get_size())
    kept = set(range(ndim)) - {a % ndim for a in axes}
    return _in_memory(x) and len(kept) < ndim and ndim - 1 in kept


def _joins_memory(inputs, dim=0) -> bool:
    """Whether nothing but copies is to be joined. A loop reads every part at every place."""
    return len(inputs) > 1 and all(_in_memory(x) for x in inputs)


KEPT_WHERE = {aten.sum.dim_IntList: _sums_columns, aten.cat.default: _joins_memory}


def _kept_where(fits: Callable, operator, loop: Callable) -> Callable:
    call = lowering.fallback_handler(operator, add_to_fallback_set=False)

    @functools.wraps(loop)
    def lower(*args, **kwargs):
        return (call if fits(*args, **kwargs) else loop)(*args, **kwargs)

    return lower


def register() -> None:
    """Takes KEPT of trn's tensors out of Inductor's decompositions, KEPT_WHERE of its loops."""
    for operator, layout in KEPT.items():
        parts = decomposition.decompositions[operator]
        decomposition.decompositions[operator] = _decomposed_elsewhere(parts)
        lowering.make_fallback(operator, layout, warn=False, override_decomp=True)
    decomposition.fast_random_decomps.cache_clear()
    for operator, fits in KEPT_WHERE.items():
        lowering.lowerings[operator] = _kept_where(fits, operator, lowering.lowerings[operator])
