"""Stand-ins for CUDA-only packages: they announce themselves, compute rightly, and go away."""

import importlib
import importlib.util
import math
import warnings

import pytest
import torch
from torch_trn.migration import redirections, scope
from torch_trn.migration.packages import forget

NAMES = ["flash_attn", "xformers", "apex", "bitsandbytes"]
if any(importlib.util.find_spec(name) for name in NAMES):
    pytest.skip("these tests are about absent packages", allow_module_level=True)


@pytest.fixture(autouse=True)
def redirected():
    torch.manual_seed(0)
    with scope(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def dense(q, k, v, seen=None, softcap=0.0, bias=0.0):
    """Attention from its formula, in double precision, (B, S, H, D)."""
    q, k, v = (t.double().cpu().transpose(1, 2) for t in (q, k, v))
    k, v = (t.repeat_interleave(q.size(1) // t.size(1), 1) for t in (k, v))
    scores = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    if softcap:
        scores = softcap * (scores / softcap).tanh()
    scores = scores + bias
    if seen is not None:
        scores = scores.masked_fill(~seen, float("-inf"))
    return (scores.softmax(-1).nan_to_num() @ v).transpose(1, 2).float()


def same(ours, exact, tolerance=2e-5):
    assert ours.is_cuda
    torch.testing.assert_close(ours.float().cpu(), exact, atol=tolerance, rtol=tolerance)


def qkv(queries=6, keys=6, heads=4, groups=2):
    return (torch.randn(2, queries, heads, 8, device="cuda"),
            *(torch.randn(2, keys, groups, 8, device="cuda") for _ in range(2)))


def attend_by(function, heads=2):
    x = torch.ones(1, 2, heads, 8, device="cuda")
    return function(x, x, x)


def step_by(kind):
    return kind([torch.ones(2, device="cuda", requires_grad=True)])


@pytest.mark.parametrize(("name", "module", "thing", "use"), [
    ("flash_attn", "flash_attn", "flash_attn_func", attend_by),
    ("xformers", "xformers.ops", "memory_efficient_attention", attend_by),
    ("apex", "apex.optimizers", "FusedAdam", step_by),
    ("apex", "apex.normalization", "FusedLayerNorm", lambda kind: kind(4)),
    ("bitsandbytes", "bitsandbytes.optim", "Adam8bit", step_by)])
def test_each_announces_itself_once_when_something_of_it_is_called(name, module, thing, use):
    forget()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # whoever only looks, or takes names, hears nothing
        found = importlib.import_module(module)
        importlib.import_module(name)
        with pytest.raises(AttributeError, match=f"module '{module}' has no attribute 'missing'"):
            _ = found.missing
        taken = getattr(found, thing)
        assert taken is getattr(found, thing) and thing in dir(found)
    with pytest.warns(UserWarning, match=f"{name} is not installed: torch-trn stands in") as told:
        use(taken)
        use(taken)
    assert [w.filename for w in told] == [__file__]
    assert any(what == f"import {name}" for what, _ in redirections())


def test_compiled_functions_announce_what_they_call():
    forget()
    from flash_attn import flash_attn_func

    compiled = torch.compile(lambda x: flash_attn_func(x, x, x), fullgraph=True, backend="eager")
    x = torch.randn(1, 4, 2, 8, device="cuda")
    with pytest.warns(UserWarning, match="flash_attn is not installed"):
        torch.testing.assert_close(compiled(x), flash_attn_func(x, x, x))


def test_looking_for_what_a_stand_in_has_not_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImportError):
            from apex import transformer  # noqa: F401


def test_without_redirection_they_are_absent(python):
    result = python("import torch_trn\nfrom torch_trn.migration import scope\n"
                    "import importlib, sys\n"
                    "with scope():\n    import apex.optimizers, xformers.ops\n"
                    "assert 'apex' not in sys.modules\n"
                    "for name in ('flash_attn', 'apex', 'apex.optimizers', 'xformers.ops'):\n"
                    "    try:\n        importlib.import_module(name)\n"
                    "    except ImportError:\n        continue\n"
                    "    raise SystemExit(name)\n")
    assert result.returncode == 0, result.stderr + result.stdout


def lower(queries, keys, left=None):
    seen = torch.ones(queries, keys).tril(keys - queries).bool()
    return seen if left is None else seen & ~torch.ones(queries, keys).tril(
        keys - queries - left - 1).bool()


@pytest.mark.parametrize(("shape", "options", "oracle"), [
    ((6, 6), {}, {}), ((6, 6), {"causal": True}, {"seen": lower(6, 6)}),
    ((3, 7), {"causal": True}, {"seen": lower(3, 7)}),
    ((7, 3), {"causal": True}, {"seen": lower(7, 3)}),
    ((6, 6), {"causal": True, "window_size": (2, 0)}, {"seen": lower(6, 6, 2)}),
    ((6, 6), {"softcap": 2.0}, {"softcap": 2.0}),
    ((6, 6), {"causal": True, "return_attn_probs": True}, {"seen": lower(6, 6)}),
])
def test_flash_attention(ran, shape, options, oracle):
    from flash_attn import flash_attn_func

    q, k, v = qkv(*shape)
    out = flash_attn_func(q, k, v, **options)
    same(out[0] if isinstance(out, tuple) else out, dense(q, k, v, **oracle))


def test_flash_attention_with_slopes_and_its_sums():
    from flash_attn import flash_attn_func

    q, k, v = qkv()
    slopes = torch.tensor([0.5, 0.25, 0.125, 0.1], device="cuda")
    distance = (torch.arange(6)[:, None] - torch.arange(6)).abs()
    bias = -slopes.cpu().double().view(4, 1, 1) * distance
    same(flash_attn_func(q, k, v, alibi_slopes=slopes), dense(q, k, v, bias=bias))
    _, lse, _ = flash_attn_func(q, k, v, return_attn_probs=True)
    scores = q.cpu().transpose(1, 2) @ k.cpu().transpose(1, 2).repeat_interleave(2, 1).mT / 8 ** 0.5
    same(lse, scores.logsumexp(-1))


def test_packed_sequences_and_their_gradients():
    from flash_attn import flash_attn_varlen_func, flash_attn_varlen_qkvpacked_func
    from flash_attn.bert_padding import pad_input, unpad_input

    x = torch.randn(2, 5, 3, 4, 8, device="cuda", requires_grad=True)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]], device="cuda")
    rows, indices, bounds, longest, lengths = unpad_input(x, mask)
    assert bounds.tolist() == [0, 5, 7] and longest == 5 and lengths.tolist() == [5, 2]
    out = flash_attn_varlen_qkvpacked_func(rows, bounds, longest, causal=True)
    padded = pad_input(out, indices, 2, 5)
    for row, length in enumerate((5, 2)):
        part = x[row:row + 1, :length]
        same(padded[row:row + 1, :length], dense(*part.unbind(2), seen=lower(length, length)))
    assert padded[1, 2:].abs().sum() == 0
    padded.sum().backward()
    assert x.grad[1, 2:].abs().sum() == 0 and x.grad[1, :2].abs().sum() > 0
    with pytest.raises(NotImplementedError, match="block_table"):
        flash_attn_varlen_func(*rows.unbind(1), bounds, bounds, block_table=bounds)


