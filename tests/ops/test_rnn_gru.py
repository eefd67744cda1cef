"""GRU layers, whose inputs are multiplied once: values and gradients, and what is left to cells."""

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


def arguments(form, dtype, length=LENGTH, batch=BATCH):
    layers, both, first, biases = FORMS[form]
    x = make(*((batch, length) if first else (length, batch)), WIDTH, dtype=dtype)
    h = make(layers * (1 + both), batch, HIDDEN, dtype=dtype, seed=20)
    params = []
    for layer in range(layers):
        shapes = [(3 * HIDDEN, HIDDEN * (1 + both) if layer else WIDTH), (3 * HIDDEN, HIDDEN),
                  *([(3 * HIDDEN,)] * 2 if biases else [])] * (1 + both)
        params += [make(*s, dtype=dtype, seed=30 + k) * 0.5 for k, s in enumerate(shapes)]

    def run(x, h, *params, dropout=0.0, train=True):
        return torch.gru(x, h, params, biases, layers, dropout, train, both, first)

    return run, [t.requires_grad_() for t in (x, h, *params)]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("form", FORMS)
def test_values_and_gradients(isa, form, dtype):
    run, args = arguments(form, dtype)
    check(run, *args)


@pytest.mark.parametrize("length, batch", [(1, 1), (1, 4), (9, 1), (3, 33)])
def test_lengths_and_batches(length, batch):
    run, args = arguments("all", torch.float32, length, batch)
    check(run, *args)


def test_inputs_are_multiplied_once():
    def inference(length):
        run, args = arguments("one", torch.float32, length)
        args = on_device(args)
        with torch.no_grad():
            return launches(lambda: run(*args))

    assert inference(12) - inference(11) == 2  # the state's product and a cell


def test_gradients_of_weights_are_one_product_each():
    def training(length):
        run, args = arguments("one", torch.float32, length)
        args = [t.detach().requires_grad_() for t in on_device(args)]
        return launches(lambda: torch.autograd.grad(run(*args)[0], args, torch.ones_like(
            args[0][..., :1]).expand(*args[0].shape[:2], HIDDEN)))

    assert training(12) - training(11) == 4  # twice a product and a cell


def test_rows_of_gates_that_would_share_cache_sets():
    check_shared_cache_sets(nn.GRU(5, 1024), make(3, 2, 5))


def test_differentiated_twice():
    run, args = arguments("two directions", torch.float64, 3, 2)
    assert gradgradcheck(lambda *a: run(*a)[0], on_device(args), atol=1e-4, fast_mode=True)


def test_without_gradients():
    run, args = arguments("all", torch.float32)
    check_without_gradients(run, args)


def test_dropout_between_layers():
    run, args = arguments("all", torch.float32)
    check_dropout_between_layers(run, args)


def test_modules_with_packed_sequences_and_autocast():
    torch.manual_seed(0)
    layer = nn.GRU(WIDTH, HIDDEN, 2)
    x = make(LENGTH, BATCH, WIDTH)
    packed = nn.utils.rnn.pack_padded_sequence(x, [5, 3, 1])
    want = layer(x)[0].detach(), layer(packed)[0].data.detach()
    there = layer.to("trn")
    got = there(x.to("trn"))[0], there(packed.to("trn"))[0].data
    for g, w in zip(got, want, strict=True):
        torch.testing.assert_close(g.detach().cpu(), w)
    with torch.autocast("trn", torch.bfloat16):
        out = there(x.to("trn"))[0]
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.detach().cpu().float(), want[0], rtol=2e-2, atol=2e-2)


def test_errors():
    run, args = arguments("one", torch.float32)
    for wrong in ([args[0][..., :-1], *args[1:]], [args[0], args[1][:, :1], *args[2:]],
                  [*args[:2], args[2][:-1], args[3][:-1], *args[4:]]):
        with pytest.raises(RuntimeError):
            run(*on_device(wrong))
    with pytest.raises(RuntimeError, match="input data type|same dtype|expected"):
        run(on_device(args)[0].double(), *on_device(args)[1:])
    assert run(*on_device(args))[0].device.type == "trn"


def test_export_and_compilation():
    layer = nn.GRU(WIDTH, HIDDEN, batch_first=True).to("trn")
    check_export_and_compilation(layer, make(BATCH, LENGTH, WIDTH).to("trn"))
