"""Every collective, every reduction, several types, with 2 and 4 ranks."""

import pytest

REDUCE = """
ops = dist.ReduceOp
def values(r, dtype):
    base = torch.tensor([3, 5, 6, 1, 2, 7]) * (r + 1) % 8
    return base.to(dtype)
def expect(op, dtype):
    stack = torch.stack([values(r, torch.int64 if dtype != torch.bool else dtype)
                         for r in range(size)])
    if dtype == torch.bool:
        return {ops.SUM: stack.any(0), ops.MAX: stack.any(0), ops.MIN: stack.all(0),
                ops.PRODUCT: stack.all(0)}[op]
    if op == ops.SUM: return stack.sum(0)
    if op == ops.PRODUCT: return stack.prod(0)
    if op == ops.MIN: return stack.amin(0)
    if op == ops.MAX: return stack.amax(0)
    out = stack[0]
    for row in stack[1:]:
        out = {ops.BAND: out & row, ops.BOR: out | row, ops.BXOR: out ^ row}[op]
    return out
for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int8,
              torch.uint8, torch.int32, torch.int64, torch.bool):
    wanted = [ops.SUM, ops.PRODUCT, ops.MIN, ops.MAX]
    if not dtype.is_floating_point and dtype != torch.bool:
        wanted += [ops.BAND, ops.BOR, ops.BXOR]
    for op in wanted:
        if op == ops.PRODUCT and dtype == torch.int8:
            continue  # it overflows
        x = values(rank, dtype).to(device)
        dist.all_reduce(x, op)
        close(x, expect(op, dtype).to(dtype))
        if dtype == torch.bool:
            continue
        y = values(rank, dtype).to(device)
        dist.reduce(y, size - 1, op)
        close(y, expect(op, dtype).to(dtype) if rank == size - 1 else values(rank, dtype))
        part = torch.empty(6, dtype=dtype, device=device)
        dist.reduce_scatter(part, [values(rank, dtype).to(device) for _ in range(size)], op)
        close(part, expect(op, dtype).to(dtype))
        whole = values(rank, dtype).repeat(size).to(device)
        dist.reduce_scatter_tensor(part, whole, op)
        close(part, expect(op, dtype).to(dtype))
x = torch.full((3,), float(rank), device=device)
dist.all_reduce(x, ops.AVG)
close(x, torch.full((3,), (size - 1) / 2))
x = torch.full((3,), float(rank), device=device)
dist.all_reduce(x, dist._make_nccl_premul_sum(0.5))
close(x, torch.full((3,), size * (size - 1) / 4))
z = torch.complex(torch.ones(4), torch.full((4,), float(rank))).to(device)
dist.all_reduce(z)
close(z, torch.complex(torch.full((4,), float(size)), torch.full((4,), size * (size - 1) / 2)))
many = [torch.full((n,), float(rank), device=device) for n in (1, 4, 9)]
dist.all_reduce_coalesced(many)
for t in many:
    close(t, torch.full_like(t, size * (size - 1) / 2))
"""

MOVE = """
for dtype in (torch.float32, torch.bfloat16, torch.int16, torch.bool, torch.complex64,
              torch.float8_e5m2, torch.int64):
    def make(n):
        return (torch.arange(6).reshape(2, 3) + n).to(torch.float32).to(dtype)
    same = lambda a, b: close(a.cpu().to(torch.complex64), b.cpu().to(torch.complex64))
    x = make(rank).to(device)
    dist.broadcast(x, 1)
    same(x, make(1))
    out = [torch.empty(2, 3, dtype=dtype, device=device) for _ in range(size)]
    dist.all_gather(out, make(rank).to(device))
    for r in range(size): same(out[r], make(r))
    whole = torch.empty(2 * size, 3, dtype=dtype, device=device)
    dist.all_gather_into_tensor(whole, make(rank).to(device))
    for r in range(size): same(whole[2 * r:2 * r + 2], make(r))
    out = [torch.empty(2, 3, dtype=dtype, device=device) for _ in range(size)]
    dist.gather(make(rank).to(device), out if rank == 1 else None, 1)
    if rank == 1:
        for r in range(size): same(out[r], make(r))
    x = torch.empty(2, 3, dtype=dtype, device=device)
    dist.scatter(x, [make(10 + r).to(device) for r in range(size)] if rank == 0 else None, 0)
    same(x, make(10 + rank))
    out = torch.empty(size, 3, dtype=dtype, device=device)
    dist.all_to_all_single(out, torch.stack([make(rank)[0]] * size).to(device))
    for r in range(size): same(out[r], make(r)[0])
    out = [torch.empty(r + 1, 3, dtype=dtype, device=device) for r in range(size)]
    dist.all_to_all(out, [make(rank)[:1].expand(rank + 1, 3).contiguous().to(device)] * size)
    for r in range(size): same(out[r], make(r)[:1].expand(r + 1, 3))
    # uneven pieces
    mine = torch.cat([make(rank)[:1]] * sum(range(1, size + 1))).to(device)
    counts = list(range(1, size + 1))
    out = torch.empty((rank + 1) * size, 3, dtype=dtype, device=device)
    dist.all_to_all_single(out, mine, [rank + 1] * size, counts)
    same(out[:1], make(0)[:1])
    same(out[-1:], make(size - 1)[:1])
    # point to point, and the ring that would deadlock if sends waited
    x = torch.empty(2, 3, dtype=dtype, device=device)
    ops = [dist.P2POp(dist.isend, make(rank).to(device), (rank + 1) % size),
           dist.P2POp(dist.irecv, x, (rank - 1) % size)]
    for work in dist.batch_isend_irecv(ops):
        work.wait()
    same(x, make((rank - 1) % size))
    if rank == 0:
        dist.send(make(5).to(device), 1)
    elif rank == 1:
        dist.recv(x, 0)
        same(x, make(5))
if rank == 0:
    x = torch.empty(2, device=device)
    assert sorted(dist.recv(x) for _ in range(size - 1)) == list(range(1, size))
else:
    dist.send(torch.ones(2, device=device), 0)
things = [None] * size
dist.all_gather_object(things, {"rank": rank})
assert things == [{"rank": r} for r in range(size)]
dist.barrier()
with dist._coalescing_manager(device=device, async_ops=True) as cm:
    a, b = torch.ones(3, device=device), torch.ones(5, device=device)
    dist.all_reduce(a)
    dist.all_reduce(b)
cm.wait()
assert a.sum().item() == 3 * size and b.sum().item() == 5 * size
"""

