"""Sharing samples out so that every class is spread, and what belongs together stays.

Several labels at once: K. Sechidis, G. Tsoumakas, I. Vlahavas, "On the Stratification of
Multi-Label Data", ECML PKDD 2011, algorithm 1. A sample's labels are the classes that
its mask holds. What must stay together (equal images, equal groups, near-duplicates,
the block of a chain) moves as one unit.
Chance comes from a hash of seed and id: the same on every machine, whatever the order.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from tfvision.data.scan.duplicates import identical
from tfvision.data.scan.result import Scan
from tfvision.data.sources.source import Record
from tfvision.data.split.groups import connected


@dataclass
class Unit:
    """Samples that stay together: their indices and how many hold each class (K,)."""

    members: list[int]
    labels: np.ndarray
    chance: str


@dataclass
class Side:
    """One split while it fills: what it still wants, of samples and of each class (K,)."""

    name: str
    size: int
    wanted: float
    wanted_labels: np.ndarray
    units: list[Unit] = field(default_factory=list)

    def take(self, unit: Unit) -> None:
        self.units.append(unit)
        self.wanted -= len(unit.members)
        self.wanted_labels = self.wanted_labels - unit.labels

    def holds(self, label: int) -> bool:
        return any(unit.labels[label] for unit in self.units)

    def room(self) -> float:
        return self.size - sum(len(unit.members) for unit in self.units)


def make_units(
    scan: Scan,
    records: Sequence[Record],
    seed: int | str,
    *,
    among: Iterable[int] | None = None,
    together: Iterable[Sequence[int]] = (),
) -> list[Unit]:
    """Samples joined where image or group is the same, in an order by chance.

    Args:
        scan: The scan of these records.
        records: Those of the source.
        seed: Of the order.
        among: Indices of the samples; None: all labelled ones.
        together: Indices of what else stays together; those not in `among` are passed over.
    """
    if among is None:
        among = (i for i, record in enumerate(records) if record.labelled)
    chosen = set(among)
    groups: dict[str, list[int]] = {}
    for index in sorted(chosen):
        if records[index].group is not None:
            groups.setdefault(records[index].group, []).append(index)
    pairs = [(index, index) for index in chosen]  # each is a unit at least
    for joined in [*identical(scan.image_sha256), *groups.values(), *together]:
        pairs += pairwise([index for index in joined if index in chosen])
    present = scan.class_pixels > 0
    units = [
        Unit(group, present[group].sum(axis=0), chance(seed, group, records))
        for group in connected(pairs)
    ]
    return sorted(units, key=lambda unit: unit.chance)


def chance(seed: int | str, group: Sequence[int], records: Sequence[Record]) -> str:
    """64 hexadecimal digits drawn by the seed and the ids of some samples, in any order."""
    names = sorted(f"{records[i].part}\n{records[i].id}" for i in group)
    return hashlib.sha256("\n".join([str(seed), *names]).encode()).hexdigest()


def share_out(units: list[Unit], shares: dict[str, float], num_classes: int) -> list[Side]:
    """Every unit on one side: first rare classes to all sides, then Sechidis et al.

    Args:
        units: What is assigned, in an order by chance.
        shares: Name of each side -> its share of the samples; they sum to 1.
        num_classes: K.
    """
    total = sum(len(unit.members) for unit in units)
    labels = sum((unit.labels for unit in units), np.zeros(num_classes, np.int64))
    sides = [
        Side(name, max(1, round(share * total)), share * total, share * labels)
        for name, share in shares.items()
    ]
    rest = _spread_rare(list(units), sides)
    while rest:
        counts = sum((unit.labels > 0 for unit in rest), np.zeros(num_classes, np.int64))
        if counts.any():
            label = int(np.argmin(np.where(counts > 0, counts, len(rest) + 1)))
            chosen = [unit for unit in rest if unit.labels[label]]
        else:
            label, chosen = None, rest
        for unit in sorted(chosen, key=lambda unit: -len(unit.members)):
            _most_wanting(sides, label).take(unit)
        taken = set(map(id, chosen))
        rest = [unit for unit in rest if id(unit) not in taken]
    _fill_empty(sides)
    return sides


def _most_wanting(sides: list[Side], label: int | None) -> Side:
    """The side that lacks most of a class; of equal ones the one that lacks most samples."""
    if label is None:
        return max(sides, key=lambda side: side.wanted)
    return max(sides, key=lambda side: (round(side.wanted_labels[label], 9), side.wanted))


def _spread_rare(rest: list[Unit], sides: list[Side]) -> list[Unit]:
    """Gives every side a unit of every class that three units hold, rarest class first.

    Of the units with the class a side takes the one with most other classes that it still
    lacks, then the smallest, as long as it has room. Returns the units left.
    """
    counts = sum((unit.labels > 0 for unit in rest), 0)
    rare_first = [c for c in np.argsort(counts, kind="stable") if counts[c] >= 3] if rest else []
    for label in rare_first:
        for side in sides:
            if side.holds(label):
                continue
            held = sum((unit.labels for unit in side.units), np.zeros_like(counts)) > 0
            able = [u for u in rest if u.labels[label] and len(u.members) <= side.room()]
            if able:
                best = max(able, key=lambda u: (((u.labels > 0) & ~held).sum(), -len(u.members)))
                side.take(best)
                rest = [unit for unit in rest if unit is not best]
    return rest


def _fill_empty(sides: list[Side]) -> None:
    """Moves a smallest unit to each side that got none, from one that keeps another."""
    for side in sides:
        donor = max(sides, key=lambda other: len(other.units))
        if not side.units and len(donor.units) > 1:
            unit = min(donor.units, key=lambda unit: (len(unit.members), unit.chance))
            donor.units = [other for other in donor.units if other is not unit]
            side.take(unit)
