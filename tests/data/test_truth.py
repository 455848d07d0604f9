"""Every kind of truth: its hash, what it counts, its targets, and what a scan says of it."""

import numpy as np
import pytest

from tests.data.make import arrays
from tests.data.sources.folders.test_class_folder import texts
from tfvision.data.audit.audit import audit
from tfvision.data.pipeline import Samples, scoring_batches
from tfvision.data.scan.scan import scan
from tfvision.data.sources.array_source import ArraySource
from tfvision.data.sources.renumbered import Renumbered
from tfvision.data.sources.source import RawSample
from tfvision.data.split.holdout import holdout
from tfvision.data.truth import TRUTHS, truth_kind
from tfvision.data.truth.base import TARGETS
from tfvision.errors import InputError

IMAGES, MASKS = arrays()
LABELS = np.array([0, 1] * 3)
REGIONS = (MASKS > 0).astype(np.uint8)
ONE_BOX = np.float32([[[0, 2, 6, 4]]] * 6)
ONE_CLASS = LABELS[:, None]
# None, one, two and three boxes: a sample without any is an image without objects.
BOXES = [
    np.float32([[1, 1, 4, 5], [2, 0, 9, 8], [5.5, 3, 12, 7.25]][: i % 4]).reshape(-1, 4)
    for i in range(6)
]
CLASSES = [np.array([0, 2, 1][: i % 4], np.int32) for i in range(6)]
PARTS = {
    "masks": {"masks": MASKS},
    "label": {"labels": LABELS, "regions": REGIONS, "boxes": ONE_BOX, "classes": ONE_CLASS},
    "boxes": {"boxes": BOXES, "classes": CLASSES},
}
NAMES = {"masks": None, "label": ["a", "b"], "boxes": ["a", "b", "c"]}


def source(kind, rows=range(6), **changed):
    part = {"images": IMAGES, **PARTS[kind], **changed}
    part = {name: [values[i] for i in rows] for name, values in part.items()}
    return ArraySource({"": part}, class_names=NAMES[kind])


def looked(kind, rows=range(6), **changed):
    return scan(source(kind, rows, **changed), cache=False)


def with_first(values, first):
    return [first, *list(values)[1:]]


CHANGES = {
    "masks": {"masks": with_first(MASKS, np.roll(MASKS[0], 1))},
    "label": {"labels": with_first(LABELS, 1)},
    "boxes": {"boxes": [*BOXES[:1], BOXES[1] + 0.25, *BOXES[2:]]},
    "boxes, a class": {"classes": [*CLASSES[:1], CLASSES[1] + 1, *CLASSES[2:]]},
    "boxes, one more": {
        "boxes": with_first(BOXES, np.float32([[0, 0, 2, 2]])),
        "classes": with_first(CLASSES, np.array([1])),
    },
    "boxes, one less": {
        "boxes": [*BOXES[:1], BOXES[0], *BOXES[2:]],
        "classes": [*CLASSES[:1], CLASSES[0], *CLASSES[2:]],
    },
}


@pytest.mark.parametrize("kind", TRUTHS)
def test_a_source_says_its_kind_and_the_scan_has_no_complaint(kind):
    assert source(kind).truth == kind
    found = looked(kind)
    assert (found.truth, found.errors) == (kind, [])


@pytest.mark.parametrize("change", CHANGES)
def test_changed_truth_changes_the_hash_and_the_fingerprint_and_nothing_else_does(change):
    kind = change.partition(",")[0]
    before, after = looked(kind), looked(kind, **CHANGES[change])
    different = [a != b for a, b in zip(before.truth_sha256, after.truth_sha256, strict=True)]
    assert sum(different) == 1
    assert before.image_sha256 == after.image_sha256
    assert before.fingerprint != after.fingerprint
    assert looked(kind).fingerprint == before.fingerprint


@pytest.mark.parametrize("kind", TRUTHS)
def test_the_hash_of_a_sample_does_not_depend_on_the_order_of_the_files(kind):
    order = [4, 0, 5, 2, 1, 3]
    assert looked(kind, order).truth_sha256 == [looked(kind).truth_sha256[i] for i in order]


def test_fingerprints_are_those_of_before():
    """Taken from the toolkit before truth was a kind of thing: old runs go on with their data."""
    only_labels = ArraySource({"": {"images": IMAGES, "labels": LABELS}}, class_names=["a", "b"])
    assert [
        looked("masks").fingerprint,
        scan(only_labels, cache=False).fingerprint,
        looked("label").fingerprint,
    ] == [
        "22035426a7f08d8609be36bf96bf3300e5242efa18627dc06ab12a4556d7605b",
        "dc20a22acc9418e0a671694181b8f464f7b8baa8fc54f0eb23840ba1df287d5a",
        "088809bd2d266be58e53743ad5587c37d6b3ef098a7287cf8fe2641d40fd3da7",
    ]
    assert looked("label").truth_sha256[0] == (
        "0df52fd39541b552687d757111b35c23c994de584dfdb8c4795fc3e68545f3e0"
    )


