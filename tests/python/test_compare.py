"""torch-trn compare finds a kernel broken on purpose, and nothing where nothing is wrong."""

import subprocess
import sys

import pytest
import torch
from torch_trn.cli.compare import write_repro
from torch_trn.cli.shadow import Difference, examine, judge

MODEL = """
import torch
{broken}
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.LayerNorm(16),
                            torch.nn.Linear(16, 4)).cuda()
torch.nn.init.normal_(model[0].weight.data, 0.0, 0.3)  # a Parameter is no other subclass
x = torch.randn(32, 8, device="cuda")
for _ in range(2):
    loss = torch.nn.functional.cross_entropy(model(x), torch.arange(32, device="cuda") % 4)
    loss.backward()
    x.requires_grad_()
    slope, = torch.autograd.grad(model(x).sum(), x, create_graph=True)  # of a leaf
    slope.square().sum().backward()
print("loss", loss.item())
"""

FORWARD = """
library = torch.library.Library("aten", "IMPL")
library.impl("gelu", lambda x, approximate="none": torch.tanh(x), "CUDA")
"""
BACKWARD = """
library = torch.library.Library("aten", "IMPL")
library.impl("gelu_backward", lambda g, x, approximate="none": g * 1.01, "CUDA")
"""


@pytest.fixture
def compare(python, tmp_path):
    def run(broken, *options):
        path = tmp_path / "model.py"
        path.write_text(MODEL.format(broken=broken))
        return python("import sys\nfrom torch_trn.cli.main import main\n"
                      f"sys.exit(main(['compare', *{options!r}, {str(path)!r}]))\n")

    return run


@pytest.fixture
def compare_text(torch_trn_command, script):
    def run(text, *options):
        return torch_trn_command("compare", *options, script(text))

    return run


def test_a_module(python, tmp_path):
    (tmp_path / "named.py").write_text(MODEL.format(broken=""))
    for name, code in (("named", 0), ("unnamed", 2)):
        result = python(f"import os, sys\nos.chdir({str(tmp_path)!r})\n"
                        "from torch_trn.cli.main import main\n"
                        f"sys.exit(main(['compare', '-m', {name!r}]))\n")
        assert result.returncode == code, result.stderr
        assert ("none differs" if code == 0 else "there is no module unnamed") in result.stderr


def test_nothing_wrong(compare):
    result = compare("")
    assert result.returncode == 0, result.stderr
    assert "none differs" in result.stderr and "loss" in result.stdout


@pytest.mark.parametrize("broken, operator, way", [
    (FORWARD, "aten.gelu.default", "forward"), (BACKWARD, "aten.gelu_backward", "backward")])
def test_a_broken_kernel_is_found(compare, tmp_path, broken, operator, way):
    result = compare(broken)
    assert result.returncode == 1, result.stderr
    first = next(line for line in result.stderr.splitlines() if line.startswith("torch-trn comp"))
    assert operator in first and way in first and "times the error" in first
    if way == "forward":
        assert "in module Sequential.1" in first and "model.py:" in first
    # The repro runs the operator alone; here the library's own kernel, which is right.
    repro = subprocess.run([sys.executable, "repro.py"], cwd=tmp_path, capture_output=True,
                           text=True)
    assert repro.returncode == 0 and "within its type's rounding" in repro.stdout, repro.stderr


def test_a_repro_of_numbers_beside_tensors(tmp_path):
    path = tmp_path / "repro.py"
    args = (torch.randn(1000), 5, -1, True, True)
    topk = torch.ops.aten.topk.default
    write_repro(Difference(topk, "", False, 0, 1.0, 0.5, args, {}), str(path))
    repro = subprocess.run([sys.executable, str(path)], capture_output=True, text=True)
    assert repro.returncode == 0 and "within its type's rounding" in repro.stdout, repro.stderr


def test_judge():
    x = torch.randn(100, dtype=torch.float64)
    plain = x.float()
    assert judge(plain, plain, x) is None
    wrong = plain.clone()
    wrong[7] += 1e-3
    error, explained, _ = judge(wrong, plain, x)
    assert error == pytest.approx(1e-3, rel=1e-2) and explained < 1e-5
    assert judge(torch.tensor([1, 2]), torch.tensor([1, 2]), torch.tensor([1, 2])) is None
    assert judge(torch.tensor([1, 3]), torch.tensor([1, 2]), torch.tensor([1, 2]))[0] == 1
    nan = torch.tensor([float("nan"), float("inf")])
    assert judge(nan, nan, nan.double()) is None
    assert judge(torch.tensor([0.0]), torch.tensor([float("nan")]),
                 torch.tensor([float("nan")]).double())


