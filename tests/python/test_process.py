"""Forks, workers, exits: what happens to a device beyond one process."""

import sys

WORKERS = """
import torch, torch_trn

class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 64
    def __getitem__(self, i):
        return torch.full((4,), float(i))

def main():
    torch.zeros(1).to("trn")          # the parent's device is open before it forks
    loader = torch.utils.data.DataLoader(Numbers(), batch_size=8, num_workers=2, pin_memory=True,
                                         multiprocessing_context={context!r})
    total = torch.zeros(())
    for batch in loader:
        assert batch.is_pinned()
        total += batch.to("trn", non_blocking=True).cpu().sum()
    print("total", total.item())

if __name__ == "__main__":
    main()
"""


def test_loader_workers_fork(python):
    result = python(WORKERS.format(context="fork"))
    assert "total 8064.0" in result.stdout, result.stderr


def test_loader_workers_spawn(python):
    result = python(WORKERS.format(context="spawn"))
    assert "total 8064.0" in result.stdout, result.stderr


FORK = """
import os, torch, torch_trn
{before}
child = os.fork()
if child == 0:
    code = 0
    try:
        torch.manual_seed(3)           # seeding is allowed
        value = torch.zeros(2).to("trn").cpu().sum().item()
        code = 0 if value == 0 else 3
    except RuntimeError as error:
        code = 7 if "Cannot re-initialize TRN in forked subprocess" in str(error) else 4
    os._exit(code)
_, status = os.waitpid(child, 0)
print("child", os.waitstatus_to_exitcode(status))
print("parent", torch.zeros(2).to("trn").cpu().sum().item())
"""


def test_use_after_fork_is_refused_in_words(python):
    result = python(FORK.format(before="x = torch.ones(3).to('trn')"))
    assert "child 7" in result.stdout and "parent 0.0" in result.stdout, result.stderr


def test_fork_before_first_use_is_fine(python):
    result = python(FORK.format(before=""))
    assert "child 0" in result.stdout and "parent 0.0" in result.stdout, result.stderr


def test_bad_fork_flag(python):
    result = python("""
import multiprocessing, torch, torch_trn
def child():
    assert torch.trn._is_in_bad_fork()
torch.ones(1).to("trn")
assert not torch.trn._is_in_bad_fork()
p = multiprocessing.get_context("fork").Process(target=child)
p.start(); p.join()
print("exit", p.exitcode)
""")
    assert "exit 0" in result.stdout, result.stderr


def test_exit_with_queued_work(python):
    for _ in range(3):
        result = python("import torch, torch_trn\n"
                        "x = torch.empty(1 << 24, device='trn')\n"
                        "for _ in range(20): x.copy_(torch.zeros(1 << 24), non_blocking=True)\n")
        assert result.returncode == 0, result.stderr


def test_importing_opens_no_device(python):
    result = python("import torch, torch_trn\nimport threading, os\n"
                    "torch.manual_seed(1); torch.trn.is_available(); torch.trn.device_count()\n"
                    "print(torch.trn.is_initialized(), len(os.listdir('/proc/self/task')))")
    assert sys.platform != "linux" or result.stdout.startswith("False"), result.stderr
