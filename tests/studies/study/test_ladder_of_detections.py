"""Ladders of detections: a grid on a hold-out, COCO's numbers with intervals, alarms, pictures.

In place of every training there is a folder with planted detections: annotated boxes that are
moved the more, the worse the learning rate.
"""

import csv
import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image

from tfvision.config import load_config
from tfvision.engine.evidence_file import evidence_path, write_evidence
from tfvision.errors import InputError
from tfvision.metrics.contract import Contract
from tfvision.metrics.detections import DetectionEvidence
from tfvision.recipe.dataset import prepare
from tfvision.recipe.read import samples_of_split
from tfvision.studies.study import run as ladder
from tfvision.studies.study import rung_facts
from tfvision.studies.study import table as ladder_table
from tfvision.studies.study import training as study_training
from tfvision.studies.study.ladder_file import read_ladder
from tfvision.tasks.detection.facts import FACTS
from tfvision.tasks.detection.schema import DetectionConfig
from tfvision.tasks.detection.watch import alarms_of
from tfvision.tasks.detection.writing import write_detections

ROOT = Path(__file__).parents[3]
IMAGES, TEST = 40, 12
MOVED = {0.1: 0.2, 0.01: 1.0, 0.001: 3.0}  # pixels, by learning rate
GRID = {
    "folds": 4,
    "holdout": True,
    "steps": 8,
    "candidates": [
        {"name": f"rate {rate}", "set": {"train.optimizer.learning_rate": rate}} for rate in MOVED
    ],
}
RUNGS = [
    {"name": "low", "reported": 0.4},
    {"name": "sought", "over": {"model": {"name": "ssd"}}, "search": GRID},
    {"name": "failed", "over": {"model": {"name": "retinanet", "prior": 0.5}}, "against": "low"},
]


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    """Images of 48x64 with one to three boxes; one box stands twice, with two labels."""
    root, rng = tmp_path_factory.mktemp("cells"), np.random.default_rng(3)
    (root / "images").mkdir()
    with open(root / "boxes.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["filename", "xmin", "ymin", "xmax", "ymax", "class"])
        for i in range(IMAGES):
            pixels = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "images" / f"{i:02d}.png")
            for place in range(1 + i % 3):
                left, top, side = 2 + 20 * place, int(rng.integers(0, 25)), int(rng.integers(8, 18))
                corners = [left, top, left + side, top + side]
                table.writerow([f"{i:02d}.png", *corners, "red" if place else "white"])
            if i == 5:
                table.writerow([f"{i:02d}.png", *corners, "white"])
    return root


class Trainer:
    """In the place of `train_in_process`: a finished run with planted detections."""

    def __init__(self):
        self.trained = []

    def __call__(self, config_path, out, *, overrides=(), device, log, **_):
        if (out / "summary.json").is_file():
            return
        config = load_config(DetectionConfig, config_path, overrides)
        rate = config.train.optimizer.kwargs["learning_rate"]
        self.trained.append((out.parent.name, rate, config.train.epochs, config.data.fold))
        prepared = prepare(config.data, seed=config.seed)
        failed = config.model.name == "retinanet"
        split = "test" if config.data.folds is None else "val"
        found = list(samples_of_split(prepared, split))
        rng = np.random.default_rng(len(config.model.name))
        answers = [
            self._answer(rng, one.targets, 40 if failed else MOVED[rate]) for _, one in found
        ]
        evidence = DetectionEvidence.of(
            [name for name, _ in found], answers, [one.targets for _, one in found], num_classes=2
        )
        (out / "predictions").mkdir(parents=True)
        write_evidence(evidence_path(out / "predictions", split, DetectionEvidence), evidence)
        write_detections(out / "predictions" / split, evidence.ids, answers, prepared.class_names)
        (out / "config.yaml").write_text(config_path.read_text())
        summary = {
            "task": "detection",
            "epochs": 2,
            "steps": 4,
            "num_parameters": 10,
            "wall_seconds": 30.0,
            "variables_sha256": str(out),
            "contract": asdict(Contract()),
            "operating_point": {"threshold": 0.5},
            "predicted_per_second": 20.0,
            **({"alarms": {"no score": "it finds next to nothing"}} if failed else {}),
        }
        (out / "data.json").write_text(json.dumps(prepared.record()))
        (out / "summary.json").write_text(json.dumps(summary))
        (out / "metrics.csv").write_text("epoch,loss,val_ap\n1,2.0,0.1\n2,1.0,0.2\n")

    @staticmethod
    def _answer(rng, targets, moved):
        boxes = targets["boxes"] + rng.normal(0, moved, targets["boxes"].shape)
        scores = np.linspace(0.95, 0.3, len(boxes)).astype(np.float32)
        corners = np.concatenate([boxes[:, :2], np.maximum(boxes[:, 2:], boxes[:, :2] + 1)], 1)
        return {
            "boxes": corners.astype(np.float32),
            "scores": scores,
            "classes": targets["classes"].astype(np.int32),
        }


