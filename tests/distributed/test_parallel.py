"""DDP, FSDP, DTensor and checkpoints: the same losses as one process has."""

import pytest

# Each rank trains on its slice of the batch; `reference` trains on all of it on the CPU.
MODEL = """
from torch import nn
import torch.nn.functional as F
def build():
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.LayerNorm(32), nn.Linear(32, 32),
                         nn.ReLU(), nn.Linear(32, 4))
torch.manual_seed(1)
data = [(torch.randn(8, 16), torch.randn(8, 4)) for _ in range(5)]
def reference(make_optimizer, steps=data):
    model = build()
    optimizer, losses = make_optimizer(model.parameters()), []
    for x, y in steps:
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, losses
def mine(t):
    n = t.size(0) // size
    return t[rank * n:(rank + 1) * n].to(device)
def train(model, optimizer, steps=data):
    losses = []
    for x, y in steps:
        optimizer.zero_grad()
        loss = F.mse_loss(model(mine(x)), mine(y))
        loss.backward()
        optimizer.step()
        mean = loss.detach().clone()
        dist.all_reduce(mean, dist.ReduceOp.AVG)
        losses.append(mean.item())
    return losses
adam = lambda p: torch.optim.AdamW(p, lr=0.01)
sgd = lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9)
near = dict(rtol=2e-4, atol=2e-5)
"""

DDP = MODEL + """
from torch.nn.parallel import DistributedDataParallel as DDP
for options in ({}, {"static_graph": True}, {"gradient_as_bucket_view": True},
                {"bucket_cap_mb": 0.001}, {"find_unused_parameters": True}):
    expected, losses = reference(adam)
    model = DDP(build().to(device), device_ids=[device.index], **options)
    close(train(model, adam(model.parameters())), losses, **near)
    for p, q in zip(model.module.parameters(), expected.parameters()):
        close(p.detach(), q.detach(), rtol=1e-3, atol=1e-4)
# no_sync accumulates
model, plain = DDP(build().to(device)), build()
with model.no_sync():
    F.mse_loss(model(mine(data[0][0])), mine(data[0][1])).backward()
F.mse_loss(model(mine(data[1][0])), mine(data[1][1])).backward()
for x, y in data[:2]:
    F.mse_loss(plain(x), y).backward()
for p, q in zip(model.parameters(), plain.parameters()):
    close(p.grad, q.grad, **near)
# iterations are measured with the device's events
model = DDP(build().to(device))
train(model, sgd(model.parameters()))
measured = model._get_ddp_logging_data()
for part in ("forward_compute", "backward_compute", "backward_comm"):
    assert measured[f"avg_{part}_time"] > 0, (part, measured)
# communication hooks; DDP takes PyTorch's own one for bfloat16 only with NCCL, by its name
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
def in_bfloat16(state, bucket):
    return default_hooks.bf16_compress_hook(state, bucket)
for hook in (default_hooks.allreduce_hook, in_bfloat16, default_hooks.fp16_compress_hook):
    model = DDP(build().to(device))
    model.register_comm_hook(None, hook)
    close(train(model, sgd(model.parameters())), reference(sgd)[1], rtol=0.05, atol=0.02)
from torch.distributed.algorithms.ddp_comm_hooks import quantization_hooks
for hook in (quantization_hooks.quantization_pertensor_hook,
             quantization_hooks.quantization_perchannel_hook):
    model = DDP(build().to(device))
    model.register_comm_hook(dist.group.WORLD, hook)
    close(train(model, sgd(model.parameters())), reference(sgd)[1], rtol=0.05, atol=0.02)
"""

FSDP1 = MODEL + """
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP
from torch.distributed.fsdp import ShardingStrategy, StateDictType
from torch.distributed.fsdp.wrap import ModuleWrapPolicy
for strategy in (ShardingStrategy.FULL_SHARD, ShardingStrategy.SHARD_GRAD_OP,
                 ShardingStrategy.NO_SHARD):
    for original in (False, True):
        model = FSDP(build().to(device), sharding_strategy=strategy, use_orig_params=original,
                     auto_wrap_policy=ModuleWrapPolicy({nn.Linear}), device_id=device)
        expected, losses = reference(adam)
        close(train(model, adam(model.parameters())), losses, **near)
        with FSDP.state_dict_type(model, StateDictType.FULL_STATE_DICT):
            for name, value in model.state_dict().items():
                close(value, expected.state_dict()[name], rtol=1e-3, atol=1e-4)
# gradients on the host, scaled there by numbers that come from the device
from torch.distributed.fsdp import CPUOffload
from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler
model = FSDP(build().to(device), cpu_offload=CPUOffload(True), device_id=device)
optimizer, scaler = sgd(model.parameters()), ShardedGradScaler(device="trn")
for (x, y), expected in zip(data, reference(sgd)[1]):
    optimizer.zero_grad()
    loss = F.mse_loss(model(mine(x)), mine(y))
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    loss = loss.detach()
    dist.all_reduce(loss, dist.ReduceOp.AVG)
    close(loss, torch.tensor(expected), **near)
"""

