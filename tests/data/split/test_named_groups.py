"""Groups that names tell of, and names that tell of none."""

import hashlib
from itertools import product

import numpy as np
import pytest

from tests.data.make import save
from tests.support import runs
from tfvision.config import audit_schema, validate
from tfvision.data.sources.source import Record
from tfvision.data.split.named_groups import group_begun, named_groups
from tfvision.recipe.dataset import prepare


def records(ids, labels=None, labelled=True):
    labels = labels or [None] * len(ids)
    return [
        Record(name, "", None, labelled, group=None, place=name, label=label)
        for name, label in zip(ids, labels, strict=True)
    ]


def named(pattern, *parts):
    return [pattern.format(*values) for values in product(*parts)]


@pytest.mark.parametrize(
    ("ids", "count", "first"),
    [
        (named("p{:02}_slice{}", range(8), range(5)), 8, "p00"),
        (named("vid{}_f{:04}", range(6), range(9)), 6, "vid0"),
        (named("patient{:03}-{:02}", range(7), range(4)), 7, "patient000"),
        (named("plate{}_w{}", "ABCDEF", range(6)), 6, "plateA"),
        (named("202401{}_{:04}", range(10, 20), range(3)), 10, "20240110"),
        (named("scan 2024-01-{} ({})", range(10, 20), range(3)), 10, "scan 2024-01-10"),
        (named("p{}/slice_{}", range(5), range(4)), 5, "p0"),
        (named("TCGA_CS_{}_1996_{}", range(4940, 4950), range(6)), 10, "TCGA_CS_4940"),
        (named("{}_{}", range(1, 30), ["left", "right"]), 29, "1"),
        (named("sub{}ses{}", range(9), range(3)), 9, "sub0"),
        (named("site{}_p{}_{}", "AB", range(9), range(3)), 18, "siteA_p0"),
        (named("img_{:03}_aug{}", range(12), range(4)), 12, "img_000"),
    ],
)
def test_patients_videos_plates_and_dates_are_groups(ids, count, first):
    found = named_groups(records(ids))
    assert (found.count, found.refused) == (count, "")
    assert found.names[0] == first
    assert all(name.startswith(group) for name, group in zip(ids, found.names, strict=True))


@pytest.mark.parametrize(
    "ids",
    [
        named("img_{:04}", range(40)),
        named("{}", range(40)),
        named("{}.{}", ["cat", "dog"], range(20)),
        named("{}_{}", ["Abyssinian", "beagle", "pug", "siamese", "boxer"], range(20)),
        named("benign ({})", range(40)),
        named("part_{}/ISIC_{:04}", range(6), range(20)),
        named("fold{}/x_{}", range(6), range(20)),
        named("exp1_{:04}", range(40)),  # what all begin with
        [hashlib.md5(str(i).encode()).hexdigest() for i in range(90)],
        [hashlib.md5(str(i).encode()).hexdigest()[:7] for i in range(90)],
        [*named("p{:02}_slice{}", range(8), range(5)), "overview"],  # not all names
        named("tile_{}_{}", range(8), range(8)),
        named("p{:02}_1", range(40)),  # one each
        [],
        ["a1_2"],
    ],
)
def test_counters_words_and_chance_are_no_groups(ids):
    assert named_groups(records(ids)) is None


@pytest.mark.parametrize(
    ("ids", "refused"),
    [
        (named("vid{}_f{:04}", range(4), range(9)), "too few"),
        (
            named("vid{}_f{:04}", range(6), range(2)) + named("vid9_f{:04}", range(40)),
            "'vid9' alone has 40 of 52 samples",
        ),
    ],
)
def test_too_few_and_too_unequal_groups_are_named_not_used(ids, refused):
    assert refused in named_groups(records(ids)).refused


def test_groups_that_are_the_classes_are_none():
    ids = named("breed{}_{}", range(8), range(5))
    assert named_groups(records(ids, [f"b {i // 5}" for i in range(40)])) is None
    folders = named("class_{}/{}", range(8), range(5))
    assert named_groups(records(folders, [name.split("/")[0] for name in folders])) is None
    # Patients of one class each are groups all the same: there are more of them than classes.
    sick = ["ill" if i % 10 < 5 else "well" for i in range(40)]
    assert named_groups(records(named("p{}_{}", range(8), range(5)), sick)).count == 8


def test_a_patient_in_the_folders_of_two_classes_is_one_group():
    ids = named("{}/p{}_{}", ["ill", "well"], range(6), range(3))
    found = named_groups(records(ids, [name.split("/")[0] for name in ids]))
    assert found.count == 6
    assert found.names[0] == found.names[18] == "p0"


