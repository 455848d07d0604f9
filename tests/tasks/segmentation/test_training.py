"""Whole runs: what they leave behind, repeat, resume, and what they refuse."""

import json
import re

import numpy as np
import pytest

from tests.support import runs
from tfvision.config import load_config
from tfvision.engine.checkpoint import load_checkpoint, steps_in
from tfvision.engine.run_folder import RunFolder
from tfvision.recipe.recipe import make_recipe
from tfvision.tasks.segmentation.schema import SegmentationConfig

FILES = {
    "config.yaml",
    "env.json",
    "data.json",
    "splits.csv",
    "metrics.csv",
    "summary.json",
    "report.html",
    "log.txt",
    "issues.json",
    "checkpoints",
    "predictions",
    "samples",
    "export",
    ".lock",
}


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_a_run_folder_has_the_files_scripts_rely_on_and_no_other(whole):
    assert names(whole) == FILES
    assert names(whole / "export") == {
        "saved_model",
        "model.weights.h5",
        "model.keras",
        "export.json",
    }
    assert names(whole / "predictions") == {
        "val.npz",
        "val_confusion.npz",
        "test.npz",
        "test_confusion.npz",
    }
    assert steps_in(whole / "checkpoints") == [2, 4]  # round(10 / 4) = 2 steps an epoch


def test_summary_says_what_the_run_is_and_scores(whole):
    summary = runs.summary(whole)
    assert summary["task"] == "segmentation"
    assert summary["arch"] == "unet"
    assert summary["epochs"] == 2
    assert summary["best_epoch"] in (1, 2)
    assert summary["num_parameters"] == 1751
    assert 0 < summary["wall_seconds"] < 600
    assert summary["images_per_second"] > 0
    assert summary["data_fingerprint"] == runs.data(whole)["fingerprint"]
    assert re.fullmatch("[0-9a-f]{64}", summary["variables_sha256"])
    assert set(summary["metrics"]) == {"val", "test"}
    for metrics in summary["metrics"].values():
        assert {"mean_iou", "per_class_iou", "pixel_accuracy"} <= set(metrics)
        assert "post_processed" not in metrics
        assert metrics["num_images"] == 4


@pytest.mark.parametrize("split", ["val", "test"])
def test_scores_are_those_of_the_predictions_counted_by_hand(whole, dataset, split):
    found = runs.labels(whole / f"predictions/{split}.npz")
    assert list(found) == ["0", "1", "2", "3"]
    with np.load(dataset) as file:
        truth = file[f"y_{split}"]
    want = runs.mean_iou(truth, found.values())
    metrics = runs.summary(whole)["metrics"][split]
    assert metrics["mean_iou"] == pytest.approx(want, abs=1e-12)
    right = np.mean([t == p for t, p in zip(truth, found.values(), strict=True)])
    assert metrics["pixel_accuracy"] == pytest.approx(right, abs=1e-12)


def test_validation_while_training_and_scoring_at_the_end_agree(whole):
    rows = runs.history(whole)
    summary = runs.summary(whole)
    best = max(rows, key=lambda row: (float(row["val_mean_iou"]), -float(row["val_loss"])))
    assert int(best["epoch"]) == summary["best_epoch"]
    assert float(best["val_mean_iou"]) == pytest.approx(summary["metrics"]["val"]["mean_iou"])


def test_every_exported_file_gives_the_labels_of_the_live_model(whole):
    rows = {row["file"]: row for row in runs.summary(whole)["exports"]}
    assert set(rows) == {"saved_model", "model.weights.h5", "model.keras"}
    for row in rows.values():
        assert row["labels_equal"]
        assert row["max_difference"] < 1e-5
    assert "alone" in rows["saved_model"]["loaded_with"]
    assert "without tfvision" in rows["model.keras"]["loaded_with"]


def test_a_runs_config_repeats_it_to_the_bit_and_json_is_the_last_line(
    whole, tmp_path, quick, capsys
):
    config = whole / "config.yaml"
    assert runs.train("--config", config, "--out", tmp_path / "again", "--json") == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed == runs.summary(tmp_path / "again")
    assert printed["variables_sha256"] == runs.summary(whole)["variables_sha256"]
    assert printed["metrics"] == runs.summary(whole)["metrics"]
    assert runs.history(tmp_path / "again") == runs.history(whole)
    assert (tmp_path / "again/config.yaml").read_bytes() == config.read_bytes()
    assert runs.train("--config", config, "--out", tmp_path / "again") == 2
    assert "exists already. Go on with --resume" in capsys.readouterr().err


