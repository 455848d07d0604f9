"""What repeat, balance, rare classes and the picture make of a real run's data."""

import json
import shutil

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.support import runs
from tfvision.engine.checkpoint import steps_in
from tfvision.errors import InputError
from tfvision.recipe.dataset import prepare
from tfvision.recipe.read import decode
from tfvision.recipe.sampling import augmented, training_set, training_stream
from tfvision.tasks.segmentation.schema import SegmentationConfig


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """12 training scenes, 3 of them exact doubles of the first; one twin with another mask."""
    images, masks = runs.arrays(12)
    images[[3, 5, 7]], masks[[3, 5, 7]] = images[0], masks[0]
    images[9] = images[1]
    masks[9] = np.roll(masks[1], 1, axis=1)
    assert (masks[9] != masks[1]).any()
    path = tmp_path_factory.mktemp("data") / "set.npz"
    np.savez(path, x_train=images, y_train=masks, x_val=images[:2] // 2, y_val=masks[:2])
    return path


@pytest.fixture
def prepared(data, tmp_path, monkeypatch):
    monkeypatch.setenv("TFVISION_CACHE", str(tmp_path / "cache"))
    return lambda **options: _prepared(data, tmp_path, **options)


def _prepared(data, folder, **options):
    raw = yaml.safe_load(runs.write_config(folder / "c.yaml", data, data=options).read_text())
    config = SegmentationConfig.model_validate(raw)
    return config, prepare(config.data, seed=config.seed)


def test_plain_settings_leave_the_training_split_as_it_is(prepared):
    config, found = prepared()
    chosen = training_set(config, found, ())
    assert chosen.indices == found.indices("train")
    assert (chosen.weights, chosen.notes, chosen.per_epoch) == (None, [], 12)


def test_repeat_drops_exact_doubles_of_image_and_mask_first(prepared):
    config, found = prepared(repeat=3)
    chosen = training_set(config, found, ())
    ids = [found.source.records[i].id for i in chosen.indices]
    assert ids == ["0", "1", "2", "4", "6", "8", "9", "10", "11"]  # 9 has a mask of its own
    assert chosen.per_epoch == 27
    assert "9 training samples 3 times" in chosen.notes[0]
    assert "left out first: 3" in chosen.notes[0]
    stream = training_stream(config, decode(found, chosen.indices), chosen)
    drawn = np.concatenate([b["index"] for b in stream(0).take(27)])  # 27 batches of 4
    np.testing.assert_array_equal(np.bincount(drawn[:27]), [3] * 9)


def test_balance_draws_images_of_rare_classes_more_often(prepared):
    config, found = prepared(balance="images")
    found.scan.class_pixels[:] = [50, 0, 0]
    found.scan.class_pixels[0, 1] = 9  # class 1 in one image only, class 2 in four
    found.scan.class_pixels[:4, 2] = 9
    chosen = training_set(config, found, ())
    present = chosen.class_pixels > 0
    share = present.mean(axis=0)
    by_hand = [max(1 / np.sqrt(share[held])) for held in present]
    np.testing.assert_allclose(chosen.weights, by_hand)
    assert chosen.weights[0] == pytest.approx(np.sqrt(12))
    assert "up to 3.5 times as often" in chosen.notes[0]
    stream = training_stream(config, decode(found, chosen.indices), chosen)
    counts = np.bincount(np.concatenate([b["index"] for b in stream(0).take(30)]))
    np.testing.assert_allclose(counts / 10, 12 * np.array(by_hand) / np.sum(by_hand), atol=0.6)


def test_rare_is_resolved_from_the_training_set(prepared):
    config, found = prepared(mix=["copy_paste(p=1.0)", "mixup"])
    found.scan.class_pixels[:] = 0
    found.scan.class_pixels[:, :3] = [500, 400, 30]
    chosen = training_set(config, found, ())
    assert [spec.name for spec in chosen.mixers] == ["copy_paste", "mixup"]
    assert chosen.mixers[0].kwargs == {"p": 1.0, "classes": [2]}
    assert found.class_names[2] in chosen.notes[0]
    assert [spec.name for spec in training_set(config, found, (2,)).mixers] == ["mixup"]
    assert "nothing is pasted" in training_set(config, found, (2,)).notes[0]


def test_all_boxes_need_no_names(prepared):
    config, found = prepared(mix=["copy_paste(classes='all')"])
    chosen = training_set(config, found, ())
    assert (chosen.mixers, chosen.notes) == (config.data.mix, [])


def test_a_class_that_the_data_does_not_have_is_refused(prepared):
    config, found = prepared(mix=[{"name": "copy_paste", "classes": [1, 70]}])
    with pytest.raises(InputError, match=r"classes names 70, and the data has the labels 0 to"):
        training_set(config, found, ())


def test_the_picture_is_of_the_runs_own_samples_and_ops(prepared):
    config, found = prepared(augment=["negative(p=1.0)"])
    shown = augmented(config, found, ())
    assert shown.ids == ["0", "4", "7", "11"]  # evenly apart among 0 to 11
    samples = decode(found, found.indices("train"))
    for name, (image, mask), draws in zip(shown.ids, shown.originals, shown.draws, strict=True):
        np.testing.assert_allclose(image, samples.images[int(name)] * samples.scale, atol=1e-6)
        np.testing.assert_array_equal(mask, samples.targets["mask"][int(name)])
        assert len(draws) == 5
        for drawn, labels in draws:
            np.testing.assert_allclose(drawn, 1 - image, atol=1e-6)
            np.testing.assert_array_equal(labels, mask)


def test_without_augmentation_there_is_no_picture(prepared):
    assert augmented(*prepared(), ()) is None
    assert augmented(*prepared(mix=["mixup"]), ()) is not None


def test_a_dry_run_writes_the_picture_and_counts_repeats(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = {"augment": ["flip_lr(p=0.5)", "elastic"], "repeat": 4}
    config = runs.write_config(tmp_path / "c.yaml", data, data=options)
    assert runs.train("--config", config, "--out", tmp_path / "run", "--dry-run", "--json") == 0
    said = capsys.readouterr()
    printed = json.loads(said.out.splitlines()[-1])
    assert printed["steps_per_epoch"] == 9  # 9 samples, 4 times, by 4
    path = tmp_path / "run-augmentation.png"
    assert printed["augmentation_picture"] == str(path)
    assert Image.open(path).size[0] > 600
    read = tmp_path / "run-samples.png"
    assert f"No run was written; written: {read}, {path}" in said.out + said.err
    assert Image.open(read).size[1] > 6 * 128  # six samples, one below the other
    written = {"c.yaml", path.name, read.name}
    assert {p.name for p in tmp_path.iterdir()} - {"cache"} == written


def test_a_repeated_balanced_run_with_pasting_resumes_to_the_bit(data, tmp_path, monkeypatch):
    monkeypatch.setenv("TFVISION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("tfvision.runs.finish.export_run", lambda *args, **options: [])
    options = {
        "augment": ["crop(height=8, width=8, balance=0.5)"],
        "mix": [{"name": "copy_paste", "classes": [1]}],
        "repeat": 2,
        "balance": "images",
    }
    whole = runs.new_run(tmp_path / "whole", data, data=options)
    assert steps_in(whole / "checkpoints") == [4, 8]  # 9 samples, twice, by 4: 4 steps an epoch
    part = runs.copy(whole, tmp_path / "part")
    shutil.rmtree(part / "checkpoints" / "ckpt-00000008")
    assert runs.train("--resume", part) == 0
    assert runs.summary(part)["steps"] == 8
    assert runs.summary(part)["variables_sha256"] == runs.summary(whole)["variables_sha256"]
    assert any("data.repeat" in note for note in runs.data(whole)["notes"])
    assert '<section id="augmentation">' in (whole / "report.html").read_text()
