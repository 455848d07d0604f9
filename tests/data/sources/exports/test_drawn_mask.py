"""Drawing of outlines: equal to pycocotools and to Pillow, overlaps, holes, and refusals."""

import base64
import io

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from tfvision.data.files.issue import BadSample
from tfvision.data.sources.exports.drawing import (
    beyond,
    coordinates,
    draw_circle,
    draw_coco,
    draw_pixels,
    draw_polygon,
    draw_rectangle,
    draw_shares,
    run_lengths_of,
)
from tfvision.data.sources.exports.drawn_mask import DrawnMask, Rule, Shape
from tfvision.errors import InputError

KINDS = ("whole", "fractions", "beyond", "small")


def polygon(random: np.random.Generator, kind: str, height: int, width: int) -> list[float]:
    """A polygon `[x1, y1, ...]` of 3 to 11 points."""
    points = int(random.integers(3, 12))
    shares = random.uniform(0, 1, (points, 2)) * (width, height)
    if kind == "whole":
        shares = np.floor(shares)
    if kind == "beyond":
        shares = shares * 1.4 - 4
    if kind == "small":
        shares = shares[:1] + random.uniform(0, 2, (points, 2))
    return np.round(shares, 3).ravel().tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_coco_outlines_are_those_of_pycocotools(kind):
    random = np.random.default_rng(KINDS.index(kind))
    for _ in range(60):
        height, width = (int(side) for side in random.integers(4, 60, 2))
        content = [polygon(random, kind, height, width) for _ in range(int(random.integers(1, 4)))]
        coco = COCO()
        coco.imgs = {1: {"id": 1, "height": height, "width": width}}
        expected = coco.annToMask({"image_id": 1, "segmentation": content})
        np.testing.assert_array_equal(draw_coco(content, (height, width)), expected > 0)


def test_run_lengths_in_either_form_are_those_of_pycocotools():
    random = np.random.default_rng(7)
    for _ in range(40):
        height, width = (int(side) for side in random.integers(1, 50, 2))
        mask = random.random((height, width)) < random.random()
        code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        text = code["counts"].decode()
        flat = mask.ravel(order="F")
        edges = np.flatnonzero(np.diff(np.concatenate([[False], flat, [not flat[-1]]])))
        counts = np.diff(np.concatenate([[0], edges])).tolist()
        assert run_lengths_of(text) == counts
        for written in (text, counts):
            content = {"size": [height, width], "counts": written}
            np.testing.assert_array_equal(draw_coco(content, (height, width)), mask)


def test_a_whole_image_of_objects_is_painted_in_the_order_of_the_file():
    random = np.random.default_rng(3)
    polygons = [[polygon(random, "fractions", 40, 50)] for _ in range(8)]
    expected = np.zeros((40, 50), np.int32)
    for number, content in enumerate(polygons):
        codes = coco_mask.merge(coco_mask.frPyObjects(content, 40, 50))
        expected[coco_mask.decode(codes) > 0] = 1 + number % 3
    shapes = [Shape("", 1 + n % 3, "coco", content) for n, content in enumerate(polygons)]
    mask = DrawnMask(shapes, (40, 50), Rule()).read("a.json", (40, 50))
    assert mask.dtype == np.int32
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_polygons_of_labelme_and_yolo_are_those_of_pillow(kind):
    random = np.random.default_rng(20 + KINDS.index(kind))
    for _ in range(60):
        height, width = (int(side) for side in random.integers(4, 60, 2))
        points = polygon(random, kind, height, width)
        canvas = Image.new("L", (width, height))
        xy = [(points[i], points[i + 1]) for i in range(0, len(points), 2)]
        ImageDraw.Draw(canvas).polygon(xy, outline=1, fill=1)
        np.testing.assert_array_equal(
            draw_polygon(points, (height, width)), np.asarray(canvas) == 1
        )


def test_shares_are_of_width_and_height():
    shares = [0.25, 0.5, 0.75, 0.5, 0.5, 0.9]
    expected = draw_polygon([10.0, 10.0, 30.0, 10.0, 20.0, 18.0], (20, 40))
    np.testing.assert_array_equal(draw_shares(shares, (20, 40)), expected)
    with pytest.raises(ValueError, match=r"shares of width and height, 0 to 1; got 3 to 30"):
        draw_shares([3.0, 4.0, 30.0, 4.0, 8.0, 12.0], (20, 40))


def test_rectangles_circles_and_masks_of_labelme():
    square = draw_rectangle([7, 8, 2, 3], (12, 12))  # the corners in any order
    assert square.sum() == 36
    assert square[3:9, 2:8].all()
    canvas = Image.new("L", (21, 21))
    ImageDraw.Draw(canvas).ellipse([5, 5, 15, 15], outline=1, fill=1)
    np.testing.assert_array_equal(draw_circle([10, 10, 14, 13], (21, 21)), np.asarray(canvas) == 1)
    small, file = np.array([[1, 0, 1], [0, 1, 1]], bool), io.BytesIO()
    Image.fromarray(small).save(file, "PNG")
    text = base64.b64encode(file.getvalue()).decode()
    drawn = draw_pixels({"points": [4, 5, 6, 6], "png": text}, (9, 9))
    np.testing.assert_array_equal(drawn[5:7, 4:7], small)
    assert drawn.sum() == 4
    with pytest.raises(ValueError, match="leaves the image"):
        draw_pixels({"points": [7, 5, 9, 6], "png": text}, (9, 9))


SQUARES = [
    Shape("big", 1, "rectangle", [0, 0, 7, 7]),
    Shape("small", 2, "rectangle", [2, 2, 3, 3]),
    Shape("middle", 3, "rectangle", [1, 1, 5, 5]),
]


