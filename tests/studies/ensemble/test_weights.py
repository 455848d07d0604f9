"""Weights of folds folders: fitted on some folds, scored on the others, refused on noise."""

from types import SimpleNamespace

import numpy as np
import pytest

from tfvision.engine.shards import Shards
from tfvision.errors import InputError
from tfvision.metrics.contract import Contract, mean_iou
from tfvision.registry import Spec
from tfvision.studies.ensemble.weights import OutOfFold, check_same_samples, score_mean, weigh

CLASSES = ["a", "b", "c"]
COUNT, SIDE = 24, 6


def recipe(component_rules=(), void=(255,)):
    return SimpleNamespace(
        config=SimpleNamespace(task="segmentation", metrics=[Spec(name="mean_iou")]),
        num_classes=3,
        contract=Contract(),
        rules=(),
        component_rules=component_rules,
        void=void,
        ignored=void,
    )


def truths(seed=0):
    return list(np.random.default_rng(seed).integers(0, 3, (COUNT, SIDE, SIDE)).astype(np.int32))


def predictions(masks, *, skill, seed):
    """Probabilities that know `skill` of the truth, and noise."""
    rng = np.random.default_rng(seed)
    noise = [rng.dirichlet(np.ones(3), mask.shape) for mask in masks]
    return [skill * np.eye(3)[m] + (1 - skill) * n for m, n in zip(masks, noise, strict=True)]


def store(folder, probabilities, ids=None, classes=CLASSES):
    ids = [f"scene {i:02d}" for i in range(COUNT)] if ids is None else ids
    made = Shards.create(folder, ids=ids, class_names=classes, origin={}, per_shard=10)
    for positions in made.missing():
        made.write(positions, [probabilities[p] for p in positions])
    return Shards.open(folder)


def out_of_fold(folder, masks, models, *, folds=None, units=None):
    stores = [store(folder / f"store-{j}", p) for j, p in enumerate(models)]
    return OutOfFold(
        [f"F{j}" for j in range(len(models))],
        stores,
        np.arange(COUNT) % 4 if folds is None else folds,
        [f"unit {i}" for i in range(COUNT)] if units is None else units,
        lambda: ((name, {"mask": m}) for name, m in zip(stores[0].ids, masks, strict=True)),
    )


@pytest.fixture
def unlike(tmp_path):
    """A good and a bad model."""
    masks = truths()
    models = [predictions(masks, skill=s, seed=i) for i, s in enumerate((0.45, 0.05))]
    return out_of_fold(tmp_path, masks, models), masks, models


@pytest.mark.parametrize("method", ["fitted", "greedy"])
def test_a_real_gain_is_found_and_used(unlike, method):
    found, masks, models = unlike
    result = weigh(found, method, recipe())
    assert result["used"] == method
    assert result["weights"] == result["fitted"]
    assert result["weights"][0] > 0.8
    assert result["gain"]["low"] > 0
    assert f"the {method} weights are used" in result["text"]
    score = result["out_of_fold"]
    assert score["nested"] - score["mean"] == pytest.approx(result["gain"]["difference"])
    assert score["nested"] > score["mean"] > score["alone"][1]

    def by_hand(weights_of):
        cms = np.zeros((COUNT, 3, 3), np.int64)
        for i, mask in enumerate(masks):
            pair = [np.float16(m[i]).astype(np.float32) for m in models]
            labels = sum(w * p for w, p in zip(weights_of(i), pair, strict=True)).argmax(-1)
            np.add.at(cms[i], (mask, labels), 1)
        return mean_iou(cms)

    nested = result["fitted_without_fold"]
    assert score["nested"] == pytest.approx(by_hand(lambda i: nested[str(i % 4)]), abs=1e-3)
    assert score["mean"] == pytest.approx(by_hand(lambda i: (0.5, 0.5)), abs=1e-3)
    assert score["alone"][0] == pytest.approx(by_hand(lambda i: (1, 0)), abs=1e-3)


@pytest.mark.parametrize("method", ["fitted", "greedy"])
def test_models_of_one_skill_keep_the_mean(tmp_path, method):
    masks = truths()
    models = [predictions(masks, skill=0.2, seed=i) for i in range(3)]
    result = weigh(out_of_fold(tmp_path, masks, models), method, recipe())
    assert result["used"] == "mean"
    assert result["weights"] == [1 / 3] * 3
    assert result["gain"]["low"] <= 0
    assert "refused, the plain mean is used" in result["text"]
    assert len(result["fitted"]) == 3


