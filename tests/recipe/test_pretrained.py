"""Runs whose encoder comes from a file: what enters, what is kept, what is refused."""

import hashlib
import json
import os

import numpy as np
import pytest

from tests.models import tiny_encoder
from tests.support import runs
from tfvision.config import dump_config, load_config
from tfvision.engine.export import load_exported
from tfvision.engine.run_folder import RunFolder
from tfvision.runs import export
from tfvision.runs.load import load_run
from tfvision.tasks.segmentation.schema import SegmentationConfig


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("encoder") / "tiny.keras"
    tiny_encoder.build().save(path)
    return path


def model(file, *, pretrained="allowed", **encoder):
    return {
        "depth": 2,
        "encoder": {"path": str(file), "preprocessing": "tf", **encoder},
        "pretrained": pretrained,
    }


def refused(tmp_path, source, capsys, **sections) -> str:
    config = runs.write_config(tmp_path / "config.yaml", source, **sections)
    assert runs.train("--config", config, "--out", tmp_path / "run") == 2
    assert not (tmp_path / "run").exists()
    return capsys.readouterr().err


def test_a_run_needs_its_encoders_file_only_to_begin(file, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "check_export", lambda *args, **options: [])
    own = tmp_path / "own.keras"
    own.write_bytes(file.read_bytes())
    run = runs.new_run(tmp_path / "run", dataset, model=model(own, trainable=False))

    recorded = json.loads((run / "env.json").read_text())["pretrained"]
    assert recorded["source"] == str(own)
    assert recorded["sha256"] == hashlib.sha256(own.read_bytes()).hexdigest()
    stem = tiny_encoder.build().get_layer("stem").kernel
    loaded = load_run(RunFolder(run)).predictor.model
    np.testing.assert_array_equal(loaded.get_layer("encoder_stem").kernel, stem)

    own.unlink()
    before = runs.labels(run / "predictions/test.npz")
    assert runs.use("predict", run, dataset, "--out", tmp_path / "out") == 0
    found = runs.labels(tmp_path / "out/predictions.npz")
    for name, labels in before.items():
        np.testing.assert_array_equal(found[name], labels)
    images = np.random.default_rng(0).random((1, 16, 16, 1), dtype="float32")
    exported = load_exported(run / "export")
    np.testing.assert_allclose(exported(images), load_run(RunFolder(run)).predictor.model(images))

    assert runs.train("--resume", run, "--set", "train.epochs=3") == 0
    assert len(runs.history(run)) == 3
    assert json.loads((run / "env.json").read_text())["pretrained"] == recorded
    os.remove(run / "encoder.json")
    assert runs.use("predict", run, dataset, "--out", tmp_path / "again") == 2


def test_weights_enter_before_the_first_step_and_then_learn(file, dataset, tmp_path, quick):
    run = runs.new_run(
        tmp_path / "run",
        dataset,
        model=model(file),
        train={"epochs": 1, "optimizer": {"name": "sgd", "learning_rate": 1e-4}},
    )
    stem = np.asarray(tiny_encoder.build().get_layer("stem").kernel)
    learnt = load_run(RunFolder(run)).predictor.model.get_layer("encoder_stem").kernel
    assert 0 < np.abs(np.asarray(learnt) - stem).max() < 0.05  # glorot would be 0.5 away


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ({}, "model.encoder.path ("),
        ({"weights": "some.weights.h5"}, "model.encoder.weights (some.weights.h5)"),
    ],
)
def test_forbidden_weights_stop_a_run_before_its_data(file, tmp_path, capsys, encoder, message):
    sections = {"model": model(file, pretrained="forbidden", **encoder)}
    said = refused(tmp_path, tmp_path / "no-such-data", capsys, **sections)
    assert f"model.pretrained is forbidden, but outside weights would enter by {message}" in said


def test_forbidden_lets_an_architecture_in(file, dataset, tmp_path):
    sections = {"model": model(file, pretrained="forbidden", weights=None)}
    config = runs.write_config(tmp_path / "config.yaml", dataset, **sections)
    assert runs.train("--config", config, "--dry-run") == 0
    again = load_config(SegmentationConfig, config)
    (tmp_path / "saved.yaml").write_text(dump_config(again))
    assert load_config(SegmentationConfig, tmp_path / "saved.yaml") == again
    assert again.model.pretrained == "forbidden"
    assert "pretrained" not in again.model.kwargs


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ({"weights": "none.weights.h5"}, "there is no file none.weights.h5"),
        ({"weights": "imagenet"}, "imagenet is fetched by keras.applications"),
        ({"weights": "tiny.pt"}, "must be null, imagenet or a file .keras, .weights.h5, .h5"),
        ({"path": None}, "encoder.path is missing"),
        ({"pth": "x"}, "Unknown key of encoder: 'pth'. Did you mean 'path'"),
    ],
)
def test_bad_encoders_stop_a_run_before_its_data(file, tmp_path, capsys, encoder, message):
    said = refused(tmp_path, tmp_path / "no-such-data", capsys, model=model(file, **encoder))
    assert message in said


def test_a_config_without_pretrained_is_saved_as_before(dataset, tmp_path):
    config = load_config(SegmentationConfig, runs.write_config(tmp_path / "a.yaml", dataset))
    assert "pretrained" not in dump_config(config)
    bare = config.model_copy(update={"model": type(config.model)(name="unet")})
    assert "model: unet\n" in dump_config(bare)
