"""Runs a test's program in several processes, as torchrun would.

Starting Python with torch takes longer than most of these programs, so `ranks` keeps a team of
processes for each size and gives it one program after another; `fresh_ranks` starts new ones, for
programs that kill or leave.
"""

import json
import os
import socket
import subprocess
import sys
import threading

import pytest
import torch_trn

HEAD = """
import os, sys, datetime
import torch, torch_trn
import torch.distributed as dist
rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
torch.set_num_threads(1)
torch.trn.set_device(rank % torch.trn.device_count())
device = torch.device("trn", rank % torch.trn.device_count())
launched = torch.trn.launch_count()
def close(a, b, **options):
    torch.testing.assert_close(torch.as_tensor(a).cpu(), torch.as_tensor(b).cpu(), **options)
"""
TAIL = """
assert torch.trn.launch_count() > launched, "the device did not run"
if dist.is_initialized():
    dist.destroy_process_group()
print("done", rank)
"""
INIT = '"cpu:gloo,trn:trnccl"'
WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "worker.py")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def write_program(folder, code, init):
    begin = f"dist.init_process_group({init})\n" if init is not None else ""
    script = folder / "program.py"
    script.write_text(HEAD + begin + code + TAIL)
    return str(script)


def environment(rank, size, port):
    """What torchrun tells a rank."""
    return {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def of_this_process():
    package = os.path.dirname(os.path.dirname(torch_trn.__file__))
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "TRN_FALLBACK": "error",
            "TRN_DEVICES": "4"}


def check(codes, wanted, texts):
    assert codes == wanted, "\n".join(
        f"rank {r} exit {c}:\n{text}"
        for r, (c, text) in enumerate(zip(codes, texts, strict=True)))


class Team:
    """Ranks that stay. What PyTorch keeps between programs (DTensor's random state, say) is the
    same on all, which it would not be if some had sat out a program of fewer ranks."""

    def __init__(self, size):
        self.size, self.workers = size, []

    def start(self):
        while len(self.workers) < self.size:
            self.workers.append(subprocess.Popen(
                [sys.executable, WORKER], text=True, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, env=of_this_process()))

    def stop(self):
        for worker in self.workers:
            worker.kill()
            worker.communicate()
        self.workers = []

    def run(self, folder, script, timeout):
        self.start()
        size = self.size
        port, outputs = free_port(), [folder / f"rank{r}.txt" for r in range(size)]
        # A program that hangs is ended, and then its ranks answer nothing.
        guard = threading.Timer(timeout, lambda: [w.kill() for w in self.workers])
        guard.start()
        try:
            for r, worker in enumerate(self.workers):
                job = {"script": script, "env": environment(r, size, port),
                       "output": str(outputs[r])}
                print(json.dumps(job), file=worker.stdin, flush=True)
            answers = [worker.stdout.readline().strip() for worker in self.workers]
        finally:
            guard.cancel()
        codes = [int(a) if a else "none: it ended or hung" for a in answers]
        texts = [o.read_text() if o.exists() else "" for o in outputs]
        if codes != [0] * size:
            self.stop()
        check(codes, [0] * size, texts)
        return texts


@pytest.fixture(scope="session")
def teams():
    teams = {2: Team(2), 4: Team(4)}
    yield teams
    for team in teams.values():
        team.stop()


@pytest.fixture
def ranks(teams, tmp_path):
    """ranks(code, size, init=...) runs code as `size` ranks; all must end well.

    Returns what they wrote.
    """

    def run(code, size=2, init=INIT, timeout=240):
        return teams[size].run(tmp_path, write_program(tmp_path, code, init), timeout)

    return run


@pytest.fixture
def fresh_ranks(tmp_path):
    """fresh_ranks(code, size, init=..., codes=...): in new processes, which must exit as told."""

    def run(code, size=2, init=INIT, codes=None, timeout=240):
        script, port = write_program(tmp_path, code, init), free_port()
        processes = [
            subprocess.Popen([sys.executable, script], text=True, cwd=tmp_path,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             env={**of_this_process(), **environment(r, size, port)})
            for r in range(size)
        ]
        try:
            texts = [p.communicate(timeout=timeout)[0] for p in processes]
        finally:
            for p in processes:
                p.kill()
        check([p.returncode for p in processes], codes or [0] * size, texts)
        return texts

    return run