ORDER = """
# A work does not wait on the host, orders streams, and its result may be used at once.
store = dist.distributed_c10d._get_default_store()
x = torch.ones(1000, device=device)
torch.trn.synchronize()
if rank == 1:
    store.wait(["rank 0 has queued all"])
work = dist.all_reduce(x, async_op=True)
work.wait()
y = x * 2
if rank == 0:
    assert not work.is_completed()
    assert not torch.trn.current_stream().query()
    store.set("rank 0 has queued all", "")
assert y.sum().item() == 2000 * size
assert work.is_completed() and work.is_success()
# a chain of collectives, each on the result of the one before, from two streams in turn
streams = [torch.trn.current_stream(), torch.trn.Stream()]
z = torch.ones(10, device=device)
for i in range(50):
    streams[i % 2].wait_stream(streams[1 - i % 2])
    with torch.trn.stream(streams[i % 2]):
        dist.all_reduce(z)
        z.div_(size)
streams[0].wait_stream(streams[1])
assert z.sum().item() == 10
works = [dist.all_reduce(torch.full((4,), float(i), device=device), async_op=True)
         for i in range(20)]
for i, work in enumerate(works):
    (out,) = work.get_future().wait()
    close(out, torch.full((4,), float(i * size)))
parts = [torch.zeros(3, device=device) for _ in range(size)]
gathered = dist.all_gather(parts, torch.full((3,), float(rank), device=device), async_op=True)
(whole,) = gathered.get_future().wait()  # one tensor, as NCCL's
close(whole, torch.arange(size, dtype=torch.float32)[:, None].expand(size, 3))
close(torch.stack(parts), whole)
future = dist.all_reduce(torch.ones(2, device=device), async_op=True).get_future()
doubled = future.then(lambda f: f.value()[0] * 2).wait()
close(doubled, torch.full((2,), 2.0 * size))
half = dist.new_group([0, 1])
if rank < 2:
    x = torch.ones(3, device=device)
    dist.all_reduce(x, group=half)
    assert x.tolist() == [2, 2, 2]
"""


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("code", [REDUCE, MOVE, ORDER], ids=["reduce", "move", "order"])
def test_collectives(ranks, code, size):
    ranks(code, size)


# DTensor calls operators under Python's lock. The queue fills up behind the second collective, and
# the end of the first drops the last reference of a tensor that Python knew.
FULL_QUEUE = """
import time
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, distribute_tensor
mesh = init_device_mesh("trn", (size,))
x = distribute_tensor(torch.zeros(4, device=device), mesh, [Replicate()])
t = torch.full((4,), float(rank), device=device)
torch._foreach_div_([x] * 50, [1.0] * 50)
if rank:
    time.sleep(2)
dist.all_reduce(t, async_op=True)
del t
t = torch.full((4,), float(rank), device=device)
dist.all_reduce(t, async_op=True).wait()
x.to_local().add_(t)
before = torch.trn.launch_count()
for _ in range(400):
    torch._foreach_div_([x] * 50, [1.0] * 50)
assert torch.trn.launch_count() - before > 10000
close(x.to_local(), torch.full((4,), size * (size - 1) / 2))
"""


def test_a_full_queue_leaves_python_to_others(fresh_ranks):
    fresh_ranks(FULL_QUEUE, timeout=60)


def test_the_default_backend(ranks):
    # As with CUDA: without a name it is the accelerator's alone.
    ranks("x = torch.ones(2, device=device); dist.all_reduce(x); assert x.sum().item() == 4\n"
          "assert dist.distributed_c10d._get_default_group()._get_backend(device).name() == "
          "'trnccl'", init="")


def test_wrong_arguments(ranks):
    ranks("""
for bad, kind in ((lambda: dist.all_gather_into_tensor(
                       torch.empty(3, device=device), torch.empty(3, device=device)), "size"),
                  (lambda: dist.all_reduce(torch.ones(2, device=device, dtype=torch.bool),
                                           dist.ReduceOp.AVG), "Bool")):
    try:
        bad()
    except (RuntimeError, ValueError, TypeError) as error:
        assert kind in str(error), error
    else:
        raise AssertionError("no error")
x = torch.ones(2, device=device)
dist.all_reduce(x)
assert x.sum().item() == 4
""")