def write_file(path, rungs=RUNGS, **keys):
    content = {
        "base": {
            "task": "detection",
            "data": {"batch_size": 4, "val_fraction": 0, "test_fraction": TEST / IMAGES},
            "model": {"name": "faster_rcnn"},
            "train": {"optimizer": {"name": "sgd", "learning_rate": 0.01}, "export": False},
        },
        "epochs": 2,
        "seeds": [0],
        "metrics": ["ap", "ap50", "ap75"],
        "rungs": rungs,
    }
    path.write_text(yaml.safe_dump({**content, **keys}))
    return path


@pytest.fixture(scope="module")
def finished(boxes, tmp_path_factory):
    folder, trainer = tmp_path_factory.mktemp("ladder"), Trainer()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_training, "train_in_process", trainer)
        patch.setattr(ladder_table, "RESAMPLES", 300)
        asked = read_ladder(write_file(folder / "cells.yaml"), data=boxes)
        table = ladder.run_all(asked, folder / "out", device="cpu", quiet=True)
        first = list(trainer.trained)
        assert ladder.run_all(asked, folder / "out", device="cpu", quiet=True) == table
    assert trainer.trained == first  # what is finished is left alone
    return table, folder / "out", first


def rows_of(table):
    return {row["name"]: row for row in table["rungs"]}


def test_a_grid_is_judged_on_one_hold_out_and_its_best_is_trained_on_all(finished):
    table, out, trained = finished
    grid = [one for one in trained if one[0] not in {"low", "sought", "failed"}]
    assert [one[1:] for one in grid] == [(rate, 1, 0) for rate in MOVED]  # 28 images, 7 steps
    assert [one for one in trained if one not in grid] == [
        ("low", 0.01, 2, None),
        ("sought", 0.1, 2, None),
        ("failed", 0.01, 2, None),
    ]
    with open(out / "splits.csv", newline="") as file:
        said = [row["split"] for row in csv.DictReader(file)]
    assert (said.count("train"), said.count("val"), said.count("test")) == (28, 0, 12)
    found = rows_of(table)["sought"]["search"]
    assert (found["winner"], found["trainings"], found["nested"]) == ("rate 0.1", 3, None)
    caution = next(line for line in table["cautions"] if line.startswith("sought: rate 0.1"))
    assert "chosen among 3 on one hold-out of the training images (3 trainings, ap: " in caution
    assert "rate 0.001 " in caution
    assert "The best of 3 is too high there." in caution
    assert "| rate 0.1 |" in (out / "ladder.md").read_text()


def test_cocos_numbers_have_intervals_and_speed_stands_beside_them(finished):
    table, out, _ = finished
    with open(out / "ladder.csv", newline="") as file:
        written = {row["name"]: row for row in csv.DictReader(file)}
    for name, row in rows_of(table).items():
        file = out / "runs" / name / "seed-0" / "predictions" / "test_detections.npz"
        with np.load(file) as arrays:
            evidence = DetectionEvidence.from_arrays(dict(arrays))
        for metric in ("ap", "ap50", "ap75"):
            own = row["scores"][metric]
            assert own["mean"] == pytest.approx(evidence.measure(metric, None).value())
            assert 0 <= own["low"] <= own["mean"] <= own["high"] <= 1
            assert float(written[name][f"{metric}.own_low"]) == own["low"]
        assert row["predicted_per_second"] == 20
    assert rows_of(table)["sought"]["compared"]["ap"]["verdict"] == "better"
    assert "images/s predicted" in (out / "ladder.md").read_text()


