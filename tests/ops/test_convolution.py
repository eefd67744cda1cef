"""Convolutions in every direction, layout and type against double precision."""

import pytest
import torch
from torch_trn import _C

from .compare import launches

pytestmark = pytest.mark.usefixtures("native")
F = torch.nn.functional
CASES = {  # function, image, weight, options
    "3x3": (F.conv2d, (2, 5, 17, 19), (7, 5, 3, 3), {"padding": 1}),
    "many channels": (F.conv2d, (2, 70, 9, 9), (33, 70, 3, 3), {"padding": 1}),
    "stride 2": (F.conv2d, (2, 3, 23, 22), (16, 3, 7, 7), {"padding": 3, "stride": 2}),
    "stride beyond kernel": (F.conv2d, (1, 4, 17, 13), (6, 4, 2, 2), {"stride": 3, "padding": 1}),
    "dilation and stride": (F.conv2d, (2, 4, 20, 21), (5, 4, 3, 2),
                            {"stride": (2, 3), "dilation": (3, 2), "padding": (2, 0)}),
    "padding beyond kernel": (F.conv2d, (1, 2, 5, 6), (3, 2, 2, 2), {"padding": 4, "stride": 2}),
    "1x1": (F.conv2d, (3, 20, 8, 9), (18, 20, 1, 1), {}),
    "1x1 stride 2": (F.conv2d, (3, 20, 8, 9), (18, 20, 1, 1), {"stride": 2}),
    "depthwise": (F.conv2d, (2, 9, 30, 41), (9, 1, 3, 3), {"padding": 1, "groups": 9}),
    "depthwise, many channels": (F.conv2d, (2, 70, 11, 14), (70, 1, 3, 2),
                                 {"stride": (2, 1), "padding": 2, "dilation": (1, 3),
                                  "groups": 70}),
    "transposed depthwise": (F.conv_transpose2d, (2, 40, 5, 7), (40, 1, 3, 4),
                             {"stride": 2, "padding": 1, "groups": 40}),
    "depthwise of lines": (F.conv1d, (2, 17, 1300), (17, 1, 4), {"padding": 3, "groups": 17}),
    "depthwise of many lines": (F.conv2d, (2, 3, 131, 70), (3, 1, 5, 5),
                                {"padding": 2, "stride": (2, 1), "groups": 3}),
    "depthwise of long lines": (F.conv2d, (1, 2, 19, 700), (2, 1, 3, 9),
                                {"padding": (1, 20), "dilation": (1, 5), "groups": 2}),
    "depthwise of small planes": (F.conv2d, (3, 40, 7, 7), (40, 1, 7, 7),
                                  {"padding": 3, "groups": 40}),
    "depthwise stride 2": (F.conv2d, (2, 19, 29, 30), (19, 1, 3, 3),
                           {"padding": 1, "stride": 2, "groups": 19}),
    "depthwise stride 3": (F.conv2d, (2, 5, 40, 41), (5, 1, 2, 4),
                           {"padding": 1, "stride": 3, "groups": 5}),
    "depthwise 3-D": (F.conv3d, (2, 9, 6, 11, 20), (9, 1, 3, 3, 3),
                      {"padding": 1, "stride": (1, 2, 1), "groups": 9}),
    "transposed depthwise of long lines": (F.conv_transpose2d, (1, 3, 9, 400), (3, 1, 4, 5),
                                           {"stride": (1, 3), "padding": 1, "groups": 3}),
    "groups": (F.conv2d, (2, 12, 11, 10), (18, 4, 3, 3), {"groups": 3, "stride": 2}),
    "1-D": (F.conv1d, (2, 6, 70), (8, 6, 5), {"padding": 2}),
    "3-D": (F.conv3d, (2, 3, 6, 9, 10), (5, 3, 3, 2, 3), {"padding": 1, "stride": (1, 2, 1)}),
    "transposed": (F.conv_transpose2d, (2, 6, 7, 8), (6, 5, 4, 4), {"stride": 2, "padding": 1}),
    "transposed groups": (F.conv_transpose2d, (1, 8, 5, 6), (8, 3, 3, 3),
                          {"stride": 2, "output_padding": 1, "groups": 4, "dilation": 2}),
    "transposed 1-D": (F.conv_transpose1d, (2, 4, 9), (4, 3, 2), {"stride": 3}),
    "groups of odd sizes": (F.conv2d, (1, 66, 6, 9), (62, 33, 3, 3), {"groups": 2, "padding": 1}),
    "one channel": (F.conv2d, (2, 1, 9, 30), (40, 1, 5, 3), {"padding": 2}),
    "long line": (F.conv1d, (1, 31, 300), (33, 31, 9), {"padding": 4, "dilation": 2}),
    "3-D dilation": (F.conv3d, (1, 9, 5, 7, 15), (34, 9, 2, 3, 3), {"dilation": (2, 1, 2)}),
    "3x3 of 33 channels": (F.conv2d, (2, 33, 13, 18), (50, 33, 3, 3), {"padding": (1, 0)}),
    "3x3 of 16 channels": (F.conv2d, (3, 16, 9, 8), (16, 16, 3, 3), {"padding": 2}),
    "3x3 of many tiles": (F.conv2d, (2, 16, 130, 131), (18, 16, 3, 3), {"padding": 1}),
    "transposed 3x3": (F.conv_transpose2d, (2, 40, 11, 9), (40, 32, 3, 3), {"padding": 1}),
    "5x5": (F.conv2d, (2, 40, 23, 18), (50, 40, 5, 5), {"padding": 2}),
    "4x4": (F.conv2d, (2, 40, 23, 18), (50, 40, 4, 4), {"padding": (0, 3)}),
    "2x2": (F.conv2d, (3, 40, 23, 18), (50, 40, 2, 2), {"padding": 1}),
    "1x5": (F.conv2d, (4, 64, 20, 21), (128, 64, 1, 5), {"padding": (1, 2)}),
    "7x7 stride 2": (F.conv2d, (4, 3, 63, 70), (64, 3, 7, 7), {"padding": 3, "stride": 2}),
    "7x7 stride 2 of 17 channels": (F.conv2d, (2, 17, 63, 70), (64, 17, 7, 7),
                                    {"padding": 2, "stride": 2}),
    "3x3 stride 2": (F.conv2d, (4, 64, 33, 30), (64, 64, 3, 3), {"padding": 1, "stride": 2}),
    "8x8 stride 3": (F.conv2d, (2, 30, 63, 70), (64, 30, 8, 8), {"padding": 1, "stride": 3}),
    "4x6 stride 2, 3": (F.conv2d, (2, 30, 63, 70), (64, 30, 4, 6),
                        {"padding": (1, 2), "stride": (2, 3)}),
    "transposed stride 2": (F.conv_transpose2d, (3, 70, 14, 15), (70, 33, 4, 4),
                            {"stride": 2, "output_padding": 1}),
    "transposed stride 3": (F.conv_transpose2d, (3, 70, 14, 15), (70, 33, 6, 6),
                            {"stride": 3, "padding": 5}),
    "transposed, padding beyond kernel": (F.conv_transpose2d, (3, 70, 14, 15), (70, 33, 2, 2),
                                          {"padding": 5}),
    "1-D of 5": (F.conv1d, (4, 128, 299), (128, 128, 5), {"padding": 2}),
    "1-D of 3": (F.conv1d, (4, 65, 301), (70, 65, 3), {}),
    "1-D of 6, stride 3": (F.conv1d, (8, 65, 301), (70, 65, 6), {"padding": 2, "stride": 3}),
    "transposed 1-D, stride 2": (F.conv_transpose1d, (3, 70, 201), (70, 70, 4), {"stride": 2}),
    "3-D of 3": (F.conv3d, (2, 32, 7, 20, 22), (40, 32, 3, 3, 3), {"padding": 1}),
    "3-D, padding beyond kernel": (F.conv3d, (3, 20, 4, 19, 22), (32, 20, 2, 3, 3),
                                   {"padding": (3, 0, 2)}),
    "3-D of lines": (F.conv3d, (2, 40, 5, 20, 22), (48, 40, 3, 1, 5), {"padding": (0, 1, 0)}),
    "3-D of planes": (F.conv3d, (2, 40, 5, 20, 22), (48, 40, 1, 3, 3), {"padding": (2, 1, 0)}),
    "3-D stride 2": (F.conv3d, (2, 40, 5, 20, 22), (48, 40, 3, 4, 4),
                     {"padding": (0, 1, 0), "stride": (1, 2, 2)}),
    "transposed 3-D": (F.conv_transpose3d, (2, 40, 5, 12, 13), (40, 40, 3, 4, 4),
                       {"padding": (1, 1, 0), "stride": (1, 2, 2)}),
    "weight in chunks": (F.conv2d, (2, 17, 70, 75), (20, 17, 5, 5), {"padding": (2, 1)}),
    "1x1 in chunks": (F.conv2d, (3, 70, 31, 33), (45, 70, 1, 1), {}),
    "1x1 of every third": (F.conv2d, (2, 24, 31, 34), (30, 12, 1, 1), {"stride": 3, "groups": 2}),
    "1-D in chunks": (F.conv1d, (3, 40, 701), (37, 40, 4), {"stride": 2, "dilation": 3}),
    "many results": (F.conv2d, (1, 9, 6, 7), (300, 9, 1, 3), {}),
    "large": (F.conv2d, (1, 40, 40, 37), (80, 40, 3, 3), {"padding": 1}),
}
LIMIT = {torch.float32: 3e-6, torch.float64: 1e-14, torch.bfloat16: 1e-2, torch.float16: 2e-3}


