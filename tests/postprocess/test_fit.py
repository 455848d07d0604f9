"""What a fit finds is the best there is by brute force, and nesting never lets it look."""

import numpy as np
import pytest

from tests.support.evidence import Errors
from tfvision.errors import InputError
from tfvision.metrics.contract import Contract
from tfvision.metrics.evidence import ConfusionEvidence
from tfvision.postprocess import POSTPROCESS
from tfvision.postprocess.candidates import (
    CANDIDATES,
    FITS,
    OFFSETS,
    THRESHOLDS,
    Objective,
    Pixels,
    apply,
)
from tfvision.postprocess.fit import Predictions, assign_parts, check_candidates, fit, nested
from tfvision.postprocess.fit_masks import MaskPredictions
from tfvision.registry import Spec
from tfvision.studies.fitted.verdict import judge

CLASSES = 3


def mean_iou(counts):
    """(G, N, K, K) -> (G,): every class counts, of all images together."""
    counts = counts.sum(axis=1)
    hit = np.diagonal(counts, axis1=1, axis2=2)
    union = counts.sum(axis=1) + counts.sum(axis=2) - hit
    return (hit / np.maximum(union, 1)).mean(axis=1)


def per_image(counts):
    """The mean of the scores of the images."""
    return np.mean([mean_iou(counts[:, i : i + 1]) for i in range(counts.shape[1])], axis=0)


TOTAL, IMAGES = Objective(mean_iou), Objective(per_image, per_image=True)


