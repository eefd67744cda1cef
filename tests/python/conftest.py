"""What the tests of the command line share."""

import pytest


@pytest.fixture
def torch_trn_command(python):
    def run(*args, **options):
        return python("import sys\nfrom torch_trn.cli.main import main\n"
                      f"sys.exit(main({list(args)!r}))\n", **options)

    return run


@pytest.fixture
def script(tmp_path):
    def write(text):
        path = tmp_path / "user.py"
        path.write_text(text)
        return str(path)

    return write