def test_a_run_that_found_nothing_is_no_finding(finished):
    table, out, _ = finished
    rows = rows_of(table)
    assert rows["failed"]["scores"]["ap"]["mean"] < 0.05
    assert rows["low"]["nothing_learnt"] is None
    text = (out / "ladder.md").read_text()
    assert "failed is a failed run: its training loss fell by 50%, and its AP is 0.0" in text
    assert "it says nothing of how good the model is, and has no verdict" in text
    (row,) = (line for line in text.splitlines() if line.startswith("| failed |"))
    assert row.split(" | ")[7] == "failed run"  # and not better or worse
    assert "failed, an alarm while it was trained: it finds next to nothing" in text


def test_the_data_are_told_before_the_scores(finished):
    table, out, _ = finished
    assert any("another label of a box" in line for line in table["data"])
    text = (out / "ladder.md").read_text()
    assert text.index("another label of a box") < text.index("| rung |")
    assert "another label of a box" in (out / "ladder.html").read_text()


def test_truth_stands_beside_the_predictions_of_all_rungs(finished):
    table, out, _ = finished
    assert len(table["pictures"]) == 3
    for one in table["pictures"]:
        with Image.open(out / one["file"]) as picture:
            # 64x48 enlarged eightfold, four panels with a gap each, under a strip
            assert picture.size == (4 * (8 * 64 + 6), 8 * 48 + 40)
        name = one["text"].split(":")[0]
        with open(out / "splits.csv", newline="") as file:
            assert {r["id"]: r["split"] for r in csv.DictReader(file)}[name] == "test"
    assert (out / "ladder.html").read_text().count("data:image/png;base64,") == 3


def test_scores_by_epoch_are_mean_and_deviation_of_the_runs(finished):
    _, out, _ = finished

    def run(*values):
        rows = [{"loss": "1", "val_ap": value} for value in values]
        return SimpleNamespace(history=rows, score="ap", facts=FACTS)

    found = rung_facts.by_epoch([run("0.1", "0.5", "0.4"), run("0.3", "0.7", "")])
    assert found["mean"] == [pytest.approx(0.2), pytest.approx(0.6), None]
    assert found["deviation"][:2] == [pytest.approx(np.std([0.1, 0.3], ddof=1))] * 2
    assert (found["runs"], found["best"]) == (2, 2)
    assert rung_facts.by_epoch([run("", "")]) is None
    with open(out / "epochs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["rung"], r["epoch"], r["mean"]) for r in rows[:2]] == [
        ("low", "1", "0.1"),
        ("low", "2", "0.2"),
    ]
    assert (out / "epochs.svg").read_text().count("<polyline") == 3
    assert 'class="epochs"' in (out / "ladder.html").read_text()


def test_under_folds_a_search_is_still_refused(boxes, tmp_path):
    file = write_file(tmp_path / "a.yaml", folds=3)
    with pytest.raises(InputError, match="a search looks at all samples"):
        read_ladder(file, data=boxes)


@pytest.mark.parametrize(("ap50", "done", "alarm"), [(0.06, 1, True), (0.06, 0.5, False)])
def test_the_watch_asks_for_more_at_the_end(ap50, done, alarm):
    """The report's RetinaNet ended at an AP50 of 0.06, with a loss that had fallen."""
    history = [
        {"epoch": e, "loss": 3 - e / 2, "val_loss": 1.0, "val_ap50": ap50} for e in (1, 2, 3, 4)
    ]
    assert bool(alarms_of("retinanet", history, done)) == alarm


def test_the_ladders_of_blood_cells_are_read_and_have_the_scores_of_the_report():
    def read(name, **options):
        return read_ladder(ROOT / "experiments" / f"{name}.yaml", **options)

    grid, folds = read("blood_cells", epochs=10), read("blood_cells_folds")
    assert [rung.reported for rung in grid.rungs] == [0.7415, 0.016, 0.3981]
    for both in zip(grid.rungs, folds.rungs, strict=True):
        assert both[0].config.model == both[1].config.model
        assert both[0].config.loss == both[1].config.loss
        assert len(both[0].search["candidates"]) == 3
    sound, *faults = read("blood_cells_retinanet").rungs
    assert sound.config.model == grid.rungs[1].config.model
    assert all(rung.config != sound.config for rung in faults)
    assert {rung.config.model.pretrained for rung in (*grid.rungs, *faults)} == {"forbidden"}