def _examined(operator, args, off):
    """What examine says of the exact result, off by so much."""
    exact = operator(*(a.double() if isinstance(a, torch.Tensor) else a for a in args))
    return list(examine(operator, args, {}, [(exact + off).float().to("trn")]))


def test_rounding_of_what_is_added_up():
    x = torch.randn(4096, generator=torch.Generator().manual_seed(0))
    x -= x.double().mean().float()  # large terms that cancel: rounding of them is all that is left
    mean = torch.ops.aten.mean.default
    assert not _examined(mean, (x,), 5e-9) and _examined(mean, (x,), 1e-6)
    a, b = torch.ones(4, 2048), torch.rand(2048, 4)
    mm = torch.ops.aten.mm.default
    assert not _examined(mm, (a, b), 3e-3) and _examined(mm, (a, b), 1e-1)
    assert _examined(torch.ops.aten.exp.default, (torch.zeros(4096),), 2e-6)


NESTED = """
import torch
{broken}
torch.manual_seed(0)
x = torch.nested.nested_tensor([torch.randn(n, 8) for n in (3, 5)], layout=torch.jagged,
                               device="cuda")
layer = torch.nn.Linear(8, 8).cuda()
print(torch.nn.functional.gelu(layer(x)).values().sum().item())
"""


@pytest.mark.parametrize("broken", ["", FORWARD])
def test_tensors_of_a_subclass(python, tmp_path, broken):
    path = tmp_path / "nested.py"
    path.write_text(NESTED.format(broken=broken))
    result = python("import sys\nfrom torch_trn.cli.main import main\n"
                    f"sys.exit(main(['compare', {str(path)!r}]))\n")
    assert result.returncode == bool(broken), result.stderr
    assert ("aten.gelu.default" if broken else "none differs") in result.stderr
    assert " 0 of" not in result.stderr and "Traceback" not in result.stderr


ATTENTION = """
import torch
import torch.nn.functional as F
torch.manual_seed(0)
q = torch.randn(2, 4, 9, 16, device="cuda", requires_grad=True)
k, v = (torch.randn(2, 2, 7, 16, device="cuda", requires_grad=True) for _ in range(2))
bias = torch.randn(1, 4, 9, 7, device="cuda", requires_grad=True)
F.scaled_dot_product_attention(q, k, v, bias, enable_gqa=True).square().sum().backward()
F.scaled_dot_product_attention(q, q, q, is_causal=True).square().sum().backward()
x = torch.randn(2, 4, 8, 8, device="cuda", requires_grad=True)
torch.nn.Conv2d(4, 6, 3, groups=2, device="cuda")(x).square().sum().backward()
torch.nn.ConvTranspose2d(4, 6, 3, device="cuda")(x).square().sum().backward()
"""


def test_the_devices_own_operators_are_checked_both_ways(python, tmp_path):
    path = tmp_path / "attention.py"
    path.write_text(ATTENTION)
    result = python("import sys\nfrom torch_trn.cli.main import main\n"
                    f"sys.exit(main(['compare', {str(path)!r}]))\n")
    assert result.returncode == 0, result.stderr
    assert "none differs" in result.stderr and "not checked" not in result.stderr


MANY_RIGHT = """
import torch
torch.manual_seed(0)
x = torch.randint(0, 3, (1000,), device="cuda")
x.topk(5), x.sort(), x.argsort(), x.mode(), x.kthvalue(7), x.median(0)
x.float().view(10, 100).topk(5, dim=0), x.view(10, 100).mode(0), x.view(10, 100).kthvalue(3, 0)
a = torch.randn(5, 5, device="cuda")
torch.linalg.svd(a), torch.linalg.eigh(a @ a.T), torch.linalg.svd(a[:3])
torch.linalg.svd(a[:3], full_matrices=False), torch.linalg.eig(a)
"""


def test_results_with_more_than_one_right_answer(compare_text):
    result = compare_text(MANY_RIGHT)
    assert result.returncode == 0 and "none differs" in result.stderr, result.stderr


