"""The end of Python waits for the threads that may still drop its objects."""

import subprocess
import sys

import torch
from torch_trn import at_exit

PROGRAM = """
import torch, torch_trn
x = torch.ones(3, device="trn", requires_grad=True)
x.sum().backward()
"""


def test_settling_lends_autograd_no_object_of_python(monkeypatch):
    torch.ones(3, device="trn", requires_grad=True).sum().backward()
    assert at_exit._has_autograd_threads()
    lent = []
    stash = torch._C._stash_obj_in_tls
    monkeypatch.setattr(torch._C, "_stash_obj_in_tls",
                        lambda name, thing: (lent.append(name), stash(name, thing)))
    at_exit.synchronise()
    assert lent == []
    torch.ones(3, device="trn", requires_grad=True).sum().backward()
    assert lent == ["context"]  # what torch.autograd.backward lends, and this test looks for


def test_programs_that_end_after_a_backward_end_well():
    # More of them than cores: the thread of autograd is late then.
    programs = [subprocess.Popen([sys.executable, "-c", PROGRAM], stderr=subprocess.PIPE, text=True)
                for _ in range(6)]
    ended = [(program.communicate()[1], program.returncode) for program in programs]
    assert [code for _, code in ended] == [0] * 6, ended