@pytest.mark.parametrize(
    ("overlap", "at_2_2", "at_4_4"), [("last", 3, 3), ("first", 1, 1), ("smallest", 2, 3)]
)
def test_of_overlapping_objects_the_one_that_is_asked_for_counts(overlap, at_2_2, at_4_4):
    mask = DrawnMask(SQUARES, None, Rule(overlap)).read("a", (10, 10))
    assert (mask[2, 2], mask[4, 4], mask[7, 7], mask[9, 9]) == (at_2_2, at_4_4, 1, 0)


def test_where_nothing_is_drawn_is_background_or_no_label():
    assert DrawnMask((), None, Rule()).read("a", (2, 3)).tolist() == [[0] * 3] * 2
    rule = Rule(undrawn="no_label")
    assert DrawnMask((), None, rule).read("a", (2, 3)).tolist() == [[255] * 3] * 2
    assert rule.classes(["leaf", "stem"]) == (["leaf", "stem"], {"leaf": 0, "stem": 1})
    names = ["leaf", "_background_", "stem"]
    classes, labels = Rule().classes(names)
    assert classes == ["background", "leaf", "stem"]
    assert labels == {"leaf": 1, "_background_": 0, "stem": 2}


def test_a_polygon_within_another_is_a_hole_where_that_is_asked_for():
    outer, inner = [0, 0, 12, 0, 12, 12, 0, 12], [3, 3, 9, 3, 9, 9, 3, 9]
    shape = Shape("ring", 1, "coco", [outer, inner])
    joined = DrawnMask([shape], None, Rule()).read("a", (16, 16))
    ring = DrawnMask([shape], None, Rule(holes=True)).read("a", (16, 16))
    assert joined[:12, :12].all()
    hole = draw_coco([inner], (16, 16))
    np.testing.assert_array_equal(ring == 1, (joined == 1) & ~hole)
    assert hole.sum() == 36


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("coco", [[1, 2, 3, 4]], "at least three points, x and y each; got 4 numbers"),
        ("coco", [[1, 2, 3, 4, 5, 6, 7]], "got 7 numbers"),
        ("coco", [[1, 2, "3", 4, 5, 6]], "a list of numbers"),
        ("coco", [[1, 2, float("nan"), 4, 5, 6]], "a list of numbers"),
        ("coco", [], "no polygon and no run lengths, perhaps a box alone"),
        ("coco", None, "no polygon and no run lengths"),
        ("coco", {"size": [9, 8], "counts": [72]}, r"size \[9, 8\], the image \[8, 8\]"),
        ("coco", {"size": [8, 8], "counts": [3, 4]}, "cover 7 pixels, the image has 64"),
        ("coco", {"size": [8, 8], "counts": [60, -3, 7]}, "whole numbers from 0"),
        ("coco", {"size": [8, 8], "counts": "0 1"}, "hold ' '"),
        ("coco", {"size": [8, 8], "counts": "P"}, "cut off"),
        ("coco", {"counts": "P"}, "need 'size' and 'counts'"),
        ("coco", [[20, 20, 30, 20, 30, 30]], "all of it lies beyond the picture of 8 x 8"),
        ("rectangle", [1, 2, 3], "two corners"),
        ("circle", [1, 2, 3, None], "a centre"),
        ("pixels", {"points": [0, 0, 1, 1], "png": "?"}, "no PNG"),
    ],
)
def test_what_cannot_be_drawn_is_named(kind, content, message):
    shape = Shape("annotation 17 (leaf)", 1, kind, content)
    with pytest.raises(BadSample, match=rf"a\.json: annotation 17 \(leaf\) cannot be.*{message}"):
        DrawnMask([shape], None, Rule()).read("a.json", (8, 8))


def test_annotations_of_another_size_are_refused():
    mask = DrawnMask(SQUARES, (10, 20), Rule())
    with pytest.raises(BadSample, match=r"says 10 x 20 pixels, the image has 20 x 40"):
        mask.read("a.json", (20, 40))
    with pytest.raises(BadSample, match=r"lies on its side: where .* data.source.exif=ignore"):
        mask.read("a.json", (20, 10))


def test_the_stamp_is_of_all_that_decides():
    stamps = {
        DrawnMask(SQUARES, None, Rule()).stamp(),
        DrawnMask(SQUARES[:2], None, Rule()).stamp(),
        DrawnMask(SQUARES, (10, 10), Rule()).stamp(),
        DrawnMask(SQUARES, None, Rule("first")).stamp(),
        DrawnMask(SQUARES[::-1], None, Rule()).stamp(),
    }
    assert len(stamps) == 5
    assert DrawnMask(list(SQUARES), None, Rule()).stamp() in stamps


def test_what_lies_beyond_the_picture():
    for points, expected in (
        ([0, 0, 8, 0, 8, 6], ""),
        ([0, 0, 8.5, 0, 8, 6], "some"),
        ([[0, 0, 1, 0, 8, 6], [0, -1, 1, 0, 8, 6]], "some"),
        ([-4, 0, -1, 0, -2, 6], "all"),
        ([-4, 0, -1, 0, "x", 6], ""),
    ):
        assert beyond(coordinates(points), (6, 8)) == expected


def test_more_classes_than_a_mask_can_tell_apart():
    with pytest.raises(InputError, match="300 classes are drawn; at most 254 can be"):
        Rule().classes([str(number) for number in range(300)])


@pytest.mark.parametrize("wrong", [{"overlap": "top"}, {"undrawn": "none"}])
def test_unknown_rules_are_refused(wrong):
    with pytest.raises(InputError, match="must be one of"):
        Rule(**wrong)
