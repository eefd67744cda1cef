"""torch-trn bench on sizes too small to measure anything: that it works, not what it says."""

import json
import shutil

import pytest
import torch
import torch_trn.migration
from torch_trn import _C
from torch_trn.bench import report, rows_runtime
from torch_trn.bench.measure import Limits, count, measure_limits
from torch_trn.bench.row import Count, Row
from torch_trn.cli.main import main

LIMITS = Limits(1, {"portable": {"f32": 1e9, "bf16": 1e9, "i8": 1e9}}, {"memory": 1e9})


@pytest.fixture(autouse=True)
def threads():
    import torch

    before = torch.get_num_threads(), _C._get_compute_threads()
    yield
    torch.set_num_threads(before[0])
    _C._set_compute_threads(before[1])


def test_every_row_runs_on_the_device(tmp_path, capsys):
    launched = _C._launch_count()
    paths = {kind: str(tmp_path / kind) for kind in ("json", "html", "markdown")}
    code = main(["bench", "--tiny", "--threads", "2",
                 *(word for kind, path in paths.items() for word in (f"--{kind}", path))])
    assert code == 0 and _C._launch_count() > launched + 1000
    result = json.loads((tmp_path / "json").read_text())
    errors = {row["name"]: row["error"] for row in result["rows"] if row["error"]}
    assert not errors
    assert len(result["rows"]) > 150
    assert all(row["ratio"] > 0 and len(row["trn_seconds"]) >= 3 for row in result["rows"])
    assert {"eager", "no profiler", "no migration"} < {row["against"] for row in result["rows"]}
    assert [row["count"] for row in result["counts"]] == [0]
    assert not torch_trn.migration.is_active()
    limits = result["limits"]["2"]
    assert all(rate > 0 for kinds in limits["peaks"].values() for rate in kinds.values())
    assert set(limits["copies"]) == {"L1", "L2", "L3", "memory"}
    assert (tmp_path / "html").read_text().count("<svg") > 10
    text = (tmp_path / "markdown").read_text()
    for word in (result["machine"]["processor"], result["machine"]["date"], "softmax f32 forward"):
        assert word in text
    assert "150 dependent, replayed against eager" in text
    assert "whole steps" in capsys.readouterr().out


def test_compiled_rows(compiles, tmp_path):
    torch._dynamo.reset()  # functions that tests before have compiled too often are skipped
    code = main(["bench", "--tiny", "--only", "BERT inference, compiled",
                 "--only", "torch.compile: 25 layers", "--json", str(tmp_path / "json")])
    rows = json.loads((tmp_path / "json").read_text())["rows"]
    assert code == 0 and [row["against"] for row in rows] == ["compiled CPU", "eager", "default"]
    assert not [row["error"] for row in rows if row["error"]]


def test_what_cannot_be_counted_says_why(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    row = next(r for r in rows_runtime.rows(True) if r.title == "x + 1, instructions")
    result = count(row, 1)
    assert result.unavailable == "valgrind is not installed" and not result.met
    assert "not available: valgrind is not installed" in report.line(result, None)
    assert "class=unknown" in report.as_html(({1: LIMITS}, [result]))


def test_a_count_above_its_goal_is_missed():
    result = count(Count("g", "n", 2, "bytes", lambda: 3), 1)
    assert not result.met and report.cells(result, None)[0] == "-"


def test_only_selects_rows(capsys):
    assert main(["bench", "--list", "--only", "random fills"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines and all(line.startswith("random fills: ") for line in lines)
    assert main(["bench", "--only", "no such row"]) == 2
    assert "no row matches" in capsys.readouterr().err


def test_limits_know_their_instruction_sets():
    before = _C._active_isa()
    limits = measure_limits(1, milliseconds=1.0)
    assert _C._active_isa() == before and "portable" in limits.peaks
    assert limits.peak("f32") > 0 and limits.peak("no such type") == limits.peak("f32")
    row = Row("g", "n", 1.0, lambda device: lambda: None, flops=limits.peak("f32"))
    assert limits.share(row, 1.0) == pytest.approx(1.0)