def test_a_cache_of_keys(ran):
    from flash_attn import flash_attn_with_kvcache

    q, k, v = qkv(1, 1)
    _, keys, values = qkv(1, 8)
    held = torch.tensor([3, 6], device="cuda")
    out = flash_attn_with_kvcache(q, keys, values, k, v, cache_seqlens=held, causal=True)
    assert torch.equal(keys[0, 3], k[0, 0]) and torch.equal(values[1, 6], v[1, 0])
    for i, length in enumerate((4, 7)):
        same(out[i:i + 1], dense(q[i:i + 1], keys[i:i + 1, :length], values[i:i + 1, :length]))


def test_transformers_takes_flash_attention(python):
    pytest.importorskip("transformers")
    result = python(
        "import copy, torch, torch_trn.migrate, transformers as tf\n"
        "torch.manual_seed(0)\n"
        "config = tf.LlamaConfig(hidden_size=64, intermediate_size=96, num_hidden_layers=2,\n"
        "                        num_attention_heads=4, num_key_value_heads=2, vocab_size=128)\n"
        "config._attn_implementation = 'flash_attention_2'\n"
        "fused = tf.LlamaForCausalLM(copy.deepcopy(config)).cuda().bfloat16()\n"
        "config._attn_implementation = 'eager'\n"
        "plain = tf.LlamaForCausalLM(config).cuda().bfloat16()\n"
        "plain.load_state_dict(fused.state_dict())\n"
        "words = torch.randint(3, 128, (2, 12), device='cuda')\n"
        "mask = torch.ones_like(words)\n"
        "mask[1, :5] = 0\n"
        "for m in (None, mask):\n"
        "    a, b = (model(words, attention_mask=m).logits.float() for model in (fused, plain))\n"
        "    used = slice(None) if m is None else m.bool()\n"
        "    torch.testing.assert_close(a[used], b[used], atol=0.03, rtol=0.03)\n"
        "assert fused.config._attn_implementation == 'flash_attention_2'\n",
        env={"HF_HUB_OFFLINE": "1"})
    assert result.returncode == 0, result.stderr