def test_resuming_a_finished_run_changes_nothing_and_a_longer_plan_extends_it(
    whole, tmp_path, quick
):
    run = runs.copy(whole, tmp_path / "run")
    kept = ["config.yaml", "data.json", "issues.json", "splits.csv", "metrics.csv"]
    kept += ["predictions/val.npz", "predictions/test.npz"]
    kept += [str(p.relative_to(whole)) for p in sorted((whole / "checkpoints").rglob("*.*"))]
    before = runs.summary(whole)
    assert runs.train("--resume", run) == 0
    for name in kept:
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name
    after = runs.summary(run)
    assert after["wall_seconds"] >= load_checkpoint(run / "checkpoints", 4).state["elapsed"]
    for changing in ("wall_seconds", "peak_memory_bytes", "exports"):
        del before[changing], after[changing]
    assert after == before

    assert runs.train("--resume", run, "--set", "train.epochs=3") == 0
    longer = runs.summary(run)
    assert (longer["epochs"], longer["steps"]) == (3, 6)
    assert longer["variables_sha256"] != before["variables_sha256"]
    assert runs.history(run)[:2] == runs.history(whole)
    assert "epochs: 3" in (run / "config.yaml").read_text()


def test_resume_refuses_another_config_with_the_difference(whole, capsys):
    assert runs.train("--resume", whole, "--set", "seed=4", "--set", "train.ema=0.5") == 2
    message = capsys.readouterr().err
    assert "seed: 1 -> 4" in message
    assert "train.ema: 0.9 -> 0.5" in message


def _other_pixel(content):
    content["y_val"][0, 0, 0] = (content["y_val"][0, 0, 0] + 1) % runs.CLASSES


def _one_less(content):
    content["x_train"], content["y_train"] = content["x_train"][:9], content["y_train"][:9]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_other_pixel, "1 sample is changed: 0"),
        (_one_less, "counts.train: 10 -> 9"),
    ],
)
def test_resume_refuses_a_changed_data_file_with_the_difference(
    whole, dataset, tmp_path, capsys, change, message
):
    with np.load(dataset) as file:
        content = dict(file)
    change(content)
    np.savez(tmp_path / "changed.npz", **content)
    run = runs.copy(whole, tmp_path / "run", **{str(dataset): str(tmp_path / "changed.npz")})
    before = (run / "data.json").read_bytes()
    assert runs.train("--resume", run) == 2
    text = capsys.readouterr().err
    assert "The data set is not the one this run was trained on" in text
    assert message in text
    assert (run / "data.json").read_bytes() == before


def test_a_run_killed_before_its_first_checkpoint_is_the_same_run_when_resumed(
    whole, tmp_path, quick
):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.yaml", "env.json", "data.json", "issues.json", "splits.csv"):
        (run / name).write_bytes((whole / name).read_bytes())
    (run / ".config.yaml.123.tmp").write_text("half a conf")
    assert runs.train("--resume", run) == 0
    log = (run / "log.txt").read_text()
    assert "no checkpoint had been written yet: the run starts at step 0" in log
    assert runs.summary(run)["variables_sha256"] == runs.summary(whole)["variables_sha256"]
    assert names(run) == FILES - {"export"}


def test_a_start_that_failed_leaves_a_folder_that_can_be_used_again(dataset, tmp_path, quick):
    wrong = tmp_path / "splits.csv"
    wrong.write_text("id,split\nno such image,train\n")
    config = runs.write_config(tmp_path / "c.yaml", dataset, data={"splits": str(wrong)})
    assert runs.train("--config", config, "--out", tmp_path / "run") == 2
    assert names(tmp_path / "run") <= {".lock", "log.txt", "issues.json"}
    runs.new_run(tmp_path / "run", dataset, train={"epochs": 1})