def data(*shape, seed, dtype):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def run(case, dtype, device, compute, last):
    function, image, weight, options = CASES[case]
    channels = weight[0] if "transposed" not in case else weight[1] * options.get("groups", 1)
    x, w = data(*image, seed=1, dtype=dtype), data(*weight, seed=2, dtype=dtype)
    b = data(channels, seed=3, dtype=dtype)
    x, w, b = (t.to(device, compute).requires_grad_() for t in (x, w, b))
    given = x.to(memory_format=torch.channels_last) if last else x
    out = function(given, w, b, **options)
    grad = data(*out.shape, seed=4, dtype=dtype).to(device, compute)
    return [out.detach(), *torch.autograd.grad(out, [x, w, b], grad)]


@pytest.mark.parametrize("dtype", LIMIT)
@pytest.mark.parametrize("case", CASES)
def test_results_and_gradients(isa, case, dtype):
    for last in (False, True) if len(CASES[case][1]) == 4 else (False,):
        got = run(case, dtype, "trn", dtype, last)
        if last:
            assert got[0].is_contiguous(memory_format=torch.channels_last)
        for ours, exact in zip(got, run(case, dtype, "cpu", torch.float64, False), strict=True):
            scale = exact.abs().max() + 1
            assert ours.dtype == dtype and ours.shape == exact.shape
            assert (ours.cpu().double() - exact).abs().max() <= LIMIT[dtype] * 8 * scale


