"""The source `voc_masks`: exports of annotation tools and VOC itself, and planted faults."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.make import image, mask, save
from tfvision.data import SOURCES
from tfvision.data.files.tree import list_tree
from tfvision.data.scan.scan import scan
from tfvision.data.sources.exports.voc_export import sees, voc_masks
from tfvision.data.sources.exports.voc_palette import VOC_CLASSES, voc_colours
from tfvision.data.sources.recognise import open_source
from tfvision.errors import InputError
from tfvision.registry import Spec

COLOURS = np.array([[0, 0, 0], [48, 112, 32], [176, 112, 32]], np.uint8)
LABELMAP = (
    "# label:color_rgb:parts:actions\nleaf:48,112,32::\nbackground:0,0,0::\nspot:176,112,32::\n"
)


def with_border(seed: int) -> np.ndarray:
    """A mask whose first row is no label."""
    labels = mask(seed)
    labels[0] = 255
    return labels


def coloured(labels: np.ndarray, colours: np.ndarray = COLOURS) -> np.ndarray:
    """(H, W, 3) with (224, 224, 192) for 255."""
    full = np.concatenate([colours, np.full((256 - len(colours), 3), (224, 224, 192))])
    return full[labels].astype(np.uint8)


def save_palette(path: Path, labels: np.ndarray, colours) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = Image.fromarray(labels)
    file.putpalette(np.asarray(colours, np.uint8).ravel().tolist())
    assert file.mode == "P"
    file.save(path)


def export(root: Path, count: int = 4, labelmap: str | None = LABELMAP, **lists) -> Path:
    """As CVAT writes it; `lists` are the names of numbers of images."""
    for k in range(count):
        save(root / "JPEGImages" / f"f{k}.png", image(k))
        save(root / "SegmentationClass" / f"f{k}.png", coloured(with_border(k)))
        save(root / "SegmentationObject" / f"f{k}.png", coloured(mask(k + 50)))
    if labelmap is not None:
        (root / "labelmap.txt").write_text(labelmap)
    for name, numbers in (lists or {"default": range(count)}).items():
        path = root / "ImageSets" / "Segmentation" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"f{k}\n" for k in numbers))
    return root


def problems(source) -> str:
    return "\n".join(map(str, source.problems))


def test_an_export_in_colours(tmp_path):
    root = export(tmp_path / "export")
    assert sees(list_tree(root)) == "Pascal VOC's SegmentationClass/"
    source = SOURCES.build(Spec(name="voc_masks", path=root))
    assert source.layout == (
        "export: Pascal VOC: 4 images in JPEGImages/ with masks in SegmentationClass/ (colours of "
        "labelmap.txt: 0 background, 1 leaf, 2 spot); ImageSets/Segmentation/default.txt; the "
        "split is made here"
    )
    assert source.notes == ["not read: SegmentationObject/ (single objects, 4 files)"]
    for k in range(4):
        np.testing.assert_array_equal(source.read(k).mask, with_border(k))
    assert [r.split for r in source.records] == [None] * 4
    found = scan(source, cache=False)
    assert not found.issues
    assert found.class_names == ["background", "leaf", "spot"]
    assert found.ignored_pixels.tolist() == [12] * 4


def test_a_palette_file_counts_by_its_colours(tmp_path):
    """The numbers of the palette are not those of the classes."""
    root = export(tmp_path)
    own = [(176, 112, 32), (0, 0, 0), (48, 112, 32)]
    for k in range(4):
        numbers = np.array([1, 2, 0], np.uint8)[mask(k)]
        save_palette(root / "SegmentationClass" / f"f{k}.png", numbers, own)
    np.testing.assert_array_equal(voc_masks(root).read(2).mask, mask(2))


def test_lists_are_splits(tmp_path):
    root = export(tmp_path, 6, train=[0, 1, 2], val=[3], test=[4], trainval=[0, 1, 2, 3], odd=[5])
    (root / "SegmentationClass" / "f4.png").unlink()
    source = voc_masks(root)
    assert {r.id: (r.split, r.labelled) for r in source.records} == {
        **{f"f{k}": ("train", True) for k in range(3)},
        "f3": ("val", True),
        "f4": ("test", False),
    }
    assert "6 images" not in source.layout
    assert "5 images (1 test, 3 train, 1 val), 1 of them without masks" in source.layout
    assert (
        "lists in ImageSets/Segmentation/ that are not read: odd.txt, trainval.txt" in source.notes
    )
    assert "1 mask in no list (f5): not used" in problems(source)


def test_train_without_val_is_still_to_be_split(tmp_path):
    source = voc_masks(export(tmp_path, train=[0, 1, 2], test=[3]))
    assert [(r.part, r.split) for r in source.records] == (
        [("test", "test")] + [("train", None)] * 3
    )
    assert "the split is made here" in source.layout


def test_without_lists_every_mask_counts(tmp_path):
    root = export(tmp_path)
    (root / "ImageSets" / "Segmentation" / "default.txt").unlink()
    save(root / "JPEGImages" / "more.png", image(9))
    source = voc_masks(root)
    assert len(source) == 4
    assert "1 image without a mask: not used" in source.notes
    assert "no lists in ImageSets/Segmentation/; the split is made here" in source.layout


@pytest.mark.parametrize("stored", ["numbers", "colours"])
def test_voc_itself(tmp_path, stored):
    """Palette files of the class numbers, VOC's names, one level down."""
    root = tmp_path / "VOCdevkit" / "VOC2012"
    labels = np.zeros((8, 12), np.uint8)
    labels[2:5], labels[5:6] = 15, 255
    for k in range(3):
        name = f"2007_{k:06d}"
        save(root / "JPEGImages" / f"{name}.jpg", image(k))
        if stored == "numbers":
            save_palette(root / "SegmentationClass" / f"{name}.png", labels, voc_colours())
        else:
            pixels = np.array(voc_colours(), np.uint8)[labels]
            save(root / "SegmentationClass" / f"{name}.png", pixels)
    source = voc_masks(tmp_path)
    assert source.class_names == list(VOC_CLASSES)
    assert "VOC's classes: 0 background, 1 aeroplane" in source.layout
    np.testing.assert_array_equal(source.read(1).mask, labels)
    found = scan(source, cache=False)
    assert not found.errors
    assert found.class_pixels[0, 15] == 36
    assert found.ignored_pixels[0] == 12


