"""apex.amp where apex is not installed, against torch's own mixed precision and by hand."""

import copy

import pytest
import torch
from torch import nn

pytestmark = pytest.mark.usefixtures("without_apex")


def made(lr=0.05):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, 4)).cuda()
    return model, torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)


def batches(count=6):
    pieces = torch.Generator().manual_seed(2)
    return [(torch.randn(12, 8, generator=pieces).cuda(), torch.randn(12, 4, generator=pieces)
             .cuda()) for _ in range(count)]


def trained(level=None, **options):
    """The model after six steps, by apex or in plain float32, and the losses."""
    from apex import amp

    model, optimizer = made()
    if level:
        model, optimizer = amp.initialize(model, optimizer, opt_level=level, **options)
    losses = []
    for x, y in batches():
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        losses.append(loss.item())
        if level:
            with amp.scale_loss(loss, optimizer) as scaled:
                scaled.backward()
        else:
            loss.backward()
        optimizer.step()
    return model, losses


def trained_by_torch():
    model, optimizer = made()
    scaler = torch.amp.GradScaler("cuda", init_scale=2.0**16)
    losses = []
    for x, y in batches():
        optimizer.zero_grad()
        with torch.autocast("cuda", dtype=torch.float16):
            out = model(x)
        loss = (out.float() - y).square().mean()
        losses.append(loss.item())
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    return model, losses


def alike(one, other, tolerance=0.0):
    for key, value in other.state_dict().items():
        torch.testing.assert_close(one.state_dict()[key], value, atol=tolerance, rtol=tolerance)


def test_a_program_that_imports_apex_finds_its_parts(python):
    result = python("import torch_trn.migrate\nimport apex\n"
                    "assert callable(apex.amp.initialize) and apex.parallel.LARC\n"
                    "assert apex.optimizers.FusedAdam and apex.normalization.FusedLayerNorm\n"
                    "assert not hasattr(apex, 'transformer')\n")
    assert result.returncode == 0, result.stderr
    assert "apex is not installed" not in result.stderr


@pytest.mark.parametrize("level", ["O1", "O2", "O3"])
def test_training_is_as_with_autocast_and_a_scaler(ran, level):
    ours, losses = trained(level, loss_scale="dynamic", verbosity=0)
    theirs, expected = trained_by_torch()
    assert losses == pytest.approx(expected, rel=1e-6)
    alike(ours, theirs, 1e-6)
    assert all(p.dtype == torch.float32 for p in ours.parameters())
    plain, _ = trained()
    alike(ours, plain, 0.02)


@pytest.mark.parametrize(("level", "options"), [
    ("O0", {}), ("O1", {"enabled": False}), ("O1", {"patch_torch_functions": False})])
def test_what_lowers_nothing_trains_in_float32(level, options):
    ours, losses = trained(level, **options)
    plain, expected = trained()
    assert losses == expected
    alike(ours, plain)


def test_outputs_are_cast_in_whatever_holds_them():
    from apex import amp

    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4, 4))

        def forward(self, x):
            out = x @ self.weight
            self.seen = out.dtype
            return {"out": (out, [out.argmax()]), "name": "inner"}

    for options, kind in (({}, torch.float32), ({"cast_model_outputs": torch.float16},
                                                torch.float16)):
        model = amp.initialize(Inner().cuda(), opt_level="O2", **options)
        result = model(torch.ones(2, 4, device="cuda"))
        assert model.seen == torch.float16
        assert result["out"][0].dtype == kind and result["out"][1][0].dtype == torch.int64
        assert result["name"] == "inner"


def test_a_copy_of_a_model_uses_its_own_weights():
    from apex import amp

    model = amp.initialize(nn.Linear(4, 4).cuda())
    twin = copy.deepcopy(model)
    nn.init.zeros_(twin.weight)
    nn.init.zeros_(twin.bias)
    x = torch.ones(2, 4, device="cuda")
    assert twin(x).abs().sum() == 0 and model(x).abs().sum() > 0


def test_what_initialize_returns_and_refuses():
    from apex import amp

    model, optimizer = made()
    with pytest.raises(RuntimeError, match="internal Amp state has not been initialized"):
        with amp.scale_loss(torch.ones((), device="cuda"), optimizer):
            pass
    assert amp.initialize(model) is model
    assert amp.initialize([model]) == [model]
    assert amp.initialize(model, [optimizer]) == (model, [optimizer])
    assert amp.initialize([model], optimizer) == ([model], optimizer)
    assert list(amp.master_params(optimizer)) == list(model.parameters())
    with pytest.raises(RuntimeError, match="Unexpected optimization level 01"):
        amp.initialize(model, optimizer, opt_level="01")
    with pytest.raises(TypeError, match="a single optimizer or a list of optimizers"):
        amp.initialize(model, "SGD")
    with pytest.raises(TypeError, match="a single model or a list of models"):
        amp.initialize("model", optimizer)


def stepped(amp, optimizer, p, factor, loss_id=0):
    with amp.scale_loss((p * factor).sum(), optimizer, loss_id) as scaled:
        scaled.backward()
    optimizer.step()