FSDP2 = MODEL + """
from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, fully_shard
from torch.distributed.device_mesh import init_device_mesh
mesh = init_device_mesh("trn", (size,))
def shard(model, **options):
    for layer in model:
        if isinstance(layer, nn.Linear):
            fully_shard(layer, mesh=mesh, **options)
    return fully_shard(model, mesh=mesh, **options)
model = shard(build().to(device))
expected, losses = reference(adam)
close(train(model, adam(model.parameters())), losses, **near)
for p, q in zip(model.parameters(), expected.parameters()):
    close(p.full_tensor().detach(), q.detach(), rtol=1e-3, atol=1e-4)
# from the meta device
with torch.device("meta"):
    empty = nn.Sequential(*[type(l)(*a) for l, a in zip(build(), (
        (16, 32), (), (32,), (32, 32), (), (32, 4)))])
empty = shard(empty)
empty.to_empty(device=device)
from torch.distributed.checkpoint.state_dict import (StateDictOptions, get_model_state_dict,
                                                     set_model_state_dict)
set_model_state_dict(empty, build().state_dict(), options=StateDictOptions(full_state_dict=True))
close(train(empty, adam(empty.parameters())), losses, **near)
# mixed precision
model = shard(build().to(device),
              mp_policy=MixedPrecisionPolicy(param_dtype=torch.bfloat16,
                                             reduce_dtype=torch.float32))
low = []
optimizer = sgd(model.parameters())
for x, y in data:
    optimizer.zero_grad()
    loss = F.mse_loss(model(mine(x)).float(), mine(y))
    loss.backward()
    optimizer.step()
    dist.all_reduce(loss.detach(), dist.ReduceOp.AVG)
    low.append(loss.item())
close(low, reference(sgd)[1], rtol=0.05, atol=0.05)
# parameters on the host between steps
model = shard(build(), offload_policy=CPUOffloadPolicy())
close(train(model, adam(model.parameters())), losses, **near)
"""

DTENSOR = MODEL + """
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor import randn as drandn
from torch.distributed.tensor.parallel import (ColwiseParallel, RowwiseParallel,
                                               parallelize_module)
mesh = init_device_mesh("trn", (size,))
full = torch.arange(8 * size * 3, dtype=torch.float32).reshape(8 * size, 3)
x = distribute_tensor(full.to(device), mesh, [Shard(0)])
close(x.to_local(), full[rank * 8:(rank + 1) * 8])
close((x * 2 + 1).sum().full_tensor(), (full * 2 + 1).sum())
close(x.redistribute(mesh, [Replicate()]).to_local(), full)
close(x.redistribute(mesh, [Shard(1)]).full_tensor(), full)
close((x.t() @ x).full_tensor(), full.t() @ full)
torch.manual_seed(3)
close(drandn(4 * size, 2, device_mesh=mesh, placements=[Shard(0)]).full_tensor().shape,
      (4 * size, 2))
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.up, self.down = nn.Linear(16, 32), nn.Linear(32, 4)
    def forward(self, x):
        return self.down(F.gelu(self.up(x)))
plain, model = Block(), Block().to(device)
parallelize_module(model, mesh, {"up": ColwiseParallel(), "down": RowwiseParallel()})
a, b = sgd(plain.parameters()), sgd(model.parameters())
for x, y in data:
    one, other = F.mse_loss(plain(x), y), F.mse_loss(model(x.to(device)), y.to(device))
    close(other.detach(), one.detach(), **near)
    for loss, optimizer in ((one, a), (other, b)):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
# attention by heads and by batch, with a mask that all share
torch.manual_seed(6)
shape = (4, 4, 6, 8)
factors = [torch.randn(shape) for _ in range(3)] + [torch.randn(1, 1, 6, 6)]
for mask in (False, True):
    for way in (Shard(1), Shard(0)):
        many = factors[:4 if mask else 3]
        whole = [t.clone().requires_grad_() for t in many]
        parts = [distribute_tensor(t.to(device), mesh, [way if t.shape[0] > 1 else Replicate()])
                 .requires_grad_() for t in many]
        before = torch.trn.launch_count()
        one, other = F.scaled_dot_product_attention(*whole), F.scaled_dot_product_attention(*parts)
        close(other.placements == (way,), True)
        close(other.full_tensor().detach(), one.detach(), **near)
        one.square().sum().backward()
        other.square().sum().backward()
        close(torch.trn.launch_count() > before, True)
        for a, b in zip(whole, parts, strict=True):
            close(b.grad.full_tensor(), a.grad, **near)
if size == 4:
    both = init_device_mesh("trn", (2, 2), mesh_dim_names=("data", "model"))
    y = distribute_tensor(torch.ones(4, 4, device=device), both, [Shard(0), Shard(1)])
    close(y.to_local(), torch.ones(2, 2))
    close(y.sum().full_tensor(), torch.tensor(16.0))
"""