@pytest.mark.parametrize("name", ["bild {} x", "photo_{:02}_a"])
def test_files_numbered_alike_in_the_folders_of_all_classes_are_no_groups(name):
    ids = [f"{label}/{one}" for label in ("red", "green", "blue") for one in named(name, range(10))]
    assert named_groups(records(ids, [identity.split("/")[0] for identity in ids])) is None


def test_one_more_sample_is_of_the_group_its_name_begins_with():
    assert group_begun("p1_slice9", ["p0", "p1", "p10"]) == "p1"
    assert group_begun("p10_slice9", ["p0", "p1"]) is None


# --------------------------------------------------------------------------- whole data sets


def patients(root, count=6, slices=4, pattern="p{}_s{}", *, alike=True):
    """Slices of patients; alike: those of one are nearly equal, as in a volume."""
    for p, s in product(range(count), range(slices)):
        image, mask = runs.scene(p if alike else p * slices + s, 32, 32)
        shift = np.clip(image.astype(int) + s, 0, 255).astype(np.uint8)
        save(root / "images" / f"{pattern.format(p, s)}.png", shift)
        save(root / "masks" / f"{pattern.format(p, s)}.png", mask)
    return root


def prepared(root, seed=0, known=None, **data):
    raw = {"data": {"source": {"name": "auto", "path": str(root)}, **data}}
    config = validate(audit_schema("segmentation"), raw, where="test").data
    return prepare(config, seed=seed, known=known)


def splits_of(found):
    """Group -> the splits that its samples stand in, by the first token of the id."""
    of = {}
    for record, split in zip(found.source.records, found.splits, strict=True):
        of.setdefault(record.id.split("_")[0], set()).add(split)
    return of


@pytest.mark.parametrize("seed", range(3))
def test_a_patient_is_whole_in_one_split_and_none_is_left_out(tmp_path, seed):
    found = prepared(patients(tmp_path), seed)
    assert all(len(splits) == 1 and None not in splits for splits in splits_of(found).values())
    assert {"train", "val", "test"} == set(found.splits)
    (said,) = [line for line in found.notes if "told from names" in line]
    assert said.startswith("6 groups told from names (p0_*): samples of one stay in one split")
    assert "data.groups=none declines" in said
    assert "groups, equal" in found.how
    assert set(found.record()["groups"]["train"]) < {f"p{p}" for p in range(6)}


def test_none_declines_and_an_expression_still_groups(tmp_path):
    root = patients(tmp_path, alike=False)
    declined = prepared(root, groups="none")
    assert all(record.group is None for record in declined.source.records)
    assert not any("told from names" in line for line in declined.notes)
    other = prepared(root, groups=r"_(s\d)")
    assert {record.group for record in other.source.records} == {"s0", "s1", "s2", "s3"}


def test_a_run_of_before_keeps_its_split_without_groups(tmp_path):
    """Its config says `groups: null`, or, of a still older one, nothing."""
    root = patients(tmp_path, alike=False)
    before = prepared(root, groups=None)
    known = {key: value for key, value in before.record().items() if key != "left_out"}
    for data in ({"groups": None}, {}):
        again = prepared(root, known=known, **data)
        assert again.splits == before.splits
        assert again.record()["groups"] is None
        assert again.how == before.how
    anew = prepared(root)
    assert anew.splits != before.splits
    assert prepared(root, seed=5, known=anew.record()).splits == anew.splits


def test_a_split_that_is_given_is_left_as_it_is_and_its_groups_are_a_warning(tmp_path):
    root = patients(tmp_path / "data")
    rows = [f"p{p}_s{s},{'train' if s else 'val'}" for p in range(6) for s in range(4)]
    file = tmp_path / "splits.csv"
    file.write_text("\n".join(["id,split", *rows]) + "\n")
    found = prepared(root, splits=str(file))
    assert splits_of(found)["p0"] == {"train", "val"}
    (warning,) = [i for i in found.scan.warnings if "told from names" in i.problem]
    assert f"are not used: {file} parts 6 of them" in warning.problem
    assert "data.groups=none" in warning.advice


def test_groups_that_cannot_be_shared_out_are_dropped_with_a_warning(tmp_path):
    found = prepared(patients(tmp_path), folds=8, fold=0)
    assert all(record.group is None for record in found.source.records)
    assert any("the groups told from names are not used" in i.problem for i in found.scan.issues)
    assert not any("stay in one split" in line for line in found.notes)