def test_xformers():
    import xformers.ops as xops

    q, k, v = qkv(groups=4)
    same(xops.memory_efficient_attention(q, k, v), dense(q, k, v))
    same(xops.memory_efficient_attention(q, k, v, attn_bias=xops.LowerTriangularMask()),
         dense(q, k, v, lower(6, 6)))
    bias = torch.randn(2, 4, 6, 6, device="cuda")
    same(xops.memory_efficient_attention(q, k, v, bias), dense(q, k, v, bias=bias.cpu().double()))
    same(xops.memory_efficient_attention(q[:, :, 0], k[:, :, 0], v[:, :, 0])[:, :, None],
         dense(q[:, :, :1], k[:, :, :1], v[:, :, :1]))
    blocks = xops.fmha.attn_bias.BlockDiagonalMask.from_seqlens([4, 2])
    seen = torch.block_diag(torch.ones(4, 4), torch.ones(2, 2)).bool()
    same(xops.memory_efficient_attention(q[:1], k[:1], v[:1], blocks.make_causal()),
         dense(q[:1], k[:1], v[:1], seen & lower(6, 6)))


def trained(make, steps=4):
    torch.manual_seed(1)
    p = torch.nn.Parameter(torch.randn(5, 3).cuda())
    optimizer = make([p])
    for i in range(steps):
        optimizer.zero_grad()
        (p - i).square().mul(torch.arange(3.0).cuda()).sum().backward()
        optimizer.step()
    return p.detach().cpu()


@pytest.mark.parametrize(("module", "name", "options", "like"), [
    ("apex.optimizers", "FusedAdam", {"lr": 0.1, "weight_decay": 0.1},
     lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1)),
    ("apex.optimizers", "FusedAdam", {"lr": 0.1, "weight_decay": 0.1, "adam_w_mode": False},
     lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.1)),
    ("apex.optimizers", "FusedSGD", {"lr": 0.01, "momentum": 0.9},
     lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9)),
    ("bitsandbytes.optim", "AdamW8bit", {"lr": 0.1}, lambda p: torch.optim.AdamW(p, lr=0.1)),
    ("bitsandbytes.optim", "PagedAdam32bit", {"lr": 0.1}, lambda p: torch.optim.Adam(p, lr=0.1)),
    ("bitsandbytes.optim", "RMSprop8bit", {"lr": 0.1}, lambda p: torch.optim.RMSprop(p, lr=0.1)),
    ("bitsandbytes.optim", "Adagrad", {"lr": 0.1}, lambda p: torch.optim.Adagrad(p, lr=0.1)),
    ("bitsandbytes.optim", "SGD8bit", {"lr": 0.01, "momentum": 0.5},
     lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.5)),
])
def test_optimizers_are_torchs(ran, module, name, options, like):
    optimizer = getattr(importlib.import_module(module), name)
    torch.testing.assert_close(trained(lambda p: optimizer(p, **options)), trained(like))


