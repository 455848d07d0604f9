"""What the report of a detection says of strings that were read from boxes."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tfvision.report.detection_scores import SplitDetections
from tfvision.report.plots import number

SCORE = "string_accuracy"
WORDS = {"val": "chosen on validation", "config": "as the config has it"}


def strings_read(
    entry: dict[str, Any] | None,
    scores: dict[str, SplitDetections],
    pairs: Sequence[tuple[str, str]],
    empty: str,
) -> dict[str, Any] | None:
    """The section on strings; None where none are read.

    Args:
        entry: `reading` of `summary.json`.
        scores: By split.
        pairs: (true, read) of each image of the split that is shown.
        empty: What is read where there is no box.
    """
    if entry is None:
        return None
    rows = []
    for split, value in entry["splits"].items():
        low, high = scores[split].intervals.get(SCORE, (None, None))
        rows.append(
            {"split": split, "value": number(value), "low": number(low), "high": number(high)}
        )
    return {
        "threshold": entry["threshold"],
        "chosen": WORDS.get(entry["chosen_on"], "since validation chose none"),
        "rows": rows,
        "lengths": lengths(pairs, empty),
    }


def lengths(pairs: Sequence[tuple[str, str]], empty: str) -> list[dict[str, Any]]:
    """By true length: strings, how many are read right, of the right length, shorter, longer."""
    found: dict[int, Counter] = {}
    for pair in pairs:
        true, read = (0 if text == empty else len(text) for text in pair)
        kind = "same" if read == true else "shorter" if read < true else "longer"
        found.setdefault(true, Counter()).update([kind, "all", *["right"] * (pair[0] == pair[1])])
    kinds = ("all", "right", "same", "shorter", "longer")
    return [{"length": true, **{k: found[true][k] for k in kinds}} for true in sorted(found)]
