"""docs/RELIABILITY.md names, for each fault, tests that exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = (ROOT / "docs" / "RELIABILITY.md").read_text(encoding="utf-8")
WANTED = [
    *(f"D{n:02}" for n in range(1, 40)),
    *(f"B{n:02}" for n in range(1, 14)),
    *(f"C{n:02}" for n in range(1, 11)),
    *(f"T{n:02}" for n in range(1, 15)),
    *(f"K{n:02}" for n in range(1, 15) if n != 10),
    *(f"F{n:02}" for n in range(1, 20)),
]


def rows() -> dict[str, list[str]]:
    """Row id -> the tests its last cell names."""
    found = {}
    for line in TABLE.splitlines():
        match = re.match(r"\| ([A-Z]\d\d) \|", line)
        if match:
            assert match[1] not in found, f"{match[1]} stands twice"
            found[match[1]] = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", line)
    return found


def functions(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_row_has_a_test_and_every_test_exists():
    found = rows()
    assert [row for row in WANTED if not found.get(row)] == []
    missing = [
        f"{row}: {path}::{name}"
        for row, tests in found.items()
        for path, name in tests
        if not (ROOT / path).is_file() or name not in functions(path)
    ]
    assert missing == []
