"""Files stay small and clean."""

import re

LIMIT = 400


def test_size(sources, root):
    long = [f"{p.relative_to(root)}: {n} lines" for p in sources
            if p.suffix != ".md" and (n := len(p.read_text().splitlines())) > LIMIT]
    assert not long, f"over {LIMIT} lines:\n" + "\n".join(long)


def test_first_line_says_what_it_is(sources, root):
    bare = []
    for p in sources:
        text = p.read_text()
        if p.suffix in (".cpp", ".h", ".def") and not text.startswith("//"):
            bare.append(str(p.relative_to(root)))
        if p.suffix == ".py" and text and not re.match(r'(#!.*\n)?"""', text):
            bare.append(str(p.relative_to(root)))
    assert not bare, f"no sentence at the top: {bare}"


def test_no_leftovers(sources, root):
    marks = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b")
    found = [f"{p.relative_to(root)}: {m.group()}" for p in sources
             for m in marks.finditer(p.read_text())]
    assert not found, found
