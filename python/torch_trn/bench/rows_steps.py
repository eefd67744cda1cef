"""Rows of whole steps: optimizers, recurrent layers, many small operators, models."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import nn

from . import models
from .row import Row, integers, rand


def as_it_is(model: nn.Module) -> nn.Module:
    """What is done to a model before its step is made: nothing."""
    return model


def _optimizers(tiny: bool) -> Iterator[Row]:
    shapes = [(32, 32)] * 2 if tiny else [(1024, 1024)] * 40 + [(4096, 512)] * 4 + [(1024,)] * 40
    total = sum(torch.Size(s).numel() for s in shapes)
    for name, kind, passes, options in (
        ("AdamW", torch.optim.AdamW, 7, {"lr": 1e-3}),
        ("SGD momentum", torch.optim.SGD, 5, {"lr": 1e-3, "momentum": 0.9}),
    ):
        for how in ("foreach", "fused"):
            def make(device, kind=kind, options=options, how=how):
                parameters = [nn.Parameter(rand(device, *s)) for s in shapes]
                for p in parameters:
                    p.grad = torch.full_like(p, 1e-3)
                step = kind(parameters, **options, **{how: True}).step
                step()
                return step
            yield Row("optimizer steps", f"{name} {how} {total}", 1.5, make, 0,
                      4.0 * passes * total)
    def clip(device):
        parameters = [nn.Parameter(rand(device, *s)) for s in shapes]
        for p in parameters:
            p.grad = torch.full_like(p, 1e-3)
        return lambda: nn.utils.clip_grad_norm_(parameters, 1.0)
    yield Row("optimizer steps", f"clip_grad_norm_ {total}", 1.0, clip, 0, 12.0 * total)


def _recurrent(tiny: bool) -> Iterator[Row]:
    batch, length, width = (2, 4, 8) if tiny else (32, 64, 256)
    for name, kind, gates in (("LSTM", nn.LSTM, 4), ("GRU", nn.GRU, 3)):
        def make(device, kind=kind):
            torch.manual_seed(0)
            layer = kind(width, width, batch_first=True).to(device)
            x = rand(device, batch, length, width)
            weights = list(layer.parameters())
            return lambda: torch.autograd.grad(layer(x)[0].sum(), weights)
        yield Row("recurrent layers", f"{name} training {batch}x{length}x{width}", 1.3, make,
                  6.0 * batch * length * 2 * gates * width * width)


def chain(device):
    """150 small operators, each of which needs the one before."""
    x = rand(device, 16)

    def work():
        y = x
        for _ in range(50):
            y = (y + x) * 0.5
            y = y.relu()
        return y
    return work


def layers(device, wrap=as_it_is):
    """25 small layers."""
    torch.manual_seed(0)
    model = wrap(models.mlp(16, 25, 4).to(device))
    x = rand(device, 4, 16)
    return lambda: model(x)


def _small(tiny: bool) -> Iterator[Row]:
    yield Row("small operators", "150 dependent, 16 elements", 1.0, chain)
    yield Row("small operators", "25 layers of 16, batch 4", 1.0, layers)


def _training(model: nn.Module, loss, half: bool, device):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step():
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            value = loss(model)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
    return step


def _inference(model: nn.Module, inputs: torch.Tensor, half: bool, device):
    @torch.no_grad()
    def step():
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            return model(inputs)
    return step


def gpt(device, tiny, half=False, wrap=as_it_is):
    torch.manual_seed(0)
    vocabulary, length, width, layers, batch = (32, 8, 16, 1, 2) if tiny else (512, 256, 384, 6, 8)
    model = models.Transformer(vocabulary, length, width, layers, width // 64 or 1, True).to(device)
    ids, goal = (integers(device, vocabulary - k, batch, length) for k in (0, 1))
    return _training(wrap(model), lambda m: F.cross_entropy(m(ids).flatten(0, 1), goal.flatten()),
                     half, device)


def resnet(device, tiny, half=False, wrap=as_it_is):
    torch.manual_seed(0)
    size, width, batch = (8, 4, 2) if tiny else (32, 64, 32)
    model = models.resnet(width).to(device)
    x, goal = rand(device, batch, 3, size, size), integers(device, 10, batch)
    return _training(wrap(model), lambda m: F.cross_entropy(m(x), goal), half, device)


def bert(device, tiny, half=False, wrap=as_it_is):
    torch.manual_seed(0)
    vocabulary, length, width, layers, batch = (32, 8, 16, 1, 2) if tiny else (1000, 128, 512, 4, 8)
    model = models.Transformer(vocabulary, length, width, layers, width // 64 or 1, False)
    return _inference(wrap(model.to(device).eval()), integers(device, vocabulary, batch, length),
                      half, device)


def _lstm(device, tiny, half):
    torch.manual_seed(0)
    vocabulary, length, width, batch = (16, 4, 8, 2) if tiny else (256, 64, 256, 32)
    model = models.Tagger(vocabulary, width).to(device)
    ids, goal = (integers(device, vocabulary - k, batch, length) for k in (0, 1))
    return _training(model, lambda m: F.cross_entropy(m(ids).flatten(0, 1), goal.flatten()), half,
                     device)


def _mlp(device, tiny, half):
    torch.manual_seed(0)
    width, batch = (16, 4) if tiny else (1024, 256)
    model = models.mlp(width, 4, 10).to(device)
    x, goal = rand(device, batch, width), integers(device, 10, batch)
    return _training(model, lambda m: F.cross_entropy(m(x), goal), half, device)


def _decode(device, tiny, half):
    torch.manual_seed(0)
    vocabulary, width, layers = (32, 16, 1) if tiny else (1000, 1024, 6)
    model = models.Transformer(vocabulary, 64, width, layers, width // 64 or 1, True)
    return _inference(model.to(device).eval(), integers(device, vocabulary, 1, 1), half, device)


_STEPS = {
    "GPT training": (gpt, 2.0, 1.5), "ResNet training": (resnet, 1.5, 1.5),
    "BERT inference": (bert, 1.5, 1.5), "LSTM training": (_lstm, 1.5, 1.5),
    "MLP training": (_mlp, 1.5, 1.5), "batch-1 decode": (_decode, 1.5, 1.5),
}


def rows(tiny: bool) -> Iterator[Row]:
    """All rows of whole steps; small ones for tests."""
    for part in (_optimizers, _recurrent, _small):
        yield from part(tiny)
    for name, (make, *goals) in _STEPS.items():
        for half, goal in zip((False, True), goals, strict=True):
            yield Row("whole steps", f"{name} {'bf16 autocast' if half else 'f32'}", goal,
                      lambda d, m=make, h=half: m(d, tiny, h))