def test_lamb_and_lion_from_their_formulas():
    from apex.optimizers import FusedLAMB
    from bitsandbytes.optim import Lion8bit

    torch.manual_seed(1)
    p = torch.randn(5, 3)
    grad = 2 * p * torch.arange(3.0)
    clipped = grad / grad.norm().clamp(min=1.0)
    update = clipped / (clipped.abs() + 1e-6) + 0.01 * p
    torch.testing.assert_close(trained(lambda q: FusedLAMB(q, lr=0.1), 1),
                               p - 0.1 * p.norm() / update.norm() * update)
    torch.testing.assert_close(trained(lambda q: Lion8bit(q, lr=0.1, weight_decay=0.5), 1),
                               p * 0.95 - 0.1 * grad.sign())


@pytest.mark.parametrize("growing", [None, 10])
def test_ademamix_from_its_paper(growing):
    from bitsandbytes.optim import AdEMAMix8bit

    b1, b2, b3, alpha, lr, decay = 0.9, 0.99, 0.999, 5.0, 0.1, 0.5
    torch.manual_seed(1)
    p = torch.randn(5, 3).double()
    fast, slow, square = (torch.zeros_like(p) for _ in range(3))
    for t in range(1, 4):
        grad = 2 * (p - (t - 1)) * torch.arange(3.0)
        a, b = alpha, b3
        if growing:
            a = min(t * alpha / growing, alpha)
            x, y = math.log(b1), math.log(b3)
            b = min(math.exp(x * y / ((1 - t / growing) * y + t / growing * x)), b3)
        fast, slow = b1 * fast + (1 - b1) * grad, b * slow + (1 - b) * grad
        square = b2 * square + (1 - b2) * grad * grad
        size = (square / (1 - b2 ** t)).sqrt() + 1e-8
        p = p - lr * ((fast / (1 - b1 ** t) + a * slow) / size + decay * p)
    got = trained(lambda q: AdEMAMix8bit(q, lr, (b1, b2, b3), alpha, growing, growing,
                                         weight_decay=decay), 3)
    torch.testing.assert_close(got.double(), p, rtol=1e-4, atol=1e-5)


def test_what_is_not_there_is_refused():
    import bitsandbytes as bnb
    from apex.optimizers import FusedAdam

    with pytest.raises(RuntimeError, match="Linear8bitLt is not available on trn"):
        bnb.nn.Linear8bitLt(4, 4)
    with pytest.raises(NotImplementedError, match="bias_correction"):
        FusedAdam([torch.zeros(1, requires_grad=True)], bias_correction=False)
    with pytest.raises(ImportError):
        importlib.import_module("apex.transformer")


def test_norms_as_functions(ran):
    import apex.normalization.fused_layer_norm as norms
    from apex.normalization import FusedLayerNorm

    assert norms.FusedLayerNorm is FusedLayerNorm
    x, w, b = torch.randn(3, 8).cuda(), torch.rand(8).cuda(), torch.rand(8).cuda()
    like = torch.nn.functional
    torch.testing.assert_close(norms.fused_layer_norm_affine(x, w, b, (8,)),
                               like.layer_norm(x, (8,), w, b, 1e-6))
    torch.testing.assert_close(norms.fused_layer_norm(x, 8), like.layer_norm(x, (8,), eps=1e-6))
    torch.testing.assert_close(norms.fused_rms_norm_affine(x, w, (8,)),
                               like.rms_norm(x, (8,), w, 1e-6))
    torch.testing.assert_close(norms.fused_rms_norm(x, 8), like.rms_norm(x, (8,), eps=1e-6))
