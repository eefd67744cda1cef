"""A rank that dies or is late: a named error in bounded time, never a hang."""

import time

INIT = '"cpu:gloo,trn:trnccl", timeout=datetime.timedelta(seconds=4)'


def test_a_rank_that_dies(fresh_ranks):
    begin = time.monotonic()
    out = fresh_ranks("""
x = torch.ones(8, device=device)
dist.all_reduce(x)
x.sum().item()
if rank == 1:
    os.kill(os.getpid(), 9)
try:
    for _ in range(3):
        dist.all_reduce(x)
    x.sum().item()
except dist.DistBackendError as error:
    assert "rank 0 of 2" in str(error) and "ALLREDUCE" in str(error), error
    print("named error")
    sys.exit(5)
""", init=INIT, codes=[5, -9])
    assert "named error" in out[0]
    assert time.monotonic() - begin < 60


def test_a_rank_that_is_late(fresh_ranks):
    out = fresh_ranks("""
import time
x = torch.ones(8, device=device)
dist.all_reduce(x)
x.sum().item()
if rank == 1:
    time.sleep(12)
    sys.exit(0)
begin = time.monotonic()
dist.all_reduce(x)
try:
    x.sum().item()
except dist.DistBackendError as error:
    assert time.monotonic() - begin < 10
    print("named error")
    os._exit(5)
""", init=INIT, codes=[5, 0])
    assert "named error" in out[0]


def test_a_barrier_with_a_dead_rank(fresh_ranks):
    out = fresh_ranks("""
dist.barrier()
if rank == 1:
    os._exit(3)
try:
    dist.barrier()
except dist.DistBackendError as error:
    print("named error")
    sys.exit(5)
""", init=INIT.replace("cpu:gloo,trn:", ""), codes=[5, 3])
    assert "named error" in out[0]


def test_exit_with_unmatched_work(fresh_ranks):
    begin = time.monotonic()
    fresh_ranks("""
x = torch.ones(8, device=device)
dist.all_reduce(x)
x.sum().item()
if rank == 0:
    dist.all_reduce(x, async_op=True)     # rank 1 never comes
    print("leaving")
    sys.exit(0)
torch.trn.synchronize()
import time; time.sleep(2); sys.exit(0)
""", init='"cpu:gloo,trn:trnccl"')
    assert time.monotonic() - begin < 90
