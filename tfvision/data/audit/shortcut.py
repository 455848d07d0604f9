"""Shortcuts: whether the background alone predicts the class, or training against test.

A model learns what works. Where each class was photographed on a background of its own, the
background works, until the images come from elsewhere. So a simple classifier is given the
border of each image alone, or what lies outside its box or region, and should fail.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from tfvision.data.audit import permutation_test
from tfvision.data.audit.background_features import (
    MOST_READ,
    Surround,
    backgrounds,
    chosen,
    look_at,
)
from tfvision.data.audit.finding import Finding
from tfvision.data.audit.similar_images import Pictures
from tfvision.data.scan.result import Scan
from tfvision.data.sources.source import Record, Source
from tfvision.data.split.groups import connected

LEVEL = 0.01  # of the permutation test: how often a set without a trap passes it
FAR = 0.25  # of the way from chance to always right: what an alarm needs beside
APART = 0.9  # of that way: test images from elsewhere, whatever else holds
LEAST_UNITS = 5  # of a class that takes part
LEAST_SIDE = 20  # units in training and test
EXAMPLES = 12  # pictures


@dataclass(frozen=True)
class Tested:
    """Attributes:
    findings: Alarms; none where nothing is wrong.
    notes: One line a test: what was measured, or why it was not.
    """

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def look_behind(
    source: Source, scan: Scan, pictures: Pictures, splits: Sequence[str | None]
) -> Tested:
    """Both tests, on at most `MOST_READ` images of training and as many of test.

    Args:
        source, scan: The data set; an image has one label.
        pictures: Which of its images are nearly the same.
        splits: Of each record. What stands in "test" or has no label is looked at as test.
    """
    records, facts = source.records, scan.facts
    tests = [i for i, r in enumerate(records) if splits[i] == "test" or not r.labelled]
    apart = set(tests)
    train = [i for i in range(len(records)) if i not in apart and scan.class_pixels[i].any()]
    train, tests = chosen(facts, train), chosen(facts, tests)
    labels = {i: int(scan.class_pixels[i].argmax()) for i in train}
    units = _units(records, pictures.clusters), _units(records, pictures.exact)
    classes = _testable(labels, units)
    sides = [len({units[0][i] for i in side}) for side in (train, tests)]
    found = look_at(source, facts, [*train, *tests] if min(sides) >= LEAST_SIDE else train)
    shortcut = _shortcut(found, labels, classes, units, names=scan.class_names)
    shift = _shift(found, train, tests, units[0], sides=sides, harmful=bool(shortcut.findings))
    return Tested([*shortcut.findings, *shift.findings], [*shortcut.notes, *shift.notes])


def _units(records: Sequence[Record], together: Sequence[Sequence[int]]) -> np.ndarray:
    """(N,) a number of each record, shared within groups and within what is given."""
    groups: dict[str, list[int]] = {}
    for i, record in enumerate(records):
        if record.group is not None:
            groups.setdefault(record.group, []).append(i)
    units = np.arange(len(records))
    for cluster in connected([p for some in (*groups.values(), *together) for p in pairwise(some)]):
        units[cluster] = cluster[0]
    return units


def _testable(labels: Mapping[int, int], units: tuple[np.ndarray, np.ndarray]) -> list[set[int]]:
    """The classes with enough units, for units of near-duplicates and of equal images."""
    result = []
    for unit in units:
        known: dict[int, set[int]] = {}
        for i, label in labels.items():
            known.setdefault(label, set()).add(int(unit[i]))
        result.append({k for k, some in known.items() if len(some) >= LEAST_UNITS})
    return result


def _shortcut(
    found: Mapping[int, Surround],
    labels: Mapping[int, int],
    classes: Sequence[set[int]],
    units: tuple[np.ndarray, np.ndarray],
    names: Sequence[str],
) -> Tested:
    # Before one wall all images of a class are near-duplicates: then only equal ones are held
    # together, or the clearest of all shortcuts could not be tested.
    which = 0 if classes[0] == classes[1] else 1
    known, unit = sorted(classes[which]), units[which]
    ground = backgrounds(found, [i for i, label in labels.items() if label in classes[which]])
    present = {labels[i] for i in ground.index.tolist()}
    if len(present) < 2 or set(known) - present:
        few = f"it needs two classes or more with {LEAST_UNITS} images or groups each"
        return Tested(notes=[f"shortcut test: left out, {few}"])
    y = np.searchsorted(known, [labels[i] for i in ground.index.tolist()])
    scores = permutation_test.cross_validated(ground.features, y, len(known), unit[ground.index])
    result = permutation_test.balanced_accuracy(scores, unit[ground.index])
    table = permutation_test.confusion(scores)
    measured = (
        f"{ground.what} predicts the class of {result.value:.1%} of the images, as a mean over the "
        f"classes ({result.low:.1%} to {result.high:.1%}; chance {result.chance:.1%}, "
        f"p = {result.p:.3f} by permutation)"
    )
    if result.p > LEVEL or result.skill[1] < FAR:
        word = "weak" if result.p <= LEVEL else "no"
        return Tested(notes=[f"shortcut test: {word} sign: {measured}"])
    names = [names[k] for k in known]
    reading = (
        f"{measured}: a network can learn the background in place of the object, and fails "
        "where that is another. Crop to the objects (data.input: crop), remove or vary the "
        "background, and score on images from elsewhere"
    )
    evidence = {
        **_measures(result, ground.index, unit),
        "majority": round(float(table.sum(axis=1).max() / table.sum()), 4),
        "accuracy": round(float(np.trace(table) / table.sum()), 4),
        "told_right_of": _diagonal(table, names),
        "mixed_up": _mixed_up(table, names),
        "examples": _clearest(scores, ground.index, names),
    }
    members = tuple(ground.index.tolist())
    return Tested(
        [Finding("shortcut", "warning", members, (), reading=reading, evidence=evidence)],
        [f"shortcut test: alarm: {measured}"],
    )


def _shift(
    found: Mapping[int, Surround],
    train: Sequence[int],
    tests: Sequence[int],
    unit: np.ndarray,
    sides: Sequence[int],
    *,
    harmful: bool,
) -> Tested:
    """A classifier two-sample test: Lopez-Paz and Oquab, "Revisiting Classifier Two-Sample
    Tests", ICLR 2017, with the area under the curve in place of the accuracy, as the two
    sides are seldom equally large.

    A warning where the background predicts the class too (`harmful`), or where training and
    test are nearly always told from each other; else a note.
    """
    if not tests:
        return Tested()
    if min(sides) < LEAST_SIDE:
        few = f"it needs {LEAST_SIDE} images or groups in training and in test"
        return Tested(notes=[f"background shift test: left out, {few}"])
    ground = backgrounds(found, [*train, *tests])
    apart = set(tests)
    y = np.array([i in apart for i in ground.index.tolist()], np.int64)
    if min(y.sum(), (1 - y).sum()) < LEAST_SIDE:
        return Tested(notes=["background shift test: left out, too few images can be read"])
    scores = permutation_test.cross_validated(ground.features, y, 2, unit[ground.index])
    result = permutation_test.area_under_curve(scores, unit[ground.index])
    measured = (
        f"{ground.what} tells test images from training images with an area under the ROC curve "
        f"of {result.value:.3f} ({result.low:.3f} to {result.high:.3f}; 0.5 where they are alike, "
        f"p = {result.p:.3f} by permutation)"
    )
    if result.p > LEVEL or result.skill[1] < FAR:
        word = "weak" if result.p <= LEVEL else "no"
        return Tested(notes=[f"background shift test: {word} sign: {measured}"])
    reading = f"{measured}: scores on images like those of training say less of the test images"
    reading += ", least of all where the background predicts the class too" if harmful else ""
    severity = "warning" if harmful or result.skill[1] >= APART else "note"
    evidence = {
        **_measures(result, ground.index, unit),
        "training_images": int((1 - y).sum()),
        "test_images": int(y.sum()),
        "examples": _clearest(scores, ground.index, ["training", "test"]),
    }
    members = tuple(ground.index.tolist())
    return Tested(
        [Finding("background_shift", severity, members, (), reading=reading, evidence=evidence)],
        [f"background shift test: {'alarm' if severity == 'warning' else 'a sign'}: {measured}"],
    )


def _measures(
    result: permutation_test.PermutationTest, index: np.ndarray, unit: np.ndarray
) -> dict[str, Any]:
    return {
        "value": round(result.value, 4),
        "interval": [round(result.low, 4), round(result.high, 4)],
        "chance": round(result.chance, 4),
        "p": round(result.p, 4),
        "images": len(index),
        "units": len(np.unique(unit[index])),
        "at_most_looked_at": MOST_READ,
    }


def _diagonal(table: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Share of each class that is predicted right, the best first."""
    share = np.diag(table) / table.sum(axis=1)
    return {names[k]: round(float(share[k]), 3) for k in np.argsort(-share, kind="stable")}


def _mixed_up(table: np.ndarray, names: Sequence[str], limit: int = 5) -> list[str]:
    """The commonest confusions in words."""
    share = table / table.sum(axis=1, keepdims=True)
    np.fill_diagonal(share, 0)
    worst = np.argsort(-share, axis=None, kind="stable")[:limit]
    pairs = [divmod(int(place), len(names)) for place in worst if share.flat[place] > 0]
    return [f"{share[a, b]:.0%} of {names[a]} taken for {names[b]}" for a, b in pairs]


def _clearest(
    scores: permutation_test.Scores, index: np.ndarray, names: Sequence[str]
) -> dict[int, str]:
    """A few records of each class whose background predicts it most clearly -> the class."""
    each = max(1, EXAMPLES // len(names))
    chosen_ones: dict[int, str] = {}
    for k, name in enumerate(names[:EXAMPLES]):
        own = np.flatnonzero(scores.classes == k)
        best = own[np.argsort(-scores.own[own, k], kind="stable")[:each]]
        chosen_ones.update({int(index[place]): name for place in best})
    return chosen_ones
