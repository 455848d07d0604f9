"""The source `object_masks`: a folder an image, joined objects, and planted faults."""

from pathlib import Path

import numpy as np
import pytest

from tests.data.make import image, pairs, save
from tfvision.data import SOURCES
from tfvision.data.files.tree import list_tree
from tfvision.data.scan.scan import scan
from tfvision.data.sources.exports.object_masks import object_masks, sees
from tfvision.errors import InputError
from tfvision.registry import Spec


def one(*window: slice) -> np.ndarray:
    mask = np.zeros((8, 12), np.uint8)
    mask[window] = 255
    return mask


OBJECTS = [
    one(slice(1, 4), slice(1, 5)),
    one(slice(3, 6), slice(4, 9)),
    one(slice(7, 8), slice(0, 2)),
]


def cells(root: Path, count: int = 3, *, first: int = 0) -> Path:
    """Image k has k objects."""
    for k in range(first, first + count):
        folder = root / f"id{k}"
        save(folder / "images" / f"id{k}.png", image(k))
        (folder / "masks").mkdir()
        for n in range(min(k, 3)):
            save(folder / "masks" / f"m{n}.png", OBJECTS[n])
    return root


def problems(source) -> str:
    return "\n".join(map(str, source.problems))


def test_objects_join(tmp_path):
    root = cells(tmp_path / "cells")
    assert sees(list_tree(root)) == (
        "3 folders of one image with a mask file an object (id0/masks/)"
    )
    source = SOURCES.build(Spec(name="object_masks", path=root))
    assert source.layout == (
        "cells: a folder an image: 3 images, 3 mask files of one object each (1 image without any: "
        "all background); 0 background, 1 object: objects that overlap or touch join"
    )
    assert [r.id for r in source.records] == ["id0", "id1", "id2"]
    joined = (OBJECTS[0] | OBJECTS[1]) > 0
    np.testing.assert_array_equal(source.read(2).mask, joined)
    assert not source.read(0).mask.any()
    assert not scan(source, cache=False).errors


def test_stages_and_a_test_part_without_masks(tmp_path):
    cells(tmp_path / "stage1_train", 3)
    for k in range(2):
        save(tmp_path / "stage1_test" / f"t{k}" / "images" / f"t{k}.png", image(k))
    source = object_masks(tmp_path)
    assert [(r.id, r.split, r.labelled) for r in source.records] == [
        *((f"t{k}", "test", False) for k in range(2)),
        *((f"id{k}", None, True) for k in range(3)),
    ]


def test_a_changed_or_added_object_changes_the_truth(tmp_path):
    root = cells(tmp_path)
    before = scan(object_masks(root), cache=False)
    save(root / "id1" / "masks" / "more.png", OBJECTS[2])
    after = scan(object_masks(root), cache=False)
    differ = [a != b for a, b in zip(before.stamps, after.stamps, strict=True)]
    assert differ == [False, True, False]
    assert before.fingerprint != after.fingerprint


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (one(slice(0, 2)) // 2 + OBJECTS[0] // 3, "holds the values 0, 85, 127, 212; the mask of"),
        (np.zeros((8, 9), np.uint8), "the image has 8 x 12 pixels, its mask 8 x 9"),
        (np.arange(96, dtype=np.uint8).reshape(8, 12) % 2 + 1, "holds the values 1, 2"),
    ],
)
def test_a_file_that_is_no_mask_of_one_object(tmp_path, wrong, message):
    root = cells(tmp_path)
    save(root / "id2" / "masks" / "m1.png", wrong)
    (error,) = scan(object_masks(root), cache=False).errors
    assert (error.id, error.place) == ("id2", "id2/masks/m1.png")
    assert message in error.problem


def test_what_is_not_read_is_named(tmp_path):
    root = cells(tmp_path)
    (root / "id1" / "masks" / "notes.txt").write_text("x")
    for k in range(2):
        save(root / "id7" / "images" / f"{k}.png", image(k))
    text = problems(object_masks(root))
    assert "id1/masks/notes.txt: 3 files beside the layout, not read" in text
    (root / "id2" / "masks").rename(root / "masks_of_id2")
    assert "id2/images/id2.png: has no masks/ beside images/" in problems(object_masks(root))


def test_folders_of_images_and_masks_are_another_layout(tmp_path):
    pairs(tmp_path / "train", 1)
    pairs(tmp_path / "site", 1)
    assert sees(list_tree(tmp_path)) is None
    with pytest.raises(InputError, match="holds no folder an image"):
        object_masks(tmp_path)
