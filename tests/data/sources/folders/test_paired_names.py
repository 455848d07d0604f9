"""Images and masks in one folder, told apart by a word in their names."""

import unicodedata

import numpy as np
import pytest

from tests.data.make import image, mask, save
from tfvision.data.scan.scan import scan
from tfvision.data.sources.folders.mask_folder import folder
from tfvision.data.sources.folders.paired_names import read_name
from tfvision.data.sources.recognise import open_source
from tfvision.errors import InputError


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mask_0001", (True, "0001", "mask_*")),
        ("img_0001", (False, "0001", "img_*")),
        ("IMG0001", (False, "0001", "IMG*")),
        ("0001mask", (True, "0001", "*mask")),
        ("a_seg", (True, "a", "*_seg")),
        ("a", (False, "a", "*")),
        ("a-image", (False, "a", "*-image")),
        ("img_1_mask", (True, "1", "img_*_mask")),
        ("GT.b c", (True, "b c", "GT.*")),
        ("masked", (False, "masked", "*")),
        ("imagine_1", (False, "imagine_1", "*")),
        ("target", (False, "target", "*")),
    ],
)
def test_names_are_taken_apart(name, expected):
    assert read_name(name) == expected


@pytest.mark.parametrize(
    ("image_name", "mask_name"),
    [
        ("img_{}.png", "mask_{}.png"),
        ("{}_image.jpg", "{}_mask.png"),
        ("{}.png", "{}_seg.tif"),
        ("Image-{}.png", "Label-{}.png"),
        ("img_{}.png", "img_{}_gt.png"),
        ("img{}.png", "mask{}.png"),
    ],
)
def test_pairs_are_read_with_what_is_left_as_id(tmp_path, image_name, mask_name):
    for number in range(3):
        save(tmp_path / image_name.format(f"00{number}"), image(number))
        save(tmp_path / mask_name.format(f"00{number}"), mask(number))
    source = open_source(tmp_path)
    assert [r.id for r in source.records] == [f"00{number}" for number in range(3)]
    assert all(r.labelled and r.split is None and r.part == "" for r in source.records)
    assert not source.problems
    for number in range(3):
        np.testing.assert_array_equal(source.read(number).mask, mask(number))
    assert "3 images with masks side by side, told apart by their names (" in source.layout
    assert not scan(source).errors


def test_the_layout_names_the_convention_and_places_are_files(tmp_path):
    for number in range(2):
        save(tmp_path / f"img_{number}.png", image(number))
        save(tmp_path / f"mask_{number}.png", mask(number))
    source = folder(tmp_path)
    assert source.layout.endswith("told apart by their names (img_*, mask_*)")
    assert source.records[1].place == "img_1.png"
    save(tmp_path / "mask_1.png", mask(1, 8, 11))
    with pytest.raises(InputError, match=r"img_1.png: the image has 8 x 12 pixels, its mask 8 x 1"):
        scan(folder(tmp_path)).raise_for_errors()


def test_folders_inside_are_part_of_the_id(tmp_path):
    for inner in ("", "deep/"):
        save(tmp_path / f"{inner}img_1.png", image(1))
        save(tmp_path / f"{inner}mask_1.png", mask(1))
    assert [r.id for r in folder(tmp_path).records] == ["deep/1", "1"]


def test_a_missing_half_is_reported(tmp_path):
    for number in range(3):
        save(tmp_path / f"img_{number}.png", image(number))
        save(tmp_path / f"mask_{number}.png", mask(number))
    save(tmp_path / "img_7.png", image(7))
    save(tmp_path / "mask_8.png", mask(8))
    source = folder(tmp_path)
    assert [r.id for r in source.records] == ["0", "1", "2"]
    assert [(i.severity, i.id, i.place) for i in source.problems] == [
        ("error", "7", "img_7.png"),
        ("warning", "", "mask_8.png"),
    ]
    assert "has no mask: no such file beside it (names here: img_*, mask_*)" in str(
        source.problems[0]
    )


def test_images_without_masks_stay_what_they_are(tmp_path):
    for name in ("img_1", "img_2", "label_3", "plain"):
        save(tmp_path / f"{name}.png", image(1))
    source = folder(tmp_path)
    assert [r.id for r in source.records] == ["img_1", "img_2", "label_3", "plain"]
    assert not any(r.labelled for r in source.records)
    assert "4 images without masks" in source.layout


@pytest.mark.parametrize("other", ["1_mask.png", "seg_1.png", "mask_1.tif"])
def test_two_masks_for_one_image_ask_for_a_manifest(tmp_path, other):
    save(tmp_path / "img_1.png", image(1))
    for name in ("mask_1.png", other):
        save(tmp_path / name, mask(1))
    with pytest.raises(InputError, match=r"both look like the mask of '1'. Say what .*image,mask"):
        folder(tmp_path)


def test_two_spellings_of_one_name_are_one_name(tmp_path):
    """D28"""
    for form in ("NFC", "NFD"):
        save(tmp_path / f"img_{unicodedata.normalize(form, 'käse')}.png", image(1))
    save(tmp_path / "mask_käse.png", mask(1))
    with pytest.raises(InputError, match="both look like the image of"):
        folder(tmp_path)


def test_few_masks_among_many_images_ask_for_a_manifest(tmp_path):
    for number in range(5):
        save(tmp_path / f"{number}.png", image(number))
    save(tmp_path / "3_mask.png", mask(3))
    with pytest.raises(InputError, match=r"1 file named like masks beside 5 others, of w"):
        folder(tmp_path)
    (tmp_path / "pairs.csv").write_text("image,mask\n3.png,3_mask.png\n")
    assert [r.id for r in open_source(tmp_path / "pairs.csv").records] == ["3"]


@pytest.mark.parametrize("names", [("b", "b_mask", "b_mask_1"), ("b 2", "b 2-seg", "b 2-seg 01")])
def test_a_second_mask_of_an_image_is_no_image(tmp_path, names):
    """A further mask of one image, as sets of ultrasound have them, is neither image nor left."""
    for k, part in enumerate(("benign", "malignant", "normal")):
        for name in (f"a{k}", f"a{k}_mask", *names):
            drawn = mask(k) if "mask" in name or "seg" in name else image(k)
            save(tmp_path / part / f"{name}.png", drawn)
    for truth in ("masks", "label"):
        with pytest.raises(InputError, match=r"both look like the mask of .*and 2 more .*Or join"):
            open_source(tmp_path, truth=truth)
    for part in ("benign", "malignant", "normal"):
        (tmp_path / part / f"{names[2]}.png").unlink()
    assert len(open_source(tmp_path)) == len(open_source(tmp_path, truth="label")) == 6


@pytest.mark.parametrize(("names", "tests"), [("{}_mask", 3), ("{}-seg", 2)])
def test_a_test_part_beside_pairs_needs_no_masks(tmp_path, names, tests):
    for number in range(4):
        save(tmp_path / "train" / f"x{number}.png", image(number))
        save(tmp_path / "train" / f"{names.format(f'x{number}')}.png", mask(number))
    for number in range(tests):
        save(tmp_path / "test" / f"y{number}.png", image(10 + number))
    source = folder(tmp_path)
    assert not source.problems
    assert "4 images with masks side by side" in source.layout
    assert source.layout.endswith(f"; {tests} without masks in test/")
    assert [r.id for r in source.records if not r.labelled] == [f"y{i}" for i in range(tests)]
    assert {r.split for r in source.records if not r.labelled} == {"test"}
    save(tmp_path / "test" / f"{names.format('y0')}.png", mask(10))
    assert "has no mask" in str(folder(tmp_path).problems[0])
