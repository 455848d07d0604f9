"""The copy with backgrounds removed: pixels, boxes, names, planted failures, exit codes."""

import csv
import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.files.test_images import STORED, exif
from tfvision.cli import commands
from tfvision.curation import remove_background_files
from tfvision.curation.remove_background import parse_fill
from tfvision.data.files.encode import encoded
from tfvision.data.scan.scan import scan
from tfvision.data.sources.recognise import open_source
from tfvision.data.sources.tables.class_table import label_table
from tfvision.errors import InputError


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def disc(x: int = 24, y: int = 19, seed: int = 0):
    """A bright disc of radius 10 on a dark ground of 40 x 50, its region and its box."""
    rows, columns = np.mgrid[:40, :50]
    region = ((rows - y - 0.5) ** 2 + (columns - x - 0.5) ** 2 < 100).astype(np.uint8)
    ground = np.random.default_rng(seed).normal([30, 60, 40], 5, (40, 50, 3))
    image = np.where(region[..., None] == 1, [200, 150, 60 + 9 * seed], ground)
    return image.clip(0, 255).astype(np.uint8), region, (x - 10, y - 10, x + 11, y + 11)


def flat() -> np.ndarray:
    return np.full((40, 50, 3), 90, np.uint8)


def save(path: Path, array: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def table(root: Path, names=("a.png", "b.png", "c.png"), header="file,xmin,ymin,xmax,ymax,label"):
    """Discs in different places, with their boxes and two classes; returns boxes."""
    boxes, lines = [], [header]
    for i, name in enumerate(names):
        image, _, box = disc(20 + 3 * i, 18 + i, seed=i)
        save(root / "images" / name, image)
        boxes.append(box)
        lines.append(",".join([name, *map(str, box), "xy"[i % 2]]))
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return boxes


def remove(*argv) -> int:
    return commands.main(["remove-background", *map(str, argv), "--debug"])


def report(folder) -> dict[str, dict[str, str]]:
    with open(Path(folder) / "background.csv", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def pixels(path) -> np.ndarray:
    return np.asarray(Image.open(path))


def tree(root: Path) -> dict[str, str]:
    files = [p for p in sorted(root.rglob("*")) if p.is_file()]
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.parametrize("method", ["grabcut", "border"])
def test_objects_in_boxes_stand_on_one_colour_and_boxes_stay(tmp_path, method, capsys):
    table(tmp_path / "data")
    before = tree(tmp_path / "data")
    assert remove("data", "--out", "new/out", "--method", method, "--fill", "#00ff80") == 0
    assert tree(tmp_path / "data") == before
    assert (tmp_path / "new/out/labels.csv").read_text() == (
        tmp_path / "data/labels.csv"
    ).read_text()
    for i, (name, row) in enumerate(report("new/out").items()):
        image, region, _ = disc(20 + 3 * i, 18 + i, seed=i)
        found = pixels(f"new/out/{name}")
        cleared = np.all(found == [0, 255, 128], axis=-1)
        assert np.mean(cleared == (region == 0)) > 0.99
        np.testing.assert_array_equal(found[~cleared], image[~cleared])
        assert (row["result"], row["method"], row["written"]) == ("ok", method, name)
        assert float(row["kept"]) == pytest.approx(np.mean(~cleared), abs=1e-4)
    source = open_source("new/out", truth="label")
    assert not scan(source).errors
    assert "3 of them on one colour" in capsys.readouterr().err


def test_boxes_follow_a_crop(tmp_path):
    boxes = table(tmp_path / "data")
    assert remove("data/labels.csv", "--out", "out", "--crop", "--margin", "0.2", "--fill", 1) == 0
    source = label_table(tmp_path / "out/labels.csv")
    for i, box in enumerate(boxes):
        image, region, _ = disc(20 + 3 * i, 18 + i, seed=i)
        sample = source.read(i)
        x1, y1, x2, y2 = sample.boxes[0].astype(int)
        # A side of 21 pixels with a fifth of it around: 4.2 pixels, which is rounded outwards.
        assert (x1, y1) == (5, 5)
        assert sample.image.shape == (31, 31, 3)
        assert (x2 - x1, y2 - y1) == (21, 21)
        here = sample.image[y1:y2, x1:x2]
        there = image[box[1] : box[3], box[0] : box[2]]
        kept = np.any(here != 255, axis=-1)
        np.testing.assert_array_equal(here[kept], there[kept])
        assert np.mean(kept == region[box[1] : box[3], box[0] : box[2]]) > 0.97
    assert not scan(source).errors


def test_a_crop_at_the_images_edge_and_broken_boxes(tmp_path):
    """A margin that would leave the image is cut off; halves of pixels stay halves."""
    image, _, _ = disc()
    for name in ("a.png", "b.png"):
        save(tmp_path / "data" / name, image)
    text = "file,xmin,ymin,xmax,ymax,label\na.png,2,9,35,30.5,x\nb.png,14.5,9,35.25,30,y\n"
    (tmp_path / "data/labels.csv").write_text(text)
    assert remove("data", "--out", "out", "--crop", "--margin", 0.5) == 0
    lines = (tmp_path / "out/labels.csv").read_text().splitlines()
    assert lines[1:] == ["a.png,2,9,35,30.5,x", "b.png,10.5,9,31.25,30,y"]


def test_masks_are_taken_as_they_are_and_cut_along(tmp_path):
    for i, name in enumerate(["x/a", "x/b", "y/c"]):
        image, region, _ = disc(15 + 5 * i, seed=i)
        save(tmp_path / "data" / f"{name}.png", image)
        save(tmp_path / "data" / f"{name}_mask.png", region * 255)
    (tmp_path / "data/classes.txt").write_text("y\nx\n")
    assert remove("data", "--out", "out", "--fill", "white") == 0
    assert remove("data", "--out", "cut", "--fill", "white", "--crop", "--margin", "0") == 0
    assert sorted(tree(tmp_path / "out")) == sorted([*tree(tmp_path / "data"), "background.csv"])
    for i, name in enumerate(["x/a", "x/b", "y/c"]):
        image, region, (x1, y1, x2, y2) = disc(15 + 5 * i, seed=i)
        want = np.where(region[..., None] == 1, image, 255)
        np.testing.assert_array_equal(pixels(f"out/{name}.png"), want)
        assert report("out")[f"{name}.png"]["method"] == "mask"
        x1, y1 = x1 + 1, y1 + 1  # the disc begins a pixel after its box
        np.testing.assert_array_equal(pixels(f"cut/{name}.png"), want[y1:y2, x1:x2])
        np.testing.assert_array_equal(pixels(f"cut/{name}_mask.png"), 255 * region[y1:y2, x1:x2])
    source = open_source("cut", truth="label")
    assert source.class_names == ["y", "x"]
    assert not scan(source).errors
    assert source.read(0).region.any()


def test_pictures_and_masks_without_labels(tmp_path):
    image, region, _ = disc()
    save(tmp_path / "data/images/a.png", image)
    save(tmp_path / "data/masks/a.png", region)
    assert remove("data", "--out", "out", "--fill", "0") == 0
    np.testing.assert_array_equal(pixels("out/images/a.png"), image * region[..., None])
    np.testing.assert_array_equal(pixels("out/masks/a.png"), region)


def planted(root: Path) -> None:
    """Of six images two are right, one looks like its ground, three have other faults."""
    table(root, ("a.png", "b.png"))
    save(root / "images/flat.png", flat())
    save(root / "images/fills.png", disc()[0])
    save(root / "images/nobox.png", disc()[0])
    (root / "images/broken.png").write_bytes(b"no image at all")
    with open(root / "labels.csv", "a") as file:
        file.write("flat.png,14,9,35,30,x\nfills.png,0,0,50,40,y\nnobox.png,,,,,y\n")
        file.write("broken.png,14,9,35,30,x\nmissing.png,14,9,35,30,x\n")


DOUBTS = {"flat": "nothing_found", "fills": "box_fills_image", "nobox": "no_box"}


def test_planted_failures_are_counted_named_and_kept(tmp_path, capsys):
    planted(tmp_path / "data")
    assert remove("data", "--out", "out", "--fill", "1") == 2
    said = capsys.readouterr().err
    assert "2 of 7 images cannot be read or written and are not in the copy" in said
    assert "broken.png: is not an image" in said
    assert "1 image keeps its background, as the box leaves no background" in said
    assert "nothing in the box looks unlike what is around it (images/flat.png)" in said
    rows = report("out")
    assert len(rows) == 7
    for name, why in DOUBTS.items():
        row = rows[f"images/{name}.png"]
        assert (row["result"], row["kept"]) == (why, "1.0000")
        assert row["reason"] == remove_background_files.DOUBTS[why]
        np.testing.assert_array_equal(
            pixels(f"out/images/{name}.png"), pixels(f"data/images/{name}.png")
        )
    assert rows["images/broken.png"]["result"] == rows["missing.png"]["result"] == "failed"
    assert rows["images/broken.png"]["written"] == ""
    kept = (tmp_path / "out/labels.csv").read_text()
    assert "broken" not in kept
    assert "missing" not in kept
    assert kept.count("\n") == 6
    assert not scan(open_source("out", truth="label")).errors


def test_what_is_in_doubt_is_left_out_where_asked_and_no_error(tmp_path, capsys):
    planted(tmp_path / "data")
    lines = (tmp_path / "data/labels.csv").read_text().splitlines()
    (tmp_path / "data/labels.csv").write_text("\n".join(lines[:-2]) + "\n")
    (tmp_path / "data/images/broken.png").unlink()
    assert remove("data", "--out", "out", "--on-failure", "skip", "--crop", "--json") == 0
    told = capsys.readouterr()
    assert "doubtful, no error: 1 image is left out, as it has no box and no mask" in told.err
    summary = json.loads(told.out)
    assert (summary["images"], summary["removed"], summary["written"]) == (5, 2, 2)
    assert summary["doubtful"] == {"no_box": 1, "box_fills_image": 1, "nothing_found": 1}
    assert sorted(p.name for p in (tmp_path / "out/images").iterdir()) == ["a.png", "b.png"]
    assert (tmp_path / "out/labels.csv").read_text().count("\n") == 3


def test_an_empty_mask_is_no_removal_even_beside_a_box(tmp_path):
    table(tmp_path / "data", ("a.png", "b.png"))
    save(tmp_path / "data/masks/a.png", np.zeros((40, 50), np.uint8))
    assert remove("data", "--out", "out") == 0
    row = report("out")["images/a.png"]
    assert (row["method"], row["result"]) == ("mask", "empty_region")
    np.testing.assert_array_equal(pixels("out/images/a.png"), pixels("data/images/a.png"))
    assert report("out")["images/b.png"]["result"] == "ok"


def test_jpeg_stays_jpeg_without_transparency_and_gif_becomes_png(tmp_path):
    """A PNG with alpha that is called .jpg is laid on black by the reader; no RGBA is written."""
    table(tmp_path / "data", ("a.jpg", "b.gif"))
    image, region, box = disc()
    clear = np.dstack([image, np.where(region == 1, 255, 0).astype(np.uint8)])
    Image.fromarray(clear).save(tmp_path / "data/images/c.jpg", "PNG")
    with open(tmp_path / "data/labels.csv", "a") as file:
        file.write(",".join(["c.jpg", *map(str, box), "x"]) + "\n")
    assert remove("data", "--out", "out", "--fill", "1") == 0
    for name, kind in {"a.jpg": "JPEG", "b.png": "PNG", "c.jpg": "JPEG"}.items():
        with Image.open(f"out/images/{name}") as found:
            assert (found.format, found.mode) == (kind, "RGB")
            assert np.asarray(found)[:3, :3].min() > 245
    lines = (tmp_path / "out/labels.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == ["a.jpg", "b.png", "c.jpg"]
    assert not scan(open_source("out", truth="label")).errors


def test_a_name_that_another_file_takes_is_a_failure(tmp_path, capsys):
    table(tmp_path / "data", ("a.png", "a.gif"))
    assert remove("data", "--out", "out") == 2
    assert "another file of the copy is called images/a.png already" in capsys.readouterr().err


def test_a_turned_image_is_written_upright_with_its_box(tmp_path):
    image, _, box = disc()
    save(tmp_path / "data/a.jpg", STORED[6](image), exif=exif(6), quality=100, subsampling=0)
    save(tmp_path / "data/b.jpg", disc(seed=1)[0])
    row = ",".join(map(str, box))
    text = f"file,xmin,ymin,xmax,ymax,label\na.jpg,{row},x\nb.jpg,{row},y\n"
    (tmp_path / "data/labels.csv").write_text(text)
    assert remove("data", "--out", "out") == 0
    with Image.open("out/a.jpg") as found:
        assert found.size == (50, 40)
        assert not found.getexif()
    assert report("out")["a.jpg"]["result"] == "ok"
    assert (tmp_path / "out/labels.csv").read_text() == text


def test_colours_become_the_grey_of_grey_images_and_16_bits_stay(tmp_path):
    image, _, box = disc()
    deep = image[..., 0].astype(np.uint16) * 257
    save(tmp_path / "data/a.png", deep)
    save(tmp_path / "data/b.png", image[..., 0])
    row = ",".join(map(str, box))
    (tmp_path / "data/l.csv").write_text(
        f"file,xmin,ymin,xmax,ymax,label\na.png,{row},x\nb.png,{row},y\n"
    )
    assert remove("data", "--out", "out", "--fill", "red") == 0
    assert pixels("out/a.png")[0, 0] == round(0.299 * 65535)
    assert pixels("out/b.png")[0, 0] == round(0.299 * 255)


def test_a_copy_that_fails_leaves_nothing_behind(tmp_path, monkeypatch, capsys):
    table(tmp_path / "data")
    calls = []

    def fail(path, content):
        calls.append(path)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        path.write_bytes(content)

    monkeypatch.setattr(remove_background_files, "write_synced", fail)
    (tmp_path / "new").mkdir()
    assert remove("data", "--out", "new/out") == 3
    assert "No space left on device" in capsys.readouterr().err
    assert not list((tmp_path / "new").iterdir())


def test_an_image_that_changes_meanwhile_is_a_failure(tmp_path, monkeypatch, capsys):
    table(tmp_path / "data")
    gather = remove_background_files.encoded

    def change(image, name):
        if name.endswith("a.png"):
            save(tmp_path / "data/images/b.png", flat())
        return gather(image, name)

    monkeypatch.setattr(remove_background_files, "encoded", change)
    assert remove("data", "--out", "out") == 2
    assert "was changed while it was read" in capsys.readouterr().err
    assert report("out")["images/b.png"]["result"] == "failed"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--out", "taken"], "--out taken exists already"),
        (["--out", "data/in"], "lies inside the data set"),
        (["--out", "o", "--margin", "0.1"], "--margin is what --crop leaves around a box"),
        (["--out", "o", "--crop", "--margin", "11"], "margin must be a number from 0 to 10"),
        (["--out", "o", "--fill", "2"], "--fill is a grey value from 0 .* Received: '2'"),
        (["--out", "o", "--fill", "#ff000080"], "none of them transparent"),
        (["--out", "o", "--set", "data.fit=pad"], "sets keys of data.source"),
    ],
)
def test_wrong_requests(tmp_path, capsys, flags, message):
    table(tmp_path / "data")
    (tmp_path / "taken").mkdir()
    assert remove("data", *flags) == 2
    assert re.search(message, capsys.readouterr().err)


def test_data_that_says_nowhere_where_its_objects_are(tmp_path, capsys):
    for name in ("x/a", "y/b"):
        save(tmp_path / f"data/{name}.png", disc()[0])
    assert remove("data", "--out", "out") == 2
    assert "no image has a box or a mask" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert remove("data", "--out", "out", "--method", "border") == 0
    assert report("out")["x/a.png"]["result"] == "ok"
    np.savez(tmp_path / "set.npz", x=np.zeros((4, 8, 8), np.uint8), y=np.arange(4) % 2)
    assert remove("set.npz", "--out", "arrays", "--method", "border") == 2
    assert "holds arrays; backgrounds are removed from image files" in capsys.readouterr().err


def test_only_images_that_cannot_be_read(tmp_path, capsys):
    table(tmp_path / "data", ("a.png", "b.png"))
    for name in ("a.png", "b.png"):
        (tmp_path / "data/images" / name).write_bytes(b"nothing")
    assert remove("data", "--out", "out") == 2
    assert "no image can be read. line 2 of labels.csv (a.png): is not" in capsys.readouterr().err
    shutil.rmtree("data")
    table(tmp_path / "data", ("a.png",))
    save(tmp_path / "data/images/a.png", flat())
    assert remove("data", "--out", "out", "--on-failure", "skip") == 2
    assert "no image is left to write. images/a.png: nothing in the box" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "want"),
    [("0.25", (0.25,) * 3), ("white", (1, 1, 1)), ("#ff8000", (1, 128 / 255, 0)), ("1", (1,) * 3)],
)
def test_colours(text, want):
    assert parse_fill(text) == pytest.approx(want)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp", "ppm"])
def test_lossless_formats_give_the_pixels_back(tmp_path, suffix):
    image = disc()[0]
    name, content = encoded(image, f"deep.er/a.{suffix}")
    assert name == f"deep.er/a.{suffix}"
    (tmp_path / "a").write_bytes(content)
    np.testing.assert_array_equal(pixels(tmp_path / "a"), image)


def test_what_a_format_cannot_hold_changes_the_name():
    deep = np.zeros((4, 4, 1), np.uint16)
    assert encoded(deep, "a.jpg")[0] == "a.png"
    assert encoded(deep, "a.tif")[0] == "a.tif"
    assert encoded(deep.astype(np.float32), "a.png")[0] == "a.tif"
    assert encoded(np.zeros((4, 4, 3), np.uint16), "a.jpg")[0] == "a.png"
    with pytest.raises(InputError, match=r"a\.jpg cannot be written as JPEG"):
        encoded(np.zeros((1, 70000, 1), np.uint8), "a.jpg")
