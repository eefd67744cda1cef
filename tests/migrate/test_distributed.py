"""NCCL's names in redirected programs: two processes give what one gives."""

import subprocess
import sys

import pytest
from torch_trn.migration import collectives

PROGRAM = '''
import datetime, os, sys, torch, torch.distributed as dist
world = int(os.environ.get("WORLD_SIZE", 1))
rank = int(os.environ.get("RANK", 0))
torch.cuda.set_device(rank % torch.cuda.device_count())
if world > 1:
    dist.init_process_group({backend!r})
    assert dist.get_backend() == {backend!r}, dist.get_backend()
    assert dist.is_nccl_available()
    group = dist.new_group(pg_options=dist.ProcessGroupNCCL.Options(is_high_priority_stream=True))
    assert dist.get_world_size(group) == world
    assert dist.get_backend(group) == {backend!r}
    for name in ("gloo", "nccl"):
        other = dist.new_group(backend=name)
        assert dist.get_backend(other) == name
        sum_of = torch.ones(2, device="cuda")
        dist.all_reduce(sum_of, group=other)
        assert sum_of.tolist() == [world] * 2
    if "gloo" in {backend!r}:
        there = torch.ones(2)
        dist.all_reduce(there)
        assert there.tolist() == [world] * 2
    if {backend!r} == "gloo":
        dist.monitored_barrier()
    # torch's compiler calls this where it finds what it has compiled before.
    dist.distributed_c10d._add_ephemeral_timeout_for_all_pgs(datetime.timedelta(seconds=1))
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)).cuda()
ours = torch.nn.parallel.DistributedDataParallel(model, device_ids=[torch.cuda.current_device()]) \\
    if world > 1 else model
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x = torch.randn(32, 8)
y = x.sum(1, keepdim=True)
part = slice(rank * 32 // world, (rank + 1) * 32 // world)
for _ in range(5):
    loss = torch.nn.functional.mse_loss(ours(x[part].cuda()), y[part].cuda())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
if rank == 0:
    torch.save({{k: v.cpu() for k, v in model.state_dict().items()}}, sys.argv[1])
if world > 1:
    total = torch.ones(3, device="cuda")
    dist.all_reduce(total)
    assert total.tolist() == [world] * 3
    dist.barrier()
    dist.destroy_process_group()
'''


def test_names_are_parsed():
    assert collectives.backend_for_trn("nccl") == "trnccl"
    assert collectives.backend_for_trn("cuda:nccl,cpu:gloo") == "trn:trnccl,cpu:gloo"
    assert collectives.backend_for_trn("gloo") == "cpu:gloo,trn:trnccl"
    assert collectives.backend_for_trn("cpu:gloo,cuda:gloo") == "cpu:gloo,trn:trnccl"
    assert collectives.backend_for_trn("cpu:gloo") == "cpu:gloo"
    assert collectives.backend_for_trn("mpi") == "mpi"
    assert collectives.backend_for_trn(None) == "cpu:gloo,trn:trnccl"
    for name in ("nccl", "cpu:gloo", "cuda:nccl,cpu:gloo"):
        assert collectives.name_for_program(collectives.backend_for_trn(name)) == name


@pytest.mark.parametrize("backend", ["nccl", "gloo", "cuda:nccl,cpu:gloo", "cpu:gloo,cuda:gloo"])
def test_two_processes_equal_one(tmp_path, backend, installed_environment):
    if not collectives.is_there():
        pytest.skip("this build has no collectives of its own")
    import torch

    script = tmp_path / "train.py"
    script.write_text(PROGRAM.format(backend=backend))
    run = [sys.executable, "-m", "torch_trn", "run", "--no-receipt"]
    many = ["-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    for launcher, name in (([], "one.pt"), (many, "two.pt")):
        result = subprocess.run([*run, *launcher, str(script), str(tmp_path / name)],
                                capture_output=True, text=True, timeout=300,
                                env=installed_environment)
        assert result.returncode == 0, result.stderr
        for complaint in ("No backend of type", "Time stats"):  # about what CUDA has, and trn not
            assert complaint not in result.stderr, result.stderr
    one, two = (torch.load(tmp_path / name) for name in ("one.pt", "two.pt"))
    for key in one:
        torch.testing.assert_close(one[key], two[key])
