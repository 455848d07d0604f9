"""Sets annotated at another size, images that EXIF turns, other readings than the format has."""

import numpy as np
import pytest
from PIL import Image

from tests.data.make import image, save
from tests.data.sources.boxes.made import (
    HEIGHT,
    WIDTH,
    Scenes,
    coco,
    coco_content,
    csv_pixels,
    errors,
    said,
    same,
    save_images,
    scaled,
    scenes,
    voc,
    voc_text,
    write,
    write_json,
    yolo,
)
from tfvision.data.files.images import read_image
from tfvision.data.sources.boxes.coco import coco_boxes
from tfvision.data.sources.boxes.frames import FileSize, read_size, turn_boxes
from tfvision.data.sources.boxes.told import to_corners
from tfvision.data.sources.boxes.voc import voc_boxes
from tfvision.data.sources.boxes.written import COORDINATES
from tfvision.data.sources.boxes.yolo import yolo_boxes
from tfvision.data.sources.recognise import open_source
from tfvision.errors import InputError

MADE = scenes(24)


def at_size(made: Scenes, height: int, width: int) -> Scenes:
    """The boxes of the same images at another size."""
    x, y = width / WIDTH, height / HEIGHT
    return {name: [scaled(box, x, y) for box in boxes] for name, boxes in made.items()}


def test_every_reading_of_four_numbers():
    sides = {
        "corners": (10, 20, 40, 80),
        "sizes": (10, 20, 30, 60),
        "centres": (25, 50, 30, 60),
        "corners_by_axis": (10, 40, 20, 80),
        "corners_y_first": (20, 10, 80, 40),
    }
    assert sides.keys() == COORDINATES.keys()
    for name, values in sides.items():
        assert to_corners(np.array([values], float), name).tolist() == [[10, 20, 40, 80]]


@pytest.mark.parametrize(("height", "width"), [(32, 64), (128, 256), (48, 96)])
@pytest.mark.parametrize("tool", ["coco", "voc", "csv"])
def test_files_of_another_size_than_annotations_say(tmp_path, tool, height, width):
    big = at_size(MADE, 2 * HEIGHT, 2 * WIDTH)
    said_size = (2 * HEIGHT, 2 * WIDTH)
    if tool == "coco":
        write_json(tmp_path / "annotations.json", coco_content(big, size=said_size))
    elif tool == "voc":
        for name, boxes in big.items():
            write(tmp_path / "xml" / f"{name[:-4]}.xml", voc_text(boxes, size=said_size))
    else:
        rows = [f"{n},{2 * WIDTH},{2 * HEIGHT},{b[0]},{b[1]},{b[2]},{b[3]},{b[4]}"
                for n, bs in big.items() for b in bs]  # fmt: skip
        write(tmp_path / "b.csv", ["filename,width,height,xmin,ymin,xmax,ymax,class", *rows])
    save_images(tmp_path / "images", MADE, height, width)
    source = open_source(tmp_path, truth="boxes")
    assert same(source, at_size(MADE, height, width))
    if (height, width) != said_size:
        assert f"annotated at another size than the file has (the first at {2 * WIDTH} x " in said(
            source
        )
        assert f"now {width} x {height}, width x height): boxes are scaled" in said(source)


def test_other_proportions_are_refused_with_both_readings(tmp_path):
    write_json(tmp_path / "annotations.json", coco_content(MADE))
    save_images(tmp_path / "images", MADE, 96, 96)
    with pytest.raises(InputError, match=r"annotated at 128 x 64 .* has 96 x 96, other proport"):
        coco_boxes(tmp_path)
    assert same(coco_boxes(tmp_path, annotated_size="written"), at_size(MADE, 96, 96))
    inside = {n: [b for b in bs if b[2] <= 96] for n, bs in MADE.items()}
    write_json(tmp_path / "annotations.json", coco_content(inside))
    assert same(coco_boxes(tmp_path, annotated_size="file"), inside)


