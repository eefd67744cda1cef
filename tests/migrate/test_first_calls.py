"""What a program calls first, before torch has heard of the device in any other way."""

import subprocess
import sys

import pytest

PROGRAM = """
import torch
table = torch.ones(4, 3, device="cuda")
table[torch.tensor([1, 50], device="cuda")]
try:
    {call}
except RuntimeError as error:
    assert "device-side assert" in str(error), error
else:
    raise SystemExit("the late error was not raised")
"""


@pytest.mark.parametrize("call", [
    "torch.cuda.synchronize()", "torch.cuda.synchronize(0)", "torch.accelerator.synchronize()",
    "torch.cuda.current_stream().synchronize()"])
def test_waiting_raises_late_errors(tmp_path, call, installed_environment):
    script = tmp_path / "program.py"
    script.write_text(PROGRAM.format(call=call))
    run = [sys.executable, "-m", "torch_trn", "run", "--no-receipt", str(script)]
    result = subprocess.run(run, capture_output=True, text=True, env=installed_environment,
                            timeout=300)
    assert result.returncode == 0, result.stderr
