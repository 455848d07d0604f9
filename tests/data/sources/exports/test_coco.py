"""The source `coco_masks`: layouts, classes, and planted faults."""

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from tests.data.make import image, save
from tfvision.data import SOURCES
from tfvision.data.files.tree import list_tree
from tfvision.data.scan.scan import scan
from tfvision.data.sources.exports.coco import coco_masks, sees
from tfvision.errors import InputError
from tfvision.registry import Spec

LEAF, STEM = {"id": 3, "name": "leaf"}, {"id": 90, "name": "stem"}


def square(x: float, y: float, side: float) -> list[list[float]]:
    return [[x, y, x + side, y, x + side + 1, y + side, x, y + side]]


def table(names: list[str], *, first: int = 0, categories=(LEAF, STEM), **size) -> dict:
    """Image k has k % 3 objects: a leaf, then a stem over it."""
    size = {"height": 8, "width": 12, **size}
    images = [{"id": 70 + 7 * k, "file_name": name, **size} for k, name in enumerate(names)]
    annotations = [
        {
            "id": first + 10 * k + n,
            "image_id": 70 + 7 * k,
            "category_id": (3, 90)[n],
            "iscrowd": 0,
            "bbox": [1, 1, 5, 5],
            "segmentation": square(1 + n, 1 + n, 4),
        }
        for k in range(len(names))
        for n in range(k % 3)
    ]
    return {"images": images, "annotations": annotations, "categories": list(categories)}


def write(path: Path, content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def shop(root: Path, count: int = 6, **more) -> Path:
    """`annotations.json` beside `images/a0.png, a1.png, ...`."""
    names = [f"a{k}.png" for k in range(count)]
    for k, name in enumerate(names):
        save(root / "images" / name, image(k))
    write(root / "annotations.json", {**table(names), **more})
    return root


def problems(source) -> str:
    return "\n".join(map(str, source.problems))


def changed(root: Path, change) -> Path:
    content = json.loads((root / "annotations.json").read_text())
    change(content)
    write(root / "annotations.json", content)
    return root


def test_one_file_beside_images(tmp_path):
    root = shop(tmp_path / "shop")
    assert sees(list_tree(root)) == "COCO annotations in annotations.json"
    source = SOURCES.build(Spec(name="coco_masks", path=root))
    assert source.layout == (
        "shop: COCO annotations.json: 6 images, 6 objects (2 images without any: all background) "
        "of 3 classes (0 background, 1 leaf, 2 stem); background where nothing is drawn; the "
        "later of two overlapping objects counts"
    )
    assert [record.id for record in source.records] == [f"a{k}" for k in range(6)]
    assert all(r.labelled and r.split is None and r.part == "" for r in source.records)
    assert source.class_names == ["background", "leaf", "stem"]
    assert source.notes == [
        "other readings: --set data.source.overlap=first or smallest, --set "
        "data.source.undrawn=no_label"
    ]
    assert not source.problems
    found = scan(source, cache=False)
    assert not found.errors
    assert (found.class_pixels[:, 0] == 96).tolist() == [True, False, False] * 2
    coco = COCO(str(root / "annotations.json"))
    expected = np.zeros((8, 12), np.int32)
    for label, entry in enumerate(coco.imgToAnns[70 + 7 * 5], 1):
        expected[coco.annToMask(entry) > 0] = label
    np.testing.assert_array_equal(source.read(5).mask, expected)
    np.testing.assert_array_equal(source.read(5).image, image(5))


def test_the_json_itself_may_be_given(tmp_path):
    source = coco_masks(shop(tmp_path) / "annotations.json")
    assert len(source) == 6
    assert source.layout.startswith("annotations.json: COCO annotations.json: 6 images")


def test_instances_of_splits_in_annotations(tmp_path):
    """COCO's own folders: ids of one split say nothing of another's."""
    for split, count in (("train2017", 4), ("val2017", 2)):
        names = [f"{k:012d}.jpg" for k in range(count)]
        for k, name in enumerate(names):
            save(tmp_path / split / name, image(len(split) + k))
        write(tmp_path / "annotations" / f"instances_{split}.json", table(names))
        write(tmp_path / "annotations" / f"captions_{split}.json", table(names))
    source = coco_masks(tmp_path)
    assert [(r.part, r.split) for r in source.records] == (
        [("train", "train")] * 4 + [("val", "val")] * 2
    )
    assert [r.place for r in source.records][::4] == [
        "train2017/000000000000.jpg",
        "val2017/000000000000.jpg",
    ]
    assert "6 images (4 train, 2 val)" in source.layout
    assert not source.problems


def test_a_json_in_each_of_train_valid_test(tmp_path):
    """As Roboflow exports; the category that only groups the others is no class."""
    grouped = [{"id": 0, "name": "plants", "supercategory": "none"}]
    grouped += [{**entry, "supercategory": "plants"} for entry in (LEAF, STEM)]
    for split in ("train", "valid", "test"):
        for k in range(3):
            save(tmp_path / split / f"a{k}.png", image(k))
        content = table([f"a{k}.png" for k in range(3)], categories=grouped)
        write(tmp_path / split / "_annotations.coco.json", content)
    source = coco_masks(tmp_path)
    folders = {"train": "train", "val": "valid", "test": "test"}
    assert [r.split for r in source.records] == ["test"] * 3 + ["train"] * 3 + ["val"] * 3
    assert all(r.place.startswith(f"{folders[r.part]}/a") for r in source.records)
    assert source.class_names == ["background", "leaf", "stem"]
    assert "no classes, as they only group others: plants" in source.notes


def test_train_without_val_is_still_to_be_split(tmp_path):
    for split in ("train", "test"):
        save(tmp_path / split / "a.png", image(1))
        write(tmp_path / f"{split}.json", table(["a.png"]))
    parts = [(record.part, record.split) for record in coco_masks(tmp_path).records]
    assert parts == [("test", "test"), ("train", None)]


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["crash_test"], [None]),
        (["instances_val2017"], ["val"]),
        (["leaves-train", "leaves-val"], ["train", "val"]),
        (["annotations_test", "annotations_train"], ["test", None]),
    ],
)
def test_what_names_of_files_say_of_splits(tmp_path, names, splits):
    for k, name in enumerate(names):
        save(tmp_path / "images" / f"{k}.png", image(k))
        write(tmp_path / "annotations" / f"{name}.json", table([f"{k}.png"]))
    assert [record.split for record in coco_masks(tmp_path).records] == splits


