"""The split of a run: made, given or read back; its check, and what is said of it."""

from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.data.assigned import chain_near, data, random_data, straddles
from tests.support import runs
from tfvision.config import DataConfig, dump_config, load_config
from tfvision.data.split.chain_blocks import Near
from tfvision.data.split.holdout import write_splits
from tfvision.errors import InputError
from tfvision.recipe.dataset import prepare
from tfvision.recipe.splits import make_splits
from tfvision.registry import Spec
from tfvision.tasks.segmentation.schema import SegmentationConfig


def made(config, found, records, near=None, *, seed=0, left_out=()):
    """The splits, how they came about, and the notes."""
    notes = []
    found = SimpleNamespace(**{**vars(found), "issues": []})
    source = SimpleNamespace(records=records)
    splits, how = make_splits(
        config, source, found, near or Near(), left_out=left_out, seed=seed, notes=notes
    )
    return splits, how, notes, found.issues


# --------------------------------------------------------------------------- config


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.folds=5"], "data.folds and data.fold go together.*got folds 5 and fold None"),
        (["data.fold=0"], "data.folds and data.fold go together"),
        (["data.folds=5", "data.fold=5"], "data.fold counts from 0 to 4 under data.folds 5; got 5"),
        (
            ["data.folds=1", "data.fold=0"],
            r"data\.folds .*: Input should be greater than or equal to 2",
        ),
        (
            ["data.folds=3", "data.fold=-1"],
            r"data\.fold .*: Input should be greater than or equal to 0",
        ),
        (["data.groups='(a'"], r"data.groups.* '\(a' is no regular expression"),
        (["data.near_duplicates=apart"], "data.near_duplicates.*'together' or 'ignore'"),
    ],
)
def test_wrong_settings_of_splits(tmp_path, overrides, message):
    (tmp_path / "c.yaml").write_text("model: unet\n")
    with pytest.raises(InputError, match=message):
        load_config(SegmentationConfig, tmp_path / "c.yaml", overrides)


def test_a_saved_config_keeps_its_folds_and_pattern(tmp_path):
    (tmp_path / "c.yaml").write_text("model: unet\n")
    given = ["data.folds=4", "data.fold=3", r"data.groups='^(patient\d+)_'"]
    config = load_config(SegmentationConfig, tmp_path / "c.yaml", given)
    assert config.data.groups == r"^(patient\d+)_"
    (tmp_path / "again.yaml").write_text(dump_config(config))
    assert load_config(SegmentationConfig, tmp_path / "again.yaml") == config


# --------------------------------------------------------------------------- kinds


def test_what_is_said_of_each_kind_of_split():
    found, records = random_data(count=60)
    near = chain_near(range(5, 58))
    splits, how, notes, _ = made(DataConfig(), found, records, near, seed=3)
    assert how == (
        "hold-out, seed 3, stratified by class presence; equal and nearly equal images stay "
        "together, long chains in blocks"
    )
    count = splits.count(None)
    assert any(note.startswith(f"{count} sample") and "left out" in note for note in notes)
    splits, how, notes, issues = made(
        DataConfig(near_duplicates="ignore"), found, records, near, seed=3
    )
    assert how == "hold-out, seed 3, stratified by class presence; exact duplicates stay together"
    assert None not in splits
    crossing = straddles(splits, near.pairs)
    counts = Counter(tuple(sorted({splits[i], splits[j]})) for i, j in crossing)
    assert f"{counts['train', 'val']} pairs of nearly equal images stand in train and val" in (
        " ".join(notes)
    )
    assert len(issues) == 3
    assert {issue.severity for issue in issues} == {"warning"}
    _, how, _, _ = made(DataConfig(folds=3, fold=1), found, records)
    assert how.startswith("fold 1 of 3 (counted from 0), seed 0, stratified by class presence")


