"""The source `yolo_polygons`: both nestings, names of classes, and planted faults."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.data.make import image, save
from tfvision.data import SOURCES
from tfvision.data.files.tree import list_tree
from tfvision.data.scan.scan import scan
from tfvision.data.sources.exports.yolo_polygons import sees, yolo_polygons
from tfvision.errors import InputError
from tfvision.registry import Spec

LEAF = "0 0.1 0.1 0.8 0.2 0.6 0.9"
STEM = "1 0.3 0.3 0.5 0.3 0.5 0.6 0.3 0.6"
BOX = "1 0.5 0.5 0.2 0.25"
NAMES = "path: .\ntrain: images/train\nval: images/val\nnc: 2\nnames: [leaf, stem]\n"


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def plants(root: Path, images: str = "images", labels: str = "labels") -> Path:
    """Image 0 has two polygons, 1 one, 2 an empty file, 3 none."""
    for k in range(4):
        save(root / images / f"a{k}.png", image(k))
    for k, lines in enumerate([[LEAF, STEM], [STEM], []]):
        write(root / labels / f"a{k}.txt", *lines)
    write(root / "data.yaml", NAMES)
    return root


def problems(source) -> str:
    return "\n".join(map(str, source.problems))


def test_polygons_are_drawn_as_pillow_draws(tmp_path):
    root = plants(tmp_path / "plants")
    assert sees(list_tree(root)) == "YOLO polygons in labels/ (3 files)"
    source = SOURCES.build(Spec(name="yolo_polygons", path=root))
    assert source.layout == (
        "plants: YOLO: 4 images, 3 polygons (1 image with an empty file and 1 image without a "
        "file: nothing drawn) of 3 classes (0 background, 1 leaf, 2 stem, named by data.yaml); "
        "background where nothing is drawn; the later of two overlapping objects counts"
    )
    canvas = Image.new("L", (12, 8))
    for label, line in ((1, LEAF), (2, STEM)):
        values = [float(word) for word in line.split()[1:]]
        xy = [(values[i] * 12, values[i + 1] * 8) for i in range(0, len(values), 2)]
        ImageDraw.Draw(canvas).polygon(xy, outline=label, fill=label)
    np.testing.assert_array_equal(source.read(0).mask, np.asarray(canvas))
    assert not source.read(2).mask.any()
    assert not source.read(3).mask.any()
    assert not source.problems
    assert not scan(source, cache=False).errors


@pytest.mark.parametrize("nesting", ["images/{}", "{}/images"])
def test_splits_in_either_nesting(tmp_path, nesting):
    for split in ("train", "val"):
        folder = nesting.format(split)
        plants(tmp_path, folder, folder.replace("images", "labels"))
    save(tmp_path / nesting.format("test") / "b.png", image(7))
    source = yolo_polygons(tmp_path)
    counts = {s: sum(r.split == s for r in source.records) for s in ("train", "val", "test")}
    assert counts == {"train": 4, "val": 4, "test": 1}
    assert [r.split for r in source.records if not r.labelled] == ["test"]
    assert not source.problems


def test_folders_that_have_test_in_their_names_are_no_test_set(tmp_path):
    plants(tmp_path, "images/road-test", "labels/road-test")
    plants(tmp_path, "images/farm", "labels/farm")
    source = yolo_polygons(tmp_path)
    assert {record.split for record in source.records} == {None}
    assert [record.id for record in source.records][::4] == ["farm/a0", "road-test/a0"]


def test_labels_beside_their_images(tmp_path):
    root = plants(tmp_path, "shots", "shots")
    write(root / "shots" / "classes.txt", "leaf", "stem")
    assert len(yolo_polygons(root)) == 4
    assert sees(list_tree(root)) == "YOLO polygons in shots/ (3 files)"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names:\n  0: leaf\n  1: stem\n", ["leaf", "stem"]),
        ("nc: 2\nnames: ['no', 'yes']\n", ["no", "yes"]),
        (None, ["0", "1"]),
    ],
)
def test_names_of_classes(tmp_path, text, names):
    root = plants(tmp_path)
    (root / "data.yaml").unlink()
    if text:
        write(root / "dataset.yaml", text)
    assert yolo_polygons(root).class_names == ["background", *names]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "names: {0: leaf, 2: stem}",
            "keys of 'names' must be 0, 1, 2, ... without a gap; got 0, 2",
        ),
        ("nc: 3\nnames: [leaf, stem]", r"has 2 names \(2 different\) and nc: 3"),
        ("names: leaf", "must be a list, or a mapping"),
        ("names: [leaf]", r"labels/a0.txt, line 2 has the class 1; data.yaml names 1 classes"),
        ("names: [leaf, stem]\nkpt_shape: [17, 3]", "declares key points"),
        ("names: [leaf", "cannot be read as YAML"),
    ],
)
def test_faults_in_the_names(tmp_path, text, message):
    write(plants(tmp_path) / "data.yaml", text)
    with pytest.raises(InputError, match=message):
        yolo_polygons(tmp_path)


def test_boxes_alone_are_refused(tmp_path):
    root = plants(tmp_path)
    for k in range(2):
        write(root / "labels" / f"a{k}.txt", BOX, BOX)
    assert sees(list_tree(root)) is None
    with pytest.raises(
        InputError, match=r"each of 4 lines of .* has five numbers. These are boxes"
    ):
        yolo_polygons(root)


def test_a_box_among_polygons_is_an_error_of_its_sample(tmp_path):
    root = plants(tmp_path)
    write(root / "labels" / "a1.txt", STEM, BOX)
    (error,) = scan(yolo_polygons(root), cache=False).errors
    assert (error.id, error.place) == ("a1", "labels/a1.txt")
    assert "line 2 (stem) cannot be drawn: it has five numbers, a box" in error.problem


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 12 14 80 30 60 44", "must be shares of width and height, 0 to 1; got 12 to 80"),
        ("0 0.1 0.2 0.3 0.4 0.5 x", "a polygon must be a list of numbers"),
        ("0 0.1 0.2 0.3 0.4 0.5 0.6 0.7", "got 7 numbers"),
    ],
)
def test_lines_that_are_no_polygons(tmp_path, line, message):
    root = plants(tmp_path)
    write(root / "labels" / "a1.txt", STEM, line)
    (error,) = scan(yolo_polygons(root), cache=False).errors
    assert "line 2 (leaf)" in error.problem
    assert message in error.problem
    write(root / "labels" / "a1.txt", "leaf 0.1 0.2")
    with pytest.raises(InputError, match=r"a1.txt, line 1 begins with 'leaf'; a class number"):
        yolo_polygons(root)


def test_notes_on_clipped_polygons_and_warnings_on_four_corners(tmp_path):
    root = plants(tmp_path)
    write(root / "labels" / "a0.txt", "1 -0.1 0.2 0.5 0.2 0.5 0.5 0.1 0.5")
    source = yolo_polygons(root)
    assert source.notes[1:] == [
        "1 polygon with coordinates beyond the picture, clipped (first: labels/a0.txt, line 1)"
    ]
    assert "every polygon has four corners, as oriented boxes have" in problems(source)


def test_files_and_images_that_have_no_partner(tmp_path):
    root = plants(tmp_path)
    write(root / "labels" / "z9.txt", STEM)
    save(root / "other" / "z.png", image(3))
    text = problems(yolo_polygons(root))
    assert "labels/z9.txt: 1 label file without an image of the name" in text
    assert "other/z.png: 1 image in folders without any label file: not used" in text


def test_a_changed_label_file_changes_the_truth(tmp_path):
    root = plants(tmp_path)
    before = scan(yolo_polygons(root), cache=False)
    write(root / "labels" / "a2.txt", STEM)
    after = scan(yolo_polygons(root), cache=False)
    assert [a != b for a, b in zip(before.stamps, after.stamps, strict=True)] == [
        *(False, False, True, False)
    ]
    assert before.fingerprint != after.fingerprint


def test_other_texts_are_not_yolo(tmp_path):
    for k in range(3):
        save(tmp_path / f"p{k}.png", image(k))
        write(tmp_path / f"p{k}.txt", "a line of print")
    assert sees(list_tree(tmp_path)) is None
    (tmp_path / "p0.txt").unlink()
    with pytest.raises(InputError, match="holds no text file of the name of an image"):
        yolo_polygons(save(tmp_path / "x" / "p.png", image(1)).parent)
