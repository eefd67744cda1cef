"""Pages that scripts write are as the scripts would write them now."""

import subprocess
import sys


def test_cuda_api_page_is_fresh(root):
    result = subprocess.run([sys.executable, root / "scripts" / "cuda_api.py", "--check"],
                            capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
