"""Every environment variable is documented, and no other is read."""

import re

KNOWN = {"TRN_DRIVER", "TRN_KERNELS", "TRN_FALLBACK", "TRN_VERBOSE", "TRN_STRICT", "TRN_DEVICES",
         "TRN_MEMORY", "TORCH_TRN_MIGRATE", "TORCH_TRN_ACCOUNTS"}
READ = re.compile(r'(?:getenv\(|text\(|environ(?:\.get\(|\[))\s*"(TRN_\w+|TORCH_TRN_\w+)"')


def test_reads_are_known(sources, root):
    read = set()
    for path in sources:
        if path.relative_to(root).parts[0] in ("csrc", "kernels", "python"):
            read |= set(READ.findall(path.read_text()))
    assert any(name.startswith("TRN_") for name in read), "the pattern no longer finds the reads"
    assert read <= KNOWN, f"undocumented: {sorted(read - KNOWN)}"


def test_readme_and_help_name_all(root):
    readme = (root / "README.md").read_text()
    usage = (root / "python/torch_trn/cli/main.py").read_text()
    for name in sorted(KNOWN):
        assert name in readme, f"README.md does not explain {name}"
        assert name in usage, f"torch-trn --help does not explain {name}"
