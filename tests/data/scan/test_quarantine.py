"""`on_bad_sample: quarantine`: what is left out, what still fails, and what is written."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.data.make import arrays, image, mask, pairs, save
from tests.support import runs
from tfvision.config import DataConfig
from tfvision.data.scan.scan import scan
from tfvision.data.sources.array_source import ArraySource
from tfvision.data.sources.folders.mask_folder import folder
from tfvision.data.sources.tables.mask_table import manifest
from tfvision.errors import InputError
from tfvision.recipe.dataset import prepare
from tfvision.registry import Spec

NAMES = ["a", "b", "c"]


def spoil(root, count: int = 12):
    """Pairs of which s0 to s4 cannot be used, each for a reason of its own."""
    pairs(root, count)
    path = root / "images" / "s0.jpg"
    Image.fromarray(image(0, 64, 96)).save(path, quality=90)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (root / "images" / "s0.png").unlink()
    save(root / "masks" / "s1.png", mask(1, 8, 11))
    labels = mask(2)
    labels[3, 4] = 7
    save(root / "masks" / "s2.png", labels)
    values = np.full((8, 12), 0.5, np.float32)
    values[1, 2] = np.nan
    save(root / "images" / "s3.tif", values)
    (root / "images" / "s3.png").unlink()
    (root / "masks" / "s4.png").unlink()
    return root


def test_bad_samples_are_left_out_and_counts_made_without_them(tmp_path):
    """D01, D03, D13, D14, D17: each is left out; the rest is what it would be alone."""
    root = spoil(tmp_path / "data")
    found = scan(folder(root), class_names=NAMES, on_bad_sample="quarantine")
    assert not found.errors
    problems = {left.issue.id: left.issue.problem for left in found.left_out}
    assert set(problems) == {"s0", "s1", "s2", "s3", "s4"}
    assert "damaged or cut off" in problems["s0"]
    assert "its mask 8 x 11" in problems["s1"]
    assert "the mask holds [7]" in problems["s2"]
    assert "holds nan" in problems["s3"]
    assert "has no mask" in problems["s4"]
    clean = scan(folder(pairs(tmp_path / "clean", 7, first=5)), class_names=NAMES)
    np.testing.assert_array_equal(found.class_pixels.sum(0), clean.class_pixels.sum(0))
    assert found.modes == clean.modes
    assert len(found.warnings) == 5
    assert all(issue.problem.startswith("left out: ") for issue in found.warnings)
    with pytest.raises(InputError, match="5 problems in the data"):
        scan(folder(root), class_names=NAMES).raise_for_errors()


def test_errors_about_the_whole_still_fail(tmp_path):
    for number, text in enumerate(
        [r"--set data.source.mask_values=\[0,1,2,7\]", "holds no image file"]
    ):
        root = spoil(tmp_path / str(number))
        if number:
            (root / "test" / "images").mkdir(parents=True)
        names = NAMES if number else None  # without names the 7 may be a class
        found = scan(folder(root), class_names=names, on_bad_sample="quarantine")
        with pytest.raises(InputError, match=text):
            found.raise_for_errors()
    images, masks = arrays()
    parts = {name: {"images": images[:3], "masks": masks[:3]} for name in ("train", "val")}
    found = scan(ArraySource(parts), on_bad_sample="quarantine")
    with pytest.raises(InputError, match="is the very image of"):
        found.raise_for_errors()


def test_more_than_half_is_too_many(tmp_path):
    root = pairs(tmp_path, 6)
    for number in range(3):
        (root / "images" / f"s{number}.png").write_bytes(b"<html>")
    half = scan(folder(root), on_bad_sample="quarantine")
    assert (len(half.left_out), half.errors) == (3, [])
    (root / "masks" / "s3.png").write_bytes(b"<html>")
    more = scan(folder(root), on_bad_sample="quarantine")
    with pytest.raises(InputError, match=r"4 of 6 samples cannot be used: more than half") as info:
        more.raise_for_errors()
    assert "4 times, first images/s0.png, images/s1.png, images/s2.png: is not" in str(info.value)
    assert not more.left_out


def test_a_sample_with_two_faults_counts_once():
    images = arrays()[0] / 255
    masks = arrays()[1].copy()
    images[2, 0, 0], masks[2, 0, 0] = 1.5, 9
    source = ArraySource({"": {"images": images, "masks": masks}})
    found = scan(source, class_names=NAMES, on_bad_sample="quarantine")
    assert [left.index for left in found.left_out] == [2, 2]
    assert found.class_pixels[2].sum() == 0 < found.class_pixels[1].sum()


def test_a_listed_image_that_is_not_there_is_left_out_and_a_path_outside_is_not(tmp_path):
    """D11, D12: what is unsafe is never set aside in silence."""
    root = pairs(tmp_path / "data", 4)
    lines = [f"images/s{i}.png,masks/s{i}.png\n" for i in range(4)]
    path = root / "data.csv"
    path.write_text("image,mask\n" + "".join(lines) + "images/none.png,masks/s0.png\n")
    found = scan(manifest(path), on_bad_sample="quarantine")
    assert not found.errors
    assert [left.index for left in found.left_out] == [4]
    path.write_text("image,mask\n" + "".join(lines) + "../out.png,masks/s0.png\n")
    found = scan(manifest(path), on_bad_sample="quarantine")
    assert "leaves the data set" in str(found.errors[0])


def test_wrong_policy():
    with pytest.raises(InputError, match="on_bad_sample must be fail or quarantine; got 'skip'"):
        scan(ArraySource({"": {"images": arrays()[0]}}), on_bad_sample="skip")


def test_no_split_holds_a_sample_that_is_left_out(tmp_path):
    """Fractions are of the good ones, and lists that name a bad one are followed."""
    root = spoil(tmp_path / "data", 15)
    options = {"class_names": tuple(NAMES), "on_bad_sample": "quarantine"}
    config = DataConfig(source=Spec(name="folder", path=str(root)), **options)
    prepared = prepare(config, seed=0)
    record = prepared.record()
    assert record["counts"] == {"train": 6, "val": 2, "test": 2}
    assert sorted(record["quarantined"]) == ["s0", "s1", "s2", "s3", "s4"]
    note = "5 samples left out for errors of their own (on_bad_sample: quarantine): "
    assert [line for line in prepared.notes if line.startswith(note)]
    lists = {"splits": "id,split\n", "exclude": "id,reason\ns1,small\n"}
    lists["splits"] += "".join(
        f"s{i},{'val' if i % 3 == 0 else 'train'}\n" for i in [1, 2, *range(5, 15)]
    )
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
    given = {name: tmp_path / name for name in lists}
    record = prepare(config.model_copy(update=given), seed=0).record()
    assert record["splits"]["val"] == ["s12", "s6", "s9"]
    assert record["counts"]["train"] == 7
    assert record["excluded"] == ["s1"]


# ---------------------------------------------------------------- a whole run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on 12 scenes, of which two are left out and one has no labelled pixel."""
    root = tmp_path_factory.mktemp("quarantine")
    data = runs.write_folder(root / "data", [(16, 16)] * 12)
    (data / "images" / "a.png").write_bytes(b"<html>")
    save(data / "masks" / "b.png", np.zeros((9, 9), np.uint8))
    save(data / "masks" / "c.png", np.full((16, 16), 255, np.uint8))
    config = runs.write_config(root / "config.yaml", data, data={"batch_size": 1})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFVISION_CACHE", str(root / "cache"))
        patch.setattr("tfvision.runs.finish.export_run", lambda *args, **options: [])
        flags = ["--config", config, "--on-bad-sample", "quarantine", "--set", "train.epochs=1"]
        assert runs.train(*flags, "--out", root / "run") == 0
    return root / "run"


