"""Boxes that are given later: any format, matched by image name, classes by name; or refused."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from tfvision.data.sources.boxes.given_later import read_boxes_given_later
from tfvision.data.sources.recognise import open_source
from tfvision.errors import InputError

CLASSES = ["car", "bus", "red van"]
TRUE = {  # of each test image: (x1, y1, x2, y2, class); "d" is not spoken of
    "a": [(2, 4, 22, 20, "bus"), (30, 8, 50, 38, "red van")],
    "b": [(10, 10, 40, 30, "car")],
    "c": [],
}
SIZE = (40, 60)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Boxes of train/, images alone in test/; a train image has the name of a test image."""
    root = tmp_path_factory.mktemp("data")
    rows = [("a.png", k, 3 + k, 5, 30, 25) for k in range(3)] + [("t.png", 0, 1, 1, 20, 20)]
    for k, name in enumerate(["train/a", "train/t", "test/a", "test/b", "test/c", "test/d"]):
        path = root / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        pixels = np.full((*SIZE, 3), 40 * k, np.uint8)
        Image.fromarray(pixels).save(path)
    (root / "classes.txt").write_text("\n".join(CLASSES))
    with (root / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "label", "xmin", "ymin", "xmax", "ymax"), *rows])
    return open_source(root, truth="boxes")


def read(source, path, **options):
    indices = [i for i, r in enumerate(source.records) if r.split == "test"]
    assert [source.records[i].id for i in indices] == ["a", "b", "c", "d"]
    return read_boxes_given_later(path, source, indices, CLASSES, options)


def table(path, header="file,label,xmin,ymin,xmax,ymax", truth=None, cell=str, folder=""):
    rows = [header]
    for name, boxes in (TRUE if truth is None else truth).items():
        rows += [f"{folder}{name}.png,{cell(k)},{x},{y},{u},{v}" for x, y, u, v, k in boxes]
        rows += [f"{folder}{name}.png,,,,,"] if not boxes else []
    path.write_text("\n".join(rows))
    return path


def coco(path, names=("red van", "bus", "car", "tram"), extra=()):
    images, annotations = [], []
    for k, name in enumerate([*TRUE, *extra]):
        images.append({"id": k, "file_name": f"{name}.png", "height": SIZE[0], "width": SIZE[1]})
        for x, y, u, v, label in TRUE.get(name, [(1, 1, 9, 9, "car")]):
            entry = {"id": len(annotations), "image_id": k, "category_id": 5 * names.index(label)}
            annotations.append({**entry, "bbox": [x, y, u - x, v - y], "area": 1})
    categories = [{"id": 5 * k, "name": name} for k, name in enumerate(names)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))
    return path


def voc(path):
    path.mkdir()
    for name, boxes in TRUE.items():
        text = "".join(
            f"<object><name>{k}</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin><xmax>{u}</xmax>"
            f"<ymax>{v}</ymax></bndbox></object>"
            for x, y, u, v, k in boxes
        )
        (path / f"{name}.xml").write_text(f"<annotation>{text}</annotation>")
    return path


def yolo(path, inside="labels/test", names=("red van", "car", "bus")):
    (path / inside).mkdir(parents=True)
    for name, boxes in TRUE.items():
        lines = [
            f"{names.index(k)} {(x + u) / 120} {(y + v) / 80} {(u - x) / 60} {(v - y) / 40}"
            for x, y, u, v, k in boxes
        ]
        (path / inside / f"{name}.txt").write_text("\n".join(lines))
    (path / "data.yaml").write_text(json.dumps({"names": [*names], "path": ".", "test": "test"}))
    return path


def labelme(path):
    path.mkdir()
    for name, boxes in TRUE.items():
        shapes = [
            {"label": k, "points": [[x, y], [u, v]], "shape_type": "rectangle"}
            for x, y, u, v, k in boxes
        ]
        head = {"imagePath": f"..\\photos\\{name}.png", "imageHeight": 40, "imageWidth": 60}
        content = {**head, "shapes": shapes, "imageData": None, "version": "5.0"}
        (path / f"{name}.json").write_text(json.dumps(content))
    return path


FORMATS = {
    "table": lambda p: table(p / "later.csv"),
    "table of numbers": lambda p: table(p / "later.csv", cell=CLASSES.index),
    "table of a dev set": lambda p: table(p / "dev_labels.csv", folder="photos/test/"),
    "table in shares": lambda p: table(
        p / "t.csv",
        truth={
            k: [(a / 60, b / 40, c / 60, d / 40, m) for a, b, c, d, m in v] for k, v in TRUE.items()
        },
    ),
    "coco": lambda p: coco(p / "truth.json"),
    "voc": lambda p: voc(p / "xml"),
    "yolo": lambda p: yolo(p / "export"),
    "yolo, its folder of texts": lambda p: yolo(p / "flat", inside=""),
    "labelme": lambda p: labelme(p / "jsons"),
}


