"""docs/safety.md names tests; each of them must exist."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs" / "safety.md"


def test_every_promise_names_tests_that_exist() -> None:
    # Two files may have one name.
    files = list(TESTS.rglob("test_*.py"))
    names = {path.name for path in files}
    sources = "\n".join(path.read_text(encoding="utf-8") for path in files)
    functions = set(re.findall(r"^def (test_\w+)", sources, re.MULTILINE))
    rows = [
        line
        for line in DOCS.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and "test_" in line
    ]
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`(test_\w+(?:\.py)?)`", row.rsplit("|", 2)[1])
        assert named, row
        unknown = [name for name in named if name not in functions and name not in names]
        assert unknown == [], row
