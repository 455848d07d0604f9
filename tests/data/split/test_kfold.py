"""Folds: each sample validates once, whatever belongs together in one fold."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from tests.data.assigned import (
    chain_near,
    data,
    groups_of,
    random_data,
    random_near,
    shuffled,
    straddles,
)
from tfvision.data.split.chain_blocks import Near
from tfvision.data.split.holdout import holdout
from tfvision.data.split.kfold import fold_splits, kfold
from tfvision.errors import InputError


def test_folds_are_even_and_complete():
    found, records = random_data(count=203)
    folds = kfold(found, records, folds=5, seed=0)
    assert sorted(Counter(folds).values()) == [40, 40, 41, 41, 41]
    assert set(folds) == set(range(5))
    for fold in range(5):
        splits = fold_splits(records, ["train"] * 203, folds, fold)
        assert [s == "val" for s in splits] == [f == fold for f in folds]
        assert [s == "train" for s in splits] == [f != fold for f in folds]


def test_classes_are_spread_better_than_by_chance():
    def distance(found, folds):
        present = found.class_pixels > 0
        each = [present[np.array(folds) == f].mean(axis=0) for f in range(5)]
        return np.abs(np.array(each) - present.mean(axis=0)).mean()

    ours, chance = [], []
    for seed in range(5):
        found, records = random_data(seed, count=100)
        ours.append(distance(found, kfold(found, records, folds=5, seed=seed)))
        chance.append(distance(found, np.random.default_rng(seed).permutation(100) % 5))
    assert np.mean(ours) < 0.4 * np.mean(chance)


def test_a_class_of_as_many_images_as_folds_is_in_each():
    present = np.zeros((50, 2), bool)
    present[:, 0] = True
    present[[3, 4, 20, 21, 49], 1] = True
    found, records = data(present)
    for seed in range(5):
        folds = kfold(found, records, folds=5, seed=seed)
        assert sorted(folds[i] for i in (3, 4, 20, 21, 49)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("seed", range(6))
def test_nothing_that_belongs_together_straddles_any_fold(seed):
    rng = np.random.default_rng(seed)
    near = random_near(rng, 120)
    hashes = [f"h{i if i % 9 else i + 1}" for i in range(120)]
    groups = [f"g{i // 4}" if i >= 100 else None for i in range(120)]
    found, records = random_data(seed, count=120, hashes=hashes, groups=groups)
    folds = kfold(found, records, folds=4, seed=seed, near=near)
    assert set(folds) == {0, 1, 2, 3}
    assert all(len(side) == 1 for side in groups_of(hashes, folds).values())
    assert all(len(side) == 1 for side in groups_of(groups, folds).values())
    assert all(len({folds[i] for i in cluster}) == 1 for cluster in near.loose(records))
    validated = []
    for fold in range(4):
        splits = fold_splits(records, ["train"] * 120, folds, fold, near=near)
        assert not straddles(splits, near.pairs)
        val = [i for i, split in enumerate(splits) if split == "val"]
        assert val == [i for i in range(120) if folds[i] == fold]  # the gap takes from train only
        validated += val
    assert sorted(validated) == list(range(120))


def test_a_chain_is_assigned_in_blocks_with_a_gap():
    found, records = random_data(count=200)
    near = chain_near(range(200))
    folds = kfold(found, records, folds=5, seed=0, near=near)
    assert all(abs(count - 40) <= 10 for count in Counter(folds).values())
    assert sum(a != b for a, b in pairwise(folds)) <= 16
    for fold in range(5):
        splits = fold_splits(records, ["train"] * 200, folds, fold, near=near)
        assert 0 < splits.count(None) <= 20


def test_seed_matters_and_the_order_of_records_does_not():
    found, records = random_data(count=60)
    near = chain_near(range(30, 43))
    folds = kfold(found, records, folds=3, seed=1, near=near)
    assert folds != kfold(found, records, folds=3, seed=2, near=near)
    found, records, near, order = shuffled(found, records, near)
    assert kfold(found, records, folds=3, seed=1, near=near) == [folds[i] for i in order]


def test_the_test_set_is_held_out_first_and_stays_out():
    found, records = random_data(count=200)
    near = chain_near(range(100))
    held = holdout(found, records, seed=4, val_fraction=0, test_fraction=0.2, near=near)
    test = [i for i, split in enumerate(held) if split == "test"]
    assert abs(len(test) - 40) <= 5
    for number in (3, 5):
        folds = kfold(found, records, folds=number, seed=4, splits=held, near=near)
        assert [f is not None for f in folds] == [split == "train" for split in held]
        for fold in range(number):
            splits = fold_splits(records, held, folds, fold, near=near)
            assert [i for i, split in enumerate(splits) if split == "test"] == test
            assert not straddles(splits, near.pairs)


def test_given_test_samples_and_samples_without_masks_are_in_no_fold():
    splits = [*["test"] * 10, *[None] * 40]
    labelled = [*[True] * 45, *[False] * 5]
    found, records = random_data(count=50, splits=splits, labelled=labelled)
    folds = kfold(found, records, folds=5, seed=0)
    assert [f is None for f in folds] == [*[True] * 10, *[False] * 35, *[True] * 5]
    result = fold_splits(records, [*["test"] * 10, *["train"] * 35, *[None] * 5], folds, 0)
    assert Counter(result) == {"test": 10, "train": 28, "val": 7, None: 5}


def test_fewer_groups_than_folds():
    """D16: says how many independent samples there are, and what to do."""
    found, records = random_data(count=12, groups=[f"g{i % 3}" for i in range(12)])
    with pytest.raises(InputError, match="12 samples with masks, 3 independent ones, cannot be "):
        kfold(found, records, folds=4, seed=0)
    assert sorted(Counter(kfold(found, records, folds=3, seed=0)).values()) == [4, 4, 4]
    found, records = random_data(count=12)
    near = Near([(i, i + 1) for i in range(11)], [range(12)])
    with pytest.raises(InputError, match=r"1 independent one, .* data\.near_duplicates: ignore"):
        kfold(found, records, folds=4, seed=0, near=near)


def test_data_with_splits_of_its_own_has_no_folds():
    found, records = random_data(count=10, splits=[*["train"] * 5, *["val"] * 5])
    with pytest.raises(InputError, match=r"row 0 is in train.*Leave data\.folds and data\.fold"):
        kfold(found, records, folds=2, seed=0)
    with pytest.raises(InputError, match="folds must be 2 or more"):
        kfold(found, records, folds=1, seed=0)