@pytest.mark.parametrize("method", ["fitted", "greedy"])
def test_what_is_scored_in_a_fold_was_fitted_without_it(tmp_path, method):
    """Another truth in fold 0 changes all weights but those that fold 0 is scored with."""
    masks = truths()
    models = [predictions(masks, skill=0.3, seed=i) for i in range(2)]
    before = weigh(out_of_fold(tmp_path / "a", masks, models), method, recipe())
    turned = [(m + 1) % 3 if i % 4 == 0 else m for i, m in enumerate(masks)]
    models[1] = [p if i % 4 else np.eye(3)[turned[i]] for i, p in enumerate(models[1])]
    after = weigh(out_of_fold(tmp_path / "b", turned, models), method, recipe())
    changed = {
        fold
        for fold, weights in before["fitted_without_fold"].items()
        if weights != after["fitted_without_fold"][fold]
    }
    assert "0" not in changed
    assert len(changed) >= 2  # a greedy choice is in steps


def test_the_interval_is_over_units(unlike):
    found = unlike[0]
    pairs = OutOfFold(
        found.names, found.stores, found.folds, [f"u{i // 2}" for i in range(COUNT)], found.truths
    )
    assert weigh(found, "fitted", recipe())["gain"]["num_units"] == COUNT
    assert weigh(pairs, "fitted", recipe())["gain"]["num_units"] == COUNT // 2


def test_rules_act_before_the_scores(unlike):
    found, masks = unlike[:2]

    def all_b(labels):
        return np.ones_like(labels)

    result = score_mean(found, [0.5, 0.5], recipe(component_rules=(all_b,)))
    share = np.mean([m == 1 for m in masks])
    assert result["mean"] == pytest.approx(share / 3)
    assert result["alone"] == pytest.approx([share / 3] * 2)


def test_truth_that_does_not_fit_the_predictions_is_refused(tmp_path):
    masks = truths()
    models = [predictions(masks, skill=0.3, seed=i) for i in range(2)]
    cut = [m[:, :5] if i == 5 else m for i, m in enumerate(masks)]
    found = out_of_fold(tmp_path, cut, models)
    with pytest.raises(InputError, match=r"The truth of 'scene 05' does not fit.*\(6, 5\)"):
        weigh(found, "fitted", recipe())


def test_all_labels_ignored_leave_nothing_to_fit(unlike):
    with pytest.raises(InputError, match="no counted pixels to fit weights on"):
        weigh(unlike[0], "fitted", recipe(void=(0, 1, 2)))


@pytest.mark.parametrize(
    ("folds", "units"), [(np.zeros(COUNT, int), None), (None, ["one"] * COUNT)]
)
def test_one_fold_or_one_unit_is_too_few(tmp_path, folds, units):
    masks = truths()
    models = [predictions(masks, skill=0.3, seed=i) for i in range(2)]
    found = out_of_fold(tmp_path, masks, models, folds=folds, units=units)
    with pytest.raises(InputError, match="at least 2 folds and 2 independent samples"):
        weigh(found, "greedy", recipe())


def test_folders_of_other_samples_classes_or_folds_are_refused(tmp_path):
    masks = truths()
    probabilities = predictions(masks, skill=0.3, seed=0)
    first = store(tmp_path / "a", probabilities)
    assigned = {name: i % 4 for i, name in enumerate(first.ids)}
    names = ["F1", "F2"]
    check_same_samples(names, [first, first], [assigned, dict(assigned)])

    other = store(tmp_path / "b", probabilities, ids=[*first.ids[:-1], "another"])
    with pytest.raises(
        InputError, match=r"F1 and F2 have folds of different samples: 24 and 24 ids, 23 in both"
    ):
        check_same_samples(names, [first, other], [assigned, assigned])
    other = store(tmp_path / "c", probabilities, classes=["a", "b", "z"])
    with pytest.raises(InputError, match=r"different classes: \['a', 'b', 'c'\] against .*'z'"):
        check_same_samples(names, [first, other], [assigned, assigned])
    moved = {**assigned, "scene 03": 0}
    with pytest.raises(InputError, match=r"1 of 24 samples are in another \('scene 03'\)"):
        check_same_samples(names, [first, first], [assigned, moved])
