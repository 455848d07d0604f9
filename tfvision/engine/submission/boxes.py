"""The layout of contests on boxes: one row an image, all its boxes in one cell."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tfvision.engine.submission.layouts import class_text, csv_cells, csv_line


@dataclass(frozen=True)
class PredictionStrings:
    """One row an image: its id, and its boxes in one cell, field by field, best first.

    Args:
        num_classes: K.
        names: What classes are called, by number; None: by their number.
        columns: Names of the two columns.
        fields: What stands of each box, in this order, of `options.FIELDS`; `w` and `h` are its
            width and height.
        empty: What stands where an image has no box.

    Example:
        `label score x1 y1 x2 y2` gives `0 0.91 12.0 4.5 60.2 33.0 1 0.40 ...`.
    """

    num_classes: int
    names: Sequence[str] | None = None
    columns: Sequence[str] = ("image_id", "PredictionString")
    fields: Sequence[str] = ("label", "score", "x1", "y1", "x2", "y2")
    empty: str = ""

    @property
    def header(self) -> list[str]:
        return list(self.columns)

    def keys(self, name: str) -> list[str]:
        """Keys of an image's rows."""
        return [name]

    def rows(self, name: str, answer: Mapping[str, np.ndarray]) -> Iterator[tuple[str, bytes]]:
        """(key, row with its line end) of an image's boxes, scores and classes."""
        words = []
        for (x1, y1, x2, y2), score, k in zip(
            answer["boxes"].tolist(), answer["scores"].tolist(), answer["classes"], strict=True
        ):
            values = {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "w": x2 - x1, "h": y2 - y1}
            texts = {key: f"{value:.2f}" for key, value in values.items()}
            texts |= {"label": class_text(int(k), self.names), "score": f"{score:.5f}"}
            words += [texts[field] for field in self.fields]
        yield name, csv_line([name, " ".join(words) or self.empty])

    def read(self, line: bytes) -> tuple[str, list[str]]:
        """(key, cells behind it) of a line of a file."""
        cells = csv_cells(line)
        return cells[0] if cells else "", cells[1:]

    def problem(self, rest: list[str], size: tuple[int, int] | None) -> str | None:
        """What is wrong with what follows a row's id, or None."""
        if len(rest) != 1:
            return f"{len(rest) + 1} cells for {len(self.columns)} columns"
        if rest[0] == self.empty:
            return None
        words = rest[0].split()
        if len(words) % len(self.fields):
            return f"{len(words)} values are no multiple of {len(self.fields)} a box"
        for place, word in enumerate(words):
            field = self.fields[place % len(self.fields)]
            if field == "label" and word not in self._known:
                return f"{word[:20]!r} is no class"
            if field != "label" and not _is_number(word):
                return f"{word[:20]!r} stands where `{field}` should be a number"
        return None

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(class_text(k, self.names) for k in range(self.num_classes))


def _is_number(word: str) -> bool:
    try:
        return bool(np.isfinite(float(word)))
    except ValueError:
        return False
