"""The source `nnunet`: names and numbers of dataset.json, one channel, and planted faults."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.data.make import image, mask, save
from tfvision.data import SOURCES
from tfvision.data.files.tree import list_tree
from tfvision.data.scan.scan import scan
from tfvision.data.sources.exports.nnunet import nnunet, sees
from tfvision.errors import InputError
from tfvision.registry import Spec

LABELS = {"background": 0, "vein": 1, "spot": 2}


def raw(root: Path, labels=None, values=(0, 1, 2), **more) -> Path:
    """Three cases, two of the test set."""
    for k in range(5):
        part = "Tr" if k < 3 else "Ts"
        save(root / f"images{part}" / f"leaf_{k:03d}_0000.png", image(k, channels=1))
        if part == "Tr":
            labels_of = np.array(values, np.uint8)[mask(k)]
            save(root / "labelsTr" / f"leaf_{k:03d}.png", labels_of)
    about = {"channel_names": {"0": "green"}, "labels": labels or LABELS, "file_ending": ".png"}
    (root / "dataset.json").write_text(json.dumps({**about, **more}))
    return root


def problems(source) -> str:
    return "\n".join(map(str, source.problems))


@pytest.mark.parametrize(
    "labels", [LABELS, {"0": "background", "1": "vein", "2": "spot"}], ids=["new", "old"]
)
def test_names_are_those_of_dataset_json(tmp_path, labels):
    root = raw(tmp_path / "raw", labels)
    assert sees(list_tree(root)) == "nnU-Net's dataset.json and imagesTr/"
    source = SOURCES.build(Spec(name="nnunet", path=root))
    assert source.layout == (
        "raw: nnU-Net dataset.json: 5 images (3 to be split, 2 test), 2 of them without masks; one "
        "channel (green); 3 classes (0 background, 1 vein, 2 spot)"
    )
    assert [(r.id, r.split, r.labelled) for r in source.records] == [
        *((f"leaf_{k:03d}", None, True) for k in range(3)),
        *((f"leaf_{k:03d}", "test", False) for k in range(3, 5)),
    ]
    np.testing.assert_array_equal(source.read(1).mask, mask(1))
    assert not source.problems
    assert not scan(source, cache=False).errors


def test_numbers_with_gaps_and_ignore(tmp_path):
    labels = {"spot": 4, "ignore": 7, "background": 0}
    source = nnunet(raw(tmp_path, labels, values=(0, 4, 7)))
    assert source.class_names == ["background", "spot"]
    assert "ignore: no label" in source.layout
    np.testing.assert_array_equal(source.read(2).mask, np.array([0, 1, 255])[mask(2)])


def test_a_test_set_with_masks_and_a_folder_above(tmp_path):
    root = raw(tmp_path / "nnUNet_raw" / "Dataset007_Leaf")
    for k in (3, 4):
        save(root / "labelsTs" / f"leaf_{k:03d}.png", mask(k))
    source = nnunet(tmp_path)
    assert [r.labelled for r in source.records if r.split == "test"] == [True, True]
    raw(tmp_path / "nnUNet_raw" / "Dataset008_Root")
    with pytest.raises(InputError, match="holds nnU-Net's raw data twice"):
        nnunet(tmp_path)


def test_several_channels_are_refused(tmp_path):
    root = raw(tmp_path, channel_names={"0": "green", "1": "infrared"})
    for k in range(3):
        save(root / "imagesTr" / f"leaf_{k:03d}_0001.png", image(k, channels=1))
    with pytest.raises(
        InputError,
        match=r"2 channels an image, in files _0000, _0001 \(dataset.json: green, infrared\)\. One",
    ):
        nnunet(root)


def test_a_value_that_is_no_label_is_named(tmp_path):
    root = raw(tmp_path)
    wrong = mask(1)
    wrong[2, 3] = 9
    save(root / "labelsTr" / "leaf_001.png", wrong)
    (error,) = scan(nnunet(root), cache=False).errors
    assert (error.id, error.place) == ("leaf_001", "labelsTr/leaf_001.png")
    assert "holds 9 at pixel (y, x) = (2, 3); known: 0, 1, 2" in error.problem


def test_masks_and_images_without_partner(tmp_path):
    root = raw(tmp_path)
    (root / "labelsTr" / "leaf_001.png").rename(root / "labelsTr" / "leaf_009.png")
    (root / "labelsTr" / "notes.md").write_text("x")
    source = nnunet(root)
    text = problems(source)
    assert "leaf_001_0000.png: has no mask: no file leaf_001.* in labelsTr/" in text
    assert "labelsTr/leaf_009.png: a mask without an image of its name" in text
    assert "1 .md file in labelsTr/ is not read" in source.notes


def test_volumes_are_refused(tmp_path):
    root = raw(tmp_path)
    for file in [*(root / "imagesTr").iterdir()]:
        file.rename(file.with_suffix(".nii.gz"))
    with pytest.raises(InputError, match=r"3 files of the kind .nii.gz, which is not read. Save"):
        nnunet(root)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"background": 0, "whole": [1, 2]}, "whole are regions of several labels"),
        ({"background": 0, "spot": "one"}, "must give whole numbers"),
        ({"background": 0, "spot": 0}, "two names or more of different numbers"),
        ([1, 2], "needs 'labels', such as"),
    ],
)
def test_faults_in_dataset_json(tmp_path, labels, message):
    with pytest.raises(InputError, match=message):
        nnunet(raw(tmp_path, labels))


def test_no_such_folders(tmp_path):
    save(tmp_path / "imagesTr" / "a_0000.png", image(1))
    with pytest.raises(InputError, match=r"holds no dataset.json beside imagesTr/ and labelsTr/"):
        nnunet(tmp_path)