def test_every_sample_validates_in_exactly_one_of_the_runs():
    found, records = random_data(count=90)
    near = chain_near(range(50))
    each = [
        made(DataConfig(folds=3, fold=fold), found, records, near, seed=1)[0] for fold in range(3)
    ]
    tests = [{i for i, s in enumerate(splits) if s == "test"} for splits in each]
    assert tests[0] == tests[1] == tests[2]
    assert abs(len(tests[0]) - 18) <= 5
    validated = Counter(i for splits in each for i, s in enumerate(splits) if s == "val")
    assert set(validated.values()) == {1}
    gap = {i for i in range(90) if i not in validated and i not in tests[0]}
    links = near.links(records).tolist()
    assert gap <= {i for pair in links for i in pair if tests[0].intersection(pair)}
    _, _, _, _ = made(DataConfig(folds=3, fold=0, test_fraction=0), found, records, near)


def test_samples_left_out_count_for_nothing():
    """They stand in no split, make no leak, and draw no near-duplicate."""
    hashes = [f"h{i}" for i in range(30)]
    hashes[1] = hashes[0]
    splits = ["train", "test", *[None] * 28]
    found, records = random_data(count=30, hashes=hashes, splits=splits)
    with pytest.raises(InputError, match="row 0 stands in test and in train"):
        made(DataConfig(), found, records)
    result, *_ = made(DataConfig(), found, records, Near([(1, 5)], [[1, 5]]), left_out={1, 7})
    assert (result[0], result[1], result[7]) == ("train", None, None)
    assert result.count(None) == 2
    with pytest.raises(InputError, match="No labelled sample is left to train on"):
        made(DataConfig(), found, records, left_out=set(range(30)))


def test_a_class_of_one_image_is_named(tmp_path):
    """D16: no crash; the splits that lack the class are said."""
    present = np.ones((20, 2), bool)
    present[1:, 1] = False
    found, records = data(present)
    splits, _, notes, _ = made(DataConfig(), found, records)
    held = splits[0]
    lacking = [name for name in ("train", "val", "test") if name != held]
    assert notes == [
        f"no image of {name} holds the class 'c1' (images that hold it: 1)" for name in lacking
    ]
    folds = [made(DataConfig(folds=4, fold=f), found, records)[0] for f in range(4)]
    assert all(set(splits) == {"train", "val", "test"} for splits in folds)


def test_folds_are_assigned_among_the_train_rows_of_a_split_file(tmp_path):
    found, records = random_data(count=60)
    near = chain_near(range(30, 60))
    given = ["test"] * 10 + [None] * 4 + ["train"] * 46  # the end of the chain is far from test
    write_splits(tmp_path / "s.csv", records, given)
    each = []
    for fold in range(4):
        config = DataConfig(splits=tmp_path / "s.csv", folds=4, fold=fold)
        splits, how, notes, _ = made(config, found, records, near, left_out={20})
        assert how.startswith(
            f"fold {fold} of 4 (counted from 0), of the train rows of {tmp_path / 's.csv'}, seed 0"
        )
        assert notes[0] == "s.csv: 4 samples with masks are left out (0 are not listed)"
        each.append(splits)
    for splits in each:
        assert splits[:14] == given[:14]
        assert splits[20] is None
        assert not straddles(splits, near.pairs)
    validated = Counter(i for splits in each for i, s in enumerate(splits) if s == "val")
    assert validated == Counter(i for i in range(14, 60) if i != 20)


def test_a_split_file_that_says_what_validates_is_refused_under_folds(tmp_path):
    found, records = random_data(count=30)
    write_splits(tmp_path / "s.csv", records, ["train"] * 20 + ["val"] * 6 + ["test"] * 4)
    config = DataConfig(splits=tmp_path / "s.csv", folds=4, fold=0)
    with pytest.raises(
        InputError, match=r"s\.csv says itself what validates \(6 rows say val, the "
    ):
        made(config, found, records)


# --------------------------------------------------------------------------- round trip