def test_categories_are_in_the_order_of_their_ids_and_one_may_be_the_background(tmp_path):
    categories = [STEM, {"id": 41, "name": "ring"}, {"id": 0, "name": "Background"}, LEAF]
    source = coco_masks(shop(tmp_path, categories=categories))
    assert source.class_names == ["background", "leaf", "ring", "stem"]
    assert source.read(5).mask.max() == 3
    assert any("'ring' (2) stands in no mask" in str(i) for i in scan(source, cache=False).warnings)


def test_names_of_files_from_another_machine(tmp_path):
    names = [f"C:\\data\\set 1\\a{k}.png" for k in range(3)]
    source = coco_masks(shop(tmp_path, 3, **table(names)))
    assert [r.id for r in source.records] == ["a0", "a1", "a2"]
    assert "read without its first 3 folders: not there" in source.notes[0]


def test_folders_in_names_are_part_of_the_id(tmp_path):
    for day in ("day1", "day2"):
        save(tmp_path / "photos" / day / "a.jpg", image(1))
    write(tmp_path / "photos.json", table(["day1/a.jpg", "day2/a.jpg"]))
    source = coco_masks(tmp_path)
    assert [r.id for r in source.records] == ["day1/a", "day2/a"]
    assert [r.place for r in source.records] == ["photos/day1/a.jpg", "photos/day2/a.jpg"]


def test_a_name_is_not_found_in_another_folder(tmp_path):
    """Only where no name is found whole are folders left out."""
    for place in ("day1/a.jpg", "day2/b.jpg"):
        save(tmp_path / "photos" / place, image(1))
    write(tmp_path / "photos.json", table(["day1/a.jpg", "day1/b.jpg"]))
    source = coco_masks(tmp_path)
    assert "image 77 (day1/b.jpg): no such image, and 1 annotation of it" in problems(source)