def check_with_gradients(x, w, last=torch.contiguous_format, by=2, **options):
    """A convolution of `x` and the gradients of its first `by` operands against double."""
    given = [x.to("trn").to(memory_format=last), w.to("trn")]
    exact = [x.double(), w.double()]
    for t in given[:by] + exact[:by]:
        t.requires_grad_()
    out, wanted = F.conv2d(*given, **options), F.conv2d(*exact, **options)
    grad = data(*out.shape, seed=3, dtype=x.dtype)
    got = [out, *torch.autograd.grad(out, given[:by], grad.to("trn"))]
    want = [wanted, *torch.autograd.grad(wanted, exact[:by], grad.double())]
    for a, b in zip(got, want, strict=True):
        assert (a.cpu().double() - b).abs().max() <= LIMIT[x.dtype] * 8 * (b.abs().max() + 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels", [(3, 31), (31, 33), (33, 8)])
def test_every_width(isa, channels, dtype):
    # Positions around the edges of register tiles and of an item's block.
    ci, co = channels
    w = data(co, ci, 2, 3, seed=2, dtype=dtype)
    for width in range(1, 31):
        last = torch.channels_last if width % 2 else torch.contiguous_format
        check_with_gradients(data(2, ci, 3, width, seed=1, dtype=dtype), w, last, by=1, padding=1)


@pytest.mark.parametrize("taps", [2, 3, 4, 5])
def test_every_width_by_fewer_products(isa, taps):
    # Positions around the edges of Winograd's tiles, of their runs and of blocks of them.
    w = data(32, 33, taps, taps, seed=2, dtype=torch.float32)
    for width in range(18, 30):
        last = torch.channels_last if width % 2 else torch.contiguous_format
        x = data(3, 33, 47 - width, width, seed=1, dtype=torch.float32)
        check_with_gradients(x, w, last, padding=1)


@pytest.mark.parametrize("channels", [1, 40])
def test_phases_of_some_channels_of_an_image(isa, channels):
    # The image's memory serves as it lies, but other channels are between its positions.
    x, w = (data(*s, seed=k, dtype=torch.float32)
            for k, s in enumerate(((2, channels + 8, 72, 72), (64, channels, 9, 9))))
    given = x.to("trn").to(memory_format=torch.channels_last)[:, :channels]
    out = F.conv2d(given, w.to("trn"), stride=3)
    want = F.conv2d(x[:, :channels].double(), w.double(), stride=3)
    assert (out.cpu().double() - want).abs().max() <= LIMIT[x.dtype] * 8 * (want.abs().max() + 1)


def test_an_image_whose_memory_serves_is_not_copied():
    # Two launches: the weight is packed, the product is made.
    x = data(1, 8, 9, 9, seed=1, dtype=torch.float32).to("trn")
    x = x.to(memory_format=torch.channels_last)
    w = data(8, 8, 3, 3, seed=2, dtype=torch.float32).to("trn")
    assert launches(lambda: F.conv2d(x, w)) == 2
    out = F.conv2d(x, w)
    assert (out.cpu() - F.conv2d(x.cpu(), w.cpu())).abs().max() < 1e-4


@pytest.mark.parametrize("last", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_of_single_taps_is_one_product(last):
    x, g = (data(2, c, 9, 10, seed=c, dtype=torch.float32).to("trn").to(memory_format=last)
            for c in (20, 40))
    w, b = (data(*s, seed=3, dtype=torch.float32).to("trn") for s in ((40, 20, 1, 1), (40,)))
    x.requires_grad_()
    assert launches(lambda: F.conv2d(x, w, b)) == 1
    out = F.conv2d(x, w, b)
    assert launches(lambda: torch.autograd.grad(out, x, g)) == 1


@pytest.mark.parametrize("last", [torch.contiguous_format, torch.channels_last])
def test_depthwise_convolutions_copy_no_image(last):
    x, g = (data(2, 24, 20, 21, seed=k, dtype=torch.float32).to("trn").to(memory_format=last)
            for k in (1, 2))
    w, b = (data(*s, seed=3, dtype=torch.float32).to("trn") for s in ((24, 1, 3, 3), (24,)))
    turned = int(last == torch.channels_last)  # the weight, to rows of channels
    options = {"padding": 1, "groups": 24}
    assert launches(lambda: F.conv2d(x, w, b, **options)) == 1 + turned
    out = F.conv2d(x.requires_grad_(), w.requires_grad_(), b, **options)
    assert launches(lambda: torch.autograd.grad(out, x, g, retain_graph=True)) == 1 + turned
    assert launches(lambda: torch.autograd.grad(out, w, g)) == 2 + turned  # and sums to the weight


@pytest.mark.parametrize("high", [1, 3, 4, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_every_size_of_depthwise_planes(isa, high, stride):
    # Lines that are shorter than a register or end within one, and fewer than go together.
    w = data(3, 1, high, 3, seed=2, dtype=torch.float32)
    options = {"padding": (high // 2, 1), "stride": stride, "groups": 3}
    for width in (1, 2, 7, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 80):
        x = data(2, 3, width % 11 + 1, width, seed=1, dtype=torch.float32)
        check_with_gradients(x, w, **options)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("groups", [1, 20])
def test_gradients_that_lie_anyhow(isa, dtype, groups):
    # Of memory that no layout has: repeated, and every second element of something larger.
    x = data(2, 20, 9, 11, seed=1, dtype=dtype)
    w = data(24 if groups == 1 else 20, 20 // groups, 2, 3, seed=2, dtype=dtype)
    pair = [t.to(*to).requires_grad_() for to in (("trn",), (torch.float64,)) for t in (x, w)]
    outs = [F.conv2d(*pair[k : k + 2], padding=1, groups=groups) for k in (0, 2)]
    wide = data(2, len(w), *[2 * n for n in outs[0].shape[2:]], seed=3, dtype=dtype)
    for lay in (lambda t: t[:, :, ::2, ::2], lambda t: t[:1, :1, :1, :1].expand(outs[0].shape)):
        grads = lay(wide.to("trn")), lay(wide.double())
        got, want = (torch.autograd.grad(outs[k], pair[2 * k + 1], grads[k], retain_graph=True)[0]
                     for k in (0, 1))
        assert (got.cpu().double() - want).abs().max() <= LIMIT[dtype] * 8 * (want.abs().max() + 1)


def test_bits_do_not_depend_on_threads():
    before = _C._get_compute_threads()
    try:
        results = []
        for threads in (1, 3):
            _C._set_compute_threads(threads)
            results.append([t.cpu() for case in ("large", "weight in chunks", "1x1 in chunks",
                                                 "3-D of 3", "1-D of 5", "transposed stride 2",
                                                 "depthwise of many lines", "depthwise 3-D",
                                                 "depthwise of lines")
                            for t in run(case, torch.float32, "trn", torch.float32, False)])
        assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    finally:
        _C._set_compute_threads(before)


@pytest.mark.parametrize("types", [
    (torch.half, torch.float), (torch.float, torch.half), (torch.float, torch.double),
    (torch.int64, torch.float)], ids=str)
@pytest.mark.parametrize("function", [F.conv1d, F.conv2d, F.conv3d, F.conv_transpose2d])
def test_tensors_of_two_types_are_refused(types, function):
    dims = {F.conv1d: 1, F.conv3d: 3}.get(function, 2)
    for size in (1, 3):
        x = torch.ones(1, 4, *[8] * dims, device="trn").to(types[0])
        w = torch.ones(4, 4, *[size] * dims, device="trn").to(types[1])
        with pytest.raises(RuntimeError, match="and weight type .* should be the same"):
            function(x, w)
        if types[0].is_floating_point:
            with pytest.raises(RuntimeError, match="and bias type .* should be the same"):
                function(x, w.to(types[0]), torch.ones(4, device="trn", dtype=types[1]))
