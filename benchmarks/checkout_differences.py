"""How compare_checkouts.py compares what two checkouts left: file by file, value by value."""

import csv
import fnmatch
import html
import io
import json
import math
import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

LAST_DIGITS = 1e-9  # relative


@dataclass(frozen=True)
class Rules:
    """What is not compared, or not exactly. See the tables of compare_checkouts.py.

    Attributes:
        keys: Full matches of a key or column that is left out.
        texts: (file, pattern, replacement) of texts, first to last.
        files: Patterns of files that need only be there.
        statistics: Patterns of files whose numbers may differ in the last digits.
        allowed: (scenario, file, pattern of `path: value` or of a line) that is left out.
        loose: Patterns of files that are left out altogether.
    """

    keys: re.Pattern
    texts: tuple[tuple[str, re.Pattern, str], ...]
    files: tuple[str, ...]
    statistics: tuple[str, ...]
    allowed: tuple[tuple[str, str, re.Pattern], ...]
    loose: tuple[str, ...] = ()


@dataclass
class Found:
    """What a comparison found: counts, and one line a difference."""

    files: int = 0
    values: int = 0
    differences: list[str] = field(default_factory=list)
    last_digits: list[str] = field(default_factory=list)
    allowed: int = 0


def compare_folders(old: Path, new: Path, rules: Rules) -> Found:
    """Compares all files of a scenario, whose name is that of the folders."""
    found = Found()
    sides = [
        {str(p.relative_to(root)): p for p in sorted(root.rglob("*")) if p.is_file()}
        for root in (old, new)
    ]
    for name in sorted(sides[0].keys() | sides[1].keys()):
        if any(fnmatch.fnmatch(name, pattern) for pattern in rules.loose):
            continue
        if name not in sides[0] or name not in sides[1]:
            found.differences.append(f"{name}: only {'OLD' if name in sides[0] else 'NEW'} has it")
            continue
        found.files += 1
        if not any(fnmatch.fnmatch(name, pattern) for pattern in rules.files):
            _Comparison(old.name, name, rules, found).run(sides[0][name], sides[1][name])
    return found