CHECKPOINT = MODEL + """
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.fsdp import fully_shard
def make():
    model = fully_shard(build().to(device))
    return model, adam(model.parameters())
_, losses = reference(adam)
model, optimizer = make()
close(train(model, optimizer, data[:2]), losses[:2], **near)
m, o = get_state_dict(model, optimizer)
dcp.save({"model": m, "optim": o}, checkpoint_id="checkpoint")
model, optimizer = make()
with torch.no_grad():
    for p in model.parameters():
        p.zero_()
m, o = get_state_dict(model, optimizer)
state = {"model": m, "optim": o}
dcp.load(state, checkpoint_id="checkpoint")
set_state_dict(model, optimizer, model_state_dict=state["model"],
               optim_state_dict=state["optim"])
close(train(model, optimizer, data[2:]), losses[2:], **near)
"""

# Each rank has a stage; micro-batches go through by send and receive.
PIPELINE = MODEL + """
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe
def stages():
    torch.manual_seed(7)
    return [nn.Sequential(nn.Linear(16, 16), nn.GELU()) for _ in range(size)]
for make in (ScheduleGPipe, Schedule1F1B):
    plain = nn.Sequential(*stages())
    module = stages()[rank].to(device)
    schedule = make(PipelineStage(module, rank, size, device), n_microbatches=size,
                    loss_fn=F.mse_loss)
    a, b = sgd(plain.parameters()), sgd(module.parameters())
    for x, _ in data:
        a.zero_grad()
        expected = F.mse_loss(plain(x), torch.ones(8, 16))
        expected.backward()
        a.step()
        b.zero_grad()
        losses = []
        if rank == 0:
            schedule.step(x.to(device))
        elif rank == size - 1:
            schedule.step(target=torch.ones(8, 16, device=device), losses=losses)
            close(torch.stack(losses).mean().detach(), expected.detach(), **near)
        else:
            schedule.step()
        b.step()
    for p, q in zip(module.parameters(), plain[rank].parameters()):
        close(p.detach(), q.detach(), rtol=1e-3, atol=1e-4)
"""


# Ranks normalise by the statistics of the whole batch, though their parts differ in size.
SYNC_BATCH_NORM = MODEL + """
def images():
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(),
                         nn.Linear(8 * 36, 4))
plain, batch = images(), torch.randn(4 * size + 2, 3, 8, 8)
for layout in (torch.contiguous_format, torch.channels_last):
    synced = nn.SyncBatchNorm.convert_sync_batchnorm(images()).to(device)
    plain = images()
    whole = batch.contiguous(memory_format=layout)
    first = rank * 4 + (2 if rank else 0)
    part = whole[first:first + (4 if rank else 6)].to(device)
    model = nn.parallel.DistributedDataParallel(synced, device_ids=[device.index])
    for _ in range(3):
        (model(part).square().sum() * size).backward()  # DDP divides by the number of ranks
        plain(whole).square().sum().backward()
    close(synced[1].running_mean, plain[1].running_mean, **near)
    close(synced[1].running_var, plain[1].running_var, **near)
    for p, q in zip(synced.parameters(), plain.parameters()):
        close(p.grad, q.grad, rtol=1e-3, atol=1e-2)
"""


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("code", [DDP, SYNC_BATCH_NORM, FSDP1, FSDP2, DTENSOR, CHECKPOINT,
                                  PIPELINE],
                         ids=["ddp", "sync_batch_norm", "fsdp1", "fsdp2", "dtensor", "checkpoint",
                              "pipeline"])
def test_equals_one_process(ranks, code, size):
    ranks(code, size)
