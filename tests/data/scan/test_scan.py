"""The scan: what it counts, what it refuses, what it keeps."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from tests.data.make import arrays, image, mask, pairs, save
from tfvision.data.files.cache import cache_folder, read_json, write_atomic, write_json
from tfvision.data.scan import measure as facts_module
from tfvision.data.scan.scan import scan
from tfvision.data.sources.array_source import ArraySource
from tfvision.data.sources.folders.mask_folder import folder
from tfvision.data.sources.npz import npz
from tfvision.data.sources.tables.mask_table import manifest
from tfvision.errors import InputError


def source_of(masks, **options) -> ArraySource:
    """Different images under the given masks."""
    images = np.stack([image(seed, *masks.shape[1:], 1) for seed in range(len(masks))])
    return ArraySource({"": {"images": images, "masks": masks}}, **options)


def texts(issues) -> str:
    return "\n".join(map(str, issues))


# ---------------------------------------------------------------- counts


def test_counts_against_numpy(tmp_path):
    pairs(tmp_path, 4)
    labels = mask(9)
    labels[2:4] = 255
    save(tmp_path / "images" / "z.png", image(9))
    save(tmp_path / "masks" / "z.png", labels)
    save(tmp_path / "test" / "t.png", image(50, 5, 7, 1))
    found = scan(folder(tmp_path))
    assert not found.issues
    expected = [[(mask(s) == k).sum() for k in range(3)] for s in range(4)]
    expected += [[(labels == k).sum() for k in range(3)], [0, 0, 0]]
    np.testing.assert_array_equal(found.class_pixels, expected)
    np.testing.assert_array_equal(found.ignored_pixels, [0, 0, 0, 0, 24, 0])
    np.testing.assert_array_equal(found.heights, [8] * 5 + [5])
    np.testing.assert_array_equal(found.widths, [12] * 5 + [7])
    np.testing.assert_array_equal(found.channels, [3] * 5 + [1])
    assert found.modes == {"RGB": 5, "L": 1}
    assert found.num_classes == 3
    assert found.class_names == ["class 0", "class 1", "class 2"]
    assert found.truth_sha256[5] == ""
    assert len(set(found.image_sha256)) == 6
    assert "images are stored as 1 L, 5 RGB" in found.notes
    assert "images have 2 sizes, 5 x 7 to 8 x 12" in found.notes
    assert "label 255 means no label: 5.0% of all pixels" in found.notes
    assert found.value_range["uint8"][1] <= 255


def test_hash_is_of_pixels_not_of_files(tmp_path):
    """D26"""
    pairs(tmp_path, 3)
    Image.fromarray(image(1)).save(tmp_path / "images" / "s0.png", compress_level=0)
    found = scan(folder(tmp_path))
    assert found.image_sha256[0] == found.image_sha256[1]
    assert "s1.png: the very image of images/s0.png" in texts(found.warnings)
    assert "but with another mask" in texts(found.warnings)


def test_fingerprint_is_of_content(tmp_path):
    prints = []
    for number, change in enumerate([None, None, "image", "mask", "names"]):
        root = pairs(tmp_path / f"d{number}", 3)
        if change == "image":
            save(root / "images" / "s1.png", image(99))
        if change == "mask":
            save(root / "masks" / "s1.png", mask(99))
        names = ["a", "b", "c"] if change == "names" else None
        prints.append(scan(folder(root), class_names=names).fingerprint)
    assert prints[0] == prints[1]
    assert len(set(prints)) == 4
    assert scan(folder(tmp_path / "d0"), ignore_label=None).fingerprint != prints[0]


# ---------------------------------------------------------------- classes


def test_0_and_255_read_as_0_and_1():
    """D08"""
    source = source_of(np.uint8(arrays(classes=2)[1]) * 255)
    found = scan(source)
    assert not found.errors
    assert found.num_classes == 2
    assert found.ignore_label is None
    assert [n for n in found.notes if "255" in n] == ["values of masks: 0 background, 255 object"]
    np.testing.assert_array_equal(source.read(3).mask, mask(3, classes=2))
    assert found.class_pixels[:, 1].sum() == (arrays(classes=2)[1] == 1).sum()
    again = scan(source)
    assert again.fingerprint == found.fingerprint


@pytest.mark.parametrize("values", [[0, 128, 255], [0, 2], [1, 2, 3], [0, 1, 5]])
def test_other_gaps_need_mask_values(values):
    """D08"""
    masks = np.array(values, np.uint8)[arrays(classes=len(values))[1]]
    found = scan(source_of(masks))
    with pytest.raises(
        InputError, match=r"classes are 0, 1, 2, .* --set data.source.mask_values=\["
    ) as info:
        found.raise_for_errors()
    assert f"mask_values={str(values).replace(' ', '')}." in str(info.value)
    odd = next(v for v, e in zip(values, range(9), strict=False) if v != e)
    y, x = np.argwhere(masks[0] == odd)[0]
    assert f"{odd} first stands here, at pixel (y, x) = ({y}, {x})" in str(info.value)
    source = source_of(masks, mask_values=values)
    declared = scan(source)
    assert not declared.errors
    np.testing.assert_array_equal(source.read(2).mask, mask(2, classes=len(values)))


def test_mask_values_leave_the_ignore_label(tmp_path):
    masks = np.array([10, 20, 255], np.uint8)[arrays()[1]]
    source = source_of(masks, mask_values=[20, 10])
    found = scan(source)
    np.testing.assert_array_equal(source.read(1).mask, np.array([1, 0, 255])[mask(1)])
    assert found.ignored_pixels.sum() == (masks == 255).sum()
    wrong = scan(source_of(masks, mask_values=[10, 30]))
    assert "row 0 of images: the mask holds [20], first at pixel" in texts(wrong.errors)
    assert "expected: [10, 30] or 255 (no label)" in texts(wrong.errors)
    with pytest.raises(InputError, match=r"holds 20 at pixel .*, mask_values are \[10, 30\]"):
        source_of(masks, mask_values=[10, 30]).read(0)
    for values in ([1], [1, 1], ["a", "b"]):
        with pytest.raises(InputError, match="two different whole numbers"):
            source_of(masks, mask_values=values)


def test_label_beyond_the_declared_classes():
    """D14"""
    masks = arrays()[1]
    masks[4, 3, 7] = 7
    masks[5, 0, 0] = 9
    found = scan(source_of(masks), class_names=["a", "b", "c"])
    with pytest.raises(InputError) as info:
        found.raise_for_errors()
    message = str(info.value)
    assert "2 problems" in message
    said = (
        "2 times, first row 4 of images, row 5 of images: the mask holds [7], first at pixel (y, x)"
    )
    assert f"{said} = (3, 7)" in message
    assert found.errors[1].problem.startswith("the mask holds [9], first at pixel (y, x) = (0, 0)")
    assert "expected: [0, 1, 2] or 255 (no label)" in message
    masks[4, 3, 7] = masks[5, 0, 0] = 255
    assert not scan(source_of(masks), class_names=["a", "b", "c"]).errors
    found = scan(source_of(masks), class_names=["a", "b", "c"], ignore_label=None)
    assert "the mask holds [255]" in texts(found.errors)


def test_negative_ignore_label():
    masks = arrays()[1].astype(np.int16)
    masks[0, 0, 0] = -1
    assert "the mask holds [-1]" in texts(scan(source_of(masks), class_names=list("abc")).errors)
    found = scan(source_of(masks), ignore_label=-1)
    assert not found.errors
    assert (found.num_classes, found.ignored_pixels[0]) == (3, 1)


def test_255_is_a_class_where_that_many_are_named():
    masks = arrays()[1]
    masks[0, 0, 0] = 255
    found = scan(source_of(masks), class_names=[f"c{i}" for i in range(256)])
    assert found.ignore_label is None
    assert found.class_pixels[0, 255] == 1
    assert not found.errors


def test_two_names_and_0_255_is_a_question():
    masks = np.uint8(arrays(classes=2)[1]) * 255
    found = scan(source_of(masks), class_names=["back", "cell"])
    with pytest.raises(InputError, match=r"Declare mask_values: \[0, 255\] where 255 is cell"):
        found.raise_for_errors()
    declared = scan(source_of(masks, mask_values=[0, 255]), class_names=["back", "cell"])
    assert not declared.errors
    assert declared.class_pixels[:, 1].sum() > 0


def test_class_names_are_checked():
    for names, message in [
        (["a", False], "quotes"),
        (["a", "a"], "twice"),
        ([" ", "a"], "text"),
    ]:
        with pytest.raises(InputError, match=message):
            scan(source_of(arrays()[1]), class_names=names)
    with pytest.raises(InputError, match="3 class_names and 2 mask_values"):
        scan(source_of(arrays()[1], mask_values=[0, 1]), class_names=["a", "b", "c"])


def test_masks_that_teach_nothing():
    """D15"""
    masks = arrays()[1]
    blank = scan(source_of(np.full_like(masks, 255)))
    assert "every pixel of every mask is 255" in texts(blank.errors)
    single = scan(source_of(np.zeros_like(masks)))
    assert "the label 0 alone" in texts(single.errors)
    partly = masks.copy()
    partly[1] = 255
    found = scan(source_of(partly))
    assert "row 1 of images: no pixel has a label (1 such mask)" in texts(found.warnings)
    mostly = masks.copy()
    mostly[:4] = 0
    assert "4 of 6 masks hold nothing but 'class 0'" in texts(scan(source_of(mostly)).warnings)
    assert not scan(source_of(masks)).issues


def test_class_in_no_mask():
    """D15"""
    found = scan(source_of(arrays()[1]), class_names=["a", "b", "c", "d"])
    assert not found.errors
    assert "the class 'd' (3) stands in no mask" in texts(found.warnings)


@pytest.mark.parametrize("missing", [1, 2])
def test_a_class_that_the_given_training_part_lacks(tmp_path, missing):
    """By folders, and by a column of a table."""
    rows = ["image,mask,split"]
    for part, first in (("train", 0), ("val", 10), ("test", 20)):
        pairs(tmp_path / part, 3, first=first)
        for file in (tmp_path / part / "masks").iterdir():
            drawn = np.asarray(Image.open(file)).copy()
            if part != "val":
                drawn[drawn == missing] = 0
            save(file, drawn)
            rows.append(f"{part}/images/{file.name},{part}/masks/{file.name},{part}")
    (tmp_path / "all.csv").write_text("\n".join(rows))
    for source in (folder(tmp_path), manifest(tmp_path / "all.csv")):
        found = scan(source)
        assert not found.errors
        said = (
            f"the class 'class {missing}' ({missing}) stands in masks of val, and in none of train"
        )
        assert said in texts(found.warnings)
        assert "--set data.splits=FILE.csv" in texts(found.warnings)


# ---------------------------------------------------------------- faults of samples


def test_all_problems_are_reported_together(tmp_path):
    """D04, D12, D13"""
    pairs(tmp_path, 6)
    (tmp_path / "images" / "s0.png").write_bytes(b"<html>")
    save(tmp_path / "masks" / "s1.png", mask(1, 8, 11))
    save(tmp_path / "masks" / "s2.png", mask(2, 12, 8))
    (tmp_path / "masks" / "s3.png").write_bytes(b"")
    (tmp_path / "masks" / "s4.png").unlink()
    found = scan(folder(tmp_path))
    with pytest.raises(InputError) as info:
        found.raise_for_errors(full_list="runs/a/issues.json")
    message = str(info.value)
    assert "5 problems in the data" in message
    assert "images/s0.png: is not an image that can be read: it starts with '<html>'" in message
    assert "images/s1.png: the image has 8 x 12 pixels, its mask 8 x 11" in message
    assert "images/s2.png: the image has 8 x 12 pixels, its mask 12 x 8" in message
    line = message.split("s2.png")[1].split("\n")[0]
    assert "The mask lies on its side, and no EXIF orientation says so" in line
    assert "masks/s3.png: is empty (0 bytes)" in message
    assert "images/s4.png: has no mask" in message
    assert message.endswith("The full list: runs/a/issues.json")
    with pytest.raises(InputError, match=r"\.\.\. and 3 more"):
        found.raise_for_errors(limit=2)
    content = json.loads(json.dumps(found.to_json()))
    assert content["errors"] == 5
    assert {issue["id"] for issue in content["issues"]} >= {"s0", "s1", "s2", "s3", "s4"}
    assert set(content["issues"][0]) == {"severity", "id", "place", "problem", "advice"}


@pytest.mark.parametrize("turned", ["images", "masks"])
def test_exif_is_to_be_ignored_where_one_of_the_two_alone_was_turned(tmp_path, turned):
    pairs(tmp_path, 3)
    block = Image.Exif()
    block[0x0112] = 6
    path = tmp_path / turned / "s1.png"
    Image.open(path).save(path, exif=block)
    (error,) = scan(folder(tmp_path)).errors
    which, other = ("image", "mask") if turned == "images" else ("mask", "image")
    said = f"The {which} was turned by its EXIF orientation, the {other} has none."
    assert said in error.advice
    assert "--set data.source.exif=ignore" in error.advice
    assert not scan(folder(tmp_path, exif="ignore")).errors


def test_a_mask_on_its_side_is_turned_by_the_command(tmp_path, monkeypatch):
    """Transposed without EXIF, and where both have it: to ignore it would not help."""
    pairs(tmp_path, 3)
    path = tmp_path / "masks" / "s1.png"
    save(path, np.ascontiguousarray(mask(1).T))
    block = Image.Exif()
    block[0x0112] = 6
    for name in ("images", "masks"):
        file = tmp_path / name / "s2.png"
        pixels = np.asarray(Image.open(file))
        pixels = pixels if name == "images" else np.ascontiguousarray(pixels.swapaxes(0, 1))
        save(file, pixels, exif=block)
    errors = scan(folder(tmp_path)).errors
    assert [error.id for error in errors] == ["s1", "s2"]
    assert all("exif=ignore" not in error.advice for error in errors)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "turn").mkdir()
    path.rename(tmp_path / "turn" / "s1.png")
    command = errors[0].advice.split('python -c "')[1].split('"')[0]
    exec(command.replace("FOLDER OF THE MASKS", "turn"), {})
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "turn" / "s1.png")), mask(1))


def test_a_readers_bug_still_names_the_file(monkeypatch):
    source = source_of(arrays()[1])
    read = source.read_raw

    def broken(index):
        if index == 2:
            raise KeyError("bug")
        return read(index)

    monkeypatch.setattr(source, "read_raw", broken)
    assert "row 2 of images: cannot be read (KeyError: 'bug')" in texts(scan(source).errors)


def test_warnings_of_the_reader_are_kept(tmp_path):
    """D05"""
    pairs(tmp_path, 3)
    Image.fromarray(image(0)).save(tmp_path / "images" / "s0.jpg", "PNG")
    (tmp_path / "images" / "s0.png").unlink()
    found = scan(folder(tmp_path))
    assert not found.errors
    assert "images/s0.jpg: the extension .jpg does not fit" in texts(found.warnings)


def test_exif_is_counted(tmp_path):
    """D06"""
    pairs(tmp_path, 3)
    block = Image.Exif()
    block[0x0112] = 3
    for name in ("images", "masks"):
        Image.open(tmp_path / name / "s1.png").save(tmp_path / name / "s1.png", exif=block)
    found = scan(folder(tmp_path))
    assert not found.issues
    assert "1 image carries an EXIF orientation: applied" in found.notes


def test_16_bit_images_that_stay_dark(tmp_path):
    """D07"""
    images, masks = arrays()
    part = {"": {"images": images.astype(np.uint16) * 16, "masks": masks}}
    dark = [note for note in scan(ArraySource(part)).notes if "16-bit" in note]
    assert dark[0].startswith("16-bit images reach 4080 of 65535: they will be dark; where 4095 is")
    assert dark[0].endswith("--set data.source.white=4095")
    assert "16-bit" not in texts(scan(ArraySource(part, white=4095)).notes)
    found = scan(ArraySource(part, white=100))
    assert "expected: 0..100" in texts(found.errors)
    with pytest.raises(InputError, match="must be above 0"):
        ArraySource(part, white=0)


def test_empty_and_unlabelled():
    """D16"""
    none = scan(ArraySource({"": {"images": np.zeros((0, 4, 4), np.uint8)}}))
    assert "arrays: holds no sample" in texts(none.errors)
    found = scan(ArraySource({"": {"images": arrays()[0]}}))
    assert not found.issues
    assert (found.num_classes, found.class_pixels.shape) == (0, (6, 0))
    assert scan(ArraySource({"": {"images": arrays()[0]}}), class_names=["a", "b"]).num_classes == 2


# ---------------------------------------------------------------- duplicates


def test_same_image_in_two_given_splits_is_an_error(tmp_path):
    """D26"""
    for seed, part in enumerate(("train", "val", "test")):
        pairs(tmp_path / part, 3, first=10 * seed)
    assert not scan(folder(tmp_path)).issues
    save(tmp_path / "val" / "images" / "s11.png", image(2))
    found = scan(folder(tmp_path))
    assert (
        "val/images/s11.png: in val, is the very image of train/images/s2.png, in train. Put both "
        "in one split" in texts(found.errors)
    )


def test_same_image_in_an_unlabelled_test_set_is_a_warning(tmp_path):
    pairs(tmp_path, 3)
    save(tmp_path / "test" / "t.png", image(1))
    found = scan(folder(tmp_path))
    assert not found.errors
    assert (
        "images/s1.png: 1 image with labels recurs in the test set without labels (first: test/t"
        in texts(found.warnings)
    )


def test_a_group_in_two_given_splits_is_an_error(tmp_path):
    """D26"""
    pairs(tmp_path, 3)
    rows = ["image,mask,split,group"]
    for number, split in enumerate(("train", "val", "train")):
        rows.append(f"images/s{number}.png,masks/s{number}.png,{split},p{number // 2}")
    path = tmp_path / "data.csv"
    path.write_text("\n".join(rows))
    found = scan(manifest(path))
    assert "(images/s1.png): in val, is of the same group, 'p0', as line 2" in texts(found.errors)


def test_one_mask_under_many_images():
    """D27"""
    masks = arrays()[1]
    masks[2:5] = masks[1]
    assert "4 different images have the very mask of this one" in texts(
        scan(source_of(masks)).warnings
    )
    masks[1:5] = 1  # all of one class: common, and no sign of anything
    assert not scan(source_of(masks)).warnings


# ---------------------------------------------------------------- cache


@pytest.fixture
def looks(monkeypatch, tmp_path):
    """Counts the samples that are read; the cache is this test's own."""
    monkeypatch.setenv("TFVISION_CACHE", str(tmp_path / "cache"))
    seen = []
    look = facts_module.look

    def counted(source, index):
        seen.append(source.records[index].id)
        return look(source, index)

    monkeypatch.setattr(facts_module, "look", counted)
    return seen


