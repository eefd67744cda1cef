"""torchrun: a rank that is killed and started again, and two hosts as two network namespaces."""

import re
import shutil
import subprocess
import sys

import pytest

# Trains with a checkpoint every step; told to, rank 1 kills itself once in the middle.
TRAIN = r"""
import os, signal, sys
import torch, torch_trn
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel as DDP
torch.set_num_threads(1)
dist.init_process_group("trnccl")
rank, size = dist.get_rank(), dist.get_world_size()
torch.trn.set_device(int(os.environ["LOCAL_RANK"]))
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
data = [torch.randn(8 * size, 8) for _ in range(6)]
def batch(i, begin, end):
    x = data[i][begin:end]
    return x, x.sum(1, keepdim=True)
def step(model, optimizer, x, y):
    optimizer.zero_grad()
    loss = torch.nn.functional.mse_loss(model(x), y)
    loss.backward()
    optimizer.step()
alone = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
alone.load_state_dict(model.state_dict())
ours = DDP(model.to("trn"))
optimizer, other = (torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9) for m in (ours, alone))
first = 0
if os.path.exists("state.pt"):
    state = torch.load("state.pt", map_location="trn")
    first = state["step"]
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
for i in range(6):
    step(alone, other, *batch(i, 0, 8 * size))
for i in range(first, 6):
    if "kill" in sys.argv and i == 3 and first == 0:
        dist.barrier()  # the checkpoint of the third step is there
        if rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
    x, y = batch(i, 8 * rank, 8 * rank + 8)
    step(ours, optimizer, x.to("trn"), y.to("trn"))
    if rank == 0 and "kill" in sys.argv:
        torch.save({"step": i + 1, "model": model.state_dict(),
                    "optimizer": optimizer.state_dict()}, "new.pt")
        os.replace("new.pt", "state.pt")
for p, q in zip(model.parameters(), alone.parameters()):
    torch.testing.assert_close(p.detach().cpu(), q.detach(), rtol=1e-4, atol=1e-5)
assert torch.trn.launch_count() > 50
sys.stdout.write(f"right: rank {rank} from step {first}\n")  # as one: several ranks write
sys.stdout.flush()
dist.destroy_process_group()
"""
RUN = [sys.executable, "-m", "torch.distributed.run"]

# The second namespace lives as long as a process in it; all of it is gone when the shell ends.
TWO_HOSTS = """
set -e
ip link set lo up
unshare --net sleep 200 &
other=$!
trap 'kill $other' EXIT
while [ "$(readlink /proc/$other/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
there="nsenter --target $other --net"
ip link add left type veth peer name right
ip link set right netns $other
ip address add 10.77.0.1/24 dev left
ip link set left up
$there ip address add 10.77.0.2/24 dev right
$there ip link set right up
$there ip link set lo up
[ "$1" = try ] && exit 0
GLOO_SOCKET_IFNAME=right $there "$@" --node_rank=1 train.py &
second=$!
GLOO_SOCKET_IFNAME=left "$@" --node_rank=0 train.py
wait $second
"""


def finished(done):
    return sorted(re.findall(r"right: (rank \d from step \d)", done.stdout))


def environment(installed):
    return {**installed, "OMP_NUM_THREADS": "1", "TRN_FALLBACK": "error"}


def test_a_killed_rank_is_started_again(tmp_path, installed_environment):
    (tmp_path / "train.py").write_text(TRAIN)
    done = subprocess.run(
        [*RUN, "--standalone", "--nproc_per_node=2", "--max_restarts=1", "train.py", "kill"],
        cwd=tmp_path, env=environment(installed_environment), capture_output=True, text=True,
        timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    # Both were started again, from the checkpoint after the third step.
    assert finished(done) == ["rank 0 from step 3", "rank 1 from step 3"], done.stderr


def namespaces():
    """How to run a shell in a network namespace of its own, or None where that is forbidden."""
    if any(shutil.which(tool) is None for tool in ("unshare", "nsenter", "ip")):
        return None
    for flags in (["--net"], ["--user", "--map-root-user", "--net"]):
        command = ["unshare", *flags, "sh", "-c", TWO_HOSTS, "sh"]
        if subprocess.run([*command, "try"], capture_output=True, timeout=60).returncode == 0:
            return command
    return None


def test_two_hosts(tmp_path, installed_environment):
    command = namespaces()
    if command is None:
        pytest.skip("this machine does not let a process make network namespaces")
    (tmp_path / "train.py").write_text(TRAIN)
    done = subprocess.run(
        [*command, *RUN, "--nnodes=2", "--nproc_per_node=2", "--master_addr=10.77.0.1",
         "--master_port=29511"],
        cwd=tmp_path, env=environment(installed_environment), capture_output=True, text=True,
        timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert finished(done) == [f"rank {r} from step 0" for r in range(4)], done.stderr