@pytest.mark.parametrize(
    "sections",
    [
        {"data": {"augment": ["crop(height=8, width=6)"], "mix": ["mixup(alpha=0.4)"]}},
        {
            "data": {
                "augment": [
                    {"name": "albumentations", "transforms": [{"name": "HorizontalFlip"}]},
                    "rotate(max_degrees=20)",
                ],
                "mix": ["cutmix(p=0.8)"],
            },
            "loss": ["cross_entropy(class_weights='sqrt_inverse')", "dice(weight=0.5)"],
        },
    ],
    ids=["crop-mixup", "albumentations-cutmix"],
)
def test_augmentation_by_config_trains_and_scores_whole_images(dataset, tmp_path, quick, sections):
    run = runs.new_run(tmp_path / "run", dataset, train={"epochs": 1}, **sections)
    (row,) = runs.history(run)
    assert 0 < float(row["loss"]) < 10
    assert {x.shape for x in runs.labels(run / "predictions/val.npz").values()} == {(16, 16)}


def test_a_crop_that_does_not_fit_the_model_is_refused(dataset, tmp_path, capsys):
    config = runs.write_config(
        tmp_path / "c.yaml", dataset, data={"augment": ["crop(height=8, width=7)"]}
    )
    assert runs.train("--config", config, "--dry-run") == 2
    assert "gives images of 8x7 to train on; unet needs multiples of 2" in capsys.readouterr().err


def test_the_first_metric_selects_the_best_epoch(dataset, tmp_path, quick):
    run = runs.new_run(
        tmp_path / "run", dataset, metrics=["mean_dice", "mean_iou"], train={"epochs": 3}
    )
    rows = runs.history(run)
    best = max(rows, key=lambda row: (float(row["val_mean_dice"]), -float(row["val_loss"])))
    summary = runs.summary(run)
    assert summary["best_epoch"] == int(best["epoch"])
    assert summary["metrics"]["val"]["mean_dice"] == pytest.approx(float(best["val_mean_dice"]))
    assert "val_mean_iou" in rows[0]


def test_a_metric_that_stands_twice_is_refused(dataset, tmp_path, capsys):
    config = runs.write_config(
        tmp_path / "c.yaml", dataset, metrics=["mean_iou", "mean_iou(ignore_labels=[0])"]
    )
    assert runs.train("--config", config, "--dry-run") == 2
    assert "metrics names mean_iou, mean_iou: each may stand there once" in capsys.readouterr().err


def test_a_dry_run_writes_a_picture_and_nothing_else(dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = runs.write_config(tmp_path / "c.yaml", dataset)
    before = sorted(tmp_path.rglob("*"))
    assert runs.train("--config", config, "--out", tmp_path / "run", "--dry-run", "--json") == 0
    said = capsys.readouterr()
    printed = json.loads(said.out.splitlines()[-1])
    assert printed["dry_run"] is True
    assert printed["steps_per_epoch"] == 2
    assert printed["num_parameters"] == 1655
    picture = tmp_path / "run-samples.png"
    assert sorted(tmp_path.rglob("*")) == sorted([*before, picture])
    assert f"No run was written; written: {picture}" in said.err


def test_a_run_in_use_is_refused(whole, tmp_path, capsys):
    run = runs.copy(whole, tmp_path / "run")
    holder = RunFolder(run)
    holder.lock()
    assert runs.train("--resume", run) == 2
    assert "is in use by another process" in capsys.readouterr().err
    holder.unlock()


@pytest.mark.slow
def test_a_time_budget_ends_a_run_as_a_finished_one(dataset, tmp_path, quick):
    run = runs.new_run(
        tmp_path / "run",
        dataset,
        data={"image_size": [15, 31], "augment": ["crop(height=8, width=8)"]},
        train={"time_budget": 20, "epochs": 1},
    )
    summary = runs.summary(run)
    assert summary["epochs"] > 1
    assert 10 < summary["wall_seconds"] < 30
    assert names(run) == FILES - {"export"}
    assert float(runs.history(run)[-1]["learning_rate"]) < 2e-3
    sha = summary["variables_sha256"]
    assert runs.train("--resume", run) == 0
    assert runs.summary(run)["variables_sha256"] == sha


def test_rules_that_leave_no_class_to_predict_are_refused(dataset, tmp_path):
    path = runs.write_config(
        tmp_path / "c.yaml",
        dataset,
        metrics=["mean_iou(ignore_labels=[0])"],
        postprocess=["drop_class(index=1)", "drop_class(index=2)"],
    )
    config = load_config(SegmentationConfig, path)
    with pytest.raises(ValueError, match="leave no class that may be predicted"):
        make_recipe(config, num_classes=3, channels=1, size=(16, 16), resized=False)