def test_second_scan_reads_only_what_changed(tmp_path, looks):
    root = pairs(tmp_path / "data", 4)
    first = scan(folder(root))
    assert len(looks) == 4
    again = scan(folder(root))
    assert len(looks) == 4
    assert again.fingerprint == first.fingerprint
    np.testing.assert_array_equal(again.class_pixels, first.class_pixels)
    save(root / "masks" / "s2.png", mask(70))
    os.utime(root / "masks" / "s2.png", ns=(5, 5))
    changed = scan(folder(root))
    assert looks[4:] == ["s2"]
    assert changed.fingerprint != first.fingerprint
    assert first.stamps != changed.stamps
    scan(folder(root, exif="ignore"))
    assert len(looks) == 9
    scan(folder(root), cache=False)
    assert len(looks) == 13


def test_npz_is_kept_too(tmp_path, looks):
    images, masks = arrays()
    np.savez(tmp_path / "a.npz", x=images, y=masks)
    scan(npz(tmp_path / "a.npz"))
    scan(npz(tmp_path / "a.npz"))
    assert len(looks) == 6
    scan(source_of(masks))
    scan(source_of(masks))  # arrays in memory say no stamp: never kept
    assert len(looks) == 18


def test_failures_are_not_kept(tmp_path, looks):
    root = pairs(tmp_path / "data", 2)
    (root / "images" / "s0.png").write_bytes(b"x")
    assert scan(folder(root)).errors
    assert scan(folder(root)).errors
    assert looks.count("s0") == 2
    assert looks.count("s1") == 1


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "list", "strange"])
def test_damaged_cache_is_built_again(tmp_path, looks, damage):
    root = pairs(tmp_path / "data", 2)
    first = scan(folder(root))
    (path,) = cache_folder().iterdir()
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    path.write_bytes({"cut": content[:-9], "empty": b""}.get(damage, bytes(content)))
    if damage in ("list", "strange"):
        write_json(path.name, [1] if damage == "list" else {"a": ["b", {"height": 1}]})
    assert scan(folder(root)).fingerprint == first.fingerprint
    assert len(looks) == 4
    scan(folder(root))
    assert len(looks) == 4
    assert len(list(cache_folder().iterdir())) == 1  # no temporary file stays


def test_cache_that_cannot_be_written_is_a_note(tmp_path, looks, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("TFVISION_CACHE", str(tmp_path / "file"))
    found = scan(folder(pairs(tmp_path / "data", 2)))
    assert not found.issues
    assert "the scan cannot be kept" in found.notes[0]


def test_atomic_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_atomic(path, b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("TFVISION_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "tfvision"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "tfvision"
    assert read_json("nothing.json") is None


def test_four_thousand_files(tmp_path):
    for name, make in (("images", image), ("masks", mask)):
        (tmp_path / name).mkdir()
        content = [save(tmp_path / f"{name}{seed}.png", make(seed)) for seed in range(20)]
        for number in range(2000):
            (tmp_path / name / f"{number}.png").write_bytes(content[number % 20].read_bytes())
    found = scan(folder(tmp_path))
    assert len(found.heights) == 2000
    assert not found.errors
