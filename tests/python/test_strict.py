"""TRN_STRICT: each switch catches the bug that is seeded for it, and passes correct programs."""

import pytest

POISON = """
import torch, torch_trn
x = torch.empty(1000, device="trn")          # the bug: read before written
print("nan" if x.sum().isnan().item() else "quiet")
print(torch.empty(10, dtype=torch.bfloat16, device="trn").isnan().all().item())
assert torch.zeros(10, device="trn").sum().item() == 0
"""

BOUNDS = """
import torch, torch_trn
x = torch.ones(1000, device="trn")
assert (x + 1).sum().item() == 2000
view = x[:10]
x.untyped_storage().resize_(64)              # the bug: x still says that it has 1000 elements
assert view[:10].sum().item() == 10
try:
    x + 1
except RuntimeError as error:
    print(error)
"""

RACES = """
import torch, torch_trn
x, side = torch.ones(1 << 20, device="trn"), torch.trn.Stream()
torch.trn.synchronize()
x.add_(1)                                    # the writer
{order}
with torch.trn.stream(side):
    try:
        y = x * 2                            # the reader
        print("no race")
    except RuntimeError as error:
        print(error)
"""

FREED_EARLY = """
import torch, torch_trn
x, side = torch.ones(1 << 20, device="trn"), torch.trn.Stream()
side.wait_stream(torch.trn.current_stream())
with torch.trn.stream(side):
    y = x * 2                                # the side stream's reader
{record}
del x                                        # the bug: handed out again while it is read
try:
    z = torch.zeros(1 << 20, device="trn")
    print("no race")
except RuntimeError as error:
    print(error)
"""


def test_poison(python):
    assert python(POISON, {"TRN_STRICT": "poison"}).stdout.split() == ["nan", "True"]


def test_bounds(python):
    result = python(BOUNDS, {"TRN_STRICT": "bounds"})
    assert "of an allocation of 64 bytes" in result.stdout, result.stderr
    assert "program.py:9" in result.stdout


@pytest.mark.parametrize("order", [
    "", "side.wait_stream(torch.trn.current_stream())", "torch.trn.synchronize()",
    "e = torch.trn.Event(); e.record(); e.wait(side)", "x.sum().item()",
], ids=["none", "wait_stream", "synchronize", "event", "item"])
def test_races(python, order):
    result = python(RACES.format(order=order), {"TRN_STRICT": "races"})
    if order:
        assert result.stdout.strip() == "no race", result.stdout + result.stderr
        return
    assert "no event orders them" in result.stdout, result.stderr
    assert "program.py:5" in result.stdout and "program.py:9" in result.stdout, result.stdout


@pytest.mark.parametrize("record", ["", "x.record_stream(side)"], ids=["forgotten", "recorded"])
def test_memory_freed_too_early(python, record):
    result = python(FREED_EARLY.format(record=record), {"TRN_STRICT": "races"})
    if record:
        assert result.stdout.strip() == "no race", result.stdout + result.stderr
    else:
        assert "no event orders them" in result.stdout, result.stderr


TRAIN = """
import torch, torch_trn
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(),
                            torch.nn.LazyLinear(5)).to("trn")
model(torch.zeros(1, 1, 8, 8, device="trn"))
optimizer = torch.optim.AdamW(model.parameters())
side = torch.trn.Stream()
for _ in range(3):
    with torch.trn.stream(side):
        x = torch.randn(4, 1, 8, 8).pin_memory().to("trn", non_blocking=True)
    torch.trn.current_stream().wait_stream(side)
    x.record_stream(torch.trn.current_stream())
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(model(x), torch.randint(5, (4,), device="trn"))
    loss.backward()
    optimizer.step()
print("finite", loss.isfinite().item())
"""


def test_a_correct_program_passes_all(python):
    result = python(TRAIN, {"TRN_STRICT": "isolate,poison,bounds,races"})
    assert "finite True" in result.stdout, result.stderr
