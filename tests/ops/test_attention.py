"""Fused attention against plain mathematics in double precision, forward and backward."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import flex_attention
from torch_trn import _C
from torch_trn.migration import scope

pytestmark = pytest.mark.usefixtures("native")
F = torch.nn.functional
attend = F.scaled_dot_product_attention
LIMIT = {torch.float32: 4e-6, torch.bfloat16: 2e-2, torch.float16: 4e-3}
BLOCK = 96  # queries of one block of the kernels

# batch, query heads, key heads, queries, keys, head, value head
SHAPES = [
    (2, 3, 3, 128, 128, 64, 64),
    (1, 2, 2, 1, 77, 32, 32),
    (2, 4, 2, 100, 131, 48, 80),
    (1, 2, 1, BLOCK + 1, 513, 72, 72),
    (1, 1, 1, 3 * BLOCK, BLOCK - 1, 256, 256),
    (1, 8, 2, 3, 300, 128, 128),
    (1, 1, 1, 13, 1000, 95, 33),
    (1, 1, 1, 700, 900, 64, 64),
]


def data(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def inputs(shape, dtype):
    b, h, hk, lq, lk, d, dv = shape
    return [data(*s, seed=i).to(dtype)
            for i, s in enumerate([(b, h, lq, d), (b, hk, lk, d), (b, hk, lk, dv)])]


def gradients(tensors, backend, cotangent, **options):
    """(output, dq, dk, dv)"""
    leaves = [t.detach().requires_grad_() for t in tensors]
    with sdpa_kernel(backend):
        out = attend(*leaves, **options)
    return [out.detach(), *torch.autograd.grad(out, leaves, cotangent.to(out))]


def check(tensors, limit=None, **options):
    dtype = tensors[0].dtype
    cotangent = data(*tensors[0].shape[:3], tensors[2].shape[3], seed=9).to(dtype)
    exact = {k: v.double() if isinstance(v, torch.Tensor) and v.is_floating_point() else v
             for k, v in options.items()}
    if "attn_mask" in exact and exact.get("is_causal"):  # math takes only one of them
        rows, columns = tensors[0].size(2), tensors[1].size(2)
        exact |= {"attn_mask": hide_later(exact["attn_mask"], rows, columns), "is_causal": False}
    want = gradients([t.double() for t in tensors], SDPBackend.MATH, cotangent, **exact)
    there = {k: v.to("trn") if isinstance(v, torch.Tensor) else v for k, v in options.items()}
    got = gradients([to_trn(t) for t in tensors], SDPBackend.OVERRIDEABLE, cotangent, **there)
    for name, a, b in zip(["out", "dq", "dk", "dv"], got, want, strict=True):
        error = (a.cpu().double() - b).abs().max().item()
        assert error <= (limit or LIMIT[dtype]) * (1 + b.abs().max().item()), (name, error)


def hide_later(mask, rows, columns):
    earlier = torch.ones(rows, columns, dtype=torch.bool).tril()
    return mask & earlier if mask.dtype == torch.bool else mask.masked_fill(~earlier, -torch.inf)


def to_trn(t):
    """On the device with the strides it has."""
    if t.is_contiguous():
        return t.to("trn")
    if 0 in t.stride():
        return t[:, :1].to("trn").expand(t.shape)
    there = torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device="trn")
    return there.copy_(t)


@pytest.fixture(params=["portable", "avx2", "avx512", None], ids=str)
def isa(request):
    before = _C._active_isa()
    if request.param:
        _C._set_active_isa(request.param)
    yield request.param
    _C._set_active_isa(before)


@pytest.mark.parametrize("dtype", LIMIT, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("causal", [False, True])
def test_plain_and_causal(shape, dtype, causal):
    check(inputs(shape, dtype), is_causal=causal, enable_gqa=shape[1] != shape[2])


@pytest.mark.parametrize("dtype", LIMIT, ids=str)
def test_instruction_sets(isa, dtype):
    check(inputs((1, 4, 2, 131, 203, 40, 56), dtype), is_causal=True, enable_gqa=True)


MASKS = {
    "full": lambda b, h, lq, lk: data(b, h, lq, lk),
    "heads": lambda b, h, lq, lk: data(1, h, 1, lk),
    "positions": lambda b, h, lq, lk: data(lq, lk),
    "keys": lambda b, h, lq, lk: data(b, 1, 1, lk),
    "bool": lambda b, h, lq, lk: data(b, 1, lq, lk) > 0,
    "padding": lambda b, h, lq, lk: (torch.arange(lk) < lk - 9).expand(b, 1, 1, lk),
    "transposed": lambda b, h, lq, lk: data(lk, lq).t(),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("causal", [False, True])
def test_masks(mask, dtype, causal):
    shape = (2, 4, 2, 101, 205, 64, 64)
    m = MASKS[mask](2, 4, 101, 205)
    check(inputs(shape, dtype), attn_mask=m if m.dtype == torch.bool else m.to(dtype),
          is_causal=causal, enable_gqa=True)


def test_queries_that_see_nothing_give_zeros():
    q, k, v = inputs((1, 2, 2, 40, 50, 32, 32), torch.float32)
    mask = torch.ones(40, 50, dtype=torch.bool)
    mask[[0, 7, 39]] = False
    check([q, k, v], attn_mask=mask)
    out = attend(q.to("trn"), k.to("trn"), v.to("trn"), attn_mask=mask.to("trn")).cpu()
    assert (out[:, :, [0, 7, 39]] == 0).all()


@pytest.mark.parametrize("scale", [0.01, 1.0, -0.5, 0.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_scale(scale, dtype):
    tensors = [t / 4 for t in inputs((1, 1, 1, 50, 60, 32, 32), dtype)]
    check(tensors, scale=scale, is_causal=True)


def test_large_scores_do_not_overflow():
    q, k, v = inputs((1, 1, 1, 30, 400, 32, 32), torch.float32)
    check([q * 30, k * 30, v], limit=1e-3)


@pytest.mark.parametrize("layout", ["heads_inside", "last_dimension_strided", "expanded"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_strides(layout, dtype):
    tensors = inputs((2, 3, 3, 70, 90, 64, 64), dtype)
    if layout == "heads_inside":
        tensors = [t.transpose(1, 2).contiguous().transpose(1, 2) for t in tensors]
    elif layout == "last_dimension_strided":
        tensors = [t.transpose(2, 3).contiguous().transpose(2, 3) for t in tensors]
    else:
        tensors[1] = tensors[1][:, :1].contiguous().expand(-1, 3, -1, -1)
    check(tensors)
    out = attend(*map(to_trn, tensors))
    if layout == "heads_inside":
        assert out.stride() == tensors[0].stride()


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"dropout_p": 0.3}], ids=str)
def test_same_bits_for_any_threads(options):
    tensors = [t.to("trn") for t in inputs((1, 4, 2, 300, 1300, 64, 64), torch.float32)]
    cotangent = data(1, 4, 300, 64)
    before = _C._get_compute_threads()
    results = []
    try:
        for threads in (1, 2, 3, 5):
            _C._set_compute_threads(threads)
            torch.manual_seed(3)
            got = gradients(tensors, SDPBackend.OVERRIDEABLE, cotangent, enable_gqa=True, **options)
            results.append([t.cpu() for t in got])
    finally:
        _C._set_compute_threads(before)
    for other in results[1:]:
        assert all(map(torch.equal, results[0], other))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_dropout_keeps_a_share_and_its_gradient_is_that_of_the_same_mask(dtype):
    keys, p = 200, 0.25
    q = torch.zeros(1, 2, 130, 32, dtype=dtype, device="trn")
    k = torch.zeros(1, 2, keys, 32, dtype=dtype, device="trn")
    # Values are unit vectors and probabilities equal, so the output is the dropout mask itself.
    v = torch.eye(keys, dtype=dtype)[None, None].expand(1, 2, keys, keys).contiguous().to("trn")
    v.requires_grad_()
    torch.manual_seed(1)
    out = attend(q, k, v, dropout_p=p)
    kept = (out.detach().cpu() != 0).double()
    assert abs(kept.mean().item() - (1 - p)) < 0.01
    torch.testing.assert_close(out.detach().cpu().double(), kept / (1 - p) / keys, rtol=1e-2,
                               atol=1e-6)
    cotangent = data(*out.shape, seed=4).to(dtype)
    (dv,) = torch.autograd.grad(out, v, cotangent.to("trn"))
    want = (kept / (1 - p) / keys).transpose(-2, -1) @ cotangent.double()
    torch.testing.assert_close(dv.cpu().double(), want, rtol=1e-2, atol=2e-3)
    torch.manual_seed(1)
    assert torch.equal(attend(q, k, v, dropout_p=p), out)
    assert not torch.equal(attend(q, k, v, dropout_p=p), out)


@pytest.mark.parametrize("causal", [False, True])
def test_gradient_of_a_learned_mask(causal):
    q, k, v = inputs((2, 3, 3, 50, 70, 32, 32), torch.float32)
    mask = data(1, 3, 50, 70, seed=5)
    leaf = mask.clone().requires_grad_()
    with sdpa_kernel(SDPBackend.MATH):
        out = attend(q.double(), k.double(), v.double(),
                     attn_mask=hide_later(leaf, 50, 70) if causal else leaf)
    cotangent = data(*out.shape, seed=6)
    (want,) = torch.autograd.grad(out, leaf, cotangent)
    there = mask.float().to("trn").requires_grad_()
    out = attend(q.to("trn"), k.to("trn"), v.to("trn"), attn_mask=there, is_causal=causal)
    (got,) = torch.autograd.grad(out, there, cotangent.float().to("trn"))
    torch.testing.assert_close(got.cpu().double(), want, rtol=1e-4, atol=1e-6)


def test_memory_grows_as_the_length_does():
    def peak(length):
        q, k, v = (torch.randn(1, 2, length, 32, device="trn", requires_grad=True)
                   for _ in range(3))
        torch.trn.synchronize()
        torch.trn.reset_peak_memory_stats()
        before = torch.trn.memory_allocated()
        attend(q, k, v, is_causal=True).sum().backward()
        torch.trn.synchronize()
        return torch.trn.max_memory_allocated() - before

    peak(64)
    assert peak(4096) < 2.5 * peak(2048)


@pytest.mark.parametrize("backend", [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION,
                                     SDPBackend.OVERRIDEABLE])
def test_backend_contexts_lead_to_the_fused_kernel(backend):
    q, k, v = (t.to("trn") for t in inputs((1, 2, 2, 20, 30, 16, 16), torch.float32))
    with sdpa_kernel(backend):
        assert torch._fused_sdp_choice(q, k, v) == SDPBackend.OVERRIDEABLE.value
        attend(q, k, v)
    with sdpa_kernel(SDPBackend.MATH):
        assert torch._fused_sdp_choice(q, k, v) == SDPBackend.MATH.value
    with sdpa_kernel(backend), pytest.raises(RuntimeError, match="No available kernel"):
        attend(q.double(), k.double(), v.double())


def test_vmap_and_three_dimensions_take_the_other_way():
    q, k, v = (t[0] for t in inputs((1, 3, 3, 20, 30, 16, 16), torch.float32))
    want = attend(q, k, v)
    got = attend(q.to("trn"), k.to("trn"), v.to("trn"))
    torch.testing.assert_close(got.cpu(), want)
    stacked = [torch.stack([t, t + 1])[:, None].to("trn") for t in (q, k, v)]
    torch.testing.assert_close(torch.vmap(attend)(*stacked)[0, 0].cpu(), want)


def test_flash_and_efficient_by_name():
    tensors = inputs((1, 4, 2, 60, 60, 32, 32), torch.float32)
    want = attend(*tensors, is_causal=True, enable_gqa=True)
    there = [t.to("trn").requires_grad_() for t in tensors]
    flash = torch.ops.aten._scaled_dot_product_flash_attention(*there, 0.0, True)[0]
    efficient = torch.ops.aten._scaled_dot_product_efficient_attention(
        *there, None, True, 0.0, True)[0]
    torch.testing.assert_close(flash.detach().cpu(), want)
    torch.testing.assert_close(efficient.detach().cpu(), want)
    for a, b in zip(torch.autograd.grad(flash.sum(), there),
                    torch.autograd.grad(efficient.sum(), there), strict=True):
        assert torch.equal(a, b)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA already")
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_runs_eagerly_where_the_device_is_called_cuda():
    """Under its own name PyTorch refuses every device that it does not list."""
    tensors = inputs((1, 2, 2, 40, 40, 16, 16), torch.float32)

    def score(s, b, h, i, j):
        return torch.where(i >= j, s, -float("inf"))

    with scope():
        leaves = [t.to("cuda").requires_grad_() for t in tensors]
        got = flex_attention(*leaves, score_mod=score)
        got.sum().backward()
    torch.testing.assert_close(got.detach().cpu(), attend(*tensors, is_causal=True))
    assert all(t.grad is not None for t in leaves)


@pytest.mark.parametrize("masked", ["nothing", "positions", "padding"])
@pytest.mark.parametrize("norm_first", [False, True])
def test_encoder_layer_in_inference(masked, norm_first):
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(64, 4, 128, batch_first=True,
                                             norm_first=norm_first).eval()
    x = torch.randn(3, 20, 64)
    options = {}
    if masked == "positions":
        options["src_mask"] = torch.ones(20, 20).triu(1).bool()
    if masked == "padding":
        options["src_key_padding_mask"] = torch.arange(20).expand(3, 20) >= 15
    with torch.no_grad():
        want = layer(x, **options)
        got = layer.to("trn")(x.to("trn"), **{k: v.to("trn") for k, v in options.items()})
    torch.testing.assert_close(got.cpu(), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("need_weights", [False, True])
def test_multihead_attention_in_inference(need_weights):
    torch.manual_seed(0)
    mha = torch.nn.MultiheadAttention(64, 4, batch_first=True).eval()
    x = torch.randn(3, 20, 64)
    with torch.no_grad():
        want = mha(x, x, x, need_weights=need_weights)
        y = x.to("trn")
        got = mha.to("trn")(y, y, y, need_weights=need_weights)
    for a, b in zip(got, want, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a.cpu(), b, rtol=1e-4, atol=1e-5)


def test_transforms_of_torch_func(ran, no_fallback):
    def loss(x):
        return F.scaled_dot_product_attention(x[None], x[None] * 2, x[None]).square().sum()

    x = torch.randn(3, 2, 4, 8)
    for transform in (lambda x: torch.func.vmap(torch.func.grad(loss))(x),
                      lambda x: torch.func.vmap(loss)(x)):
        torch.testing.assert_close(transform(x.to("trn")).cpu(), transform(x), rtol=1e-4, atol=1e-4)
    # Forward derivatives, which the CPU's kernel has none of: along x by reverse mode instead.
    along = torch.func.jvp(loss, (x[0].to("trn"),), (x[1].to("trn"),))[1]
    torch.testing.assert_close(along.cpu(), (torch.func.grad(loss)(x[0]) * x[1]).sum(),
                               rtol=1e-4, atol=1e-4)
