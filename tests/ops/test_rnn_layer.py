"""LSTM layers computed whole: values and gradients in every form, and what is left to cells."""

import pytest
import torch
from torch import nn
from torch.autograd import gradgradcheck

from .compare import FLOATS, check, launches, make
from .recurrent import (
    BATCH,
    FORMS,
    HIDDEN,
    LENGTH,
    WIDTH,
    check_dropout_between_layers,
    check_export_and_compilation,
    check_shared_cache_sets,
    check_without_gradients,
    on_device,
)

pytestmark = pytest.mark.usefixtures("ran", "native")


def parameters(layers, directions, biases, dtype, projection=0):
    shapes = []
    for layer in range(layers):
        width, out = WIDTH if layer == 0 else directions * (projection or HIDDEN), 4 * HIDDEN
        one = [(out, width), (out, projection or HIDDEN), *([(out,)] * 2 if biases else []),
               *([(projection, HIDDEN)] if projection else [])]
        shapes += one * directions
    return [(make(*s, dtype=dtype, seed=k) * 0.5).requires_grad_() for k, s in enumerate(shapes)]


def state(rows, *shape, seed, dtype):
    return make(rows, *shape, dtype=dtype, seed=seed).requires_grad_()


def arguments(form, dtype, length=LENGTH, batch=BATCH):
    layers, both, first, biases = FORMS[form]
    x = make(*((batch, length) if first else (length, batch)), WIDTH, dtype=dtype)
    rows = layers * (2 if both else 1)
    h, c = (state(rows, batch, HIDDEN, seed=s, dtype=dtype) for s in (20, 21))
    params = parameters(layers, 1 + both, biases, dtype)

    def run(x, h, c, *params, dropout=0.0, train=True):
        return torch.lstm(x, (h, c), params, biases, layers, dropout, train, both, first)

    return run, [x.requires_grad_(), h, c, *params]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("form", FORMS)
def test_values_and_gradients(isa, form, dtype):
    run, args = arguments(form, dtype)
    check(run, *args)


@pytest.mark.parametrize("length, batch", [(1, 1), (1, 4), (9, 1), (3, 33)])
def test_lengths_and_batches(length, batch):
    run, args = arguments("all", torch.float32, length, batch)
    check(run, *args)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("both", [False, True])
def test_batches_that_share_packed_weights(isa, dtype, both):
    hidden, batch = 37, 29
    x = make(6, batch, WIDTH, dtype=dtype).requires_grad_()
    h, c = (state(1 + both, batch, hidden, seed=s, dtype=dtype) for s in (20, 21))
    shapes = [(4 * hidden, WIDTH), (4 * hidden, hidden), (4 * hidden,), (4 * hidden,)] * (1 + both)
    params = [(make(*s, dtype=dtype, seed=k) * 0.2).requires_grad_() for k, s in enumerate(shapes)]

    def run(x, h, c, *params):
        return torch.lstm(x, (h, c), params, True, 1, 0.0, True, both, False)

    check(run, x, h, c, *params)


def test_weights_are_packed_once_a_direction():
    def training(batch):
        x = make(5, batch, WIDTH).to("trn")
        layer = nn.LSTM(WIDTH, 40).to("trn")
        return launches(lambda: torch.autograd.grad(layer(x)[0].sum(), list(layer.parameters())))

    assert training(17) - training(16) == 2  # forward and backward; few rows need no packing


def test_gradients_of_some_outputs_for_some_inputs():
    run, args = arguments("two directions", torch.float64)
    there = on_device(args)
    for chosen in (0, 1, 2):
        for wanted in ([0], [1, 2], [4, 5]):
            want = torch.autograd.grad(run(*args)[chosen].sum(), [args[k] for k in wanted])
            got = torch.autograd.grad(run(*there)[chosen].sum(), [there[k] for k in wanted])
            for g, w in zip(got, want, strict=True):
                torch.testing.assert_close(g.cpu(), w)
    data = [t.detach() if k < 3 else t for k, t in enumerate(there)]
    torch.autograd.backward(run(*data)[0].sum())
    assert there[3].grad is not None and there[0].grad is None


def test_no_step_has_a_gradient_of_weights():
    def training(length):
        run, args = arguments("one", torch.float32, length)
        args = on_device(args)
        return launches(lambda: torch.autograd.grad(run(*args)[0].sum(), args))

    assert (training(20) - training(10)) / 10 == 4  # a product and a cell, forward and backward


def test_rows_of_gates_that_would_share_cache_sets():
    check_shared_cache_sets(nn.LSTM(5, 256), make(3, 20, 5))


def test_differentiated_twice():
    run, args = arguments("two directions", torch.float64, 3, 2)
    assert gradgradcheck(lambda *a: run(*a)[0], on_device(args), atol=1e-4, fast_mode=True)


def test_without_gradients():
    run, args = arguments("all", torch.float32)
    check_without_gradients(run, args)


def test_dropout_between_layers():
    run, args = arguments("all", torch.float32)
    check_dropout_between_layers(run, args)
    there = on_device(args)
    dropped = run(*there, dropout=1.0)[0]
    assert torch.equal(dropped[0, 0].cpu(), run(*on_device([args[0] * 2, *args[1:]]),
                                                dropout=1.0)[0][0, 0].cpu())


def test_autocast_computes_in_the_lower_precision():
    run, args = arguments("all", torch.float32)
    with torch.autocast("trn", torch.bfloat16):
        out = run(*on_device(args))[0]
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.cpu().float(), run(*args)[0].detach(), rtol=2e-2, atol=2e-2)


def test_modules_with_projections_and_packed_sequences():
    torch.manual_seed(0)
    for layer in (nn.LSTM(WIDTH, HIDDEN, 2, proj_size=4), nn.LSTM(WIDTH, HIDDEN, 2)):
        x = make(LENGTH, BATCH, WIDTH)
        packed = nn.utils.rnn.pack_padded_sequence(x, [5, 3, 1])
        want = layer(x)[0].detach(), layer(packed)[0].data.detach()
        there = layer.to("trn")
        got = there(x.to("trn"))[0], there(packed.to("trn"))[0].data
        for g, w in zip(got, want, strict=True):
            torch.testing.assert_close(g.detach().cpu(), w)


def test_function_transform():
    run, args = arguments("one", torch.float64)
    there = on_device(args)

    def loss(w, x):
        return run(x, *there[1:3], w, *there[4:])[0].square().sum()

    want = torch.autograd.grad(run(*args)[0].square().sum(), args[3])[0]
    got = torch.func.grad(loss)(there[3].detach(), there[0].detach())
    torch.testing.assert_close(got.cpu(), want)


def test_errors():
    run, args = arguments("one", torch.float32)
    for wrong in ([args[0][..., :-1], *args[1:]], [args[0], args[1][:, :1], *args[2:]],
                  [args[0], args[1], args[2][:, :1], *args[3:]],
                  [args[0], *args[1:3], args[3][:-1], args[4][:-1], *args[5:]]):
        with pytest.raises(RuntimeError):
            run(*on_device(wrong))
    with pytest.raises(RuntimeError, match="input data type|same dtype|expected"):
        run(on_device(args)[0].double(), *on_device(args)[1:])
    assert run(*on_device(args))[0].device.type == "trn"


def test_export_and_compilation():
    layer = nn.LSTM(WIDTH, HIDDEN, batch_first=True).to("trn")
    check_export_and_compilation(layer, make(BATCH, LENGTH, WIDTH).to("trn"))