def test_what_is_counted_is_pixels_the_label_or_boxes():
    pixels = [np.bincount(m.ravel(), minlength=3) for m in MASKS]
    np.testing.assert_array_equal(looked("masks").class_pixels, pixels)
    np.testing.assert_array_equal(looked("label").class_pixels, np.eye(2)[LABELS])
    boxes = [np.bincount(c, minlength=3) for c in CLASSES]
    np.testing.assert_array_equal(looked("boxes").class_pixels, boxes)
    assert boxes[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("kind", TRUTHS)
def test_targets_in_a_batch_are_the_truth_padded_to_one_length(kind):
    made, truth = source(kind), truth_kind(kind)
    each = [truth.arrays(made.read(i)) for i in range(6)]
    assert all(tuple(arrays) == truth.targets for arrays in each)
    targets = {
        name: rows if TARGETS[name].ragged else np.stack(rows)
        for name, rows in ((name, [arrays[name] for arrays in each]) for name in truth.targets)
    }
    samples = Samples([str(i) for i in range(6)], IMAGES[..., None], 1 / 255, targets)
    (batch,) = scoring_batches(samples, batch_size=6)
    assert batch.keys() == {"image", "index", "seed", "valid", *truth.targets}
    for name in truth.targets:
        rows, target = batch[name].numpy(), TARGETS[name]
        assert rows.dtype == target.dtype
        for i, row in enumerate(rows):
            count = len(each[i][name]) if target.ragged else None
            np.testing.assert_array_equal(row[:count] if target.ragged else row, each[i][name])
            assert not target.ragged or (row[count:] == target.pad).all()
    assert (
        batch[truth.targets[0]].shape
        == {
            "masks": (6, 8, 12),
            "label": (6,),
            "boxes": (6, 3, 4),
        }[kind]
    )


@pytest.mark.parametrize("kind", TRUTHS)
def test_images_without_truth_have_no_targets(kind):
    assert truth_kind(kind).arrays(RawSample(IMAGES[0][..., None])) == {}


def test_an_unknown_kind_is_named():
    made = source("masks")
    made.truth = "bones"
    with pytest.raises(InputError, match=r"Unknown kind of truth: .bones.*: masks, label, boxes"):
        scan(made)


def test_facts_hold_boxes_and_classes_through_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TFVISION_CACHE", str(tmp_path))

    def stamped():
        part = {"images": IMAGES, **PARTS["boxes"]}
        return ArraySource({"": part}, class_names=NAMES["boxes"], stamp="x")

    first = scan(stamped())
    assert first.facts[3].boxes == tuple(map(tuple, BOXES[3].tolist()))
    assert first.facts[3].box_classes == (0, 2, 1)
    monkeypatch.setattr(ArraySource, "read_raw", lambda *args: pytest.fail("read again"))
    again = scan(stamped())
    assert (again.facts, again.fingerprint) == (first.facts, first.fingerprint)


@pytest.mark.parametrize(
    ("boxes", "problem"),
    [
        ([[0, 0, np.nan, 4]], "box 0 (0, 0, nan, 4) holds what is no number"),
        ([[0, 0, 3, 3], [4, 1, 4, 6]], "box 1 (4, 1, 4, 6) has no area"),
        ([[5, 1, 4, 6]], "box 0 (5, 1, 4, 6) has no area"),
        ([[0, 0, 13.5, 4]], "box 0 (0, 0, 13.5, 4) leaves the image, 12 x 8 pixels"),
        ([[0, -1.5, 3, 4]], "box 0 (0, -1.5, 3, 4) leaves the image"),
        ([[12, 0, 12.5, 4]], "box 0 (12, 0, 12.5, 4) has no area inside the image"),
        ([[0, 0, 3]], "its boxes have the shape (1, 3)"),
    ],
)
def test_an_impossible_box_is_an_error_with_place_row_and_remedy(boxes, problem):
    changed = {
        "boxes": with_first(BOXES, np.float32(boxes)),
        "classes": with_first(CLASSES, np.zeros(len(boxes), int)),
    }
    (issue,) = looked("boxes", **changed).errors
    assert issue.place == "row 0 of images"
    assert problem in issue.problem
    assert "x1 y1 x2 y2 in pixels" in issue.advice
    aside = scan(source("boxes", **changed), cache=False, on_bad_sample="quarantine")
    assert (aside.errors, len(aside.left_out)) == ([], 1)


def test_boxes_and_classes_must_be_as_many():
    (issue,) = looked("boxes", classes=with_first(CLASSES, np.array([1]))).errors
    assert "shape (0, 4), with 1 classes" in issue.problem


@pytest.mark.parametrize("number", [3, -1])
def test_a_class_out_of_range_is_an_error_with_its_row(number):
    (issue,) = looked("boxes", classes=[*CLASSES[:2], np.array([0, number]), *CLASSES[3:]]).errors
    assert issue.place == "row 2 of images"
    assert f"box 1 has the class {number}; expected: [0, 1, 2]" in issue.problem


def test_a_box_may_reach_over_the_edge_by_a_pixel_and_is_cut_there():
    made = source("boxes", boxes=[*BOXES[:1], np.float32([[-1, 0, 13, 8.5]]), *BOXES[2:]])
    assert not scan(made, cache=False).errors
    cut = truth_kind("boxes").arrays(made.read(1))["boxes"]
    assert (cut.tolist(), cut.dtype) == ([[0, 0, 12, 8]], np.float32)


def test_classes_without_names_are_numbered_and_empty_ones_are_a_warning():
    part = {"images": IMAGES, "boxes": BOXES, "classes": [2 * c for c in CLASSES]}
    found = scan(ArraySource({"": part}), cache=False)
    assert found.class_names == [f"class {k}" for k in range(5)]
    assert "the class 'class 1' (1) has no box" in texts(found.warnings)
    nothing = {"boxes": [BOXES[0]] * 6, "classes": [CLASSES[0]] * 6}
    assert "no image has a box" in texts(looked("boxes", **nothing).errors)


def test_boxes_are_split_by_class_and_repeats_with_other_boxes_are_found():
    images = np.concatenate([IMAGES, IMAGES[3:4], IMAGES[2:3]])
    part = {"images": images, "boxes": [*BOXES, BOXES[1], BOXES[2]]}
    part["classes"] = [*CLASSES, CLASSES[1], CLASSES[2]]
    made = ArraySource({"": part}, class_names=NAMES["boxes"])
    found = scan(made, cache=False)
    assert "the very image of row 3 of images, but with other boxes" in texts(found.warnings)
    kinds = {f.kind: f for f in audit(made, found).findings}
    assert kinds["conflicting_boxes"].members == (3, 6)
    assert "2 different boxes; which boxes are right" in kinds["conflicting_boxes"].reading
    assert kinds["duplicate_images"].members == (2, 7)
    splits = holdout(found, made.records, seed=0, val_fraction=0.3, test_fraction=0.0)
    assert set(splits) == {"train", "val"}
    assert (splits[3], splits[2]) == (splits[6], splits[7])


def test_every_kind_is_drawn():
    image = IMAGES[0][..., None]
    np.testing.assert_array_equal(
        truth_kind("masks").drawing(RawSample(image, mask=MASKS[0]), 3), MASKS[0]
    )
    outside = truth_kind("label").drawing(RawSample(image, label=1, boxes=ONE_BOX[0]), 2)
    assert (outside[0, 0], outside[3, 3]) == (1, 2)
    drawn = truth_kind("boxes").drawing(RawSample(image, boxes=BOXES[3], classes=CLASSES[3]), 3)
    # The large box, of class 2, lies under the two small ones.
    assert (drawn[0, 0], drawn[6, 3], drawn[2, 3], drawn[4, 8]) == (-1, 2, 0, 1)
    assert (
        truth_kind("boxes").drawing(RawSample(image, boxes=BOXES[0], classes=[]), 3) == -1
    ).all()
    assert all(truth_kind(name).drawing(RawSample(image), 3) is None for name in TRUTHS)


def test_a_crowd_is_read_hashed_and_drawn_but_no_box():
    changed = {
        "boxes": with_first(BOXES, np.float32([[0, 0, 4, 4], [1, 1, 3, 3]])),
        "classes": with_first(CLASSES, np.int32([-3, 2])),
    }
    found = looked("boxes", **changed)
    assert found.errors == []
    assert found.class_pixels[0].tolist() == [0, 0, 1]
    assert found.fingerprint != looked("boxes").fingerprint
    drawn = truth_kind("boxes").drawing(source("boxes", **changed).read(0), 3)
    assert (drawn[0, 0], drawn[1, 1], drawn[5, 5]) == (3, 2, -1)  # 3: marked without a class
    bad = {**changed, "classes": with_first(CLASSES, np.int32([-2 - 3, 2]))}
    assert any("box 0 has the class 3; expected" in str(e) for e in looked("boxes", **bad).errors)


def test_crowds_keep_their_class_where_classes_are_numbered_anew():
    changed = {"classes": with_first(CLASSES, np.int32([-3]))}
    changed["boxes"] = with_first(BOXES, np.float32([[0, 0, 4, 4]]))
    anew = Renumbered(source("boxes", **changed), [2, 0, 1], ["b", "c", "a"], None)
    assert anew.read(0).classes.tolist() == [-2]
    assert anew.read(2).classes.tolist() == [2, 1]