def test_voc_palette_without_names(tmp_path):
    """Images that are not VOC's own: the classes are not called aeroplane, ..."""
    root = export(tmp_path, labelmap=None)
    for k in range(4):
        save_palette(root / "SegmentationClass" / f"f{k}.png", with_border(k), voc_colours())
    source = voc_masks(root)
    assert source.class_names is None
    assert "no names: labelmap.txt or classes.txt would say them" in source.layout
    assert not scan(source, cache=False).errors
    np.testing.assert_array_equal(source.read(1).mask, with_border(1))
    (root / "class_names.txt").write_text("_background_\nleaf\nspot\n")
    assert voc_masks(root).class_names == ["_background_", "leaf", "spot"]


def test_classes_of_the_boxes_tell_voc(tmp_path):
    root = export(tmp_path, labelmap=None)
    for name, label in (("f0", "cat"), ("f1", "sofa")):
        path = root / "Annotations" / f"{name}.xml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"<annotation><object>\n<name>{label}</name></object></annotation>")
    assert voc_masks(root).class_names == list(VOC_CLASSES)
    path.write_text("<annotation><object>\n<name>leaf</name></object></annotation>")
    assert voc_masks(root).class_names is None


def test_the_palette_of_voc_is_that_of_the_development_kit():
    colours = voc_colours()
    assert [colours[i] for i in (0, 1, 2, 15, 20, 255)] == [
        *((0, 0, 0), (128, 0, 0), (0, 128, 0), (192, 128, 128)),
        *((0, 64, 128), (224, 224, 192)),
    ]
    assert len({*colours}) == 256


def test_numbers_beside_a_labelmap(tmp_path):
    root = export(tmp_path)
    for k in range(4):
        save(root / "SegmentationClass" / f"f{k}.png", with_border(k))
    with pytest.raises(InputError, match=r"does not begin with the background: .* Order its lines"):
        voc_masks(root)
    (root / "labelmap.txt").write_text("background:0,0,0::\nleaf:1,2,3::\nspot:4,5,6::\n")
    source = voc_masks(root)
    assert "numbers as labelmap.txt lists them: 0 background, 1 leaf, 2 spot" in source.layout
    np.testing.assert_array_equal(source.read(1).mask, with_border(1))


def test_white_that_no_class_has_is_never_taken_for_no_label(tmp_path):
    """Masks of 0 and 255 beside a labelmap.txt of other colours."""
    root = export(tmp_path)
    for k in range(4):
        save(root / "SegmentationClass" / f"f{k}.png", (mask(k) > 0).astype(np.uint8) * 255)
    errors = scan(voc_masks(root), cache=False).errors
    assert len(errors) == 4
    assert "holds the colour #ffffff" in errors[0].problem


