"""The source `npz` and arrays in memory: layouts, dtypes, and planted faults."""

import io
import resource
import zipfile

import numpy as np
import pytest

from tests.data.make import arrays
from tfvision.data.scan.scan import scan
from tfvision.data.sources.array_source import ArraySource
from tfvision.data.sources.npz import npz
from tfvision.data.sources.recognise import open_source
from tfvision.errors import InputError


def write(path, **content):
    np.savez_compressed(path, **content)
    return path


@pytest.fixture
def data():
    return arrays()


@pytest.mark.parametrize("keys", [("images", "masks"), ("x", "y"), ("X", "Y"), ("masks", "images")])
def test_images_and_masks(tmp_path, data, keys):
    """D18: the order of keys does not matter."""
    images, masks = data
    content = dict(zip(keys, (masks, images) if keys[0] == "masks" else data, strict=True))
    source = open_source(write(tmp_path / "a.npz", **content))
    assert source.name == "npz"
    assert "(6, 8, 12)" in source.layout
    assert [record.id for record in source.records] == list("012345")
    assert {(r.part, r.split, r.labelled) for r in source.records} == {("", None, True)}
    sample = source.read(4)
    np.testing.assert_array_equal(sample.image[..., 0], images[4])
    np.testing.assert_array_equal(sample.mask, masks[4])
    assert (sample.image.dtype, sample.mask.dtype) == (np.uint8, np.int32)


def test_other_keys_are_noted_and_class_names_read(tmp_path, data):
    names = np.array(["a", "b", "c"])
    path = write(tmp_path / "a.npz", x=data[0], y=data[1], z=np.arange(6), class_names=names)
    source = npz(path)
    assert source.notes == ["key z (6,) int64 is not used"]
    assert scan(source).class_names == ["a", "b", "c"]


def test_colour_and_one_channel(tmp_path, data):
    images, masks = data
    colour = np.stack([images] * 3, -1)
    for stored, channels in [(colour, 3), (images[..., None], 1)]:
        source = npz(write(tmp_path / "a.npz", images=stored, masks=masks[..., None]))
        sample = source.read(1)
        assert sample.image.shape == (8, 12, channels)
        np.testing.assert_array_equal(sample.mask, masks[1])


def test_mars_layout(tmp_path, data):
    """D18"""
    images, masks = data
    training = np.stack([images, masks], 1)
    path = write(tmp_path / "mars.npz", training_set=training, test_set=images[:2] // 2)
    source = open_source(path)
    assert "training_set (6, 2, 8, 12), image and mask" in source.layout
    assert [r.part for r in source.records] == ["training_set"] * 6 + ["test_set"] * 2
    assert [r.split for r in source.records] == [None] * 6 + ["test"] * 2
    assert [r.labelled for r in source.records] == [True] * 6 + [False] * 2
    assert source.records[6].id == "0"
    assert source.records[5].place == "row 5 of training_set in mars.npz"
    np.testing.assert_array_equal(source.read(5).mask, masks[5])
    np.testing.assert_array_equal(source.read(7).image[..., 0], images[1] // 2)
    assert source.read(7).mask is None


def test_parts_by_name(tmp_path, data):
    images, masks = data
    content = {"x_train": images, "y_train": masks, "val_images": images, "val_masks": masks}
    source = npz(write(tmp_path / "a.npz", **content, test_images=images))
    assert [r.split for r in source.records] == ["train"] * 6 + ["val"] * 6 + ["test"] * 6
    assert [r.labelled for r in source.records] == [True] * 12 + [False] * 6
    del content["val_images"], content["val_masks"]
    source = npz(write(tmp_path / "b.npz", **content, x_test=images, y_test=masks))
    assert [r.split for r in source.records] == [None] * 6 + ["test"] * 6
    assert all(r.labelled for r in source.records)


def test_images_alone_are_for_prediction(tmp_path, data):
    source = npz(write(tmp_path / "a.npz", images=data[0]))
    assert not any(r.labelled for r in source.records)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"images": "i", "masks": "short"},
            "masks in a.npz has the shape .5, 8, 12.* Lengths diff",
        ),
        ({"images": "i", "masks": "narrow"}, r"masks .* \(6, 8, 11\), images has \(6, 8, 12\)"),
        ({"images": "i", "masks": "numbers"}, "one number an image"),
        ({"images": "i", "masks": "onehot"}, "One-hot masks"),
        ({"image": "i", "images": "i", "masks": "m"}, "'image' and 'images' both look like"),
        ({"masks": "m", "imagess": "i"}, "Did you mean 'images'.*Expected: images"),
        ({"images": "i", "maskss": "m"}, "unknown key 'maskss'. Did you mean 'masks'"),
        ({"masks": "m"}, r"masks \(6, 8, 12\) uint8. Expected"),
        ({"x_train": "i", "x_val": "i", "y_train": "m"}, "x_val without masks"),
        ({"images": "first", "masks": "m"}, "Channels must come last"),
        ({"training_set": "i"}, r"training_set must have the shape \(N, 2, H, W\)"),
        ({"images": "text", "masks": "m"}, "holds <U1; images are real numbers"),
        ({"images": "zero", "masks": "m"}, "without a pixel"),
        (
            {"images": "big", "masks": "m"},
            r"row 2 of images in a.npz: holds 70000 at pixel .*\(1, 3\)",
        ),
    ],
)
def test_wrong_content(tmp_path, data, content, message):
    """D18: keys, shapes, lengths and dtypes."""
    images, masks = data
    big = images.astype(np.int64)
    big[2, 1, 3] = 70000
    kinds = {
        "i": images,
        "m": masks,
        "short": masks[:5],
        "narrow": masks[..., :11],
        "numbers": np.zeros(6, int),
        "onehot": np.eye(3)[masks],
        "first": np.stack([images] * 3, 1),
        "text": np.full((6, 8, 12), "a"),
        "zero": np.zeros((6, 0, 12)),
        "big": big,
    }
    path = write(tmp_path / "a.npz", **{key: kinds[kind] for key, kind in content.items()})
    with pytest.raises(InputError, match=message):
        npz(path)


