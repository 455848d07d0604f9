"""Hold-out splits and split files."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from tests.data.assigned import data, groups_of, random_data, random_near, straddles
from tests.data.make import pairs, save
from tfvision.data.scan.scan import scan
from tfvision.data.sources.folders.mask_folder import folder
from tfvision.data.sources.source import Record
from tfvision.data.split.chain_blocks import Near
from tfvision.data.split.holdout import (
    absent_classes,
    holdout,
    read_folds,
    read_splits,
    write_splits,
)
from tfvision.errors import InputError


def test_sizes_and_strata():
    found, records = random_data()
    splits = holdout(found, records, seed=3)
    counts = Counter(splits)
    assert counts == {"train": 120, "val": 40, "test": 40}
    present = found.class_pixels > 0
    overall = present.mean(axis=0)
    for name in counts:
        rows = [i for i, split in enumerate(splits) if split == name]
        np.testing.assert_allclose(present[rows].mean(axis=0), overall, atol=0.03)


def test_stratification_beats_chance():
    """Mean distance of class shares from the whole, against a plain shuffle."""

    def distance(found, splits):
        present = found.class_pixels > 0
        rows = [i for i, split in enumerate(splits) if split == "val"]
        return np.abs(present[rows].mean(axis=0) - present.mean(axis=0)).mean()

    ours, chance = [], []
    for seed in range(10):
        found, records = random_data(seed, count=100)
        ours.append(distance(found, holdout(found, records, seed=seed)))
        shuffled = np.random.default_rng(seed).permutation(["val"] * 20 + ["train"] * 80)
        chance.append(distance(found, list(shuffled)))
    assert np.mean(ours) < 0.4 * np.mean(chance)


def test_seed_decides_and_the_order_of_records_does_not():
    found, records = random_data()
    splits = holdout(found, records, seed=1)
    assert splits == holdout(found, records, seed=1)
    assert splits != holdout(found, records, seed=2)
    order = np.random.default_rng(0).permutation(len(records))
    shuffled = SimpleNamespace(
        **{
            **vars(found),
            "class_pixels": found.class_pixels[order],
            "image_sha256": [found.image_sha256[i] for i in order],
        }
    )
    again = holdout(shuffled, [records[i] for i in order], seed=1)
    assert [splits[i] for i in order] == again


@pytest.mark.parametrize("seed", range(20))
def test_every_class_of_three_samples_is_everywhere(seed):
    rng = np.random.default_rng(seed)
    present = np.zeros((60, 6), bool)
    present[:, 0] = True
    for label in range(1, 6):
        present[rng.choice(60, rng.integers(3, 6), replace=False), label] = True
    found, records = data(present)
    splits = holdout(found, records, seed=seed)
    assert absent_classes(found, records, splits) == {"train": [], "val": [], "test": []}
    assert abs(Counter(splits)["val"] - 12) <= 1


def test_absent_classes_are_named():
    found, records = data([[1, 0], [1, 1], [1, 0]])
    assert absent_classes(found, records, ["train", "val", None]) == {"train": ["c1"], "val": []}


def test_equal_images_and_groups_move_together():
    rng = np.random.default_rng(5)
    hashes = [f"h{rng.integers(60)}" for _ in range(120)]
    groups = [f"g{i // 10}" if i >= 60 else None for i in range(120)]
    found, records = random_data(1, count=120, hashes=hashes, groups=groups)
    for seed in range(5):
        splits = holdout(found, records, seed=seed)
        for key in (hashes, groups):
            sides = {}
            for value, split in zip(key, splits, strict=True):
                if value is not None:
                    sides.setdefault(value, set()).add(split)
            assert all(len(side) == 1 for side in sides.values())
        assert set(splits) == {"train", "val", "test"}


def test_given_splits_stay_and_draw_their_doubles():
    hashes = [f"h{i}" for i in range(40)]
    hashes[9] = hashes[0]  # 0 is given to val, 9 is free
    splits = ["val", "test", "train", *[None] * 37]
    found, records = random_data(2, count=40, hashes=hashes, splits=splits)
    result = holdout(found, records, seed=0)
    assert result[:3] == ["val", "test", "train"]
    assert result[9] == "val"
    assert set(result[3:9] + result[10:]) == {"train"}  # val and test are there already
    again = holdout(found, records, seed=0, test_fraction=0.25)
    assert Counter(again[3:])["test"] == 9


def test_all_given_is_left_alone():
    splits = ["train"] * 6 + ["val"] * 4
    found, records = random_data(0, count=10, splits=splits)
    assert holdout(found, records, seed=0) == splits
    with pytest.raises(InputError, match="every sample of data has a split of its own"):
        holdout(found, records, seed=0, test_fraction=0.2)


def test_a_test_part_without_labels():
    labelled = [True] * 20 + [False] * 5
    splits = [None] * 20 + ["test"] * 4 + [None]
    found, records = random_data(0, count=25, labelled=labelled, splits=splits)
    result = holdout(found, records, seed=0)
    assert Counter(result[:20]) == {"train": 16, "val": 4}
    assert result[20:] == ["test"] * 4 + [None]


def test_tiny_data():
    found, records = data([[1, 1], [1, 0], [0, 1]])
    for seed in range(5):
        assert sorted(holdout(found, records, seed=seed)) == ["test", "train", "val"]
    assert sorted(holdout(found, records, seed=0, test_fraction=0)) == ["train", "train", "val"]
    assert holdout(found, records, seed=0, val_fraction=0, test_fraction=0) == ["train"] * 3
    blank, records = data(np.zeros((5, 2)))
    assert set(holdout(blank, records, seed=0)) == {"train", "val", "test"}


def test_what_cannot_be_split():
    found, records = data([[1], [1], [1]], hashes=["a", "a", "b"])
    with pytest.raises(InputError, match="3 samples with masks, 2 independent ones, cannot be"):
        holdout(found, records, seed=0)
    none, records = data([[1], [1]], labelled=[False, False])
    with pytest.raises(InputError, match="data has no sample with a mask to train on"):
        holdout(none, records, seed=0)
    found, records = random_data()
    for fractions in [(0.6, 0.4), (-0.1, 0), (1, 0), (0.2, 1.5)]:
        with pytest.raises(InputError, match=r"must lie in \[0, 1\)"):
            holdout(found, records, seed=0, val_fraction=fractions[0], test_fraction=fractions[1])
    straddling, records = data([[1]] * 4, hashes=list("aabc"), splits=["train", "val", None, None])
    with pytest.raises(InputError, match="row 0 stands in train and in val"):
        holdout(straddling, records, seed=0)


def test_leaks_of_a_real_folder_cannot_come_from_holdout(tmp_path):
    pairs(tmp_path, 8)
    for number in range(4):
        picture = (tmp_path / "images" / f"s{number}.png").read_bytes()
        (tmp_path / "images" / f"twin{number}.png").write_bytes(picture)
        labels = (tmp_path / "masks" / f"s{number}.png").read_bytes()
        (tmp_path / "masks" / f"twin{number}.png").write_bytes(labels)
    source = folder(tmp_path)
    splits = holdout(scan(source), source.records, seed=0)
    by_id = dict(zip([r.id for r in source.records], splits, strict=True))
    assert all(by_id[f"s{n}"] == by_id[f"twin{n}"] for n in range(4))


# ---------------------------------------------------------------- split files


def records_of(ids, **options):
    return [Record(i, "", None, True, None, i, **options) for i in ids]


def test_written_splits_read_back(tmp_path):
    records = records_of(["a", "deep/b", "with, comma", 'quo"te', "semi;colon", "käse", "left"])
    records.append(Record("a", "test", "test", False, None, "t"))
    splits = ["train", "val", "test", "train", "val", "train", None, "test"]
    write_splits(tmp_path / "s.csv", records, splits)
    assert (tmp_path / "s.csv").read_text().splitlines()[:2] == ["id,split", "a,train"]
    notes = []
    assert read_splits(tmp_path / "s.csv", records, notes=notes) == splits
    assert notes == ["s.csv: 1 sample with masks is left out (0 are not listed)"]


def test_same_ids_in_labelled_parts_need_the_part(tmp_path):
    records = [Record("a", part, part, True, None, part) for part in ("train", "val")]
    write_splits(tmp_path / "s.csv", records, ["val", "train"])
    assert read_splits(tmp_path / "s.csv", records) == ["val", "train"]
    (tmp_path / "s.csv").write_text("id,split\na,train\n")
    with pytest.raises(InputError, match="line 2: id 'a' stands in the parts 'train', 'val'; say"):
        read_splits(tmp_path / "s.csv", records)


def test_unlisted_samples_are_left_out(tmp_path):
    (tmp_path / "s.csv").write_text("id;split\na;train\nb;\n")
    notes = []
    assert read_splits(tmp_path / "s.csv", records_of("abc"), notes=notes) == ["train", None, None]
    assert notes == ["s.csv: 2 samples with masks are left out (1 is not listed)"]


def test_written_folds_read_back_for_what_is_assigned(tmp_path):
    records = records_of(["a", "b", "c", "d", "e"])
    splits, folds = ["train", "train", "test", "train", None], [1, 0, None, 1, None]
    write_splits(tmp_path / "s.csv", records, splits, folds)
    assert (tmp_path / "s.csv").read_text().splitlines()[:2] == ["id,split,fold", "a,train,1"]
    assert read_splits(tmp_path / "s.csv", records) == splits
    assert read_folds(tmp_path / "s.csv", records, splits, folds=2) == folds
    fewer = [None, *splits[1:]]  # a is left out for another reason
    assert read_folds(tmp_path / "s.csv", records, fewer, folds=2) == [None, *folds[1:]]
    write_splits(tmp_path / "s.csv", records, splits)
    assert read_folds(tmp_path / "s.csv", records, splits, folds=2) is None


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["0", "", "1"], "line 3: the fold of a train row must be 0 to 1 .* it is ''. Give every"),
        (["0", "2", "1"], "line 3: .* under data.folds 2; it is '2'"),
        (["0", "0", "0"], "no train row is in fold 1 of data.folds 2"),
    ],
)
def test_wrong_folds(tmp_path, cells, message):
    lines = [f"{name},train,{cell}" for name, cell in zip("abc", cells, strict=True)]
    (tmp_path / "s.csv").write_text("\n".join(["id,split,fold", *lines]) + "\n")
    with pytest.raises(InputError, match=message):
        read_folds(tmp_path / "s.csv", records_of("abc"), ["train"] * 3, folds=2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,split\na,train\nx,val\n", "line 3: no sample with a mask has the id 'x'"),
        ("id,split\na,train\n\na,val\n", "line 4: id 'a' stands on line 2 already"),
        ("id,split\na,trian\n", "line 2: unknown split 'trian'; known: train, val, test"),
        ("id,split\na,val\n", "gives no sample to train"),
        ("ids,split\na,val\n", "unknown column 'ids'. Did you mean 'id'"),
        ("id,split\n01,train\n", "has the id '01'"),
    ],
)
def test_wrong_split_files(tmp_path, text, message):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_splits(tmp_path / "s.csv", records_of(["a", "1", "b"]))


def test_a_test_image_without_mask_is_not_spoken_about(tmp_path):
    pairs(tmp_path, 2)
    save(tmp_path / "test" / "s0.png", np.zeros((4, 4), np.uint8))
    source = folder(tmp_path)
    (tmp_path / "s.csv").write_text("id,split\ns0,val\ns1,train\n")
    assert read_splits(tmp_path / "s.csv", source.records) == ["val", "train", "test"]


# ---------------------------------------------------------------- near-duplicates


@pytest.mark.parametrize("seed", range(15))
def test_no_group_double_or_near_pair_straddles_splits(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(60, 140))
    near = random_near(rng, count)
    hashes = [f"h{rng.integers(count)}" if i < 20 else f"own {i}" for i in range(count)]
    groups = [f"g{i // 5}" if i > count - 20 else None for i in range(count)]
    given = ["test" if i % 2 and i > count - 8 else None for i in range(count)]
    given = given if seed % 2 else [None] * count
    groups = [None] * count if seed % 2 else groups
    found, records = random_data(seed, count=count, hashes=hashes, groups=groups, splits=given)
    splits = holdout(found, records, seed=seed, near=near)
    assert not straddles(splits, near.pairs)
    assert all(len(side) == 1 for side in groups_of(hashes, splits).values())
    assert all(len(side) == 1 for side in groups_of(groups, splits).values())
    assert {"train", "val", "test"} <= set(splits)
    assert all(splits[i] == split for i, split in enumerate(given) if split)
    assert splits.count(None) <= 0.25 * count


def test_near_duplicates_that_are_no_chain_stay_together():
    found, records = random_data(1, count=100)
    clusters = [[i, 99 - i] for i in range(30)]
    near = Near(clusters, clusters)
    for seed in range(3):
        splits = holdout(found, records, seed=seed, near=near)
        assert all(splits[i] == splits[j] for i, j in clusters)
        assert None not in splits
        alone = holdout(found, records, seed=seed)
        assert any(alone[i] != alone[j] for i, j in clusters)


def test_near_duplicates_of_given_samples_stand_beside_them():
    given = ["val", "test", "train", "train", *[None] * 36]
    found, records = random_data(2, count=40, splits=given)
    clusters = [[0, 9], [1, 10, 2], [3, 11]]  # the second: both in test and in train
    near = Near([(0, 9), (1, 10), (2, 10), (3, 11)], clusters)
    splits = holdout(found, records, seed=0, near=near, test_fraction=0.2)
    assert splits[:4] == given[:4]
    assert (splits[9], splits[10], splits[11]) == ("val", None, "train")


def test_near_duplicates_of_everything_leave_nothing_to_share_out():
    found, records = random_data(0, count=20)
    near = Near([(0, i) for i in range(1, 20)], [range(20)])
    with pytest.raises(InputError, match=r"1 independent one, near-duplicates aside.*: ignore"):
        holdout(found, records, seed=0, near=near)
    still = Near([(i, j) for j in range(20) for i in range(j)], [range(20)], [range(20)])
    with pytest.raises(InputError, match="cannot be shared out to 3 splits"):
        holdout(found, records, seed=0, near=still)


def test_data_that_only_lacks_what_its_doubles_bring():
    """Every free sample is the double of a given one: nothing is left to assign."""
    hashes = ["a", "b", "c", "a", "b"]
    found, records = data([[1]] * 5, hashes=hashes, splits=["train", "val", "test", None, None])
    assert holdout(found, records, seed=0) == ["train", "val", "test", "train", "val"]
