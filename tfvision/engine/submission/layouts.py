"""What the rows of a submission file say: one class a layout.

A layout turns the labels of an image into rows, and says of a row what is wrong with it.
Every row has a key, by which it is compared with a sample file: its id, or id and class.
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tfvision.errors import InputError
from tfvision.postprocess.rle import encode_rle, parse_rle


@dataclass(frozen=True)
class Pixels:
    """One row an image: its id, then one column a pixel, `0` to `H*W-1`, along the rows.

    The layout of the Mars-terrain report's contest, where ids are row numbers.

    Args:
        shape: (H, W) of every image.
        num_classes: K, at most 256.
        id_column: Name of the first column.
    """

    shape: tuple[int, int]
    num_classes: int
    id_column: str = "id"

    @property
    def header(self) -> list[str]:
        return [self.id_column, *map(str, range(self.shape[0] * self.shape[1]))]

    def keys(self, name: str) -> list[str]:
        """Keys of an image's rows."""
        return [name]

    def rows(self, name: str, labels: np.ndarray) -> Iterator[tuple[str, bytes]]:
        """(key, row with its line end) of an image's labels (H, W) uint8.

        Raises:
            InputError: The image has another size.
        """
        if labels.shape != self.shape:
            raise InputError(
                f"Image {name} is {labels.shape[0]}x{labels.shape[1]}, those before it are "
                f"{self.shape[0]}x{self.shape[1]}: one row of {self.shape[0] * self.shape[1]} "
                "pixels an image needs images of one size. Use --format rle."
            )
        # `,7` and `,17` stand in four bytes with zeros behind; the zeros go.
        cells = self._cells[labels.ravel()].view(np.uint8)
        yield name, name.encode() + cells[cells != 0].tobytes() + b"\n"

    @cached_property
    def _cells(self) -> np.ndarray:
        return np.array([f",{k}".encode() for k in range(256)], "S4").view(np.uint32)

    def read(self, line: bytes) -> tuple[str, bytes]:
        """(key, rest) of a line of a file."""
        name, _, rest = line.partition(b",")
        return name.decode("utf-8", "replace"), rest

    def problem(self, rest: bytes, size: tuple[int, int] | None) -> str | None:
        """What is wrong with what follows a row's id, or None."""
        count = self.shape[0] * self.shape[1]
        text = np.frombuffer(b"," + rest, np.uint8)
        commas = np.flatnonzero(text == ord(","))
        lengths = np.diff(commas, append=len(text)) - 1
        if len(commas) != count:
            return f"{len(commas)} values for {count} pixels"
        digits = (text >= ord("0")) & (text <= ord("9"))
        if (lengths < 1).any() or digits.sum() != len(text) - count:
            bad = next(c for c in rest.split(b",") if not c.isdigit())
            shown = bad[:20].decode("utf-8", "replace")
            return f"a value is {shown!r}, labels are whole numbers" if bad else "a value is empty"
        if lengths.max() > 3:
            return "a label has more than three digits"
        values = np.zeros(count, np.int32)
        for place in range(int(lengths.max())):
            inside = lengths > place
            number = text[np.where(inside, commas + 1 + place, 0)].astype(np.int32) - ord("0")
            values = np.where(inside, 10 * values + number, values)
        if values.max() >= self.num_classes:
            return f"the label {values.max()} is none of 0 to {self.num_classes - 1}"
        return None