@pytest.mark.parametrize("tool", ["csv", "voc without size"])
def test_without_sizes_boxes_that_leave_their_images_tell_it(tmp_path, tool):
    big = at_size(MADE, 2 * HEIGHT, 2 * WIDTH)
    if tool == "csv":
        csv_pixels(tmp_path, big)
    else:
        voc(tmp_path, big, size=(0, 0))
    with pytest.raises(InputError, match=r"boxes leave their images.*annotated_size=\[HEIGHT"):
        open_source(tmp_path, truth="boxes")
    source = open_source(tmp_path, truth="boxes", annotated_size=[2 * HEIGHT, 2 * WIDTH])
    assert same(source, MADE)
    clipped = open_source(tmp_path, truth="boxes", annotated_size="file")
    assert not errors(clipped)
    assert "left out: outside the image" in said(clipped)


def test_width_and_height_the_other_way_round_are_no_other_size(tmp_path):
    write_json(tmp_path / "annotations.json", coco_content(MADE, size=(WIDTH, HEIGHT)))
    save_images(tmp_path / "images", MADE)
    source = coco_boxes(tmp_path)
    assert same(source, MADE)
    assert "say width and height the other way round: boxes are in pixels of the files" in said(
        source
    )


def save_turned(folder, made: Scenes, orientation: int) -> None:
    """Each second image stored so that EXIF turns it upright."""
    for seed, name in enumerate(made):
        upright = image(seed, HEIGHT, WIDTH)
        stored = STORED[orientation](upright) if seed % 2 else upright
        exif = Image.Exif()
        exif[0x0112] = orientation if seed % 2 else 1
        save(folder / name, np.ascontiguousarray(stored), exif=exif)


STORED = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", STORED)
def test_boxes_turn_as_pixels_do(tmp_path, orientation):
    """A box drawn on the pixels as stored, turned, holds the pixels it held."""
    stored = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    stored[5:17, 30:70] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(tmp_path / "a.png", stored, exif=exif)
    seen = read_image(tmp_path / "a.png").pixels[..., 0]
    box = turn_boxes(np.array([[30.0, 5, 70, 17]]), (HEIGHT, WIDTH), orientation)[0].astype(int)
    inside = np.zeros(seen.shape, bool)
    inside[box[1] : box[3], box[0] : box[2]] = True
    np.testing.assert_array_equal(inside, seen > 0)
    size = read_size(tmp_path / "a.png", exif="apply")
    assert (size.seen, size.orientation) == (seen.shape, orientation)
    assert read_size(tmp_path / "a.png", exif="ignore") == FileSize(HEIGHT, WIDTH)


def unturned(made: Scenes, orientation: int) -> Scenes:
    """Boxes of each second image as they lie on its stored pixels."""
    back = {6: 8, 8: 6}.get(orientation, orientation)
    found = {}
    for k, (name, boxes) in enumerate(made.items()):
        sides = np.array([b[:4] for b in boxes], float).reshape(-1, 4)
        moved = turn_boxes(sides, (HEIGHT, WIDTH), back) if k % 2 else sides
        found[name] = [(*b, old[4]) for b, old in zip(moved.tolist(), boxes, strict=True)]
    return found


@pytest.mark.parametrize("orientation", [3, 5, 6, 8])
def test_boxes_on_the_picture_as_it_is_seen(tmp_path, orientation):
    save_turned(tmp_path / "images", MADE, orientation)
    write_json(tmp_path / "annotations.json", coco_content(MADE))
    source = coco_boxes(tmp_path)
    assert same(source, MADE)
    words = "as the sizes in the annotations say" if orientation > 4 else "nothing in the files"
    assert words in said(source)
    assert "12 images carry an EXIF orientation: applied" in said(source)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_on_the_pixels_as_stored_are_turned_with_them(tmp_path, orientation):
    save_turned(tmp_path / "images", MADE, orientation)
    content = coco_content(unturned(MADE, orientation))
    for k, entry in enumerate(content["images"]):
        entry["height"], entry["width"] = (WIDTH, HEIGHT) if k % 2 else (HEIGHT, WIDTH)
    write_json(tmp_path / "annotations.json", content)
    source = coco_boxes(tmp_path)
    assert same(source, MADE)
    assert "boxes were drawn on the pixels as stored, as the sizes in the annotations say" in said(
        source
    )
    for entry in content["images"]:
        del entry["height"], entry["width"]
    write_json(tmp_path / "annotations.json", content)
    source = coco_boxes(tmp_path)
    assert same(source, MADE)
    assert "on the pixels as stored, as they fit into these alone" in said(source)


