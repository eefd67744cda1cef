"""apex.parallel where apex is not installed, against torch's own and by hand."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch_trn.migration import collectives

pytestmark = pytest.mark.usefixtures("without_apex")


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_larc_by_hand(ran, clip, decay):
    from apex.parallel import LARC

    p, untouched = (nn.Parameter(t.cuda()) for t in (torch.randn(5, 3), torch.zeros(4)))
    optimizer = LARC(torch.optim.SGD([p], lr=0.1, weight_decay=decay), clip=clip)
    optimizer.add_param_group({"params": [untouched]})
    before, grad = p.detach().clone(), torch.randn(5, 3).cuda()
    p.grad, untouched.grad = grad.clone(), torch.ones(4, device="cuda")
    optimizer.step()
    rate = 0.02 * before.norm() / (grad.norm() + decay * before.norm() + 1e-8)
    if clip:
        rate = (rate / 0.1).clamp(max=1.0)
    torch.testing.assert_close(p.detach(), before - 0.1 * rate * (grad + decay * before))
    torch.testing.assert_close(untouched.detach(), torch.full((4,), -0.1, device="cuda"))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [decay] * 2
    optimizer.param_groups[0]["lr"] = 0.5
    state = optimizer.state_dict()
    optimizer.param_groups[0]["lr"] = 0.1
    optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["lr"] == 0.5
    optimizer.zero_grad()
    assert p.grad is None


def test_batch_norms_become_synchronised_ones():
    from apex.parallel import SyncBatchNorm, convert_syncbn_model

    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6, eps=1e-3, momentum=0.2),
                          nn.Sequential(nn.InstanceNorm2d(6), nn.BatchNorm2d(6, affine=False)))
    model = model.cuda()
    x = torch.randn(4, 3, 8, 8, device="cuda")
    plain = copy.deepcopy(model)
    weights = list(model.parameters())
    converted = convert_syncbn_model(model)
    for norm in (converted[1], converted[2][1]):
        assert isinstance(norm, SyncBatchNorm) and isinstance(norm, nn.SyncBatchNorm)
    assert isinstance(converted[2][0], nn.InstanceNorm2d)
    assert converted[1].eps == 1e-3 and converted[1].momentum == 0.2
    assert all(a is b for a, b in zip(converted.parameters(), weights))
    for mode in (True, False):
        torch.testing.assert_close(converted.train(mode)(x), plain.train(mode)(x))
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(converted.state_dict()[key], value)
    alone = convert_syncbn_model(nn.BatchNorm1d(4).eval(), channel_last=True)
    assert isinstance(alone, SyncBatchNorm) and alone.channel_last and not alone.training


def test_synchronised_batch_norm_takes_other_layouts_and_fuses():
    from apex.parallel import SyncBatchNorm

    norm = SyncBatchNorm(6, channel_last=True, fuse_relu=True).cuda()
    plain = nn.BatchNorm2d(6).cuda()
    x, z = torch.randn(2, 4, 5, 4, 6, device="cuda").unbind()
    expected = plain(x.movedim(-1, 1)).movedim(1, -1)
    torch.testing.assert_close(norm(x), expected.relu())
    torch.testing.assert_close(norm(x, z), (expected + z).relu())


PROGRAM = '''
import os, sys, torch, torch.distributed as dist
import apex
from apex.parallel import DistributedDataParallel, convert_syncbn_model
world, rank = int(os.environ["WORLD_SIZE"]), int(os.environ["RANK"])
torch.cuda.set_device(rank % torch.cuda.device_count())
dist.init_process_group("nccl")
torch.manual_seed(0)
nn = torch.nn
model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, 1)).cuda()
model = convert_syncbn_model(model)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model, optimizer = apex.amp.initialize(model, optimizer, opt_level="O1", loss_scale=128.0)
ours = DistributedDataParallel(model, delay_allreduce=True, message_size=1000)
x = torch.randn(32, 8)
y = x.sum(1, keepdim=True)
part = slice(rank * 32 // world, (rank + 1) * 32 // world)
for _ in range(3):
    loss = nn.functional.mse_loss(ours(x[part].cuda()), y[part].cuda())
    optimizer.zero_grad()
    with apex.amp.scale_loss(loss, optimizer) as scaled:
        scaled.backward()
    optimizer.step()
if rank == 0:
    torch.save({k: v.cpu() for k, v in model.state_dict().items()}, sys.argv[1])
dist.destroy_process_group()
'''


def test_two_processes_give_what_one_gives(tmp_path, installed_environment):
    if not collectives.is_there():
        pytest.skip("this build has no collectives of its own")
    script = tmp_path / "train.py"
    script.write_text(PROGRAM)
    for count in "12":
        result = subprocess.run(
            [sys.executable, "-m", "torch_trn", "run", "--no-receipt", "-m",
             "torch.distributed.run", f"--nproc_per_node={count}", "--standalone", str(script),
             str(tmp_path / count)], capture_output=True, text=True, timeout=300,
            env=installed_environment)
        assert result.returncode == 0, result.stderr
    one, two = (torch.load(tmp_path / count) for count in "12")
    for key in one:
        torch.testing.assert_close(one[key], two[key], atol=2e-3, rtol=2e-3)


def test_arguments_that_would_change_the_gradients_are_refused():
    from apex.parallel import DistributedDataParallel

    for options in ({"gradient_average": False}, {"retain_allreduce_buffers": True}):
        with pytest.raises(NotImplementedError, match=next(iter(options))):
            DistributedDataParallel(nn.Linear(1, 1), **options)
    with pytest.raises(ValueError, match="shared_param is no longer supported"):
        DistributedDataParallel(nn.Linear(1, 1), shared_param=True)