@dataclass(frozen=True)
class Runs:
    """Run-length codes, one row an image or one an image and class.

    Args:
        classes: Labels to code: together in one row an image, or each in a row of its own.
        per_class: One row an image and class. With two columns its id is `<id>_<class>`;
            with three the class has a column of its own, the second.
        names: What classes are called, by label; None: by their number.
        columns: Names of the columns: id, code, or id, class, code.
        order, base: See `encode_rle`.
        empty: What stands where no pixel is set.
    """

    classes: Sequence[int]
    per_class: bool = False
    names: Sequence[str] | None = None
    columns: Sequence[str] = ("id", "rle")
    order: str = "column"
    base: int = 1
    empty: str = ""

    @property
    def header(self) -> list[str]:
        return list(self.columns)

    def keys(self, name: str) -> list[str]:
        """Keys of an image's rows."""
        if not self.per_class:
            return [name]
        join = "_" if len(self.columns) == 2 else ","
        return [f"{name}{join}{class_text(k, self.names)}" for k in self.classes]

    def rows(self, name: str, labels: np.ndarray) -> Iterator[tuple[str, bytes]]:
        """(key, row with its line end) of an image's labels (H, W) uint8."""
        if self.per_class:
            masks = [labels == k for k in self.classes]
        else:
            masks = [np.isin(labels, list(self.classes))]
        for key, mask in zip(self.keys(name), masks, strict=True):
            code = encode_rle(mask, order=self.order, base=self.base) or self.empty
            front = [key] if len(self.columns) == 2 else [name, key[len(name) + 1 :]]
            yield key, csv_line([*front, code])

    def read(self, line: bytes) -> tuple[str, list[str]]:
        """(key, cells behind it) of a line of a file."""
        cells = csv_cells(line)
        front = len(self.columns) - 1
        return ",".join(cells[:front]), cells[front:]

    def problem(self, rest: list[str], size: tuple[int, int] | None) -> str | None:
        """What is wrong with what follows a row's key, or None."""
        if len(rest) != 1:
            return f"{len(rest) + len(self.columns) - 1} cells for {len(self.columns)} columns"
        if rest[0] == self.empty:
            return None
        if not rest[0].strip():
            return f"the code is empty; no pixel is written as {self.empty!r}"
        try:
            parse_rle(rest[0], base=self.base, pixels=size and size[0] * size[1])
        except InputError as error:
            return str(error)
        return None


@dataclass(frozen=True)
class ImageLabels:
    """One row an image: its id and one label.

    Args:
        num_classes: K.
        names: What classes are called, by label; None: by their number.
        columns: Names of the two columns.
    """

    num_classes: int
    names: Sequence[str] | None = None
    columns: Sequence[str] = ("id", "label")

    @property
    def header(self) -> list[str]:
        return list(self.columns)

    def keys(self, name: str) -> list[str]:
        """Keys of an image's rows."""
        return [name]

    def rows(self, name: str, labels: np.ndarray | int) -> Iterator[tuple[str, bytes]]:
        """(key, row with its line end) of an image's label, or of its labels (H, W).

        Of the labels of pixels the most frequent counts, of equally frequent ones the lowest.
        """
        label = int(np.bincount(np.ravel(labels), minlength=self.num_classes).argmax())
        yield name, csv_line([name, class_text(label, self.names)])

    def read(self, line: bytes) -> tuple[str, list[str]]:
        """(key, cells behind it) of a line of a file."""
        cells = csv_cells(line)
        return cells[0] if cells else "", cells[1:]

    def problem(self, rest: list[str], size: tuple[int, int] | None) -> str | None:
        """What is wrong with what follows a row's id, or None."""
        if len(rest) != 1:
            return f"{len(rest) + 1} cells for {len(self.columns)} columns"
        if rest[0] not in self._known:
            return f"{rest[0][:20]!r} is no class; {self._texts[0]} to {self._texts[-1]} are"
        return None

    @cached_property
    def _texts(self) -> list[str]:
        return [class_text(k, self.names) for k in range(self.num_classes)]

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self._texts)


@dataclass(frozen=True)
class Strings:
    """One row an image: its id and the string that is read from its boxes.

    Args:
        text_of: An answer -> the string.
        columns: Names of the two columns.
    """

    text_of: Callable[[Any], str]
    columns: Sequence[str] = ("image_id", "pred_label")

    @property
    def header(self) -> list[str]:
        return list(self.columns)

    def keys(self, name: str) -> list[str]:
        """Keys of an image's rows."""
        return [name]

    def rows(self, name: str, answer: Any) -> Iterator[tuple[str, bytes]]:
        """(key, row with its line end) of an image's answer."""
        yield name, csv_line([name, self.text_of(answer)])

    def read(self, line: bytes) -> tuple[str, list[str]]:
        """(key, cells behind it) of a line of a file."""
        cells = csv_cells(line)
        return cells[0] if cells else "", cells[1:]

    def problem(self, rest: list[str], size: tuple[int, int] | None) -> str | None:
        """What is wrong with what follows a row's id, or None."""
        return None if len(rest) == 1 else f"{len(rest) + 1} cells for {len(self.columns)} columns"


Layout = Pixels | Runs | ImageLabels | Strings


def class_text(label: int, names: Sequence[str] | None) -> str:
    """What a class is called in a file."""
    return str(label) if names is None else names[label]


def csv_line(cells: Sequence[str]) -> bytes:
    """One row of a CSV file, cells quoted where they must be."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


def csv_cells(line: bytes) -> list[str]:
    """The cells of one line of a CSV file."""
    return next(csv.reader([line.decode("utf-8", "replace")]), [])