class _Comparison:
    """Of one file."""

    def __init__(self, scenario: str, name: str, rules: Rules, found: Found):
        self.name, self.rules, self.found = name, rules, found
        self.tolerant = any(fnmatch.fnmatch(name, p) for p in rules.statistics)
        self.texts = [(p, by) for file, p, by in rules.texts if fnmatch.fnmatch(name, file)]
        self.allowed = [
            pattern
            for where, file, pattern in rules.allowed
            if fnmatch.fnmatch(scenario, where) and fnmatch.fnmatch(name, file)
        ]

    def run(self, old: Path, new: Path) -> None:
        """Compares the two as their kind asks."""
        kinds = {".npz": _npz, ".png": _picture, ".h5": _h5, ".keras": _keras}
        kinds |= {".json": self._json, ".csv": self._csv, ".html": self._html}
        read = kinds.get(old.suffix, self._lines)
        try:
            one, other = read(old), read(new)
        except (ValueError, OSError) as error:
            self._differ("", f"cannot be read as {old.suffix}: {error}")
            return
        self._values("", one, other)

    # ------------------------------------------------------------------ kinds of files

    def _text(self, text: str) -> str:
        for pattern, replacement in self.texts:
            text = pattern.sub(replacement, text)
        return text

    def _lines(self, path: Path) -> list:
        """Lines as they are; one that is JSON as its content. Of bytes: the bytes."""
        raw = path.read_bytes()
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            return [raw]
        lines = []
        for line in self._text(text).split("\n"):
            content = json.loads(line) if line.startswith('{"') else line
            if isinstance(content, str) and any(p.search(content) for p in self.allowed):
                self.found.allowed += 1
                continue
            lines.append(content)
        return lines

    def _json(self, path: Path):
        return json.loads(self._text(path.read_text(encoding="utf-8")))

    def _csv(self, path: Path) -> dict | list:
        """Rows by column, where the columns have names of their own; else lines."""
        rows = list(csv.reader(io.StringIO(self._text(path.read_text(encoding="utf-8")))))
        head = rows[0] if rows else []
        named = len(set(head)) == len(head) and not any(map(_number_of, head))
        if not named or any(len(row) != len(head) for row in rows):
            return self._lines(path)
        return {"columns": head, "rows": [dict(zip(head, row, strict=True)) for row in rows[1:]]}

    def _html(self, path: Path) -> list:
        """The headings, then what else is to be read, line by line."""
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"(?s)<(style|script)\b.*?</\1>|<!--.*?-->", "", text)
        heads = re.findall(r"(?s)<h[1-6][^>]*>(.*?)</h[1-6]>", text)
        words = html.unescape(re.sub(r"<[^>]*>", "\n", text))
        lines = [line.strip() for line in self._text(words).split("\n")]
        lines = [line for line in lines if line and not any(p.search(line) for p in self.allowed)]
        return [[self._text(re.sub(r"<[^>]*>", "", head)) for head in heads], lines]

    # ------------------------------------------------------------------ values

    def _values(self, path: str, old, new) -> None:
        """Compares two values that may hold others; `path` says where they stand."""
        key = re.split(r"[.\[]", path)[-1]
        if self.rules.keys.fullmatch(key):
            return
        if path and any(p.search(f"{path}: {_short(old)}") for p in self.allowed):
            self.found.allowed += 1
            return
        if isinstance(old, dict) and isinstance(new, dict):
            self._keyed(path, old, new)
        elif isinstance(old, list) and isinstance(new, list):
            self._listed(path, old, new)
        elif isinstance(old, np.ndarray) and isinstance(new, np.ndarray):
            self.found.values += old.size
            same = (old.dtype, old.shape) == (new.dtype, new.shape)
            if not (same and np.array_equal(old, new, equal_nan=old.dtype.kind in "fc")):
                self._differ(path, _of_arrays(old, new))
        else:
            self.found.values += 1
            if type(old) is not type(new) or not (old == new or old != old != new):
                self._unequal(path, old, new)

    def _keyed(self, path: str, old: dict, new: dict) -> None:
        for key in [*old, *(key for key in new if key not in old)]:
            where = f"{path}.{key}" if path else str(key)
            if key in old and key in new:
                self._values(where, old[key], new[key])
            elif not self.rules.keys.fullmatch(str(key)):
                there = old if key in old else new
                self._only(where, there[key], "OLD" if key in old else "NEW")
        if [key for key in old if key in new] != [key for key in new if key in old]:
            self._differ(path, "the order of the keys is another one")

    def _listed(self, path: str, old: list, new: list) -> None:
        """By name where the items have one; else by place."""
        names = [_names(items) for items in (old, new)]
        if all(names):
            sides = [dict(zip(n, i, strict=True)) for n, i in zip(names, (old, new), strict=True)]
            self._keyed(path, *sides)
            return
        for place in range(max(len(old), len(new))):
            where = f"{path}[{place}]"
            if place < len(old) and place < len(new):
                self._values(where, old[place], new[place])
            else:
                there, side = (old, "OLD") if place < len(old) else (new, "NEW")
                self._only(where, there[place], side)

    def _only(self, path: str, value, side: str) -> None:
        if any(p.search(f"{path}: {_short(value)}") for p in self.allowed):
            self.found.allowed += 1
        else:
            self._differ(path, f"only {side} has it: {_short(value)}")

    def _unequal(self, path: str, old, new) -> None:
        numbers = [_number_of(value) for value in (old, new)]
        close = None not in numbers and math.isclose(*numbers, rel_tol=LAST_DIGITS)
        if isinstance(old, str) and isinstance(new, str):
            old, new = _apart(old, new)
        line = f"{self.name} {path}: {_short(old)} -> {_short(new)}"
        if close and self.tolerant:
            self.found.last_digits.append(line)
        else:
            self.found.differences.append(line + (" (last digits)" if close else ""))

    def _differ(self, path: str, what: str) -> None:
        if any(p.search(f"{path}: {what}") for p in self.allowed):
            self.found.allowed += 1
        else:
            self.found.differences.append(f"{self.name} {path}: {what}")


def _npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def _picture(path: Path) -> np.ndarray:
    with Image.open(path) as file:
        return np.asarray(file)


def _h5(path) -> dict[str, np.ndarray]:
    arrays = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: (
                arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
        )
    return {name: np.asarray(array) for name, array in arrays.items()}


def _keras(path: Path) -> dict:
    """Without its metadata, which is a date and a version."""
    with zipfile.ZipFile(path) as file:
        weights = _h5(io.BytesIO(file.read("model.weights.h5")))
        return {"config": json.loads(file.read("config.json")), "weights": weights}


def _names(items: list) -> list[str] | None:
    """Of a list of mappings, where each has another one."""
    for key in ("name", "candidate", "rung", "id"):
        found = [item.get(key) for item in items if isinstance(item, dict)]
        if items and len(found) == len(items) and all(isinstance(name, str) for name in found):
            return found if len(set(found)) == len(found) else None
    return None


def _number_of(value) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _short(value) -> str:
    text = f"array {value.dtype} {value.shape}" if isinstance(value, np.ndarray) else repr(value)
    return text if len(text) <= 90 else f"{text[:60]} ... {text[-20:]}"


def _apart(old: str, new: str) -> tuple[str, str]:
    """Long texts from shortly before where they part."""
    pairs = enumerate(zip(old, new, strict=False))
    same = next((i for i, (a, b) in pairs if a != b), min(len(old), len(new)))
    start = max(same - 25, 0) if max(len(old), len(new)) > 80 else 0
    return old[start : start + 80], new[start : start + 80]


def _of_arrays(old: np.ndarray, new: np.ndarray) -> str:
    if (old.dtype, old.shape) != (new.dtype, new.shape):
        return f"{_short(old)} -> {_short(new)}"
    differ = old != new
    place = tuple(int(axis[0]) for axis in np.nonzero(differ))
    where = f"first at {place}: {old[place]} -> {new[place]}" if place or old.shape else ""
    return f"{int(differ.sum())} of {old.size} values differ, {where}"
