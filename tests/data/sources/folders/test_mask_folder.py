"""The source `folder`: layouts, names, and planted faults."""

import os
import unicodedata

import numpy as np
import pytest

from tests.data.make import image, mask, pairs, save
from tfvision.data.scan.scan import scan
from tfvision.data.sources.folders.mask_folder import folder
from tfvision.data.sources.recognise import open_source
from tfvision.errors import InputError


def problems(source) -> str:
    return "\n".join(map(str, source.problems))


def test_images_and_masks_match_by_stem(tmp_path):
    pairs(tmp_path, 3)
    save(tmp_path / "images" / "deep" / "s9.v2.jpg", image(9))
    save(tmp_path / "masks" / "deep" / "s9.v2.png", mask(9))
    (tmp_path / "classes.txt").write_text("sky\nrock\nsand\n")
    source = open_source(tmp_path)
    assert source.name == "folder"
    assert [r.id for r in source.records] == ["deep/s9.v2", "s0", "s1", "s2"]
    assert [r.place for r in source.records][:2] == ["images/deep/s9.v2.jpg", "images/s0.png"]
    assert all(r.labelled and r.split is None and r.part == "" for r in source.records)
    assert source.class_names == ["sky", "rock", "sand"]
    assert "4 images with masks in images/" in source.layout
    sample = source.read(2)
    np.testing.assert_array_equal(sample.image, image(1))
    np.testing.assert_array_equal(sample.mask, mask(1))
    assert not source.problems


@pytest.mark.parametrize("inner", ["", "images"])
def test_test_folder_without_masks(tmp_path, inner):
    """D28: one name in train and test is normal."""
    pairs(tmp_path, 2)
    save(tmp_path / "test" / inner / "s0.png", image(50))
    source = folder(tmp_path)
    last = source.records[-1]
    assert (last.id, last.part, last.split, last.labelled) == ("s0", "test", "test", False)
    np.testing.assert_array_equal(source.read(2).image, image(50))


@pytest.mark.parametrize("val", ["val", "valid", "Validation"])
def test_part_folders(tmp_path, val):
    for name in ("train", val, "test"):
        pairs(tmp_path / name, 2)
    source = open_source(tmp_path)
    assert [r.split for r in source.records] == ["train"] * 2 + ["val"] * 2 + ["test"] * 2
    assert all(r.labelled for r in source.records)
    assert {r.part for r in source.records} == {"train", "val", "test"}


def test_train_without_val_is_still_to_be_split(tmp_path):
    for name in ("train", "test"):
        pairs(tmp_path / name, 2)
    assert [r.split for r in folder(tmp_path).records] == [None, None, "test", "test"]


def test_images_alone_and_one_image(tmp_path):
    save(tmp_path / "a.png", image(1))
    save(tmp_path / "a.jpg", image(2))
    save(tmp_path / "deep" / "b.png", image(3))
    source = open_source(tmp_path)
    assert [r.id for r in source.records] == ["a.jpg", "a.png", "deep/b"]
    assert not any(r.labelled for r in source.records)
    one = open_source(tmp_path / "a.png")
    assert [r.id for r in one.records] == ["a"]
    np.testing.assert_array_equal(one.read(0).image, image(1))


def test_hidden_and_system_files_are_counted(tmp_path):
    """D29"""
    pairs(tmp_path, 2)
    for name in (".DS_Store", "Thumbs.db", "._s0.png"):
        (tmp_path / "images" / name).write_bytes(b"x")
    save(tmp_path / "images" / "__MACOSX" / "s0.png", image(1))
    (tmp_path / "masks" / "readme.txt").write_text("x")
    source = folder(tmp_path)
    assert len(source) == 2
    assert source.notes[0] == "4 hidden or system files ignored"
    assert source.notes[1:] == ["1 .txt file in masks/ is not read"]


def test_missing_masks_and_images_are_listed(tmp_path):
    """D12"""
    pairs(tmp_path, 3)
    (tmp_path / "masks" / "s1.png").unlink()
    (tmp_path / "images" / "s2.png").unlink()
    source = folder(tmp_path)
    assert [r.id for r in source.records] == ["s0"]
    assert "images/s1.png: has no mask: no file s1.* in masks/" in problems(source)
    assert "masks/s2.png: a mask without an image" in problems(source)
    assert [i.severity for i in source.problems] == ["error", "warning"]
    with pytest.raises(InputError, match=r"1 problem in the data.\n  images/s1.png: has no mask"):
        scan(source).raise_for_errors()


def test_one_stem_twice_is_an_error(tmp_path):
    """D28"""
    pairs(tmp_path, 2)
    save(tmp_path / "images" / "s0.jpg", image(1))
    save(tmp_path / "masks" / "s1.tif", mask(1))
    text = problems(folder(tmp_path))
    assert "images/s0.png: has the same name as images/s0.jpg, extension aside" in text
    assert "masks/s1.tif: has the same name as masks/s1.png" in text