def check(given):
    for name, truth in zip("abc", given.truths, strict=False):
        found = [(*b, CLASSES[k]) for b, k in zip(truth["boxes"], truth["classes"], strict=True)]
        assert [box[4] for box in found] == [box[4] for box in TRUE[name]]
        for one, other in zip(found, TRUE[name], strict=True):
            np.testing.assert_allclose(one[:4], other[:4], atol=2e-3)
        assert truth["boxes"].shape == (len(TRUE[name]), 4)


@pytest.mark.parametrize("kind", FORMATS)
def test_any_format_gives_the_boxes_by_name_of_image_and_class(kind, source, tmp_path):
    given = read(source, FORMATS[kind](tmp_path))
    check(given)
    assert given.truths[3] is None
    assert any("1 of 4 images are not named (d)" in note for note in given.notes)
    assert not any("/tmp" in note and str(tmp_path) not in note for note in given.notes)


def test_images_that_are_not_named_count_as_empty_where_that_is_said(source, tmp_path):
    given = read(source, table(tmp_path / "t.csv"), unlisted="negatives")
    check(given)
    assert given.truths[3]["boxes"].shape == (0, 4)
    assert "they count as images without any box" in given.notes[-1]


def test_a_table_beside_its_own_names_is_read_by_these(source, tmp_path):
    names = ["bus", "red van", "car"]
    (tmp_path / "classes.txt").write_text("\n".join(names))
    check(read(source, table(tmp_path / "t.csv", cell=names.index)))


def test_annotations_of_more_images_than_these_are_passed_over_and_counted(source, tmp_path):
    given = read(source, coco(tmp_path / "all.json", extra=["x", "y"]))
    check(given)
    assert any("2 images that are none of these" in note for note in given.notes)
    folder = voc(tmp_path / "xml")
    (folder / "zz.xml").write_text((folder / "a.xml").read_text())
    given = read(source, folder)
    check(given)
    assert any("1 image that are none of these" in note for note in given.notes)


def spelt(path, change):
    return table(path, cell=lambda name: change.get(name, name))


OTHERS = {"photo_1": TRUE["a"], "photo_2": TRUE["b"]}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda p: spelt(p / "t.csv", {"bus": "tram"}),
            r"t\.csv has boxes of 1 class that the run does not know: 'tram' \(line 2 of t\.csv\)"
            r"\. Its classes are car, bus, red van, or their numbers from 0",
        ),
        (
            lambda p: table(p / "t.csv", cell=lambda name: 1 + CLASSES.index(name)),
            r"does not know: '3' \(line 3 of t\.csv\)",
        ),
        (
            lambda p: table(p / "t.csv", truth=OTHERS),
            r"names 2 images \(photo_1\.png, photo_2\.png\), and none of them is one of the 4 "
            r"images to be scored \(test/a\.png, .*Are these the annotations of other images\?$",
        ),
        (
            lambda p: table(p / "t.csv", truth={**TRUE, "b": [(1, 2, 3, "x", "car")]}),
            r"1 fault\.\n  line 4 of t\.csv: the box \(1, 2, 3, x\) is not four numbers",
        ),
        (
            lambda p: table(p / "t.csv", truth={"a": [(90, 5, 99, 9, "car")] * 3 + TRUE["a"]}),
            r"3 of 5 boxes leave their images",
        ),
        (
            lambda p: table(p / "t.csv", header="file,label,a,b,c,d"),
            r"t\.csv: the four numbers of a box .* can be read in two ways",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(make, message, source, tmp_path):
    with pytest.raises(InputError, match=message) as error:
        read(source, make(tmp_path))
    assert str(error.value).startswith(f"--labels {tmp_path}")
    assert "tfvision" not in str(error.value)


def test_a_folder_without_annotations_and_an_option_that_is_none(source, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: holds no boxes\. Known: a CSV file of boxes"):
        read(source, tmp_path / "empty")
    with pytest.raises(InputError, match=r"coordinats.* Did you mean 'coordinates'"):
        read(source, table(tmp_path / "t.csv"), coordinats="sizes")


def test_an_option_says_what_the_numbers_are(source, tmp_path):
    path = table(tmp_path / "t.csv", header="file,label,a,b,c,d")
    check(read(source, path, coordinates="corners"))


def test_crowds_are_given_too_and_one_of_another_class_is_nothing(source, tmp_path):
    path = coco(tmp_path / "later.json")
    content = json.loads(path.read_text())
    crowd = {"image_id": 1, "bbox": [0, 0, 9, 9], "area": 1, "iscrowd": 1}
    more = [{**crowd, "id": 90, "category_id": 0}, {**crowd, "id": 91, "category_id": 15}]
    content["annotations"] += more
    path.write_text(json.dumps(content))
    given = read(source, path)
    assert given.truths[1]["classes"].tolist() == [0, -2 - 2, -1]
    assert given.truths[1]["boxes"].shape == (3, 4)
