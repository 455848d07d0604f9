"""Predicted labels: one npz or a folder of PNGs, in order, replaced only when complete."""

import csv
import errno
import os

import numpy as np
import pytest
from PIL import Image

from tfvision.engine.predictions import write_predictions
from tfvision.errors import EnvironmentFault, InputError

SIZES = [(4, 6), (3, 5), (4, 6)]


def masks(sizes=SIZES, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, size, dtype=np.uint8) for size in sizes]


def read_folder(folder):
    with open(folder / "index.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [(row["id"], np.asarray(Image.open(folder / row["file"]))) for row in rows], rows


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_one_size_is_one_file(tmp_path):
    labels = masks([(4, 6)] * 3)
    path = write_predictions(tmp_path / "new" / "predictions", ["b", "a", "é/10"], labels)
    assert path == tmp_path / "new" / "predictions.npz"
    with np.load(path, allow_pickle=False) as file:
        assert sorted(file.files) == ["ids", "labels"]
        assert file["ids"].tolist() == ["b", "a", "é/10"]
        assert file["labels"].dtype == np.uint8
        np.testing.assert_array_equal(file["labels"], np.stack(labels))


def test_probabilities_stand_beside_the_labels(tmp_path):
    probabilities = list(np.random.default_rng(0).random((3, 4, 6, 2), dtype=np.float32))
    path = write_predictions(tmp_path / "p", ["a", "b", "c"], masks([(4, 6)] * 3), probabilities)
    with np.load(path) as file:
        assert file["probabilities"].dtype == np.float16
        assert file["probabilities"].shape == (3, 4, 6, 2)
        np.testing.assert_allclose(file["probabilities"], probabilities, atol=5e-4)


def test_no_image_at_all(tmp_path):
    with np.load(write_predictions(tmp_path / "p", [], [])) as file:
        assert len(file["ids"]) == len(file["labels"]) == 0


def test_sizes_that_differ_are_a_folder_with_an_index(tmp_path):
    labels = masks()
    ids = ["z/3", "a, with comma", "b\nline"]
    path = write_predictions(tmp_path / "new" / "predictions", ids, labels)
    assert path == tmp_path / "new" / "predictions"
    found, rows = read_folder(path)
    assert [name for name, _ in found] == ids
    for (_, image), label in zip(found, labels, strict=True):
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, label)
    assert [(int(r["height"]), int(r["width"])) for r in rows] == SIZES
    assert names_in(path) == ["000000.png", "000001.png", "000002.png", "index.csv"]
    assert names_in(path.parent) == ["predictions"]


def test_probabilities_of_sizes_that_differ(tmp_path):
    probabilities = [np.full((*size, 2), 0.25, np.float32) for size in SIZES]
    path = write_predictions(tmp_path / "p", ["a", "b", "c"], masks(), probabilities)
    with np.load(path / "000001.npz") as file:
        assert file["probabilities"].dtype == np.float16
        np.testing.assert_array_equal(file["probabilities"], probabilities[1])


def test_a_second_call_replaces_the_first_in_either_form(tmp_path):
    target = tmp_path / "p"
    write_predictions(target, ["a", "b", "c"], masks())
    write_predictions(target, ["x", "y"], masks(SIZES[:2], seed=1))
    assert [name for name, _ in read_folder(target)[0]] == ["x", "y"]
    assert names_in(target) == ["000000.png", "000001.png", "index.csv"]
    write_predictions(target, ["q"], masks([(4, 6)]))
    assert names_in(tmp_path) == ["p.npz"]
    write_predictions(target, ["a", "b", "c"], masks())
    assert names_in(tmp_path) == ["p"]


def no_space(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(("owner", "call"), [(os, "rename"), (Image.Image, "save")])
def test_a_failed_write_leaves_the_earlier_folder(tmp_path, monkeypatch, owner, call):
    write_predictions(tmp_path / "p", ["a", "b", "c"], masks())
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    monkeypatch.setattr(owner, call, no_space)
    with pytest.raises(EnvironmentFault, match=r"Cannot write .*p: No space left on device"):
        write_predictions(tmp_path / "p", ["x", "y", "z"], masks(seed=1))
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_failed_write_leaves_the_earlier_file(tmp_path, monkeypatch):
    path = write_predictions(tmp_path / "p", ["a"], masks([(4, 6)]))
    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", no_space)
    with pytest.raises(EnvironmentFault, match=r"Cannot write .*p\.npz: No space left"):
        write_predictions(tmp_path / "p", ["x"], masks([(4, 6)], seed=1))
    assert names_in(tmp_path) == ["p.npz"]
    assert path.read_bytes() == before


def test_when_the_new_folder_cannot_take_its_place_the_old_one_returns(tmp_path, monkeypatch):
    target = tmp_path / "p"
    write_predictions(target, ["a", "b", "c"], masks())
    real, count = os.rename, iter(range(3))

    def rename(*paths):
        if next(count) == 1:
            raise OSError(errno.EIO, "Input/output error")
        real(*paths)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(EnvironmentFault, match="Input/output error"):
        write_predictions(target, ["x", "y", "z"], masks(seed=1))
    assert [name for name, _ in read_folder(target)[0]] == ["a", "b", "c"]
    assert names_in(tmp_path) == ["p"]


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    target = tmp_path / "predictions"
    target.mkdir()
    (target / "val.npz").write_text("of a run")
    with pytest.raises(InputError, match="holds something else than predictions"):
        write_predictions(target, ["a", "b", "c"], masks())
    assert names_in(target) == ["val.npz"]
    write_predictions(target, ["a"], masks([(4, 6)]))  # a file beside it is in nobody's way
    assert (target / "val.npz").read_text() == "of a run"
