"""What can be wrong with a sample, in words that name the place and the way out."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tfvision.errors import InputError
from tfvision.text import first_lines

# What may differ between two issues of a kind: what is quoted or in brackets, and numbers.
_VARYING = re.compile(r"'[^']*'|\([^()]*\)|\[[^\]]*\]|\d+(\.\d+)?")


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


def by_kind(issues: Sequence[Issue]) -> list[str]:
    """One line for each kind of issue: its first, how many there are, and what to do.

    Of one kind are those whose problems and advice differ in numbers and quoted names alone.
    """
    kinds: dict[tuple[str, str], list[Issue]] = {}
    for issue in issues:
        key = tuple(_VARYING.sub("*", text) for text in (issue.problem, issue.advice))
        kinds.setdefault(key, []).append(issue)
    return [
        str(some[0]) if len(some) == 1 else f"{len(some)} times, first {some[0]}"
        for some in kinds.values()
    ]


def listing(issues: list[Issue], *, limit: int = 20) -> str:
    """The first `limit` issues, one a line, and how many more there are."""
    return "\n".join(first_lines([f"  {issue}" for issue in issues], limit))