def alone(level="O1", **options):
    """A parameter, its optimizer of rate 1, and amp."""
    from apex import amp

    model = nn.Linear(3, 1, bias=False).cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    model, optimizer = amp.initialize(model, optimizer, opt_level=level, **options)
    return amp, optimizer, model.weight


def test_an_overflow_skips_one_step_and_halves_the_scale(capsys):
    amp, optimizer, p = alone()
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)  # wraps the step of its own
    step, before = optimizer.step, p.detach().clone()
    stepped(amp, optimizer, p, float("inf"))
    assert torch.equal(p, before) and optimizer.step == step
    assert capsys.readouterr().out == (
        "Gradient overflow.  Skipping step, loss scaler 0 reducing loss scale to 32768.0\n")
    assert amp.state_dict() == {"loss_scaler0": {"loss_scale": 32768.0, "unskipped": 0}}
    optimizer.zero_grad()
    stepped(amp, optimizer, p, 0.5)
    torch.testing.assert_close(p.detach(), before - 0.5)
    assert amp.state_dict() == {"loss_scaler0": {"loss_scale": 32768.0, "unskipped": 1}}


def test_a_skipped_step_takes_no_closure():
    amp, optimizer, p = alone()
    with amp.scale_loss((p * float("nan")).sum(), optimizer) as scaled:
        scaled.backward()
    with pytest.raises(RuntimeError, match="does not support closure use"):
        optimizer.step(lambda: None)


def test_the_scale_doubles_after_2000_steps_and_stays_between_its_limits():
    amp, optimizer, p = alone(max_loss_scale=2.0**17, min_loss_scale=2.0**16, verbosity=0)
    for expected in (2.0**17, 2.0**17):
        amp.load_state_dict({"loss_scaler0": {**amp.state_dict()["loss_scaler0"],
                                              "unskipped": 1999}})
        stepped(amp, optimizer, p, 1.0)
        assert amp.state_dict()["loss_scaler0"] == {"loss_scale": expected, "unskipped": 0}
    for _ in range(2):
        stepped(amp, optimizer, p, float("inf"))
        assert amp.state_dict()["loss_scaler0"]["loss_scale"] == 2.0**16


def test_a_static_scale_never_skips():
    amp, optimizer, p = alone(loss_scale="128.0")
    with amp.scale_loss(p.sum(), optimizer) as scaled:
        assert scaled.item() == pytest.approx(128 * p.sum().item())
        scaled.backward()
    assert torch.equal(p.grad, torch.ones_like(p))
    stepped(amp, optimizer, p, float("inf"))
    assert not p.isfinite().any()
    assert amp.state_dict()["loss_scaler0"]["loss_scale"] == 128.0


def test_gradients_accumulate_over_blocks():
    amp, optimizer, p = alone()
    ones = torch.ones_like(p)
    for factor, delayed, held in ((1.0, False, 1.0), (2.0, False, 3.0)):
        with amp.scale_loss((p * factor).sum(), optimizer, delay_unscale=delayed) as scaled:
            scaled.backward()
        assert torch.equal(p.grad, held * ones)
    optimizer.zero_grad()
    for factor, delayed, held in ((1.0, True, 2.0**16), (2.0, False, 3.0)):
        with amp.scale_loss((p * factor).sum(), optimizer, delay_unscale=delayed) as scaled:
            scaled.backward()
        assert torch.equal(p.grad, held * ones)
    with amp.scale_loss(p.sum(), [optimizer]):
        pass  # nothing is propagated: what was there stays
    assert torch.equal(p.grad, 3.0 * ones)


def test_each_loss_has_its_scale_and_the_state_goes_round(capsys):
    amp, optimizer, p = alone(num_losses=2)
    stepped(amp, optimizer, p, float("inf"), loss_id=1)
    assert "loss scaler 1 reducing" in capsys.readouterr().out
    state = amp.state_dict()
    assert state == {"loss_scaler0": {"loss_scale": 65536.0, "unskipped": 0},
                     "loss_scaler1": {"loss_scale": 32768.0, "unskipped": 0}}
    amp, *_ = alone(num_losses=2)
    amp.load_state_dict(state)
    assert amp.state_dict() == state
    amp, *_ = alone()
    amp.load_state_dict(state)
    assert "contains 2 entries, while 1 loss_scalers" in capsys.readouterr().out
    with pytest.raises(RuntimeError, match='Unexpected key.*"scaler"'):
        amp.load_state_dict({"scaler": {}})


def test_larc_goes_through_amp():
    from apex import amp
    from apex.parallel import LARC

    p = nn.Parameter(torch.ones(3, device="cuda"))
    model = nn.ParameterList([p])
    _, optimizer = amp.initialize(model, LARC(torch.optim.SGD([p], lr=1.0)), verbosity=0)
    stepped(amp, optimizer, p, float("inf"))
    assert torch.equal(p.detach(), torch.ones(3, device="cuda"))
    optimizer.zero_grad()
    stepped(amp, optimizer, p, 1.0)
    torch.testing.assert_close(p.detach(), torch.full((3,), 0.98, device="cuda"))
