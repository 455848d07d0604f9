"""What can be wrong with a sample, in words that name the place and the way out."""

from dataclasses import asdict, dataclass

from tfvision.errors import InputError
from tfvision.text import first_lines


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


def listing(issues: list[Issue], *, limit: int = 20) -> str:
    """The first `limit` issues, one a line, and how many more there are."""
    return "\n".join(first_lines([f"  {issue}" for issue in issues], limit))
