"""The source `labelme`: files beside images, kinds of shapes, and planted faults."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.data.make import image, save
from tfvision.data import SOURCES
from tfvision.data.files.tree import list_tree
from tfvision.data.scan.scan import scan
from tfvision.data.sources.exports.labelme import labelme, sees
from tfvision.errors import InputError
from tfvision.registry import Spec

LEAF = {"label": "leaf", "points": [[1, 1], [9, 1.5], [8, 6]], "shape_type": "polygon"}
STEM = {"label": "stem", "points": [[6, 6], [3, 3]], "shape_type": "rectangle"}
SPOT = {"label": "spot", "points": [[5, 4], [5, 6]], "shape_type": "circle"}


def write(path: Path, shapes: list, *, file: str = "", **more) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "version": "5.4.1",
        "flags": {},
        "shapes": shapes,
        "imagePath": file or f"{path.stem}.jpg",
        "imageData": "AAAA" * 3000,
        "imageHeight": 8,
        "imageWidth": 12,
        **more,
    }
    path.write_text(json.dumps(content))
    return path


def plants(root: Path) -> Path:
    for k, shapes in enumerate([[LEAF, STEM], [SPOT], []]):
        save(root / f"a{k}.jpg", image(k))
        write(root / f"a{k}.json", shapes)
    return root


def problems(source) -> str:
    return "\n".join(map(str, source.problems))


def test_files_beside_images_are_drawn_as_pillow_draws(tmp_path):
    root = plants(tmp_path / "plants")
    assert sees(list_tree(root)) == "3 LabelMe files (a0.json, ...)"
    source = SOURCES.build(Spec(name="labelme", path=root))
    assert source.layout == (
        "plants: 3 LabelMe files: 3 images, 1 polygon, 1 rectangle, 1 circle (1 image without any: "
        "nothing drawn) of 4 classes (0 background, 1 leaf, 2 spot, 3 stem); background where "
        "nothing is drawn; the later of two overlapping objects counts"
    )
    canvas = Image.new("L", (12, 8))
    ImageDraw.Draw(canvas).polygon([(1, 1), (9, 1.5), (8, 6)], outline=1, fill=1)
    ImageDraw.Draw(canvas).rectangle([3, 3, 6, 6], outline=3, fill=3)
    np.testing.assert_array_equal(source.read(0).mask, np.asarray(canvas))
    assert source.read(1).mask[4, 5] == 2
    assert not source.read(2).mask.any()
    assert not scan(source, cache=False).errors


def test_a_folder_of_their_own_and_splits(tmp_path):
    """imagePath leads out of the folder of annotations, as LabelMe writes it."""
    for split in ("train", "val"):
        for k in range(2):
            save(tmp_path / split / "images" / f"b{k}.png", image(k))
            file = f"..\\images\\b{k}.png"
            write(tmp_path / split / "json" / f"b{k}.json", [LEAF], file=file)
    source = labelme(tmp_path)
    assert [(r.place, r.split) for r in source.records] == [
        ("train/images/b0.png", "train"),
        ("train/images/b1.png", "train"),
        ("val/images/b0.png", "val"),
        ("val/images/b1.png", "val"),
    ]
    assert [r.id for r in source.records] == ["b0", "b1"] * 2
    assert not source.problems


def test_order_of_classes_and_labels_without_a_class(tmp_path):
    root = plants(tmp_path)
    (root / "labels.txt").write_text("__ignore__\n_background_\nstem\nspot\nleaf\n")
    ignored = {**STEM, "label": "__ignore__"}
    write(
        root / "a1.json",
        [SPOT, ignored, {**STEM, "label": "_background_", "points": [[0, 0], [1, 1]]}],
    )
    source = labelme(root)
    assert source.class_names == ["background", "stem", "spot", "leaf"]
    mask = source.read(1).mask
    assert (mask[3, 3], mask[0, 0]) == (255, 0)
    (root / "labels.txt").write_text("stem\nspot\n")
    with pytest.raises(InputError, match=r"labels.txt does not list leaf"):
        labelme(root)


def test_renamed_files_belong_to_the_image_of_their_name(tmp_path):
    root = plants(tmp_path)
    write(root / "a1.json", [SPOT], file="IMG_0001.JPG")
    assert [r.place for r in labelme(root).records] == ["a0.jpg", "a1.jpg", "a2.jpg"]
    save(root / "IMG_0001.JPG", image(5))
    assert "its image may be IMG_0001.JPG or a1.jpg" in problems(labelme(root))


def test_points_and_lines_are_named_and_not_drawn(tmp_path):
    root = plants(tmp_path)
    point = {"label": "tip", "points": [[3, 3]], "shape_type": "point"}
    write(root / "a1.json", [SPOT, point, point])
    source = labelme(root)
    assert "tip" not in source.class_names
    assert "a1.json: 2 shapes of the kind point have no area and are not drawn" in problems(source)


def test_images_without_a_file_and_files_without_an_image(tmp_path):
    root = plants(tmp_path)
    (root / "a1.jpg").rename(root / "c1.jpg")
    text = problems(labelme(root))
    assert "a1.json: no image a1.* and no a1.jpg for its 1 shape" in text
    assert "imageData is not read" in text
    assert "c1.jpg: 1 image beside the annotated ones is not annotated" in text


def test_the_size_must_be_that_of_the_image(tmp_path):
    root = plants(tmp_path)
    write(root / "a0.json", [LEAF], imageHeight=12, imageWidth=8)
    (error,) = scan(labelme(root), cache=False).errors
    assert (error.id, error.place) == ("a0", "a0.json")
    assert "says 12 x 8 pixels, the image has 8 x 12" in error.problem
    assert "--set data.source.exif=ignore" in error.advice


def test_images_turned_by_exif_are_drawn_on_as_they_are_seen(tmp_path):
    tag = Image.Exif()
    tag[0x0112] = 6
    stored = np.ascontiguousarray(np.rot90(image(1)))
    save(tmp_path / "a0.jpg", stored, exif=tag, quality=100, subsampling=0)
    write(tmp_path / "a0.json", [LEAF])
    source = labelme(tmp_path)
    sample = source.read(0)
    assert sample.image.shape[:2] == sample.mask.shape == (8, 12)
    assert "set exif: ignore where annotations were made on the pixels as" in sample.warnings[-1]
    (error,) = scan(labelme(tmp_path, exif="ignore"), cache=False).errors
    assert "says 8 x 12 pixels, the image has 12 x 8" in error.problem


def test_a_changed_file_changes_the_truth(tmp_path):
    root = plants(tmp_path)
    before = scan(labelme(root), cache=False)
    write(root / "a2.json", [STEM])
    after = scan(labelme(root), cache=False)
    assert [a != b for a, b in zip(before.stamps, after.stamps, strict=True)] == [
        False,
        False,
        True,
    ]
    assert before.truth_sha256[2] != after.truth_sha256[2]
    assert before.fingerprint != after.fingerprint


def test_objects_that_leave_the_picture_are_counted(tmp_path):
    root = plants(tmp_path)
    write(root / "a2.json", [{**LEAF, "points": [[-2, 1], [9, 2], [8, 6]]}])
    assert labelme(root).notes[1:] == [
        "1 object with coordinates beyond the picture, clipped (first: shape 1 (leaf) of a2.json)"
    ]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"points": [[1, 1]]}, "shape 1 has no 'label'"),
        ({"label": "leaf"}, "shape 1 has no 'points'"),
        ({**LEAF, "shape_type": "cube"}, r"shape 1 \(leaf\) is of the unknown kind 'cube'"),
        ({**LEAF, "points": [1, 2, 3]}, r"shape 1 \(leaf\): 'points' must be a list of \[x, y\]"),
    ],
)
def test_faults_in_a_file_name_the_shape(tmp_path, shape, message):
    write(plants(tmp_path) / "a1.json", [shape])
    with pytest.raises(InputError, match=f"a1.json: {message}"):
        labelme(tmp_path)


def test_too_few_points_and_files_that_are_cut_off(tmp_path):
    root = plants(tmp_path)
    write(root / "a1.json", [{**LEAF, "points": [[1, 1], [3, 3]]}])
    (error,) = scan(labelme(root), cache=False).errors
    assert "shape 1 (leaf) cannot be drawn: a polygon needs at least three points" in error.problem
    (root / "a1.json").write_text('{"version": "5", "shapes": [')
    with pytest.raises(InputError, match=r"a1.json is no whole JSON"):
        labelme(root)
    (root / "a1.json").write_text('{"shapes": [], "imageData": null}')
    with pytest.raises(InputError, match=r"'imagePath', a text; found the keys shapes, imageData"):
        labelme(root)


def test_no_such_files(tmp_path):
    with pytest.raises(InputError, match="holds no LabelMe file"):
        labelme(tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        labelme(tmp_path / "absent")
