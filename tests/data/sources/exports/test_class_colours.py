"""The source `colour_masks`: a table of classes and colours beside the folders."""

from pathlib import Path

import numpy as np
import pytest

from tests.data.make import image, mask, save
from tfvision.data import SOURCES
from tfvision.data.files.tree import list_tree
from tfvision.data.scan.scan import scan
from tfvision.data.sources.exports.class_colours import colour_masks, sees
from tfvision.errors import InputError
from tfvision.registry import Spec

COLOURS = np.array([[64, 128, 64], [128, 0, 128], [0, 0, 0]], np.uint8)
TABLE = "name,r,g,b\ntree,64,128,64\nroad,128,0,128\nVoid,0,0,0\n"


def town(root: Path, table: str = TABLE, name: str = "class_dict.csv") -> Path:
    for k in range(4):
        save(root / "images" / f"s{k}.png", image(k))
        save(root / "masks" / f"s{k}.png", COLOURS[mask(k)])
    (root / name).write_text(table)
    return root


def test_classes_and_colours_are_those_of_the_table(tmp_path):
    root = town(tmp_path / "town")
    assert sees(list_tree(root)) == "colours of classes in class_dict.csv"
    source = SOURCES.build(Spec(name="colour_masks", path=root))
    assert source.layout.endswith("; colours of class_dict.csv (0 tree, 1 road, 2 Void)")
    assert source.class_names == ["tree", "road", "Void"]
    np.testing.assert_array_equal(source.read(3).mask, mask(3))
    assert not scan(source, cache=False).errors
    assert "Void counts as a class; --set data.ignore_label=2 makes it no label" in source.notes


@pytest.mark.parametrize(
    "table", [TABLE.replace(",", ";"), TABLE.replace("name,r,g,b", "Label, Red, Green, Blue")]
)
def test_other_separators_and_headers(tmp_path, table):
    source = colour_masks(town(tmp_path, table, "labels.csv"))
    np.testing.assert_array_equal(source.read(0).mask, mask(0))


def test_the_list_of_camvid(tmp_path):
    text = "64 128 64\ttree\n128 0 128\t\tlarge road\n0 0 0 Void\n"
    root = town(tmp_path, text, "label_colors.txt")
    assert sees(list_tree(root)) == "colours of classes in label_colors.txt"
    source = colour_masks(root)
    assert source.class_names == ["tree", "large road", "Void"]
    np.testing.assert_array_equal(source.read(2).mask, mask(2))
    (root / "label_colors.txt").write_text("64 128 64 tree\n128 0 road\n")
    with pytest.raises(InputError, match="line 2 is '128,0,road'; it must be"):
        colour_masks(root)


@pytest.mark.parametrize("parts", [("train", "val", "test"), ("train", "test")])
def test_splits(tmp_path, parts):
    for part in parts:
        town(tmp_path / part)
        (tmp_path / part / "class_dict.csv").rename(tmp_path / "class_dict.csv")
    source = colour_masks(tmp_path)
    splits = [record.split for record in source.records]
    assert splits[0] == ("train" if "val" in parts else None)
    assert splits[-1] == "test"


def test_folders_named_after_the_splits(tmp_path):
    """CamVid's: train/ beside train_labels/, with a suffix that all masks share."""
    for part in ("train", "val"):
        for k in range(3):
            save(tmp_path / part / f"s{k}.png", image(len(part) + k))
            save(tmp_path / f"{part}_labels" / f"s{k}_L.png", COLOURS[mask(k)])
    (tmp_path / "class_dict.csv").write_text(TABLE)
    source = colour_masks(tmp_path)
    assert [record.split for record in source.records] == ["train"] * 3 + ["val"] * 3
    np.testing.assert_array_equal(source.read(1).mask, mask(1))
    assert not any("csv" in note for note in source.notes)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (TABLE + "sky,1,2\n", r"line 5 is 'sky,1,2'; it must be a name and three whole numbers"),
        (TABLE + "sky,1,2,900\n", r"line 5: the colour \(1, 2, 900\) must be of 0 to 255"),
        (TABLE + "sky,0,0,0\n", "line 5 repeats a name or a colour"),
        (TABLE + ",1,2,3\n", "line 5 has no name"),
        ("name,r,g,b\ntree,1,2,3\n", "must list two classes or more; found 1"),
    ],
)
def test_faults_in_the_table_name_the_line(tmp_path, table, message):
    with pytest.raises(InputError, match=message):
        colour_masks(town(tmp_path, table))


def test_a_colour_that_is_not_listed_is_named(tmp_path):
    root = town(tmp_path)
    pixels = COLOURS[mask(1)]
    pixels[2, 3] = (9, 9, 9)
    save(root / "masks" / "s1.png", pixels)
    (error,) = scan(colour_masks(root), cache=False).errors
    assert "#090909 at pixel (y, x) = (2, 3)" in error.problem


def test_no_table_and_two_of_them(tmp_path):
    root = town(tmp_path)
    (root / "more.csv").write_text(TABLE)
    with pytest.raises(InputError, match=r"class_dict.csv, more.csv: which one is meant\? Write"):
        colour_masks(root)
    assert colour_masks(root, classes="more.csv").class_names == ["tree", "road", "Void"]
    for file in root.glob("*.csv"):
        file.write_text("image,mask\n1,2\n")
    assert sees(list_tree(root)) is None
    with pytest.raises(InputError, match="holds no table of classes"):
        colour_masks(root)
