"""Supervised contrastive learning in whole runs: as a term, as pretraining, and what it refuses."""

import shutil

import keras
import numpy as np
import pytest

from tests.support import classes, runs
from tfvision.config import validate
from tfvision.engine.checkpoint import steps_in
from tfvision.engine.grad_cam import grad_cam
from tfvision.engine.run_folder import RunFolder
from tfvision.runs.check_settings import check_settings
from tfvision.runs.load import load_run
from tfvision.tasks.classification.schema import ClassificationConfig

PRETRAINING = [{"epochs": 2, "outputs": ["embedding"]}, {"outputs": ["logits"]}]
SGD = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9}
LOSS = ["cross_entropy", "supervised_contrastive(weight=0.5, temperature=0.2)"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return classes.write_npz(tmp_path_factory.mktemp("data") / "squares.npz")


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory):
    """Two epochs of pretraining on two views an image, then two of the whole on the logits;
    tracing Adam would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfvision.runs.finish.export_run", lambda *args, **options: [])
        return classes.new_run(
            tmp_path_factory.mktemp("run") / "run",
            dataset,
            data={"augment": ["noise(p=1.0)"], "views": 2, "batch_size": 12},
            model={"normalization": "batch"},
            loss=LOSS,
            train={"epochs": 4, "stages": PRETRAINING, "optimizer": SGD},
        )


def test_a_pretrained_run_has_its_stages_scores_and_report(run):
    history = runs.history(run)
    assert [row["stage"] for row in history] == ["1", "1", "2", "2"]
    assert [int(row["step"]) for row in history] == [2, 4, 6, 8]  # 24 views in batches of 12
    losses = [float(row["loss"]) for row in history]
    assert losses[1] < losses[0]
    assert losses[3] < losses[2]
    log = (run / "log.txt").read_text()
    assert "stage 1 of 2: 7 of 8 layers learn (*), from outputs embedding" in log
    assert "stage 2 of 2: 6 of 8 layers learn (*), from outputs logits" in log
    assert "a projection head of 1,224 parameters learns beside it and is not exported" in log
    assert "warning" not in log
    summary = runs.summary(run)
    assert summary["temperature"] > 0
    assert summary["metrics"]["test"]["num_images"] == 6
    assert (run / "report.html").stat().st_size > 10_000


def test_what_is_loaded_gives_logits_alone_and_the_scores_of_the_run(run, tmp_path):
    model = load_run(RunFolder(run)).predictor.model
    assert model.output_names == ["logits"]
    assert not [layer.name for layer in model.layers if layer.name.startswith("project")]
    assert model.count_params() == runs.summary(run)["num_parameters"]
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    assert runs.use("evaluate", copy) == 0
    assert runs.summary(copy)["metrics"] == runs.summary(run)["metrics"]


def test_grad_cam_looks_at_the_classes(run):
    model = load_run(RunFolder(run)).predictor.model
    images = np.stack([classes.picture(i, i % 3) for i in range(3)])[..., None] / 255
    cams = grad_cam(model, images)
    assert cams.shape == (3, 16, 16)
    assert np.isfinite(cams).all()


def test_a_killed_run_goes_on_to_the_same_weights(run, tmp_path):
    """As after a kill in the last epoch."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    newest = steps_in(copy / "checkpoints")[-1]
    shutil.rmtree(copy / "checkpoints" / f"ckpt-{newest:08d}")
    for name in ("summary.json", "report.html"):
        (copy / name).unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfvision.runs.finish.export_run", lambda *args, **options: [])
        assert classes.train("--resume", copy) == 0
    assert runs.history(copy) == runs.history(run)
    same = "variables_sha256"
    assert runs.summary(copy)[same] == runs.summary(run)[same]


@pytest.mark.slow
def test_every_export_gives_the_logits_and_loads_without_tfvision(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    assert runs.use("export", copy) == 0
    found = RunFolder(copy).read_json("export/export.json")["checks"]
    assert {row["file"] for row in found} == {"saved_model", "model.weights.h5", "model.keras"}
    assert all(row["labels_equal"] for row in found)
    assert keras.models.load_model(copy / "export/model.keras").output_shape == (None, 3)


def config_of(schema=ClassificationConfig, **sections):
    raw = {"model": {"name": "small_cnn"}, "loss": LOSS, **sections}
    return validate(schema, raw, where="config")


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"train": {"accumulate": 2}}, "train.accumulate 2 never has them all at once"),
        ({"data": {"mix": ["mixup"]}}, r"needs one label an image, and data.mix \(mixup\) gives"),
        ({"loss": ["supervised_contrastive"]}, "alone, which does not teach the logits"),
        ({"data": {"batch_size": 9, "views": 2}}, "batch_size 9 must divide by data.views 2"),
        ({"loss": [*LOSS, "supervised_contrastive(temperature=0)"]}, "finite number above 0"),
    ],
)
def test_what_does_not_fit_is_said_before_any_data_is_opened(sections, message):
    check_settings(config_of(), 1)
    with pytest.raises(ValueError, match=message):
        check_settings(config_of(**sections), 1)


def test_several_devices_and_xla_are_refused_together():
    compiled = {"xla": True, "deterministic": False}
    check_settings(config_of(train=compiled), 1)
    with pytest.raises(ValueError, match=r"gathers the images of 2 devices, which train.xla"):
        check_settings(config_of(train=compiled), 2)


def test_a_segmentation_is_refused(tmp_path, capsys):
    data = runs.write_npz(tmp_path / "scenes.npz")
    config = runs.write_config(tmp_path / "c.yaml", data, loss=LOSS)
    assert runs.train("--config", config, "--dry-run") == 2
    assert "a segmentation has a mask. It is for train_cls.py" in capsys.readouterr().err


def test_a_stage_cannot_be_on_embeddings_that_no_loss_asks_for(dataset, tmp_path, capsys):
    config = classes.write_config(
        tmp_path / "c.yaml",
        dataset,
        train={"epochs": 2, "stages": [{"epochs": 1, "outputs": ["embedding"]}, {}]},
    )
    assert classes.train("--config", config, "--dry-run") == 2
    assert "no output 'embedding'. Its outputs are 0: logits" in capsys.readouterr().err


@pytest.mark.slow
def test_as_a_term_beside_another_it_trains_on_two_devices(dataset, tmp_path, capsys):
    from tfvision.cli import training

    config = classes.write_config(tmp_path / "c.yaml", dataset, loss=LOSS)
    argv = ["--config", str(config), "--out", str(tmp_path / "run"), "--dry-run"]
    assert training.train("classification", [*argv, "--device", "cpu:2", "--debug"]) == 0
    assert "a projection head of" in capsys.readouterr().err
