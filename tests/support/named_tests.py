"""Tests that a page names as `tests/FILE.py::FUNCTION`."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


def named_tests(text: str) -> list[tuple[str, str]]:
    """(file, function) of each test that a text names."""
    return re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)


def is_there(path: str, name: str) -> bool:
    return (ROOT / path).is_file() and name in functions(path)


@cache
def functions(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