def test_a_mask_folder_of_the_same_names_does_not_confuse(tmp_path):
    root = shop(tmp_path, 2)
    save(root / "previews" / "a1.png", image(9))
    assert [r.place for r in coco_masks(root).records] == ["images/a0.png", "images/a1.png"]
    save(root / "frames" / "a1.png", image(9))
    source = coco_masks(root)
    assert "may be frames/a1.png or images/a1.png" in problems(source)
    assert "data.source.image_folder=FOLDER" in problems(source)
    assert not coco_masks(root, image_folder="frames").records[0].place.startswith("images")


def test_crowds_are_drawn_and_said(tmp_path):
    def crowd(content):
        content["annotations"].append(
            {
                "id": 99,
                "image_id": 70,
                "category_id": 3,
                "iscrowd": 1,
                "segmentation": {"size": [8, 12], "counts": [8, 16, 72]},
            }
        )

    source = coco_masks(changed(shop(tmp_path), crowd))
    assert "drawn as their class: 1 crowd" in source.notes
    expected = np.zeros((8, 12), int)
    expected[:, 1:3] = 1
    np.testing.assert_array_equal(source.read(0).mask, expected)


def test_objects_of_several_polygons_join_or_have_holes(tmp_path):
    def ring(content):
        content["annotations"][0]["segmentation"] = [*square(1, 1, 6), *square(3, 3, 2)]

    root = changed(shop(tmp_path), ring)
    joined, holes = coco_masks(root), coco_masks(root, holes=True)
    assert (
        "1 object of several polygons: they join (--set data.source.holes=true" in joined.notes[1]
    )
    assert "one within another is a hole (--set data.source.holes=false" in holes.notes[1]
    assert (joined.read(1).mask[4, 4], holes.read(1).mask[4, 4]) == (1, 0)
    assert joined.stamp(1) != holes.stamp(1)


def test_what_lies_beyond_the_picture_is_clipped_and_counted(tmp_path):
    def shift(content):
        content["annotations"][0]["segmentation"] = square(9, 5, 6)

    source = coco_masks(changed(shop(tmp_path), shift))
    assert source.notes[1:] == [
        "1 object with coordinates beyond the picture, clipped (first: annotation 10 of "
        "annotations.json)"
    ]
    assert source.read(1).mask[7, 11] == 1


def test_changed_annotations_change_truth_fingerprint_and_stamp_of_that_image_alone(tmp_path):
    root = shop(tmp_path)
    before = coco_masks(root)
    scanned = scan(before, cache=False)

    def move(content):
        content["annotations"][0]["segmentation"] = square(3, 2, 4)

    after = coco_masks(changed(root, move))
    differ = [before.stamp(i) != after.stamp(i) for i in range(6)]
    assert differ == [False, True, False, False, False, False]
    again = scan(after, cache=False)
    assert scanned.fingerprint != again.fingerprint
    assert [a != b for a, b in zip(scanned.truth_sha256, again.truth_sha256, strict=True)] == differ
    assert coco_masks(root, overlap="first").stamp(0) != after.stamp(0)


def test_no_label_where_nothing_is_drawn(tmp_path):
    source = coco_masks(shop(tmp_path), undrawn="no_label", overlap="smallest")
    assert source.class_names == ["leaf", "stem"]
    assert "all no label" in source.layout
    assert "no label where nothing is drawn; the smaller of two" in source.layout
    assert set(np.unique(source.read(2).mask)) == {0, 1, 255}


def test_boxes_alone_are_refused(tmp_path):
    def box(content):
        for entry in content["annotations"]:
            entry["segmentation"] = []

    root = changed(shop(tmp_path), box)
    assert sees(list_tree(root)) is None
    with pytest.raises(InputError, match=r"none of 6 annotations has an outline. These are boxes"):
        coco_masks(root)
    one = changed(root, lambda c: c["annotations"][0].update(segmentation=square(1, 1, 3)))
    errors = scan(coco_masks(one), cache=False).errors
    assert len(errors) == 3
    assert "annotation 20 (leaf) cannot be drawn: it has no polygon" in str(errors[0])