def test_boxes_of_another_reading_than_the_format_has(tmp_path):
    """Corners in COCO, sizes behind the tags of VOC, corners in YOLO: refused, then as declared."""
    content = coco_content(MADE)
    for entry in content["annotations"]:
        x, y, w, h = entry["bbox"]
        entry["bbox"] = [x, y, x + w, y + h]
    save_images(tmp_path / "a" / "images", MADE)
    write_json(tmp_path / "a" / "annotations.json", content)
    with pytest.raises(InputError, match=r"as sizes \(x y width height\), .*; as corners \(x1 y1"):
        coco_boxes(tmp_path / "a")
    assert same(coco_boxes(tmp_path / "a", coordinates="corners"), MADE)
    sizes = {n: [(*b[:2], b[2] - b[0], b[3] - b[1], b[4]) for b in bs] for n, bs in MADE.items()}
    voc(tmp_path / "b", sizes)
    with pytest.raises(InputError, match=r"as corners .*; as sizes .*coordinates=sizes"):
        voc_boxes(tmp_path / "b")
    assert same(voc_boxes(tmp_path / "b", coordinates="sizes"), MADE)
    save_images(tmp_path / "c" / "images", MADE)
    for name, boxes in MADE.items():
        shares = [scaled(b, 1 / WIDTH, 1 / HEIGHT) for b in boxes]
        lines = [f"{int(b[4] == 'bee')} {b[0]} {b[1]} {b[2]} {b[3]}\n" for b in shares]
        write(tmp_path / "c" / "labels" / f"{name[:-4]}.txt", "".join(lines))
    write(tmp_path / "c" / "data.yaml", "names: [ant, bee]\n")
    with pytest.raises(InputError, match=r"as centres .*; as corners .*coordinates=corners"):
        yolo_boxes(tmp_path / "c")
    assert same(yolo_boxes(tmp_path / "c", coordinates="corners"), MADE)


def test_units_that_the_format_does_not_have_are_told(tmp_path):
    shares = at_size(MADE, 1, 1)
    coco(tmp_path / "a", shares)
    assert same(coco_boxes(tmp_path / "a"), MADE)
    assert "sizes in shares" in coco_boxes(tmp_path / "a").layout
    pixels = at_size(MADE, HEIGHT * HEIGHT, WIDTH * WIDTH)
    yolo(tmp_path / "b", pixels)
    source = open_source(tmp_path / "b", truth=None)
    assert same(source, MADE)
    assert "centres in pixels" in source.layout


def test_sizes_as_stored_beside_boxes_as_seen_yield_to_the_boxes(tmp_path):
    """A tool that reads the header, beside a person who draws on the picture."""
    save_turned(tmp_path / "images", MADE, 6)
    content = coco_content(MADE)
    for entry in content["images"][1::2]:
        entry["height"], entry["width"] = WIDTH, HEIGHT
    write_json(tmp_path / "annotations.json", content)
    source = coco_boxes(tmp_path)
    assert same(source, MADE)
    assert "on the picture as it is seen, as they fit into these alone" in said(source)


def test_shares_on_turned_images_are_of_the_picture_as_it_is_seen(tmp_path):
    yolo(tmp_path, MADE)
    save_turned(tmp_path / "images", MADE, 6)
    source = yolo_boxes(tmp_path)
    assert same(source, MADE)
    assert "nothing in the files tells it: where they were drawn on the pixels" in said(source)


def test_boxes_in_one_corner_of_all_images_are_looked_at(tmp_path):
    csv_pixels(tmp_path / "a", at_size(MADE, HEIGHT // 2, WIDTH // 2))
    source = open_source(tmp_path / "a", truth="boxes")
    assert "no box reaches beyond 4" in said(source)
    assert "data.source.annotated_size=[HEIGHT,WIDTH]; of boxes in percent [100,100]" in said(
        source
    )
    small = [HEIGHT // 2, WIDTH // 2]
    assert same(open_source(tmp_path / "a", truth="boxes", annotated_size=small), MADE)
    csv_pixels(tmp_path / "b", at_size(MADE, 100, 100))
    assert same(open_source(tmp_path / "b", truth="boxes", annotated_size=[100, 100]), MADE)