def test_the_index_of_another_element_is_wrong():
    x = torch.tensor([2.0, 1.0, 2.0, 3.0])
    for operator, args, right, wrong in (
            (torch.ops.aten.topk.default, (x, 2), [3, 2], [3, 1]),
            (torch.ops.aten.sort.default, (x,), [1, 2, 0, 3], [1, 2, 2, 3]),
            (torch.ops.aten.kthvalue.default, (x, 2), 2, 1)):
        values = operator(*args)[0].to("trn")
        assert not list(examine(operator, args, {}, [values, torch.tensor(right).to("trn")]))
        found, = examine(operator, args, {}, [values, torch.tensor(wrong).to("trn")])
        assert found[0] == 1


def test_vectors_that_do_not_decompose_are_wrong():
    operator, a = torch.ops.aten._linalg_svd.default, torch.randn(4, 4)
    u, s, vh = (t.to("trn") for t in operator(a))
    assert not list(examine(operator, (a,), {}, [-u, s, -vh]))
    assert list(examine(operator, (a,), {}, [-u, s, vh]))


LENIENT = """
import torch
library = torch.library.Library("aten", "IMPL")
library.impl("mm", lambda a, b: torch.empty(a.size(0), b.size(1), device=a.device), "CUDA")
torch.ones(2, 3, device="cuda") @ torch.ones(4, 5, device="cuda")
"""


def test_what_the_cpu_refuses_is_a_difference(compare_text):
    result = compare_text(LENIENT)
    assert result.returncode == 1, result.stderr
    assert "aten.mm.default (forward): the device runs what the CPU refuses" in result.stderr


OUT_OF_RANGE = """
import torch
torch.nn.Embedding(5, 3).cuda()(torch.tensor([1, 9]).cuda())
"""


def test_an_error_of_the_program_is_the_devices_own(compare_text):
    result = compare_text(OUT_OF_RANGE)
    assert result.returncode == 1 and "index 9 is out of bounds" in result.stderr, result.stderr
    assert "IndexError" not in result.stderr and "shadow.py" not in result.stderr


def test_the_worst_element_keeps_its_sign():
    x = torch.full((3,), -2.0)
    assert judge(-x, x, x.double())[2] == (2.0, -2.0)


ELSEWHERE = """
import subprocess, sys, threading
import torch
code = "import torch; torch.ones(3, device='cuda').exp()"
if sys.argv[1:] == ["thread"]:
    thread = threading.Thread(target=exec, args=(code,))
    thread.start()
    thread.join()
else:
    subprocess.run([sys.executable, "-c", code], check=True)
"""


def test_threads_are_checked_and_processes_named(torch_trn_command, script, installed_environment):
    def run(way):
        return torch_trn_command("compare", script(ELSEWHERE), way, env=installed_environment)

    thread, process = run("thread"), run("process")
    assert thread.returncode == process.returncode == 0, thread.stderr + process.stderr
    assert "1 of 1 operator calls checked; none differs" in thread.stderr
    assert "0 of 0 operator calls checked; nothing is known" in process.stderr
    assert "not checked: what 1 processes did" in process.stderr


@pytest.mark.parametrize("options, words", [
    (("--repro", "user.py"), "user.py is there and is not a repro"),
    (("--repro", "no/such/repro.py"), "cannot be written"), (("--every", "0"), "from 1 on"),
    (("--every", "-2"), "from 1 on")])
def test_what_compare_refuses(compare_text, options, words):
    result = compare_text("print('ran')", *options)
    assert result.returncode == 2 and words in result.stderr and "ran" not in result.stdout


def test_it_can_go_on(compare, tmp_path):
    result = compare(FORWARD + BACKWARD.replace('library = torch', 'other = torch'), "--keep-going")
    assert result.returncode == 1, result.stderr
    rows = result.stderr.partition("times  worst")[2].splitlines()[1:]
    assert "2 operators differ" in result.stderr and len(rows) == 2, result.stderr
    names = {row.split()[2]: row for row in rows}
    assert int(names["aten.gelu.default"].split()[0]) == 4
    assert "repro.py" in names["aten.gelu.default"]
    assert "repro_2.py" in names["aten.gelu_backward.default"]
    assert result.stderr.count("shows it alone") == 2
    assert "gelu_backward" in (tmp_path / "repro_2.py").read_text()
