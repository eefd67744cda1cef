"""Operators that take functions, which Inductor has templates of for other devices only: their
arguments' graphs are traced into plain operators."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torch.utils import _pytree as pytree

from . import flex
from .devices import is_trn


def _associative_scan(combine, xs, additional_inputs=()):
    """The scan of `xs` along their first dimension, log2(length) calls of `combine`.

    For each length the function is compiled anew.
    """
    from torch._higher_order_ops.associative_scan import generic_associative_scan

    int(xs[0].shape[0])
    n = len(xs)

    def together(*pair):
        return combine(*pair, *additional_inputs)

    return tuple(generic_associative_scan(torch.vmap(together, in_dims=(0,) * (2 * n)), list(xs)))


_OPERATORS: dict[str, Callable] = {**flex.OPERATORS, "associative_scan": _associative_scan}


def _trace(gm: fx.GraphModule, node: fx.Node, run: Callable) -> tuple[fx.GraphModule, list]:
    """What `run` does with the arguments of `node` as a graph, and the nodes that it takes."""
    from torch._dispatch.python import enable_python_dispatcher
    from torch._dynamo.utils import detect_fake_mode
    from torch._inductor.decomposition import select_decomp_table
    from torch.fx.experimental.proxy_tensor import make_fx

    flat, form = pytree.tree_flatten((node.args, node.kwargs))
    inputs = [i for i, a in enumerate(flat) if isinstance(a, fx.Node) and a.op != "get_attr"]
    for i, a in enumerate(flat):
        if isinstance(a, fx.Node) and a.op == "get_attr":
            flat[i] = operator.attrgetter(a.target)(gm)
    nodes = [flat[i] for i in inputs]

    def on_nodes(*values):
        full = list(flat)
        for i, value in zip(inputs, values, strict=True):
            full[i] = value
        args, kwargs = pytree.tree_unflatten(full, form)
        return run(*args, **kwargs)

    values = [n.meta["val"] for n in nodes]
    table = {**select_decomp_table(), **flex.decompositions()}
    with detect_fake_mode(values), torch.no_grad(), enable_python_dispatcher():
        return make_fx(on_nodes, table)(*values), nodes


def _inline(gm: fx.GraphModule, node: fx.Node, traced: fx.GraphModule, inputs: list) -> None:
    """Puts the nodes of `traced`, called with `inputs`, in the place of `node`."""
    values: dict[fx.Node, Any] = {}
    waiting = iter(inputs)
    with gm.graph.inserting_before(node):
        for n in traced.graph.nodes:
            if n.op == "placeholder":
                values[n] = next(waiting)
            elif n.op == "output":
                result = fx.map_arg(n.args[0], values.__getitem__)
            else:
                values[n] = gm.graph.node_copy(n, values.__getitem__)
                if n.op == "get_attr":
                    values[n].target = f"{node.name}_{n.target}"
                    setattr(gm, values[n].target, getattr(traced, n.target))
    _replace(gm.graph, node, result)


def _replace(graph: fx.Graph, node: fx.Node, result: Any) -> None:
    if isinstance(result, fx.Node):
        node.replace_all_uses_with(result)
    else:
        for user in list(node.users):  # each is a getitem
            _replace(graph, user, result[user.args[1]])
    graph.erase_node(node)


def _of_trn(node: fx.Node) -> bool:
    values = (n.meta.get("val") for n in node.all_input_nodes)
    return any(isinstance(v, torch.Tensor) and is_trn(v.device) for v in values)


def decompose(gm: fx.GraphModule) -> None:
    """Replaces each of these operators in `gm` that has tensors on trn by plain ones."""
    found = [(node, run) for name, run in _OPERATORS.items()
             for node in gm.graph.find_nodes(op="call_function",
                                             target=getattr(torch.ops.higher_order, name))
             if _of_trn(node)]
    for node, run in found:
        _inline(gm, node, *_trace(gm, node, run))
    if found:
        gm.graph.eliminate_dead_code()
        gm.recompile()