def draw(seed: int, images: int = 6, side: int = 12):
    """Scores (side, side, K) and truths of images, off by a factor a class."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(images):
        logits = rng.normal(0, 1.5, (side, side, CLASSES))
        truth = (logits + rng.gumbel(size=logits.shape)).argmax(-1)
        found = np.exp(logits) * [1.0, 5.0, 0.5]
        pairs.append(((found / found.sum(-1, keepdims=True)).astype(np.float32), truth))
    return pairs


def predictions_of(pairs, **options):
    ids = [str(i) for i in range(len(pairs))]
    return MaskPredictions(pairs, ids=ids, kind=ConfusionEvidence, **options)


def brute(pixels: Pixels, rule, objective):
    """The score of a rule (None: of the bare argmax), by another way than the line search."""
    scores = pixels.scores if rule is None else apply(rule, pixels.scores)
    counts = np.zeros((1, pixels.num_images, CLASSES, CLASSES))
    np.add.at(counts, (0, pixels.image, pixels.truth, scores.argmax(1)), 1)
    return float(objective.score(counts)[0])


@pytest.mark.parametrize(
    "rule",
    [
        {"name": "drop_class", "index": 1},
        {"name": "class_prior_offsets", "offsets": [0.3, -1.1, 2.0]},
        {"name": "class_thresholds", "thresholds": [0.2, 0.5, 0.35]},
    ],
    ids=lambda rule: rule["name"],
)
def test_a_rule_of_the_fit_is_the_rule_of_the_config(rule):
    scores = draw(0, 1)[0][0]
    scores[0, :CLASSES] = np.eye(CLASSES)  # certain, of the dropped class as well
    dropped = apply({"name": "drop_class", "index": 0}, scores)
    built = POSTPROCESS.build(Spec.model_validate(rule), num_classes=CLASSES)
    for given in (scores, dropped):
        np.testing.assert_allclose(apply(rule, given), np.asarray(built(given)), rtol=1e-6)
    assert not np.array_equal(apply(rule, scores), scores)


@pytest.mark.parametrize("objective", [TOTAL, IMAGES], ids=["total", "per image"])
@pytest.mark.parametrize(
    ("name", "key", "grid"),
    [
        ("class_prior_offsets", "offsets", OFFSETS),
        ("class_thresholds", "thresholds", THRESHOLDS),
    ],
)
def test_no_single_class_can_improve_what_is_found(name, key, grid, objective):
    predictions = predictions_of(draw(1), num_classes=CLASSES)
    pixels = predictions.pixels(range(6), per_image=objective.per_image)
    rule = FITS[name](pixels, objective)
    reached = brute(pixels, rule, objective)
    assert reached > brute(pixels, None, objective) + 0.02
    # Offsets are centred when all is done; on the grid they are so up to a constant.
    values = np.array(rule[key]) + (grid[0] - rule[key][0]) % 0.1 * (key == "offsets")
    for k in range(CLASSES):
        for value in grid[::4]:
            other = values.copy()
            other[k] = value
            assert brute(pixels, {"name": name, key: other.tolist()}, objective) <= reached + 1e-9


def test_the_offsets_of_a_planted_shift_are_found():
    predictions = predictions_of(draw(2, images=20, side=32), num_classes=CLASSES)
    rule = FITS["class_prior_offsets"](predictions.pixels(range(20), per_image=False), TOTAL)
    planted = -np.log([1.0, 5.0, 0.5])
    np.testing.assert_allclose(rule["offsets"], planted - planted.mean(), atol=0.25)


def test_a_class_is_dropped_where_that_scores_highest_and_only_there():
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 2, (12, 12))  # class 2 does not occur, and is predicted now and then
    scores = np.eye(CLASSES, dtype=np.float32)[truth] * 0.5
    scores[..., 2] = 0.8 * (rng.random((12, 12)) < 0.3)
    found = fit(["drop_class"], predictions_of([(scores, truth)], num_classes=3), [0], TOTAL)
    assert found == [{"name": "drop_class", "index": 2}]
    scores[..., 2] = 0
    assert fit(["drop_class"], predictions_of([(scores, truth)], num_classes=3), [0], TOTAL) == []


@pytest.mark.parametrize("name", ["smallest_component", "fill_holes"])
def test_the_size_of_planted_specks_is_found(name):
    """Blocks with wrong specks of 3 pixels; true ones of 9 must stay."""
    truth = np.zeros((24, 24), np.int64)
    truth[:, 12:] = 1
    truth[4:7, 4:7] = truth[14:17, 4:7] = 2
    labels = truth.copy()
    labels[[2, 9, 20], 8:11] = labels[[4, 11, 21], 16:19] = 2
    scores = np.eye(CLASSES, dtype=np.float32)[labels]
    predictions = predictions_of([(scores, truth), (scores, truth)], num_classes=CLASSES)
    (rule,) = fit([name], predictions, [0, 1], TOTAL)
    assert rule == {"name": name, "pixels": 4}
    after = predictions.counts([rule])
    np.testing.assert_array_equal(after.sum(axis=2), predictions.counts([]).sum(axis=2))
    assert np.trace(after[0]) == truth.size > np.trace(predictions.counts([])[0])
    clean = np.eye(CLASSES, dtype=np.float32)[truth]
    assert fit([name], predictions_of([(clean, truth)], num_classes=CLASSES), [0], TOTAL) == []


def test_several_are_fitted_on_top_of_each_other_in_the_order_they_act():
    predictions = predictions_of(draw(4), num_classes=CLASSES)
    rules = fit(["class_thresholds", "class_prior_offsets"], predictions, range(6), TOTAL)
    assert rules[0]["name"] == "class_prior_offsets"
    alone = fit(["class_thresholds"], predictions, range(6), TOTAL)
    assert rules[1:] != alone  # the offsets have mended what the thresholds would


def test_what_is_scored_on_a_part_never_saw_its_truth():
    pairs = draw(5, images=9)
    parts = assign_parts([str(i) for i in range(9)], [i % 3 for i in range(9)], at_least=3)
    _, rules = nested(["class_prior_offsets"], predictions_of(pairs, num_classes=3), parts, TOTAL)
    for place, part in enumerate(parts):
        changed = [(s, 2 - t if i in part else t) for i, (s, t) in enumerate(pairs)]
        predictions = predictions_of(changed, num_classes=CLASSES)
        evidence, others = nested(["class_prior_offsets"], predictions, parts, TOTAL)
        assert others[place] == rules[place]
        assert others != rules  # but the fits on it did
        np.testing.assert_array_equal(evidence.counts[part], predictions.counts(rules[place], part))


def test_counts_are_those_of_the_rules_and_leave_void_out():
    (scores, truth), other = draw(6, images=2)
    truth = np.where(truth == 1, 255, truth)
    predictions = predictions_of(
        [(scores, truth), other],
        num_classes=CLASSES,
        component_rules=[lambda labels: np.maximum(labels, 1)],
    )
    want = np.zeros((CLASSES, CLASSES))
    found = np.maximum(apply({"name": "drop_class", "index": 2}, scores).argmax(-1), 1)
    np.add.at(want, (truth[truth < 255], found[truth < 255]), 1)
    rules = [{"name": "drop_class", "index": 2}]
    np.testing.assert_array_equal(predictions.counts(rules, [0])[0], want)
    both = predictions.counts(rules)  # the second image is counted now, the first not again
    np.testing.assert_array_equal(both[0], want)
    assert both[1].sum() == other[1].size
    assert len(predictions.pixels([0], per_image=False).truth) == want.sum()


def test_drawn_pixels_are_as_many_of_each_image_and_always_the_same():
    pairs = draw(7, images=4)
    drawn = [predictions_of(pairs, num_classes=CLASSES, pixels=200) for _ in range(2)]
    pixels = [p.pixels([1, 3], per_image=True) for p in drawn]
    assert np.bincount(pixels[0].image).tolist() == [50, 50]
    np.testing.assert_array_equal(pixels[0].scores, pixels[1].scores)


def test_parts_are_folds_and_keep_units_together():
    units = ["a", "a", "b", "c", "c", "c", "d", "e", "f", "g"]
    folds = [0, 0, 1, 1, 1, 0, 2, 3, 4, 4]
    parts = assign_parts(units, folds)
    assert [p.tolist() for p in parts] == [[0, 1], [2, 3, 4, 5], [6], [7], [8, 9]]


def test_few_folds_are_cut_into_more_parts():
    units = [f"u{i // 2}" for i in range(24)]
    parts = assign_parts(units, [i // 12 for i in range(24)])
    assert len(parts) == 6
    assert sorted(np.concatenate(parts).tolist()) == list(range(24))
    for part in parts:
        assert len(part) == 4
        assert len({i // 12 for i in part}) == 1
        assert all(i ^ 1 in part for i in part)


def test_wrong_input_is_named():
    with pytest.raises(InputError, match=r"4 images that form 1 unit .* cannot be cut in two"):
        assign_parts(["a"] * 4, [0, 1, 0, 1])
    with pytest.raises(InputError, match=r"Unknown candidate .* Did you mean 'drop_class'\?"):
        check_candidates(["drop_clas"], CANDIDATES)
    with pytest.raises(InputError, match=r"each once: .* Received: fill_holes, fill_holes"):
        check_candidates(["fill_holes", "fill_holes"], CANDIDATES)
    with pytest.raises(InputError, match="Received: nothing"):
        check_candidates([], CANDIDATES)
    with pytest.raises(
        InputError, match=r"scores \(4, 4, 2\) must be \(H, W, 3\) .* mask \(4, 4\)"
    ):
        predictions_of([(np.zeros((4, 4, 2)), np.zeros((4, 4), int))], num_classes=3)
    assert check_candidates(["fill_holes", "drop_class"], CANDIDATES) == [
        "drop_class",
        "fill_holes",
    ]
    assert set(CANDIDATES) <= set(POSTPROCESS)


class Counted(Predictions):
    """Objects of an image, counted where their scores reach a threshold."""

    candidates = ("shift", "threshold")

    def __init__(self, images: int = 40):
        rng = np.random.default_rng(0)
        self._truth = rng.integers(2, 9, images)
        # True objects score above 0.6, and as many others between 0.3 and 0.6.
        self._scores = [
            np.concatenate([rng.uniform(0.6, 1, n), rng.uniform(0.3, 0.6, n)]) for n in self._truth
        ]

    def __len__(self):
        return len(self._truth)

    def evidence(self, rules, rows=None):
        rows = range(len(self)) if rows is None else rows
        least, shift = 0.0, 0
        for rule in rules:
            least, shift = rule.get("least", least), rule.get("by", shift)
        found = np.array([(self._scores[row] >= least).sum() + shift for row in rows])
        truth = self._truth[np.asarray(rows)]
        return Errors([str(row) for row in rows], truth.astype(float), found.astype(float))

    def settings(self, name, rows):
        if name == "shift":
            return [{"name": name, "by": 0}]  # as good as going without, so never fitted
        return [{"name": name, "least": float(value)} for value in np.arange(0.1, 1.0, 0.1)]


def test_predictions_of_another_kind_are_fitted_and_judged():
    """A mean error is to fall, so the setting with the lowest is the best."""
    predictions = Counted()
    scoring = {"contract": Contract(), "score": "mean_error"}
    objective = predictions.objective(**scoring)
    (rule,) = fit(["threshold", "shift"], predictions, range(40), objective)
    assert rule == {"name": "threshold", "least": pytest.approx(0.6)}
    units = [str(i) for i in range(40)]
    parts = assign_parts(units, [i % 5 for i in range(40)])
    evidence, rules = nested(["threshold"], predictions, parts, objective)
    assert evidence.ids == units
    assert rules == [[rule]] * 5
    found = judge(
        ["shift", "threshold"], predictions, parts=parts, units=units, resamples=200, **scoring
    )
    assert [one.verdict for one in found.tried] == ["refused", "applied"]
    assert found.rules == [rule]
    assert found.together.declared.high < 0
    assert found.together.declared.second == 0
