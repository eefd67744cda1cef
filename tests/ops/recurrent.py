"""What tests of recurrent layers share: the forms of layers, and checks of LSTM and GRU alike."""

import copy

import torch

LENGTH, BATCH, WIDTH, HIDDEN = 5, 3, 6, 7
FORMS = {  # layers, bidirectional, batch_first, biases
    "one": (1, False, False, True),
    "batch first": (1, False, True, True),
    "no biases": (2, False, False, False),
    "two directions": (1, True, False, True),
    "all": (2, True, True, True),
}


def on_device(tensors):
    return [t.detach().to("trn").requires_grad_() for t in tensors]


def check_shared_cache_sets(layer, x):
    """Values and gradients of weights where rows of gates are a multiple of a page."""
    there = copy.deepcopy(layer).to("trn")
    got, want = there(x.to("trn"))[0], layer(x)[0]
    torch.testing.assert_close(got.cpu(), want)
    for out in (got, want):
        out.square().sum().backward()
    for g, w in zip(there.parameters(), layer.parameters(), strict=True):
        torch.testing.assert_close(g.grad.cpu(), w.grad)


def check_without_gradients(run, args):
    there, want = on_device(args), run(*args)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            for g, w in zip(run(*there), want, strict=True):
                assert not g.requires_grad
                torch.testing.assert_close(g.cpu(), w.detach())


def check_dropout_between_layers(run, args):
    there = on_device(args)
    torch.manual_seed(3)
    first = run(*there, dropout=0.5)[0]
    torch.manual_seed(3)
    assert torch.equal(first, run(*there, dropout=0.5)[0])
    assert not torch.equal(first, run(*there)[0])
    assert torch.equal(run(*there, dropout=0.5, train=False)[0], run(*there)[0])


def check_export_and_compilation(layer, x):
    want = layer(x)[0].detach()
    exported = torch.export.export(layer, (x,)).module()
    torch.testing.assert_close(exported(x)[0].detach(), want)
    compiled = torch.compile(layer, backend="aot_eager")
    torch.testing.assert_close(compiled(x)[0].detach(), want)