@pytest.fixture
def copied(run, tmp_path):
    """A copy of the run and of its data."""
    data = shutil.copytree(run.parent / "data", tmp_path / "data")
    return runs.copy(run, tmp_path / "run", **{str(run.parent / "data"): str(data)})


def test_the_run_records_what_it_left_out(run):
    """D01: listed in `quarantine.csv` and `data.json`; class counts are without them."""
    with open(run / "quarantine.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["id"], r["part"], r["place"]) for r in rows] == [
        ("a", "", "images/a.png"),
        ("b", "", "images/b.png"),
    ]
    assert "it starts with '<html>'" in rows[0]["problem"]
    assert "its mask 9 x 9" in rows[1]["problem"]
    record = runs.data(run)
    assert record["quarantined"] == ["a", "b"]
    assert sum(record["counts"].values()) == 10
    held = {i for ids in record["splits"].values() for i in ids}
    assert held == set("cdefghijkl")
    pixels = np.array([record["class_pixels"][s] for s in ("train", "val", "test")]).sum()
    assert pixels == 9 * 256
    said = (run / "log.txt").read_text()
    assert "2 samples left out for errors of their own (on_bad_sample: quarantine): a, b;" in said
    assert "on_bad_sample: quarantine" in (run / "config.yaml").read_text()
    warned = [i for i in json.loads((run / "issues.json").read_text())["issues"] if i["id"] == "a"]
    assert warned[0]["severity"] == "warning"


def test_a_mask_without_a_labelled_pixel_trains_to_finite_numbers(run):
    """D15: batches of one image, so one step sees no label at all."""
    for row in runs.history(run):
        assert all(np.isfinite(float(row[k])) for k in ("loss", "val_loss", "val_mean_iou"))


def test_evaluate_leaves_the_same_out_and_predict_names_the_bad_image(copied, tmp_path, capsys):
    assert runs.use("evaluate", copied) == 0
    data = tmp_path / "data"
    assert runs.use("predict", copied, data / "images", "--out", tmp_path / "p") == 2
    assert "a.png: is not an image that can be read" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()
    (data / "images" / "a.png").unlink()
    assert runs.use("predict", copied, data / "images", "--out", tmp_path / "p") == 0
    assert list(runs.labels(tmp_path / "p" / "predictions.npz")) == list("bcdefghijkl")


def test_a_quarantined_run_is_resumed_and_a_mended_sample_is_other_data(
    run, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("tfvision.runs.train.finish", lambda *args, **options: {})  # scored already
    own = runs.copy(run, tmp_path / "run")
    assert runs.train("--resume", own) == 0
    assert runs.history(own) == runs.history(run)
    assert runs.train("--resume", own, "--on-bad-sample", "fail") == 2
    assert "leave out --on-bad-sample" in capsys.readouterr().err
    listed = (own / "quarantine.csv").read_bytes()
    bad = run.parent / "data" / "images" / "a.png"
    content = bad.read_bytes()
    try:
        save(bad, runs.scene(0)[0])
        assert runs.train("--resume", own) == 2
    finally:
        bad.write_bytes(content)
    said = capsys.readouterr().err
    assert "The data set is not the one this run was trained on" in said
    assert "1 sample is new: a" in said
    assert (own / "quarantine.csv").read_bytes() == listed


def test_by_default_a_bad_sample_ends_the_start(run, tmp_path, capsys):
    config = run.parent / "config.yaml"
    assert runs.train("--config", config, "--out", tmp_path / "run") == 2
    assert "2 problems in the data" in capsys.readouterr().err
    assert not (tmp_path / "run" / "quarantine.csv").exists()
    assert runs.train("--config", config, "--dry-run", "--on-bad-sample", "quarantine") == 0
    assert "2 samples left out for errors of their own" in capsys.readouterr().err