KINDS = {
    "hold-out": ({}, None),
    "near-duplicates": ({}, chain_near(range(40))),
    "fold": ({"folds": 3, "fold": 2}, chain_near(range(40))),
    "ignored": ({"near_duplicates": "ignore"}, chain_near(range(40))),
    "given": ({}, None),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_runs_splits_are_anothers(tmp_path, kind):
    options, near = KINDS[kind]
    given = ["train"] * 40 + ["val"] * 20 + ["test"] * 20 if kind == "given" else None
    labelled = [True] * 75 + [False] * 5
    found, records = random_data(count=80, splits=given, labelled=labelled)
    config = DataConfig(**options)
    splits, _, _, issues = made(config, found, records, near, seed=5, left_out={3, 70})
    assert splits[3] is None
    write_splits(tmp_path / "splits.csv", records, splits)
    read = DataConfig(splits=tmp_path / "splits.csv")
    again, how, said, same = made(read, found, records, near, seed=6)
    assert again == splits
    assert how == f"given by {tmp_path / 'splits.csv'}"
    assert same == issues  # near-duplicates that straddle are found again
    count = sum(s is None for s, r in zip(splits, records, strict=True) if r.labelled)
    assert said[0] == f"splits.csv: {count} samples with masks are left out (0 are not listed)"
    once_more, *_ = made(read, found, records, near, seed=6, left_out={3, 70})
    assert once_more == splits


def test_a_split_file_that_parts_a_group_is_refused(tmp_path):
    found, records = data(np.ones((4, 1)), groups=["a", "a", None, None])
    write_splits(tmp_path / "s.csv", records, ["train", "val", "train", "val"])
    with pytest.raises(InputError, match=r"given by .*s\.csv, puts what belongs together.*1 times"):
        made(DataConfig(splits=tmp_path / "s.csv"), found, records)


# --------------------------------------------------------------------------- files


def test_groups_named_by_file_names_stay_together(tmp_path):
    runs.write_folder(tmp_path, [(16, 16)] * 12)
    for folder in ("images", "masks"):
        for number, path in enumerate(sorted((tmp_path / folder).iterdir())):
            path.rename(path.with_name(f"patient{number // 2}_{number % 2}.png"))
    config = DataConfig(
        source=Spec(name="folder", path=str(tmp_path)), groups=r"^(patient\d+)_", folds=3, fold=0
    )
    record = prepare(config, seed=0).record()
    sides = {}
    for split, ids in record["splits"].items():
        for name in ids:
            sides.setdefault(name.split("_")[0], set()).add(split)
    assert len(sides) == 6
    assert all(len(side) == 1 for side in sides.values())
    with pytest.raises(InputError, match="names no group for 6 of 12 samples: 'patient0_1', "):
        prepare(config.model_copy(update={"groups": r"_0$"}), seed=0)


def test_groups_are_on_record_beside_the_ids(tmp_path):
    """A comparison of runs resamples groups where there are any."""
    runs.write_folder(tmp_path, [(16, 16)] * 8)
    (tmp_path / "all.csv").write_text(
        "image,mask,group\n"
        + "".join(
            f"images/{c}.png,masks/{c}.png,{g}\n"
            for c, g in zip("abcdefgh", "1122334 ", strict=True)
        )
    )
    record = prepare(
        DataConfig(source=Spec(name="manifest", path=str(tmp_path / "all.csv"))), seed=0
    ).record()
    group = dict(zip("abcdefgh", [*"1122334", None], strict=True))
    for split, ids in record["splits"].items():
        assert record["groups"][split] == [group[name.split("/")[-1]] for name in ids]


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("mars_shaped/street_scenes.npz", {"val": 94}),
        ("brain/mni152_axial.npz", {"val": 26, "test": 26}),
    ],
)
def test_real_videos_and_volumes_are_cut_into_blocks(path, wanted):
    shared = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    if not (shared / path).is_file():
        pytest.skip("needs the real data sets in ../shared/data")
    config = DataConfig(source=Spec(name="npz", path=str(shared / path)))
    prepared = prepare(config, seed=0)
    records, splits = prepared.source.records, prepared.splits
    labelled = [i for i, record in enumerate(records) if record.labelled]
    of_labelled = [splits[i] if record.labelled else None for i, record in enumerate(records)]
    assert len(prepared.audit.pairs) > 500
    assert not straddles(of_labelled, prepared.audit.pairs)
    parted = [splits[i] for i in labelled]
    assert all(len({a, b} - {None}) < 2 for a, b in pairwise(parted))  # a gap at each border
    assert parted.count(None) <= 0.2 * len(parted)
    for split, count in wanted.items():
        assert abs(parted.count(split) - count) <= 0.1 * len(parted)
        assert (prepared.class_pixels(split) > 0).any(axis=0).all()
    assert not any("stand in" in note for note in prepared.notes)
