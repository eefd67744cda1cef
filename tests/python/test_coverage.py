"""torch-trn coverage: statuses, the generated page, a model's trace."""

import json
from pathlib import Path

import pytest
import torch
import torch_trn
from torch_trn.cli.main import main
from torch_trn.coverage import registry, render

MODEL = """
import torch

def make():
    return torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU()), (torch.ones(2, 4),)

class Spectrum(torch.nn.Module):
    def forward(self, x):
        return torch.linalg.eigvals(x)

def falls():
    return Spectrum(), (torch.ones(3, 3),)

def wrong():
    return 3

def bare():
    return torch.nn.ReLU(), torch.ones(3)

def raises():
    raise KeyError("mine")
"""


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.py"
    path.write_text(MODEL)
    return str(path)


def test_op_status():
    assert torch_trn.op_status("aten::eye.m_out") == "native"
    assert torch_trn.op_status("mm") == "native"
    assert torch_trn.op_status("aten::einsum") == "decomposed"
    assert torch_trn.op_status("aten::linalg_eig") == "fallback"
    assert torch_trn.op_status("aten::mm", torch.float32) in ("native", "decomposed")
    with pytest.raises(KeyError, match="no overload"):
        torch_trn.op_status("aten::no_such_operator")


def test_statuses_are_true():
    x = torch.eye(3).to("trn")
    torch.trn.reset_fallback_stats()
    torch.mm(x, x)
    assert torch.trn.fallback_report() == {}
    torch.trn.set_fallback_mode("silent")
    torch.linalg.eig(x)
    assert torch.trn.fallback_report() == {"aten::linalg_eig": 1}
    torch.trn.reset_fallback_stats()
    torch.trn.set_fallback_mode("warn")


def test_every_native_overload_of_the_table_exists():
    names = set(torch._C._dispatch_get_all_op_names())
    assert set(registry.registered()) <= names
    assert set(registry.measured()["overloads"]) <= names


def test_json_and_html(capsys):
    assert main(["coverage", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    by_name = {r["operator"]: r for r in data["operators"]}
    assert by_name["aten::mm"]["status"] == "native" and by_name["aten::mm"]["cuda"]
    assert data["counts"]["ATen"]["native"] > 700
    assert set(data["counts"]["CUDA"]) == set(registry.STATUSES)
    assert main(["coverage", "--html"]) == 0
    page = capsys.readouterr().out
    assert "aten::mm" in page and page.startswith("<!doctype html>")
    assert main(["coverage"]) == 0
    assert "CUDA overloads" in capsys.readouterr().out


def test_model_without_fallbacks(model, capsys):
    before = torch.trn.launch_count()
    assert main(["coverage", f"{model}:make"]) == 0
    out = capsys.readouterr().out
    assert "aten::addmm" in out and "0 would fall back" in out
    assert torch.trn.launch_count() == before, "the trace computed something"


def test_model_with_fallback(model, capsys):
    assert main(["coverage", f"{model}:falls", "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert rows[0]["status"] == "fallback" and "linalg_eig" in rows[0]["operator"]
    assert rows[0]["type"] == "float32"


def test_targets_that_cannot_be_read(model, capsys):
    broken = Path(model).with_name("broken.py")
    broken.write_text("def make(:")
    for target, *options in (
            ("nowhere.py:make",), (f"{model}:nothing",), (f"{model}:wrong",), (model,),
            (f"{model}:bare",), (f"{model}:raises",), (f"{broken}:make",),
            (f"{model}:make", "--html")):
        assert main(["coverage", target, *options]) == 2
        said, = capsys.readouterr().err.splitlines()
        assert said.startswith("torch-trn coverage:")


def test_the_page_is_fresh():
    page = Path(__file__).resolve().parents[2] / "docs" / "coverage.md"
    assert page.read_text() == render.markdown(render.gather()) + "\n", (
        "docs/coverage.md is stale: torch-trn coverage --markdown > docs/coverage.md")
