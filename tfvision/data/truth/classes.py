"""What the numbers in truth mean: classes and their names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tfvision.data.files.issue import Issue
from tfvision.errors import InputError


@dataclass
class Classes:
    """What the numbers in the truth mean.

    Attributes:
        names: One a class.
        mask_values: Raw values in class order, or None where they are 0, 1, 2, ...
        ignore_label: The value that is no class, or None.
        issues, notes: What the user must know.
    """

    names: list[str]
    mask_values: list[int] | None
    ignore_label: int | None
    issues: list[Issue] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def raw_values(self) -> list[int]:
        return self.mask_values or list(range(len(self.names)))


def check_class_names(names: Sequence[str] | None) -> list[str]:
    """The names as a list, empty for None; each must be text, and its own."""
    names = list(names or ())
    for index, name in enumerate(names):
        if not isinstance(name, str) or not name.strip():
            raise InputError(
                f"class_names[{index}] is {name!r}; names are text. Put it in quotes: YAML reads "
                "no and on as truth values."
            )
        if name in names[:index]:
            raise InputError(f"class_names lists {name!r} twice. Each class needs its own name.")
    return names


def first_seen(values: Sequence[Mapping[int, int] | None]) -> dict[int, int]:
    """Raw value -> index of the first sample that holds it, in the order of the values."""
    first: dict[int, int] = {}
    for index, of_sample in enumerate(values):
        for value in of_sample or ():
            first.setdefault(value, index)
    return dict(sorted(first.items()))


def numbered_names(count: int) -> list[str]:
    """Names of classes that have none."""
    return [f"class {index}" for index in range(count)]


def some(values: Sequence[int], *, limit: int = 12) -> str:
    """Numbers for a message: the first few, in brackets."""
    more = ", ..." if len(values) > limit else ""
    return f"[{', '.join(map(str, values[:limit]))}{more}]"