def test_colours_left_out_and_void(tmp_path):
    """Colours that labelmap.txt leaves out are VOC's, in its order; void is no label."""
    labelmap = "background:::\nleaf:::\nspot:::\nvoid:9,9,9::\n"
    root = export(tmp_path, labelmap=labelmap)
    colours = np.array(voc_colours()[:3], np.uint8)
    pixels = coloured(with_border(0), colours)
    pixels[1] = 9
    save(root / "SegmentationClass" / "f0.png", pixels)
    for k in range(1, 4):
        save(root / "SegmentationClass" / f"f{k}.png", coloured(with_border(k), colours))
    source = voc_masks(root)
    assert "no label: void" in source.layout
    expected = with_border(0)
    expected[1] = 255
    np.testing.assert_array_equal(source.read(0).mask, expected)


def test_a_colour_that_is_not_listed_is_named(tmp_path):
    root = export(tmp_path)
    pixels = coloured(mask(1))
    pixels[3, 4] = (1, 2, 3)
    save(root / "SegmentationClass" / "f1.png", pixels)
    (error,) = scan(voc_masks(root), cache=False).errors
    assert "the colour #010203 at pixel (y, x) = (3, 4)" in error.problem


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("background:0,0,0::\nleaf 1 2 3\n", "'leaf 1 2 3' must be name:red,green,blue"),
        ("background:0,0,0::\nleaf:1,2,300::\n", "has the colour 1,2,300"),
        ("background:0,0,0::\nleaf:0,0,0::\n", "'leaf:0,0,0::' repeats a name or a colour"),
        ("leaf:1,2,3::\n", "must list two classes or more; found 1"),
    ],
)
def test_faults_in_the_labelmap(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        voc_masks(export(tmp_path, labelmap=text))


def test_faults_in_the_lists(tmp_path):
    root = export(tmp_path, train=[0, 1, 7], val=[1, 3])
    (root / "SegmentationClass" / "f3.png").unlink()
    text = problems(voc_masks(root))
    assert "f1: is listed in ImageSets/Segmentation/train.txt and in" in text
    assert "train.txt, but JPEGImages/ has no image f7.*" in text
    assert "val.txt, but SegmentationClass/ has no mask f3.*" in text


def test_boxes_alone_are_refused(tmp_path):
    save(tmp_path / "JPEGImages" / "a.jpg", image(1))
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "a.xml").write_text("<annotation/>")
    assert sees(list_tree(tmp_path)) is None
    with pytest.raises(InputError, match=r"Annotations holds boxes, .* These are boxes, not masks"):
        voc_masks(tmp_path)


def test_an_export_without_images_and_two_of_them(tmp_path):
    root = export(tmp_path / "a")
    for file in (root / "JPEGImages").iterdir():
        file.unlink()
    with pytest.raises(InputError, match=r"no image in JPEGImages/. .*export with images"):
        voc_masks(root)
    export(tmp_path / "b")
    with pytest.raises(InputError, match="holds Pascal VOC data twice"):
        voc_masks(tmp_path)
    with pytest.raises(InputError, match="holds no SegmentationClass/"):
        voc_masks(root / "SegmentationObject")


def test_parts_of_one_set_are_not_pascal_voc_twice(tmp_path):
    for number, part in enumerate(("train", "val")):
        for name, made in (("JPEGImages/a.jpg", image), ("SegmentationClass/a.png", mask)):
            save(tmp_path / part / name, made(number))
    assert sees(list_tree(tmp_path)) is None
    source = open_source(tmp_path)
    assert source.name == "folder"
    assert [record.split for record in source.records] == ["train", "val"]


def test_names_of_vocs_folders_alone_are_images_and_masks(tmp_path):
    """A mask that is missing, names that differ, and parts: as in folders of any other name."""
    for name in ("a", "b", "c"):
        save(tmp_path / "one" / "JPEGImages" / f"{name}.jpg", image(ord(name)))
        save(tmp_path / "two" / "JPEGImages" / f"{name}.jpg", image(ord(name)))
        save(tmp_path / "two" / "SegmentationClass" / f"{name}_x.png", mask(ord(name)))
    for name in ("a", "b"):
        save(tmp_path / "one" / "SegmentationClass" / f"{name}.png", mask(ord(name)))
    for part in ("train", "val"):
        for name in ("a", "b", "c"):
            save(tmp_path / "three" / "JPEGImages" / part / f"{name}.jpg", image(ord(name)))
            save(tmp_path / "three" / "SegmentationClassAug" / part / f"{name}.png", mask(9))
    assert "c.jpg: has no mask" in "\n".join(map(str, open_source(tmp_path / "one").problems))
    assert len(open_source(tmp_path / "two")) == 3
    splits = [record.split for record in open_source(tmp_path / "three").records]
    assert splits == ["train"] * 3 + ["val"] * 3
