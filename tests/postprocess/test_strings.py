"""Strings read from boxes, against a plain reading written here."""

import numpy as np
import pytest

from tfvision.errors import InputError
from tfvision.metrics.strings import best_threshold, out_of_fold, right_at
from tfvision.postprocess import BOX_RULES
from tfvision.postprocess.strings import Reading, length_shares
from tfvision.registry import Spec

DIGITS = Reading(tuple("0123456789"))
THRESHOLDS = (0.03, 0.21, 0.37, 0.52, 0.68, 0.83, 0.97)


def found(*characters):
    """Detections of (class, left, score), 8 pixels wide and 12 high."""
    classes, lefts, scores = (np.array(x) for x in zip(*characters, strict=True))
    boxes = np.stack([lefts, 0 * lefts, lefts + 8.0, 0 * lefts + 12.0], 1)
    return {"boxes": boxes, "classes": classes, "scores": scores.astype(float)}


NOTHING = {"boxes": np.zeros((0, 4)), "classes": np.zeros(0, int), "scores": np.zeros(0)}


def random_case(seed: int):
    """A few characters of few classes, so that strings are right at times, some in one place."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 5))
    lefts = rng.permutation(6)[:n] * 10.0 + rng.uniform(-1, 1, n)
    rows = [(int(rng.integers(0, 2)), x, s) for x, s in zip(lefts, rng.random(n), strict=True)]
    rows += [(int(rng.integers(0, 2)), x + 1, s * 0.9) for _, x, s in rows[: n // 2]]
    truth = "".join(str(k) for k in rng.integers(0, 2, int(rng.integers(0, 4))))
    return (found(*rows) if rows else NOTHING), truth or "-1"


def plainly(case, threshold: float, drop: bool) -> str:
    """Boxes that reach a threshold, the better of two less than 3 pixels apart, left to right."""
    taken = []
    for i in np.argsort(-case["scores"]):
        near = any(abs(case["boxes"][i, 0] - case["boxes"][j, 0]) < 3 for j in taken)
        if not near and case["scores"][i] >= threshold:
            taken.append(i)
    text = "".join(
        str(case["classes"][i]) for i in sorted(taken, key=lambda i: case["boxes"][i, 0])
    )
    return (str(int(text)) if drop and text else text) or "-1"


@pytest.mark.parametrize("drop", [False, True])
def test_it_reads_what_a_plain_reading_reads_and_says_where_it_is_right(drop):
    reading = Reading(tuple("0123456789"), leading_zeros=not drop)
    ever = 0
    for seed in range(300):
        case, truth = random_case(seed)
        truth = reading.normal("" if truth == "-1" else truth)
        low, high = reading.span(case, truth)
        for threshold in THRESHOLDS:
            text = reading.text(case, threshold)
            assert text == plainly(case, threshold, drop)
            assert (low < threshold <= high) == (text == truth), (seed, threshold)
        ever += high > low
    assert 30 < ever < 290


def test_the_span_holds_under_a_prior_of_lengths_too():
    reading = Reading(tuple("01"), shares=[0.05, 0.05, 0.8, 0.1], weight=1.5)
    changed = 0
    for seed in range(300):
        case, truth = random_case(seed)
        low, high = reading.span(case, truth)
        for threshold in THRESHOLDS:
            text = reading.text(case, threshold)
            assert (low < threshold <= high) == (text == truth), (seed, threshold)
            changed += text != plainly(case, threshold, False)
    assert changed > 50


def test_a_prior_takes_the_length_that_it_knows():
    case = found((1, 0, 0.9), (2, 10, 0.45), (3, 20, 0.55))
    assert DIGITS.text(case, 0.5) == "13"
    assert Reading(DIGITS.characters, shares=[0, 0, 0, 1.0]).text(case, 0.5) == "123"
    assert Reading(DIGITS.characters, shares=[0, 1.0]).text(case, 0.5) == "1"
    assert Reading(DIGITS.characters, shares=[0, 0, 0, 1.0], weight=0.0).text(case, 0.5) == "13"


def test_letters_nothing_and_zeros():
    letters = Reading(("a", "é", "Z"), empty="?")
    assert letters.text(found((2, 30, 0.9), (0, 0, 0.8), (1, 15, 0.7)), 0.5) == "aéZ"
    assert letters.text(NOTHING, 0.5) == "?"
    assert DIGITS.text(found((0, 0, 0.9), (0, 10, 0.8), (7, 20, 0.7)), 0.5) == "007"
    dropped = Reading(DIGITS.characters, leading_zeros=False)
    assert dropped.text(found((0, 0, 0.9), (0, 10, 0.8), (7, 20, 0.7)), 0.5) == "7"
    assert dropped.text(found((0, 0, 0.9), (0, 10, 0.8)), 0.5) == "0"


def test_of_two_boxes_in_one_place_the_better_counts_whatever_its_class():
    inside = {
        "boxes": np.array([[0, 0, 20, 30], [8, 5, 12, 25], [30, 0, 50, 30.0]]),
        "classes": np.array([4, 1, 2]),
        "scores": np.array([0.9, 0.8, 0.7]),
    }
    assert DIGITS.text(inside, 0.5) == "42"
    assert Reading(DIGITS.characters, overlap=1.0).text(inside, 0.5) == "412"


def test_a_truth_is_read_without_crowds_and_padding():
    truth = {
        "boxes": np.array([[50, 0, 60, 9], [0, 0, 9, 9], [20, 0, 30, 9], [0, 0, 0, 0.0]]),
        "classes": np.array([3, 8, 5, -1]),
        "crowd": np.array([False, False, True, False]),
    }
    assert DIGITS.truth(truth) == "83"


def test_the_best_threshold_is_the_middle_of_the_widest_range():
    spans = np.array([[0.2, 0.6], [0.4, 0.9], [0.0, 0.0], [0.5, 0.8]])
    assert best_threshold(spans) == pytest.approx(0.55)
    assert right_at(spans, 0.55).sum() == 3
    assert best_threshold(np.array([[0.1, 0.2], [0.5, 0.9]])) == pytest.approx(0.7)
    assert best_threshold(np.zeros((3, 2))) == 0.5


def test_no_fold_chooses_its_own_threshold():
    spans = np.array([[0.0, 0.2], [0.0, 0.2], [0.6, 1.0], [0.6, 1.0]])
    np.testing.assert_allclose(out_of_fold(spans, [0, 0, 1, 1]), [0.8, 0.8, 0.1, 0.1])


def test_shares_of_lengths_count_one_more_of_each():
    assert length_shares(["12", "34", "-1", "5"], "-1") == pytest.approx(
        [2 / 7, 2 / 7, 3 / 7], abs=1e-4
    )


def test_likely_string_leaves_boxes_as_they_are_and_refuses_what_is_no_share():
    case, _ = random_case(4)
    assert BOX_RULES.build(Spec(name="likely_string", shares=[0.5, 0.5]))(case) is case
    for wrong in ({"weight": -1}, {"threshold": 0}, {"overlap": 1.5}, {"shares": [True]}):
        with pytest.raises(InputError, match="likely_string takes"):
            BOX_RULES.build(Spec(name="likely_string", **wrong))