def test_names_of_all_kinds(tmp_path):
    """D28"""
    composed, decomposed = (unicodedata.normalize(f, "käse") for f in ("NFC", "NFD"))
    names = ["with space", "ünï", "🙂", "a" * 240, "x,y;z", "s.1"]
    for seed, name in enumerate(names):
        save(tmp_path / "images" / f"{name}.png", image(seed))
        save(tmp_path / "masks" / f"{name}.png", mask(seed))
    save(tmp_path / "images" / f"{composed}.png", image(50))
    save(tmp_path / "masks" / f"{decomposed}.png", mask(50))
    source = folder(tmp_path)
    assert not source.problems
    assert {r.id for r in source.records} == {*names, composed}
    index = next(i for i, r in enumerate(source.records) if r.id == composed)
    np.testing.assert_array_equal(source.read(index).mask, mask(50))
    save(tmp_path / "images" / "S.1.png", image(51))
    save(tmp_path / "masks" / "S.1.png", mask(51))
    save(tmp_path / "images" / f"{decomposed}.png", image(52))
    text = problems(folder(tmp_path))
    assert "images/s.1.png: differs from images/S.1.png by case alone" in text
    assert f"has the same name as images/{decomposed}.png" in text


def test_name_that_is_not_utf8(tmp_path):
    pairs(tmp_path, 1)
    try:
        with open(os.fsencode(tmp_path) + b"/images/\xff.png", "wb") as file:
            file.write(b"x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert "its name is not UTF-8 text" in problems(folder(tmp_path))


def test_links_and_folders_named_like_images(tmp_path):
    """D11, D33"""
    root = pairs(tmp_path / "data", 2)
    outside = save(tmp_path / "secret.png", image(1))
    (root / "images" / "out.png").symlink_to(outside)
    (root / "images" / "gone.png").symlink_to(root / "nothing.png")
    (root / "images" / "dir.png").mkdir()
    (root / "images" / "round").symlink_to(root / "images")
    save(root / "masks" / "gone.png", mask(1))
    source = folder(root)
    text = problems(source)
    assert f"images/out.png: is a link that leaves the data set: {outside}" in text
    assert "images/dir.png: is a folder, but named like an image file" in text
    assert [r.id for r in source.records] == ["gone", "s0", "s1"]
    found = scan(source)
    assert any("gone.png: is a broken link" in str(i) for i in found.errors)
    save(root / "masks" / "out.png", mask(1))
    ids = [r.id for r in folder(root, allow_outside_root=True).records]
    assert ids == ["gone", "out", "s0", "s1"]


def test_layouts_that_are_none(tmp_path):
    with pytest.raises(InputError, match=r"nix does not exist.*Known: a folder with images/"):
        open_source(tmp_path / "nix")
    (tmp_path / "data").mkdir()
    with pytest.raises(InputError, match=r"Did you mean .*data\?"):
        open_source(tmp_path / "dat")
    with pytest.raises(InputError, match=r"data holds nothing. Expected: images/ and masks/"):
        open_source(tmp_path / "data")
    (tmp_path / "data" / "tiles.npz").write_bytes(b"")
    with pytest.raises(InputError, match=r"Or give the path of tiles.npz itself"):
        open_source(tmp_path / "data")
    (tmp_path / "a.json").write_text('{"images": []}')
    with pytest.raises(InputError, match=r"a.json is no data set that is known: it starts with"):
        open_source(tmp_path / "a.json")
    with pytest.raises(InputError, match="encodin"):
        open_source(pairs(tmp_path / "ok"), encoding="utf-8")


def test_ambiguous_layouts(tmp_path):
    pairs(tmp_path / "train", 1)
    pairs(tmp_path / "val", 1)
    (tmp_path / "val" / "masks" / "s0.png").rename(tmp_path / "m.png")
    (tmp_path / "val" / "masks").rmdir()
    with pytest.raises(InputError, match=r"val holds images/ but no masks/"):
        folder(tmp_path)
    pairs(tmp_path, 1)
    with pytest.raises(InputError, match="which one is to be trained on"):
        folder(tmp_path)
    pairs(tmp_path / "b", 1)
    save(tmp_path / "b" / "imgs" / "s0.png", image(3))
    with pytest.raises(InputError, match=r"images/ and imgs/: which one .*source.images=imgs/"):
        folder(tmp_path / "b")


@pytest.mark.parametrize(
    ("text", "message"), [("a\nb\na\n", "line 3 repeats 'a'"), ("a\n\nb", "2 is")]
)
def test_wrong_class_files(tmp_path, text, message):
    pairs(tmp_path, 1)
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        folder(tmp_path)


def test_empty_folders(tmp_path):
    """D16"""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    found = scan(folder(tmp_path))
    with pytest.raises(InputError, match="2 times, first images, masks: holds no image file"):
        found.raise_for_errors()


def test_stamp_follows_image_and_mask(tmp_path):
    source = folder(pairs(tmp_path, 2))
    before = [source.stamp(i) for i in range(2)]
    save(tmp_path / "masks" / "s1.png", mask(77))
    os.utime(tmp_path / "masks" / "s1.png", ns=(1, 1))
    assert [source.stamp(i) == before[i] for i in range(2)] == [True, False]
    (tmp_path / "images" / "s0.png").unlink()
    assert source.stamp(0) != before[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_folder(tmp_path):
    """D33"""
    pairs(tmp_path, 1)
    (tmp_path / "masks").chmod(0)
    assert "masks: cannot be read (Permission denied)" in problems(folder(tmp_path))


def test_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    """D33"""
    pairs(tmp_path, 1)
    listed = type(tmp_path).iterdir

    def iterdir(path):
        if path.name == "masks":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(type(tmp_path), "iterdir", iterdir)
    assert "masks: cannot be read (Permission denied)" in problems(folder(tmp_path))
