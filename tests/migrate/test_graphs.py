"""Programs with CUDA graphs and memory pools, unmodified."""

import subprocess

import pytest
import torch

if torch.cuda.is_available():
    pytest.skip("these tests are about machines without CUDA", allow_module_level=True)

# The pattern of PyTorch's notes on CUDA graphs: warm up beside, capture a step, replay it on new
# data in the same memory; then the same training without a graph.
PROGRAM = """
import copy, torch
torch.manual_seed(0)
base = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.GELU(), torch.nn.Linear(64, 4)).cuda()
data = [(torch.randn(16, 32), torch.randn(16, 4)) for _ in range(6)]
loss_fn = torch.nn.MSELoss()

def plain():
    model = copy.deepcopy(base)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for x, y in data:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_fn(model(x.cuda()), y.cuda())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses

def graphed():
    model = copy.deepcopy(base)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.empty(16, 32, device="cuda"), torch.empty(16, 4, device="cuda")
    x.copy_(data[0][0]); y.copy_(data[0][1])
    state = copy.deepcopy(model.state_dict())
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            optimizer.zero_grad(set_to_none=True)
            loss_fn(model(x), y).backward()
            optimizer.step()
    torch.cuda.current_stream().wait_stream(side)
    model.load_state_dict(state)
    graph = torch.cuda.CUDAGraph()
    optimizer.zero_grad(set_to_none=True)
    with torch.cuda.graph(graph):
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
    losses = []
    for new_x, new_y in data:
        x.copy_(new_x); y.copy_(new_y)
        graph.replay()
        losses.append(loss.item())
    return losses

torch.testing.assert_close(graphed(), plain())

# Two graphs in one pool; dropout differs from replay to replay.
pool = torch.cuda.graph_pool_handle()
first, second = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
x = torch.ones(1000, device="cuda")
with torch.cuda.graph(first, pool=pool):
    a = torch.nn.functional.dropout(x)
with torch.cuda.graph(second, pool=pool):
    b = a * 2
seen = []
for _ in range(2):
    first.replay(); second.replay()
    torch.testing.assert_close(b, a * 2)
    seen.append(a.clone())
assert not torch.equal(*seen)
assert not torch.cuda.is_current_stream_capturing()

# A module that is a graph inside, forward and backward.
model = torch.cuda.make_graphed_callables(copy.deepcopy(base), (torch.randn(16, 32).cuda(),))
x = torch.randn(16, 32, device="cuda")
model(x).sum().backward()
other = copy.deepcopy(base)
other(x).sum().backward()
for p, q in zip(model.parameters(), other.parameters()):
    torch.testing.assert_close(p.grad, q.grad)

# What dropout keeps differs from replay to replay, and the backward, a graph of its own, knows:
# the gradient of v that out is linear in says what out does.
class Attention(torch.nn.Module):
    def forward(self, q, v):
        return torch.nn.functional.scaled_dot_product_attention(q, q, v, dropout_p=0.5)

q, v = (torch.randn(1, 2, 16, 8, device="cuda", requires_grad=n) for n in (False, True))
attention = torch.cuda.make_graphed_callables(Attention(), (q, v))
seen = []
for _ in range(2):
    out = attention(q, v)
    grad, = torch.autograd.grad(out.sum(), v)
    torch.testing.assert_close((v * grad).sum(), out.sum())
    seen.append(out.detach().clone())
assert not torch.equal(*seen)

# A pool of one's own keeps its memory apart.
pool = torch.cuda.MemPool()
with torch.cuda.use_mem_pool(pool):
    kept = torch.zeros(1 << 20, device="cuda")
assert any(s["address"] <= kept.data_ptr() < s["address"] + s["total_size"]
           for s in pool.snapshot())

# What cannot be captured is refused in CUDA's words.
graph = torch.cuda.CUDAGraph()
try:
    with torch.cuda.graph(graph):
        x.sum().item()
except RuntimeError as error:
    assert "captur" in str(error), error
else:
    raise AssertionError("a value was asked for in a capture")
print("right")
"""


def test_a_program_with_graphs(tmp_path, installed_environment):
    (tmp_path / "train.py").write_text(PROGRAM)
    done = subprocess.run(["torch-trn", "run", "--no-receipt", "train.py"], cwd=tmp_path,
                          env={**installed_environment, "TRN_FALLBACK": "error"},
                          capture_output=True, text=True, timeout=240)
    assert done.returncode == 0 and "right" in done.stdout, done.stdout + done.stderr
