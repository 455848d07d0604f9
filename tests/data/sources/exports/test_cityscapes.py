"""The source `cityscapes`: which masks are read, how numbers are mapped, cities, faults."""

from pathlib import Path

import numpy as np
import pytest

from tests.data.make import image, save
from tfvision.data import SOURCES
from tfvision.data.files.tree import list_tree
from tfvision.data.scan.scan import scan
from tfvision.data.sources.exports.cityscapes import TRAIN_NAMES, cityscapes, sees
from tfvision.errors import InputError
from tfvision.registry import Spec

SHOTS = {
    "train": ["aachen/aachen_000000_000019", "bochum/bochum_000000_000313"],
    "val": ["munster/munster_000000_000019"],
    "test": ["bonn/bonn_000000_000019"],
}
TRAINED = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
TO_TRAIN = {number: i for i, number in enumerate(TRAINED)}  # helpers/labels.py of cityscapesScripts


def ids() -> np.ndarray:
    """(8, 12) that holds every number 0..33."""
    return (np.arange(96) % 34).reshape(8, 12).astype(np.uint8)


def expected(numbers: np.ndarray) -> np.ndarray:
    return np.vectorize(lambda number: TO_TRAIN.get(number, 255))(numbers)


def city(root: Path, *, train_ids: bool = False, truth: str = "gtFine") -> Path:
    for part, shots in SHOTS.items():
        for k, shot in enumerate(shots):
            numbers = ids() if part != "test" else np.zeros((8, 12), np.uint8)
            start = root / truth / part / f"{shot}_{truth}"
            save(root / "leftImg8bit" / part / f"{shot}_leftImg8bit.png", image(ord(shot[1])))
            save(Path(f"{start}_labelIds.png"), numbers)
            save(Path(f"{start}_instanceIds.png"), numbers)
            save(Path(f"{start}_color.png"), image(k + 9))
            Path(f"{start}_polygons.json").write_text("{}")
            if train_ids:
                save(Path(f"{start}_labelTrainIds.png"), expected(numbers).astype(np.uint8))
    return root


@pytest.mark.parametrize("train_ids", [False, True])
def test_masks_of_training(tmp_path, train_ids):
    root = city(tmp_path / "city", train_ids=train_ids)
    assert sees(list_tree(root)) == "Cityscapes' leftImg8bit/ and gtFine/"
    source = SOURCES.build(Spec(name="cityscapes", path=root))
    kind = "labelTrainIds" if train_ids else "labelIds"
    assert f"with masks {kind} in gtFine/; the 19 classes of training, all else no label" in (
        source.layout
    )
    assert "(0 road, 1 sidewalk, 2 building" in source.layout
    assert "4 cities as groups" in source.layout
    left = ["color", "instanceIds", *(["labelIds"] if train_ids else []), "polygons.json"]
    assert source.notes == [
        f"not read of gtFine/: {', '.join(f'4 files {ending}' for ending in left)}",
        "the masks of test/ hold no class, as Cityscapes gives them: left out",
    ]
    assert source.class_names == list(TRAIN_NAMES)
    assert {(r.id, r.split, r.group, r.labelled) for r in source.records} == {
        ("aachen/aachen_000000_000019", "train", "aachen", True),
        ("bochum/bochum_000000_000313", "train", "bochum", True),
        ("munster/munster_000000_000019", "val", "munster", True),
        ("bonn/bonn_000000_000019", "test", "bonn", False),
    }
    index = next(i for i, r in enumerate(source.records) if r.group == "bochum")
    np.testing.assert_array_equal(source.read(index).mask, expected(ids()))
    found = scan(source, cache=False)
    assert not found.errors
    assert found.ignored_pixels[index] == (expected(ids()) == 255).sum()


def test_all_numbers_where_asked_for(tmp_path):
    source = cityscapes(city(tmp_path, train_ids=True), classes="ids")
    assert len(source.class_names) == 34
    assert "masks labelIds in gtFine/; the 34 numbers of labelIds" in source.layout
    np.testing.assert_array_equal(source.read(1).mask, ids())
    assert [r.labelled for r in source.records if r.split == "test"] == [False]


def test_masks_of_somebodys_own_numbers_are_not_cityscapes(tmp_path):
    root = city(tmp_path)
    for file in root.rglob("*_labelIds.png"):
        save(file, ids() % 3)
    assert sees(list_tree(root)) is None
    city(root, train_ids=True)
    assert sees(list_tree(root)) is not None


def test_coarse_masks_one_level_down(tmp_path):
    city(tmp_path / "data", truth="gtCoarse")
    assert "in data/gtCoarse/" in cityscapes(tmp_path).layout


def test_a_test_part_with_masks_is_scored(tmp_path):
    root = city(tmp_path)
    save(root / "gtFine/test/bonn/bonn_000000_000019_gtFine_labelIds.png", ids())
    source = cityscapes(root)
    assert all(record.labelled for record in source.records)


def test_faults(tmp_path):
    root = city(tmp_path)
    start = root / "gtFine/train/aachen/aachen_000000_000019_gtFine"
    Path(f"{start}_labelIds.png").unlink()
    wrong = ids()
    wrong[4, 5] = 77
    save(root / "gtFine/val/munster/munster_000000_000019_gtFine_labelIds.png", wrong)
    source = cityscapes(root)
    assert "aachen_000000_000019_leftImg8bit.png: has no mask" in str(source.problems[0])
    (error,) = [e for e in scan(source, cache=False).errors if "munster" in e.id]
    assert "the mask holds 77 at pixel (y, x) = (4, 5)" in error.problem
    with pytest.raises(InputError, match="classes must be one of train, ids"):
        cityscapes(root, classes="34")
    for file in root.rglob("*_labelIds.png"):
        file.unlink()
    with pytest.raises(InputError, match=r"no masks of the kind labelTrainIds or labelIds; found"):
        cityscapes(root)
    with pytest.raises(InputError, match="holds no leftImg8bit/ beside"):
        cityscapes(root / "gtFine")
