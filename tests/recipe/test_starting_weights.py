"""`model.weights`: what a run begins with, what it says and records, what it refuses."""

import json
import shutil

import numpy as np
import pytest

from tests.support import runs
from tfvision.config import dump_config, load_config
from tfvision.engine.run_folder import RunFolder
from tfvision.models.weight_files import layers_of
from tfvision.runs import export
from tfvision.runs.load import load_run
from tfvision.tasks.segmentation.schema import SegmentationConfig

STILL = {"epochs": 1, "optimizer": {"name": "sgd", "learning_rate": 1e-9}}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A finished run that others begin with, and its data."""
    folder = tmp_path_factory.mktemp("first")
    data = runs.write_npz(folder / "data.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "check_export", lambda *args, **options: [])
        return runs.new_run(folder / "run", data, train={"epochs": 1}), data


def begin(tmp_path, source, weights, **sections):
    model = {"weights": str(weights), **sections.pop("model", {})}
    return runs.write_config(
        tmp_path / "config.yaml", source, model=model, **{"train": STILL, **sections}
    )


def weights_of(run):
    """Without statistics, which move at any learning rate."""
    layers = layers_of(load_run(RunFolder(run)).predictor.model)
    return {
        f"{layer}/{name}": np.asarray(variable)
        for layer, variables in layers.items()
        for name, variable in variables.items()
        if variable.trainable
    }


def test_a_run_begins_with_another_and_needs_it_no_more(first, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(export, "check_export", lambda *args, **options: [])
    source = shutil.copytree(first[0], tmp_path / "source")
    config = begin(tmp_path, first[1], source)
    assert runs.train("--config", config, "--out", tmp_path / "run") == 0
    number = len({path.rpartition("/")[0] for path in weights_of(source)})
    said = f"weights: {number} of {number} layers from {source}\n"
    assert said in capsys.readouterr().err

    entered = json.loads((tmp_path / "run/env.json").read_text())["started_from"]
    assert (entered["source"], entered["anew"], entered["unused"]) == (str(source), {}, [])
    assert len(entered["loaded"]) == number
    for path, value in weights_of(source).items():
        np.testing.assert_allclose(weights_of(tmp_path / "run")[path], value, atol=1e-5)

    shutil.rmtree(source)
    assert runs.use("predict", tmp_path / "run", first[1], "--out", tmp_path / "out") == 0
    assert runs.train("--resume", tmp_path / "run", "--set", "train.epochs=2") == 0
    assert json.loads((tmp_path / "run/env.json").read_text())["started_from"] == entered


@pytest.mark.parametrize(
    ("names", "reason"),
    [(["a", "b", "c"], "of other classes"), (["a", "b", "c", "d"], "(1, 1, 4, 3), (3,) there")],
)
def test_heads_of_other_classes_are_made_anew(first, tmp_path, capsys, names, reason):
    data = {"class_names": names, "batch_size": 4}
    config = begin(tmp_path, first[1], first[0], data=data)
    assert runs.train("--config", config, "--dry-run") == 0
    said = capsys.readouterr().err
    assert f"made anew: logits ({reason}" in said
    assert "not used of it" not in said  # what is made anew is named once


def test_a_file_of_weights_is_taken_by_shape(first, tmp_path, capsys):
    file = tmp_path / "own.weights.h5"
    load_run(RunFolder(first[0])).predictor.model.save_weights(file)
    config = begin(tmp_path, first[1], file, data={"class_names": ["a", "b", "c"]})
    assert runs.train("--config", config, "--dry-run") == 0
    assert f" from {file}\n" in capsys.readouterr().err


def test_the_config_keeps_what_it_begins_with(first, tmp_path):
    config = begin(tmp_path, first[1], first[0])
    read = load_config(SegmentationConfig, config)
    (tmp_path / "saved.yaml").write_text(dump_config(read))
    assert load_config(SegmentationConfig, tmp_path / "saved.yaml") == read
    assert read.model.weights == str(first[0])
    assert "weights" not in read.model.kwargs


def refused(config, tmp_path, capsys, *options) -> str:
    assert runs.train("--config", config, "--out", tmp_path / "run", *options) == 2
    return capsys.readouterr().err


def test_what_is_no_run_with_weights_stops_a_run_before_its_data(first, tmp_path, capsys):
    nowhere = tmp_path / "no-such-data"
    unfinished = tmp_path / "unfinished"
    shutil.copytree(first[0], unfinished, ignore=shutil.ignore_patterns("checkpoints"))
    (tmp_path / "empty").mkdir()
    ensemble = shutil.copytree(first[0], tmp_path / "ensemble")
    (ensemble / "ensemble.json").write_text("{}")
    for weights, message in {
        tmp_path / "none.npz": "model.weights: There is no file",
        tmp_path / "model.bin": "model.weights: Weights are read from the folder of a run or",
        unfinished: "has no checkpoint yet. Train it first",
        tmp_path / "empty": "model.weights: ",
        ensemble: "is an ensemble of runs: give one of them",
    }.items():
        assert message in refused(begin(tmp_path, nowhere, weights), tmp_path, capsys)
    forbidden = begin(tmp_path, nowhere, first[0], model={"pretrained": "forbidden"})
    said = refused(forbidden, tmp_path, capsys)
    assert "outside weights would enter by model.weights" in said


def test_weights_of_which_nothing_fits_are_refused(first, tmp_path, capsys):
    np.savez(tmp_path / "x.npz", **{"conv/kernel": np.ones((3, 3), np.float32)})
    config = begin(tmp_path, first[1], tmp_path / "x.npz")
    said = refused(config, tmp_path, capsys)
    assert f"nothing of {tmp_path / 'x.npz'} fits this model. It has the layers conv;" in said
