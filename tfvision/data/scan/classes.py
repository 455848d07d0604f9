"""From the numbers that stand in masks to classes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tfvision.data.files.issue import Issue
from tfvision.data.scan.measure import Facts
from tfvision.data.sources.source import Record
from tfvision.errors import InputError


@dataclass
class Classes:
    """What the numbers in the masks mean.

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


def settle_classes(
    facts: Sequence[Facts | None],
    records: Sequence[Record],
    *,
    class_names: Sequence[str] | None,
    mask_values: Sequence[int] | None,
    ignore_label: int | None,
    first_pixel: Callable[[int, int], tuple[int, int]],
) -> Classes:
    """Decides number and names of the classes, and finds labels that are none.

    Without names and `mask_values` the classes are 0..K-1 as found; {0, 255} reads as
    {0, 1}, any other gap is an error.

    Args:
        facts: One a record, None where it cannot be read.
        records: The records.
        class_names: The names, where they are declared.
        mask_values: Raw values in class order, where they are declared.
        ignore_label: The value that is no class. 255 is a class nevertheless where more
            than 255 names are declared; a value that `mask_values` lists always is.
        first_pixel: `(index, value) -> (y, x)`, where a value first stands in a mask.
    """
    names = check_class_names(class_names)
    if names and mask_values and len(names) != len(mask_values):
        raise InputError(
            f"{len(names)} class_names and {len(mask_values)} mask_values are declared. There "
            "must be one value a class."
        )
    if ignore_label is not None and (
        ignore_label in (mask_values or ()) or (ignore_label == 255 and len(names) > 255)
    ):
        ignore_label = None
    first = _first_seen(facts)
    classes = Classes(names, None if mask_values is None else list(mask_values), ignore_label)
    if mask_values is not None:
        classes.names = names or _numbered(len(mask_values))
    elif not names and first:
        _infer(classes, first, records, first_pixel)
    elif len(names) == 2 and set(first) == {0, 255} and ignore_label == 255:
        classes.issues.append(_two_names_and_255(names))
    if not any(issue.severity == "error" for issue in classes.issues):
        _check_labels(classes, facts, records, first_pixel)
    return classes


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


def _first_seen(facts: Sequence[Facts | None]) -> dict[int, int]:
    """Raw value -> index of the first sample that holds it."""
    first: dict[int, int] = {}
    for index, fact in enumerate(facts):
        for value in fact.values if fact else ():
            first.setdefault(value, index)
    return dict(sorted(first.items()))


def _infer(classes: Classes, first: dict[int, int], records, first_pixel) -> None:
    """Classes from the values alone."""
    if set(first) == {0, 255}:
        classes.mask_values, classes.ignore_label = [0, 255], None
        classes.names = _numbered(2)
        classes.notes.append("masks hold {0, 255}: read as {0, 1}")
        return
    values = [value for value in first if value != classes.ignore_label]
    if not values:
        problem = f"every pixel of every mask is {classes.ignore_label}, which means no label"
        advice = f"Set ignore_label: null if {classes.ignore_label} is a class."
        classes.issues.append(Issue("error", "", "masks", problem, advice))
        return
    expected = (v for v in range(len(values) + 1) if v != classes.ignore_label)
    odd = next((v for v, e in zip(values, expected, strict=False) if v != e), None)
    if odd is not None:
        y, x = first_pixel(first[odd], odd)
        record = records[first[odd]]
        classes.issues.append(
            Issue(
                "error",
                "",  # about all masks: this is where the odd value is first seen
                record.place,
                f"the masks hold {_some(list(first))}, classes are 0, 1, 2, ... without a gap; "
                f"{odd} first stands here, at pixel (y, x) = ({y}, {x})",
                f"If all are meant, declare mask_values: {_some(list(first), limit=256)} (in "
                "class order), or class_names for all classes; else correct the mask.",
            )
        )
        return
    if len(values) < 2:
        problem = f"the masks hold the label {values[0]} alone: there is nothing to tell apart"
        advice = "Check the masks, or declare class_names."
        classes.issues.append(Issue("error", "", "masks", problem, advice))
    classes.names = _numbered(values[-1] + 1)


def _two_names_and_255(names: list[str]) -> Issue:
    return Issue(
        "error",
        "",
        "masks",
        f"two classes are declared ({names[0]}, {names[1]}), the masks hold {{0, 255}}, and 255 "
        "means no label: nothing would be left to learn",
        f"Declare mask_values: [0, 255] where 255 is {names[1]}, or [0, 1] where it means no "
        "label indeed.",
    )


def _check_labels(classes: Classes, facts, records, first_pixel) -> None:
    """An error for each sample that holds a value which is no class."""
    raw = classes.raw_values()
    known = {*raw} if classes.ignore_label is None else {*raw, classes.ignore_label}
    for index, fact in enumerate(facts):
        odd = sorted(set(fact.values) - known) if fact else []
        if not odd:
            continue
        y, x = first_pixel(index, odd[0])
        ignored = "" if classes.ignore_label is None else f" or {classes.ignore_label} (no label)"
        classes.issues.append(
            Issue(
                "error",
                records[index].id,
                records[index].place,
                f"the mask holds {_some(odd)}, first at pixel (y, x) = ({y}, {x}); expected: "
                f"{_some(raw)}{ignored}",
                "Correct the mask, or declare class_names, mask_values or ignore_label to fit.",
            )
        )


def _numbered(count: int) -> list[str]:
    return [f"class {index}" for index in range(count)]


def _some(values: list[int], *, limit: int = 12) -> str:
    more = ", ..." if len(values) > limit else ""
    return f"[{', '.join(map(str, values[:limit]))}{more}]"
