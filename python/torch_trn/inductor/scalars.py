"""Scalars in the host's memory beside tensors of trn: moved, since Inductor goes where they are."""

from __future__ import annotations

import torch
from torch import fx

from .devices import is_trn


def _device(node: fx.Node) -> torch.device | None:
    value = node.meta.get("val")
    if isinstance(value, (list, tuple)) and value:
        value = value[0]
    return value.device if isinstance(value, torch.Tensor) else None


def _takes_scalars(node: fx.Node) -> bool:
    """Whether eager PyTorch would read the node's zero-dimensional CPU tensors as numbers."""
    if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
        return False
    return (torch.Tag.pointwise in node.target.tags
            or node.target.name().startswith("aten::_foreach_"))


def _is_host_scalar(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.dim() == 0 and value.device.type == "cpu"


def move(gm: fx.GraphModule) -> None:
    """Copies each such scalar to the device of the elementwise operators that read it.

    Inductor gives an operator the device of its first operand, so that learning_rate * gradient
    would run on the CPU, on memory of the device that nobody waited for.
    """
    moved: dict[tuple[fx.Node, torch.device], fx.Node] = {}
    for node in list(gm.graph.nodes):
        device = _device(node) if _takes_scalars(node) else None
        if device is None or not is_trn(device):
            continue
        for scalar in filter(_is_host_scalar, node.all_input_nodes):
            if (scalar, device) not in moved:
                with gm.graph.inserting_before(node):
                    copy = gm.graph.call_function(torch.ops.prims.device_put.default,
                                                  (scalar, device))
                copy.meta["val"] = scalar.meta["val"].to(device)
                moved[scalar, device] = copy
            node.replace_input_with(scalar, moved[scalar, device])
    if moved:
        gm.recompile()