def test_object_arrays_are_never_unpickled(tmp_path, data):
    """D18"""

    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "pickle was run"), "w"))

    images = np.array([Bomb()], dtype=object)
    path = write(tmp_path / "a.npz", images=images, masks=data[1])
    with pytest.raises(
        InputError, match=r"key images .* Python objects, which are never unpickled"
    ):
        npz(path)
    assert not (tmp_path / "pickle was run").exists()


def test_bomb_is_refused_before_memory_is_taken(tmp_path):
    """D10"""
    path = tmp_path / "a.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (300, 1000, 1000)}
    )
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("images.npy", "w") as file,
    ):
        file.write(header.getvalue())
        for _ in range(300):
            file.write(bytes(1_000_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"images declares 300,000,\d+ bytes out of .* max_expan"):
        npz(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
    monstrous = tmp_path / "b.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**4, 10**4)}
    )
    with zipfile.ZipFile(monstrous, "w") as archive:
        archive.writestr("images.npy", header.getvalue())
    with pytest.raises(InputError, match=r"key images declares .* but holds 128. The file is dam"):
        npz(monstrous)


def test_more_than_memory_is_refused(tmp_path, data, monkeypatch):
    monkeypatch.setattr("tfvision.data.sources.npz.memory_bytes", lambda: (2000, 1000))
    path = write(tmp_path / "a.npz", images=data[0], masks=data[1])
    with pytest.raises(InputError, match=r"declares 1,\d+ bytes, 1,000 bytes of memory are free"):
        npz(path)


def test_damaged_files(tmp_path, data):
    path = write(tmp_path / "a.npz", images=data[0], masks=data[1])
    content = bytearray(path.read_bytes())
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="is not a whole npz file"):
        npz(path)
    content[300] ^= 8  # inside the compressed images: its CRC-32 tells
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a.npz (cannot be read|is not a whole)"):
        npz(path)
    (tmp_path / "b.npz").write_bytes(b"<html>")
    with pytest.raises(InputError, match=r"b.npz is not a whole npz file"):
        npz(tmp_path / "b.npz")
    with pytest.raises(InputError, match="no such file"):
        npz(tmp_path / "none.npz")


@pytest.mark.parametrize("where", ["images", "masks"])
def test_nan_is_named_by_key_row_and_pixel(tmp_path, data, where):
    """D17"""
    content = {"images": data[0] / 255, "masks": data[1].astype(float)}
    content[where][3, 2, 5] = np.nan
    found = scan(npz(write(tmp_path / "a.npz", **content)))
    with pytest.raises(InputError, match=rf"row 3 of {where} in a.npz: .*nan at pixel .*\(2, 5\)"):
        found.raise_for_errors()


