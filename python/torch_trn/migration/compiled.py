"""torch.compile in a redirected program: graphs that use the device run their operators eagerly."""

from __future__ import annotations

import functools

import torch

from .. import _C


def _on_device(graph: torch.fx.GraphModule, inputs) -> bool:
    tensors = [t for t in inputs if isinstance(t, torch.Tensor)]
    tensors += [*graph.parameters(), *graph.buffers()]
    tensors += [node.meta.get("example_value") for node in graph.graph.nodes]
    return any(isinstance(t, torch.Tensor) and t.device.type == "cuda" for t in tensors)


def device_graphs_eagerly(original):
    """Inductor's entry, which would look for Triton: only graphs of the CPU still go there."""
    redirection = _C._redirection_id("torch.compile")

    @functools.wraps(original)
    def compile_graph(self, model_, inputs_, **kwargs):
        if _on_device(model_, inputs_):
            _C._note_redirection(redirection)
            return model_.forward
        return original(self, model_, inputs_, **kwargs)

    return compile_graph
