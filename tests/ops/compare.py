"""What operator tests share: values and gradients against the CPU in double precision."""

import torch
import torch_trn

TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-11, torch.bfloat16: 2e-2, torch.float16: 2e-3}
FLOATS = list(TOLERANCE)


def make(*shape, dtype=torch.float32, seed=0):
    """Normal numbers of a shape; the same for every type but for rounding."""
    g = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=g, dtype=torch.float64).to(dtype)


def labels(n, *shape, seed=1, dtype=torch.long):
    """Integers in [0, n)."""
    return torch.randint(0, n, shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def strided(x):
    """The same numbers with no dimension dense: every second element of larger memory."""
    return torch.stack([x, x], -1).transpose(0, -2).contiguous().transpose(0, -2)[..., 0]


def launches(fn):
    """How many kernels fn() queues."""
    before = torch.trn.launch_count()
    fn()
    return torch.trn.launch_count() - before


def _outputs(result):
    return [t for t in (result if isinstance(result, tuple) else (result,)) if t is not None]


def _place(args, device, dtype=None):
    placed = []
    for a in args:
        if isinstance(a, torch.Tensor) and a.is_floating_point():
            a = a.detach().to(dtype or a.dtype).to(device).requires_grad_(a.requires_grad)
        elif isinstance(a, torch.Tensor):
            a = a.to(device)
        placed.append(a)
    return placed


def check(fn, *args, tolerance=None, oracle=torch.float64):
    """fn(*args) on trn is fn on the CPU in double precision, and so are the gradients of its
    floating outputs by the arguments that require one."""
    dtype = next(a.dtype for a in args if isinstance(a, torch.Tensor) and a.is_floating_point())
    tolerance = tolerance or TOLERANCE[dtype]
    here, there = _place(args, "cpu", oracle), _place(args, "trn")
    want, got = _outputs(fn(*here)), _outputs(fn(*there))
    for w, g in zip(want, got, strict=True):
        assert g.device.type == "trn" and g.shape == w.shape
        _close(g, w, tolerance)
    smooth = [(w, g) for w, g in zip(want, got, strict=True) if w.requires_grad]
    if not smooth:
        return
    grads = [make(*w.shape, dtype=g.dtype, seed=9) for w, g in smooth]
    torch.autograd.backward([w for w, _ in smooth], [g.to(oracle) for g in grads])
    torch.autograd.backward([g for _, g in smooth], [g.to("trn") for g in grads])
    for h, t in zip(here, there, strict=True):
        if isinstance(h, torch.Tensor) and h.requires_grad:
            _close(t.grad, h.grad, tolerance)


def _close(got, want, tolerance):
    scale = (
        max(1.0, want[want.isfinite()].abs().max().item())
        if want.is_floating_point() and (want.isfinite().any())
        else 1.0
    )
    torch.testing.assert_close(
        got.detach().cpu().to(want.dtype),
        want.detach(),
        rtol=tolerance,
        atol=tolerance * scale,
        equal_nan=True,
    )


def check_errors(calls):
    """Each call of a device name raises the same on trn as on the CPU."""
    for call in calls:
        raised = []
        for device in ("cpu", "trn"):
            try:
                call(device)
                raised.append(None)
            except Exception as e:
                raised.append((type(e), str(e)))
        assert raised[0] is not None and raised[0] == raised[1]


def same_for_any_threads(fn):
    """fn() gives the same bits whatever the number of threads; returns its outputs, a tensor alone
    as such, on the CPU."""
    before = torch_trn._C._get_compute_threads()
    try:
        results = []
        for n in (1, 2, 3, 4):
            torch_trn._C._set_compute_threads(n)
            results.append([t.detach().cpu() for t in _outputs(fn())])
    finally:
        torch_trn._C._set_compute_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert torch.equal(a, b)
    return results[0][0] if len(results[0]) == 1 else results[0]
