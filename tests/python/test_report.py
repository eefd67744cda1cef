"""The fallback's report and its three modes."""

import warnings

import pytest
import torch


@pytest.fixture(autouse=True)
def restored():
    torch.trn.reset_fallback_stats()
    mode = torch.trn.set_fallback_mode("silent")
    yield
    torch.trn.set_fallback_mode(mode)
    torch.trn.reset_fallback_stats()


def falls_back(x):
    """An operator that has no kernel: eigenvalues without symmetry."""
    return torch.linalg.eigvals(x)


@pytest.fixture
def x():
    return torch.eye(3).to("trn")


def test_counts_by_operator_and_line(x):
    assert torch.trn.fallback_report() == {}
    y = falls_back(x)
    falls_back(x)
    assert torch.equal(y.cpu(), falls_back(torch.eye(3)))
    report = torch.trn.fallback_report()
    assert report and all(op.startswith("aten::") for op in report)
    assert max(report.values()) >= 2
    lines = torch.trn.fallback_report(by="line")
    assert sum(entry["calls"] for entry in lines.values()) == sum(report.values())
    assert all(entry["bytes"] > 0 for entry in lines.values())
    assert all(site.startswith(__file__ + ":") for _, site in lines)
    details = torch.trn.report.fallback_details()
    assert all(d["bytes"] > 0 and d["reason"] for d in details.values())
    torch.trn.reset_fallback_stats()
    assert torch.trn.fallback_report() == {}


def test_warns_once_an_operator(x):
    torch.trn.set_fallback_mode("warn")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        falls_back(x)
        first = [w for w in caught if "falls back to the CPU" in str(w.message)]
        falls_back(x)
        again = [w for w in caught if "falls back to the CPU" in str(w.message)]
    assert first and len(again) == len(first)
    assert __file__ in str(first[0].message)


def test_error_mode_refuses(x):
    torch.trn.set_fallback_mode("error")
    with pytest.raises(NotImplementedError, match="TRN_FALLBACK=error refuses"):
        falls_back(x)
    torch.trn.set_fallback_mode("silent")
    falls_back(x)


def test_wrong_words():
    with pytest.raises(ValueError, match="by 'op' or by 'line'"):
        torch.trn.fallback_report(by="module")
    with pytest.raises(ValueError, match="expected warn, error or silent"):
        torch.trn.set_fallback_mode("quiet")


def test_environment_mode(python):
    result = python("import torch, torch_trn\n"
                    "torch.linalg.eigvals(torch.eye(3).to('trn'))\n",
                    env={"TRN_FALLBACK": "error"})
    assert result.returncode == 1 and "TRN_FALLBACK=error refuses" in result.stderr
