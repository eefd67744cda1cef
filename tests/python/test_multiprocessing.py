"""Tensors between processes, signals in the middle of queued work, and nothing that leaks."""

import os
import signal
import subprocess
import sys
import time

import pytest

QUEUE = """
from multiprocessing.reduction import ForkingPickler
import torch, torch_trn
import torch.multiprocessing as mp

def child(inbox, outbox):
    while True:
        item = inbox.get()
        if item is None:
            return
        assert item["x"].device.type == "trn"
        outbox.put((item["x"] * 2, item["p"], item["note"]))
        del item

def main():
    context = mp.get_context("spawn")
    inbox, outbox = context.Queue(), context.Queue()
    process = context.Process(target=child, args=(inbox, outbox), daemon=True)
    process.start()
    for i in range(3):
        x = torch.arange(6.0, device=f"trn:{i % 2}").reshape(2, 3).t() + i
        p = torch.nn.Parameter(torch.ones(2, device="trn"))
        inbox.put({"x": x, "p": p, "note": "hello"})
        doubled, parameter, note = outbox.get(timeout=120)
        assert doubled.device == x.device and doubled.shape == x.shape
        assert torch.equal(doubled.cpu(), (x * 2).cpu()) and note == "hello"
        assert isinstance(parameter, torch.nn.Parameter) and parameter.requires_grad
    try:
        ForkingPickler.dumps(p * 2)
    except RuntimeError as error:
        assert "non-leaf" in str(error)
    else:
        raise AssertionError("a non-leaf was sent")
    inbox.put(None)
    process.join(60)
    print("exit", process.exitcode)

if __name__ == "__main__":
    main()
"""


def test_queues(python):
    result = python(QUEUE)
    assert "exit 0" in result.stdout, result.stdout + result.stderr


SHARED = """
import gc, torch, torch_trn
from multiprocessing.reduction import ForkingPickler
import torch.multiprocessing as mp

def child(inbox, outbox):
    whole, row = inbox.get()
    assert whole.untyped_storage().data_ptr() == row.untyped_storage().data_ptr()
    whole.add_(1)
    row.mul_(2)
    back = whole[:, 1:]
    torch.trn.synchronize(whole.device)
    outbox.put(back)
    mine = torch.full((3,), 7.0, device="trn").conj()
    outbox.put((mine, torch.ones(3, dtype=torch.complex64, device="trn").mul(1j).conj()))
    del whole, row, back, mine
    inbox.get()

def main():
    context = mp.get_context("spawn")
    inbox, outbox = context.Queue(), context.Queue()
    process = context.Process(target=child, args=(inbox, outbox), daemon=True)
    process.start()
    before = torch.trn.mem_get_info(1)[0]
    x = torch.arange(6.0, device="trn:1").view(2, 3)
    inbox.put((x, x[1]))
    back = outbox.get(timeout=120)
    assert x.tolist() == [[1, 2, 3], [8, 10, 12]], x
    assert back.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
    x.zero_()
    assert back.tolist() == [[0, 0], [0, 0]]
    mine, conjugated = outbox.get(timeout=120)
    assert mine.tolist() == [7, 7, 7]
    assert conjugated.is_conj() and conjugated.tolist() == [-1j] * 3
    inbox.put(None)
    process.join(60)
    assert mine.tolist() == [7, 7, 7]  # its process is gone, the bytes are not
    del x, back
    gc.collect()
    torch.trn.empty_cache()
    assert torch.trn.mem_get_info(1)[0] == before, (torch.trn.mem_get_info(1), before)

    still = torch.ones(4, device="trn")
    graph, stream = torch.trn.TRNGraph(), torch.trn.Stream()
    stream.wait_stream(torch.trn.current_stream())
    with torch.trn.graph(graph, stream=stream):
        still.add_(1)
    try:
        ForkingPickler.dumps(still)
    except RuntimeError as error:
        assert "captured graph" in str(error)
    else:
        raise AssertionError("a graph's memory moved")
    graph.reset()
    print("exit", process.exitcode)

if __name__ == "__main__":
    main()
"""


def test_both_processes_hold_the_same_memory(python):
    result = python(SHARED)
    assert "exit 0" in result.stdout, result.stdout + result.stderr


# A shell's background jobs ignore SIGINT, and their children with them.
BUSY = """
import os, signal, sys, torch, torch_trn
signal.signal(signal.SIGINT, signal.default_int_handler)
x = torch.randn(256, 256, device="trn")
print("ready", flush=True)
for i in range(1 << 30):
    x = x @ x
    {each}
"""


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_process(which, tmp_path):
    (tmp_path / "busy.py").write_text(BUSY.format(each=""))
    process = subprocess.Popen([sys.executable, "busy.py"], cwd=tmp_path, text=True,
                               env={**os.environ, "TRN_DEVICES": "1"},
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.2)
        process.send_signal(which)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    if which == signal.SIGINT:
        assert "KeyboardInterrupt" in err and process.returncode in (1, 130, -signal.SIGINT)
    else:
        assert process.returncode == -signal.SIGTERM
    for bad in ("terminate called", "Segmentation", "Aborted"):
        assert bad not in err


def test_exit_in_the_middle(python):
    result = python(BUSY.format(each="if i == 200: sys.exit(4)"))
    assert result.returncode == 4, result.stderr
    result = python(BUSY.format(each="if i == 200: raise ValueError('mine')"))
    assert result.returncode == 1 and "mine" in result.stderr
    assert "terminate" not in result.stderr


LEAK = """
import os, sys, torch, torch_trn
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Dropout(0.1), torch.nn.ReLU(),
                            torch.nn.Linear(16, 4)).to("trn")
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
side = torch.trn.Stream()
steps = int(os.environ["STEPS"])
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
def step():
    x, y = torch.randn(4, 8).to("trn"), torch.randint(4, (4,)).to("trn")
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    with torch.trn.stream(side):
        side.wait_stream(torch.trn.default_stream())
        z = x * 2
    z.record_stream(torch.trn.default_stream())
    return loss.item()
for _ in range(300):
    step()
first, allocated = resident(), torch.trn.memory_allocated()
for i in range(steps):
    step()
    if steps > 10000 and (i + 1) % (steps // 10) == 0:
        print(i + 1, resident() - first, flush=True)
print("grown", resident() - first, torch.trn.memory_allocated() - allocated)
"""


def test_many_steps_leak_nothing(python):
    result = python(LEAK, env={"STEPS": os.environ.get("TRN_LEAK_STEPS", "1500")}, timeout=3000)
    assert "grown" in result.stdout, result.stderr
    _, resident, allocated = result.stdout.strip().splitlines()[-1].split()
    assert int(allocated) == 0
    assert int(resident) < 8 << 20, result.stdout
