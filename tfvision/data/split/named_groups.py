"""Groups that the names of samples tell of: patients, videos, plates, dates.

`p01_slice3`, `vid2_f0017`, `patient012-03`, `plateA_w3`, `20240113_0007`, `p01/slice_3`: what
stands before a numbering recurs, with several samples each. A plain counter (`img_0001`) tells
of none, nor does a word (`cat.12`).
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tfvision.data.sources.source import Record

LEAST_GROUPS = 5  # fewer cannot be shared out to splits and folds
LEAST_SAMPLES = 2  # a group, in the mean; and in most groups
LARGEST = 0.5  # of the samples in one group, at most
KINDS = 8  # of numbering within a group, at most: names made at random have many
# A date is one token; otherwise names are parted at separators, and where a letter follows a digit.
_TOKEN = re.compile(r"\d{4}-\d\d-\d\d(?!\d)|[^\W\d_]*\d+|[^\W\d_]+")
# Before a number these tell how files are kept, or what is seen: not what was examined.
_NO_GROUP = {
    *("part", "fold", "batch", "chunk", "split", "shard", "train", "val", "valid", "test", "set"),
    *("class", "label", "category", "type", "grade", "stage", "level"),
    *("tile", "row", "col", "column", "x", "y"),
}


@dataclass(frozen=True)
class NamedGroups:
    """What names tell of groups.

    Attributes:
        names: The group of each record, None of a record without labels.
        count: How many groups there are.
        example: The names of one of them: "p01_*".
        refused: Why they cannot be used, without a full stop; "" where they can.
    """

    names: list[str | None]
    count: int
    example: str
    refused: str = ""

    def of(self, records: Sequence[Record]) -> list[Record]:
        """The records with these groups."""
        return [replace(r, group=name) for r, name in zip(records, self.names, strict=True)]


def named_groups(records: Sequence[Record]) -> NamedGroups | None:
    """The groups that ids of labelled samples tell of; None where they tell of none.

    The coarsest grouping counts that every id has, that has at least 5 groups, several samples
    in most, none with more than half of all, and a numbering within the groups. It is no
    grouping where groups are the classes.

    Args:
        records: Those of a source, without groups of their own.

    Returns:
        The groups; with `refused` where names are of groups, but too few or too unequal ones.
    """
    labelled = [i for i, record in enumerate(records) if record.labelled]
    names = [_without_label(records[i]) for i in labelled]
    tokens = [list(_TOKEN.finditer(name)) for name in names]
    labels = [records[i].label for i in labelled]
    refused = None
    for length in range(1, min(map(len, tokens), default=0)):
        keys = [name[: found[length - 1].end()] for name, found in zip(names, tokens, strict=True)]
        rests = [name[len(key) :] for name, key in zip(names, keys, strict=True)]
        if not _tells(keys, rests) or _are_classes(keys, labels):
            continue
        sizes = Counter(keys)
        of: list[str | None] = [None] * len(records)
        for index, key in zip(labelled, keys, strict=True):
            of[index] = key
        found = NamedGroups(of, len(sizes), f"{keys[0]}{rests[0][:1]}*")
        largest, most = sizes.most_common(1)[0]
        if len(sizes) < LEAST_GROUPS:
            refused = refused or replace(found, refused="too few to be kept whole in splits")
        elif most > LARGEST * len(keys):
            share = f"{largest!r} alone has {most} of {len(keys)} samples"
            refused = refused or replace(found, refused=share)
        else:
            return found
    return refused


def group_begun(identity: str, groups: Iterable[str]) -> str | None:
    """Which of some groups the id of one more sample begins with; None: none."""
    places = [token.end() for token in _TOKEN.finditer(identity)]
    begun = {identity[:place] for place in places}
    return next((name for name in groups if name in begun), None)


def _without_label(record: Record) -> str:
    """The id without the folder of its class: one patient may lie in the folders of several."""
    first, slash, rest = record.id.partition("/")
    return rest if slash and record.label is not None and _same(first, record.label) else record.id


def _tells(keys: Sequence[str], rests: Sequence[str]) -> bool:
    """Whether beginnings of names are groups, and their rests a numbering within them.

    Files of one name in the folders of several classes are counted once: they are numbered alike.
    """
    sizes = Counter(key for key, _ in {*zip(keys, rests, strict=True)})
    several = sum(size >= LEAST_SAMPLES for size in sizes.values())
    if len(sizes) < 2 or sizes.total() < LEAST_SAMPLES * len(sizes) or several * 2 <= len(sizes):
        return False
    if not all(map(_names_one, sizes)):
        return False
    kinds = {re.sub(r"\d+", "0", rest) for rest in rests}
    return len(kinds) <= KINDS


def _names_one(key: str) -> bool:
    """Whether a beginning names one of many: it ends in a number (p01), or in a letter (plateA)."""
    *_, last = re.split(r"[\W_]+", key)
    if not last[-1].isdigit():
        return re.fullmatch(r"[a-z]*[A-Z]", last) is not None
    words = re.findall(r"[^\W\d_]+", key)
    return not (words and words[-1].lower() in _NO_GROUP)


def _are_classes(keys: Sequence[str], labels: Sequence[str | None]) -> bool:
    """Whether such groups are the classes, by another name or a part of them."""
    classes_of = defaultdict(set)
    for key, label in zip(keys, labels, strict=True):
        if label is None:
            return False
        classes_of[key].add(label)
    if any(len(classes) > 1 for classes in classes_of.values()):
        return False
    named = all(_same(key, next(iter(classes))) for key, classes in classes_of.items())
    return named or len(classes_of) <= len(set(labels))


def _same(name: str, label: str) -> bool:
    """Whether a name is that of a class, spelling aside."""
    first, second = (re.sub(r"[\W_]+", "", text).casefold() for text in (name, label))
    return first == second
