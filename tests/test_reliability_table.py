"""docs/RELIABILITY.md names, for each fault, tests that exist."""

import re

from tests.support.named_tests import ROOT, is_there, named_tests

TABLE = (ROOT / "docs" / "RELIABILITY.md").read_text(encoding="utf-8")
WANTED = [
    *(f"D{n:02}" for n in range(1, 40)),
    *(f"B{n:02}" for n in range(1, 14)),
    *(f"C{n:02}" for n in range(1, 11)),
    *(f"T{n:02}" for n in range(1, 15)),
    *(f"K{n:02}" for n in range(1, 15) if n != 10),
    *(f"F{n:02}" for n in range(1, 20)),
]


def rows() -> dict[str, list[tuple[str, str]]]:
    """Row id -> the tests its last cell names."""
    found = {}
    for line in TABLE.splitlines():
        match = re.match(r"\| ([A-Z]\d\d) \|", line)
        if match:
            assert match[1] not in found, f"{match[1]} stands twice"
            found[match[1]] = named_tests(line)
    return found


def test_every_row_has_a_test_and_every_test_exists():
    found = rows()
    assert [row for row in WANTED if not found.get(row)] == []
    missing = [
        f"{row}: {path}::{name}"
        for row, tests in found.items()
        for path, name in tests
        if not is_there(path, name)
    ]
    assert missing == []