def test_dtypes_become_the_smallest_that_fits(data):
    images, masks = data
    for stored, dtype in [
        (images.astype(np.int64), np.uint8),
        (images.astype(np.int32) * 200, np.uint16),
        (images / 255, np.float32),
        (images > 99, np.uint8),
    ]:
        source = ArraySource({"": {"images": stored, "masks": masks.astype(float)}})
        sample = source.read(0)
        assert sample.image.dtype == dtype
        white = 255 if stored.dtype == bool else 1
        np.testing.assert_allclose(sample.image[..., 0], stored[0].astype(dtype) * white, rtol=1e-6)


def test_range_of_float_images(data):
    images, masks = data
    for stored, white, note in [
        (images / 255, None, []),
        (images.astype(float), 255.0, ["floating-point images hold whole numbers up to 255"]),
    ]:
        source = ArraySource({"": {"images": stored, "masks": masks}})
        found = scan(source)
        assert (found.white, source.white, found.errors) == (white, white, [])
        said = [n.split(":")[0] for n in found.notes]
        assert [n for n in said if n != "values of masks"] == note
    stored = images / 255
    stored[4, 0, 0] = 1.5
    found = scan(ArraySource({"": {"images": stored, "masks": masks}}))
    assert [i.id for i in found.errors] == ["4"]
    with pytest.raises(InputError, match=r"row 4 of images: the float32 image holds .*1.5, expec"):
        found.raise_for_errors()
    assert not scan(ArraySource({"": {"images": stored, "masks": masks}}, white=1.5)).errors
    found = scan(ArraySource({"": {"images": -stored, "masks": masks}}))
    assert len(found.errors) == 6


def test_boxes_groups_and_splits_of_arrays(data):
    images, masks = data
    boxes = [np.ones((i, 4)) for i in range(6)]
    classes = [np.arange(i) for i in range(6)]
    part = {"images": images, "masks": masks, "boxes": boxes, "classes": classes}
    source = ArraySource({"val": {**part, "groups": list("aabbcc")}}, stamp="s")
    assert source.records[2].split == "val"
    assert source.records[2].group == "b"
    assert source.read(3).boxes.shape == (3, 4)
    assert source.read(3).classes.dtype == np.int32
    assert source.stamp(3) == "s|val|3"
    with pytest.raises(InputError, match="classes must be given together"):
        ArraySource({"": {"images": images, "boxes": boxes}})
    with pytest.raises(InputError, match="its boxes are 5"):
        ArraySource({"": {**part, "boxes": boxes[:5]}})
    with pytest.raises(InputError, match=r"holds .'targets'"):
        ArraySource({"": {"images": images, "targets": masks}})


def test_stamp_follows_the_file(tmp_path, data):
    path = write(tmp_path / "a.npz", images=data[0], masks=data[1])
    first, second = npz(path), npz(path)
    assert first.stamp(0) == second.stamp(0) != first.stamp(1)
    write(path, images=data[0][:5], masks=data[1][:5])
    assert npz(path).stamp(0) != first.stamp(0)


def test_planes_of_classes_get_the_advice_that_keeps_them(tmp_path, data):
    """What to store in place of planes gives back the numbers that made them."""
    images, masks = data
    planes = {
        "whole": np.eye(3, dtype=np.uint8)[masks],
        "bare": np.eye(3, dtype=np.uint8)[masks][..., 1:],
    }
    for name, stored in planes.items():
        np.savez(tmp_path / f"{name}.npz", images=images, masks=stored)
        with pytest.raises(InputError, match=r"One-hot masks.*: store (.*)[.]$") as error:
            npz(tmp_path / f"{name}.npz")
        typed = str(error.value).rpartition("store ")[2].rstrip(".")
        np.testing.assert_array_equal(eval(typed, {"np": np, "masks": stored}), masks)
    np.savez(tmp_path / "first.npz", images=images, masks=np.moveaxis(planes["whole"], -1, 1))
    with pytest.raises(InputError, match=r"last, masks = np.moveaxis\(masks, 1, -1\). One-hot"):
        npz(tmp_path / "first.npz")
    overlapping = planes["bare"].copy()
    overlapping[1, 2, 3] = 1
    np.savez(tmp_path / "overlap.npz", images=images, masks=overlapping)
    with pytest.raises(InputError, match=r"2 planes are not 0 at row 1, pixel .* = \(2, 3\)"):
        npz(tmp_path / "overlap.npz")
