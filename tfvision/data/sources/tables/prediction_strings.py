"""All boxes of an image in one cell, number behind number, as Kaggle's tables have them.

| a box in `PredictionString` | |
|---|---|
| `cat 10 20 110 95` | label and four numbers |
| `cat 0.9 10 20 110 95` | label, score and four numbers |
| `0.9 10 20 110 95` | score and four numbers |
| `10 20 110 95` | four numbers |
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tfvision.data.files.csv_table import to_number

NAMES = ("predictionstring", "boxesstring", "labelsstring")  # in small letters alone
EMPTY = ("", "nan", "none", "null", "no_box", "nobox")


@dataclass(frozen=True)
class BoxWords:
    """The words that stand for a box.

    Attributes:
        label, score: Whether one stands before its four numbers.
    """

    label: bool
    score: bool

    def __str__(self) -> str:
        return " ".join(["label"] * self.label + ["score"] * self.score + ["four numbers"])

    def boxes(self, cell: str) -> list[tuple[str, tuple[float, ...]]] | None:
        """Label ("" without one) and four numbers of each box of a cell; None: it has others."""
        words, size = words_of(cell), 4 + self.label + self.score
        if len(words) % size:
            return None
        found = []
        for start in range(0, len(words), size):
            box = words[start : start + size]
            numbers = [to_number(word) for word in box[self.label :]]
            if None in numbers or (self.score and not 0 <= numbers[0] <= 1):
                return None
            found.append((box[0] if self.label else "", tuple(numbers[-4:])))
        return found


def words_of(cell: str) -> list[str]:
    """The words of a cell; [] where it says that there is no box."""
    return [] if cell.strip().casefold() in EMPTY else re.split(r"[\s;]+", cell.strip(" ;"))


def box_words(cells: Sequence[str]) -> list[BoxWords]:
    """What stands for a box in the cells of a column: the one reading that fits all of them, or
    several; where none does, those that fit three of four. [] where they hold no boxes."""
    filled = [cell for cell in cells if words_of(cell)]
    ways = [BoxWords(*way) for way in ((False, False), (True, True), (True, False), (False, True))]
    number = {way: sum(way.boxes(cell) is not None for cell in filled) for way in ways}
    enough = len(filled) if len(filled) in number.values() else 0.75 * len(filled)
    fitting = [way for way in ways if filled and number[way] >= enough]
    if BoxWords(False, True) in fitting and BoxWords(True, False) in fitting:
        fitting.remove(BoxWords(*_score_or_label(filled)))
    return fitting


def _score_or_label(cells: Sequence[str]) -> tuple[bool, bool]:
    """What the first of five numbers is not, as label and score: numbers with a fraction are
    scores, whole ones labels."""
    firsts = [word for cell in cells for word in words_of(cell)[::5]]
    return (True, False) if any("." in word or "e" in word for word in firsts) else (False, True)
