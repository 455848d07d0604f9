"""One set, written by every tool, is read as the same samples to the bit."""

import re

import numpy as np
import pytest

from tests.data.sources.boxes.made import TOOLS, errors, said, same, scenes
from tfvision.data.sources.recognise import open_source, truth_in
from tfvision.errors import InputError

MADE = scenes(9)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    root = tmp_path_factory.mktemp("reference") / "data"
    TOOLS["csv_pixels"](root, MADE)
    source = open_source(root, truth="boxes")
    return [(r.id, source.read(i)) for i, r in enumerate(source.records)]


@pytest.mark.parametrize("tool", TOOLS)
def test_samples_are_those_of_every_other_tool(tmp_path, tool, reference):
    root = tmp_path / "data"
    TOOLS[tool](root, MADE)
    assert truth_in(root) == "boxes"
    source = open_source(root, truth=None)
    assert source.truth == "boxes"
    assert source.class_names == ["ant", "bee"]
    assert same(source, MADE), source.layout
    assert not errors(source)
    assert "9 images" in source.layout
    assert f"{sum(map(len, MADE.values()))} boxes of 2 classes (0 ant, 1 bee)" in source.layout
    assert ", 1 without any" in source.layout
    for index, (identity, sample) in enumerate(reference):
        assert source.records[index].id.rpartition("/")[2] == identity
        own = source.read(index)
        for key in ("image", "boxes", "classes"):
            np.testing.assert_array_equal(getattr(own, key), getattr(sample, key))
            assert getattr(own, key).dtype == getattr(sample, key).dtype


@pytest.mark.parametrize("tool", ["coco", "yolo", "voc", "cvat", "kitti"])
def test_annotations_of_other_images_are_an_error_with_both(tmp_path, tool):
    root = tmp_path / "data"
    TOOLS[tool](root, MADE)
    for path in sorted(root.rglob("*.png")):
        path.rename(path.with_name(f"other_{path.name}"))
    with pytest.raises(InputError, match=r"names 9 images.*none of them is below .*holds 9 images"):
        open_source(root, truth="boxes")


@pytest.mark.parametrize("tool", ["csv_pixels", "coco", "labelme", "createml", "voc"])
def test_one_image_that_is_absent_is_an_error_of_its_own(tmp_path, tool):
    root = tmp_path / "data"
    TOOLS[tool](root, MADE)
    next(root.rglob("s04.png")).unlink()
    source = open_source(root, truth="boxes")
    assert len(source) == 8
    found = errors(source)
    assert len(found) == 1
    assert re.search("s04.*no (such )?image", found[0])


def test_shares_of_few_digits_are_whole_pixels_again(tmp_path):
    root = tmp_path / "data"
    TOOLS["yolo"](root, MADE, digits=".6f")
    assert same(open_source(root, truth="boxes"), MADE)
    assert "centres in shares" in said(open_source(root, truth="boxes"))
