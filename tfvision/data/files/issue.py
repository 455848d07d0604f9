"""What can be wrong with a sample, in words that name the place and the way out."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from tfvision.errors import InputError
from tfvision.text import first_lines

# What may differ between two issues of a kind: what is quoted or in brackets, names of files, and
# numbers.
_VARYING = re.compile(
    r"'[^']*'|\([^()]*\)|\[[^\]]*\]|\bfile .+?\.\*|\S+\.(png|jpe?g|tiff?|bmp|gif|webp|p[gpn]m)\b"
    r"|\d+(\.\d+)?",
    re.IGNORECASE,
)
_NAMED = 3  # places of a kind that are named


@dataclass(frozen=True)
class Issue:
    """One finding of a scan.

    Attributes:
        severity: "error" (training would be wrong or impossible) or "warning".
        id: Id of the sample, "" where the finding is about the whole data set.
        place: Where it stands: "masks/a.png", "row 7 of training_set in mars.npz".
        problem: What is wrong, found against expected, without a full stop.
        advice: What to do, a sentence.
    """

    severity: str
    id: str
    place: str
    problem: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}. {self.advice}".strip()

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


class BadSample(InputError):
    """A sample cannot be read as it stands. Carries what an `Issue` needs."""

    def __init__(self, place: str, problem: str, advice: str = ""):
        self.place, self.problem, self.advice = place, problem, advice
        super().__init__(f"{place}: {problem}. {advice}".strip())


def grouped(issues: Sequence[Issue]) -> list[Issue]:
    """One issue for each kind: the first, whose place says how many there are and where.

    Of one kind are those whose problems and advice differ in numbers and quoted names alone.
    """
    kinds: dict[tuple[str, ...], list[Issue]] = {}
    for issue in issues:
        texts = (_VARYING.sub("*", text) for text in (issue.problem, issue.advice))
        kinds.setdefault((issue.severity, *texts), []).append(issue)
    found = []
    for alike in kinds.values():
        places = list(dict.fromkeys(issue.place for issue in alike))[:_NAMED]
        place = f"{len(alike)} times, first {', '.join(places)}"
        found.append(alike[0] if len(alike) == 1 else replace(alike[0], id="", place=place))
    return found


def by_kind(issues: Sequence[Issue]) -> list[str]:
    """One line for each kind of issue: how many there are, the first places, and what to do."""
    return list(map(str, grouped(issues)))


def listing(issues: Sequence[Issue], *, limit: int = 20) -> str:
    """The first `limit` kinds of issue, one a line, and how many more there are."""
    return "\n".join(first_lines([f"  {line}" for line in by_kind(issues)], limit))