def test_outlines_that_are_all_rectangles_are_a_warning(tmp_path):
    def rectangles(content):
        for entry in content["annotations"]:
            entry["segmentation"] = [[1, 1, 5, 1, 5, 5, 1, 5]]

    assert "every outline is a rectangle along the axes (6 objects)" in problems(
        coco_masks(changed(shop(tmp_path), rectangles))
    )


def test_shares_in_place_of_pixels_are_refused(tmp_path):
    def shares(content):
        for entry in content["annotations"]:
            entry["segmentation"] = [[0.1, 0.1, 0.5, 0.1, 0.5, 0.6]]

    with pytest.raises(InputError, match="look like shares of width and height"):
        coco_masks(changed(shop(tmp_path), shares))


def test_another_size_is_an_error_of_its_sample(tmp_path):
    root = shop(tmp_path)
    save(root / "images" / "a2.png", image(2, 16, 24))
    errors = scan(coco_masks(root), cache=False).errors
    assert [(e.id, e.place) for e in errors] == [("a2", "annotations.json, image 84 (a2.png)")]
    assert "says 8 x 12 pixels, the image has 16 x 24" in errors[0].problem


def test_images_that_are_absent_and_images_that_are_not_listed(tmp_path):
    root = shop(tmp_path)
    (root / "images" / "a1.png").rename(root / "images" / "b1.png")
    text = problems(coco_masks(root))
    assert "annotations.json, image 77 (a1.png): no such image, and 1 annotation of it" in text
    assert "1 image beside the annotated ones is not annotated" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("categories"), "needs the list 'categories'; found the keys images"),
        (lambda c: c["images"][1].pop("file_name"), "entry 1 of 'images' has no 'file_name'"),
        (lambda c: c["images"][1].update(id=70), "entry 1 of 'images' has the id '70', as entry 0"),
        (lambda c: c["images"][1].update(file_name="a0.png"), "has the file_name 'a0.png', as"),
        (lambda c: c["images"][1].update(width=-3), "the height 8 and the width -3"),
        (
            lambda c: c["annotations"][0].update(image_id=5),
            "of images that it does not list: 10 of image 5",
        ),
        (lambda c: c["annotations"][0].update(category_id=4), "annotation 10 has the category 4"),
        (lambda c: c["annotations"][0].pop("image_id"), "annotation 10 has no 'image_id'"),
        (lambda c: c["categories"][1].update(name="leaf"), "has the name 'leaf' of another one"),
        (lambda c: c["categories"][1].pop("id"), "entry 1 of 'categories' has no 'id'"),
        (lambda c: c["annotations"].insert(0, {"segments_info": []}), "panoptic"),
    ],
)
def test_faults_in_the_file_name_entry_and_key(tmp_path, change, message):
    root = changed(shop(tmp_path), change)
    with pytest.raises(InputError, match=message):
        coco_masks(root, annotations="annotations.json")


def test_a_file_that_is_cut_off(tmp_path):
    root = shop(tmp_path)
    text = (root / "annotations.json").read_text()
    (root / "annotations.json").write_text(text[: len(text) // 2])
    with pytest.raises(InputError, match=r"annotations.json is no whole JSON: .* line 1, column"):
        coco_masks(root)


def test_two_files_for_one_split(tmp_path):
    root = shop(tmp_path)
    write(root / "more" / "annotations.json", table(["a0.png"]))
    with pytest.raises(InputError, match=r"which one is meant\? Write .*data.source.annotations"):
        coco_masks(root)
    assert len(coco_masks(root, annotations="annotations.json")) == 6


def test_other_json_is_not_coco(tmp_path):
    write(tmp_path / "settings.json", {"images": "png", "name": "x"})
    write(tmp_path / "a.json", {"shapes": [], "imagePath": "a.png"})
    assert sees(list_tree(tmp_path)) is None
    with pytest.raises(InputError, match="holds no COCO annotations"):
        coco_masks(tmp_path)
