"""A detection by the command line: trained, killed, resumed, scored, predicted, exported."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import yaml
from PIL import Image

from tests.support.runs import history
from tfvision.cli import commands, training
from tfvision.engine.checkpoint import steps_in
from tfvision.metrics.coco import coco_numbers
from tfvision.metrics.detections import DetectionEvidence

ROOT = Path(__file__).parents[3]
NAMES = ("disc", "square")
SMALL = {
    "name": "faster_rcnn",
    "backbone": {"name": "slim_resnet", "width": 8},
    "channels": 16,
    "levels": [2, 3],
    "anchor_sizes": [[10, 14], [20, 28]],
    "units": 32,
    "proposals": 30,
    "test_proposals": 30,
    "sampled": 32,
    "max_detections": 10,
}


def scene(seed: int, size=(48, 64)):
    """An image (H, W, 3) uint8 with discs and squares, and its rows of the table."""
    rng = np.random.default_rng(seed)
    image = rng.integers(60, 110, (*size, 3)).astype(np.uint8)
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    rows = []
    for place in range(0 if seed % 7 == 6 else 1 + seed % 2):
        side = int(rng.integers(12, 24))
        left, top = 4 + 30 * place, int(rng.integers(2, size[0] - side - 2))
        kind = int(rng.integers(0, 2))
        u, v = (x - left) / side * 2 - 1, (y - top) / side * 2 - 1
        inside = u * u + v * v < 1 if kind == 0 else np.maximum(abs(u), abs(v)) < 1
        image[inside] = (220, 60, 40) if kind == 0 else (60, 90, 230)
        rows.append((left, top, left + side, top + side, NAMES[kind]))
    return image, rows


def write_data(root: Path, count: int) -> Path:
    """`images/` and a table of boxes by column names; some images are larger."""
    (root / "images").mkdir(parents=True)
    with (root / "boxes.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["filename", "xmin", "ymin", "xmax", "ymax", "class"])
        for i in range(count):
            image, rows = scene(i, (48, 64) if i % 5 else (56, 80))
            Image.fromarray(image).save(root / "images" / f"{i:02d}.png")
            table.writerows(
                [[f"{i:02d}.png", *row] for row in rows] or [[f"{i:02d}.png", *[""] * 5]]
            )
    return root


def write_config(path: Path, data: Path, /, **sections) -> Path:
    config = {
        "task": "detection",
        "seed": 1,
        "data": {"source": {"name": "auto", "path": str(data)}, "batch_size": 8},
        "model": SMALL,
        "train": {"epochs": 2, "optimizer": {"name": "sgd", "learning_rate": 0.02}},
    }
    for key, value in sections.items():
        config[key] = {**config[key], **value} if isinstance(config.get(key), dict) else value
    path.write_text(yaml.safe_dump(config))
    return path


def train(*argv) -> int:
    return training.train("detection", [*map(str, argv), "--device", "cpu", "--debug"])


def use(*argv) -> int:
    return commands.main([*map(str, argv), "--device", "cpu", "--debug"])


def read(path: Path):
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run that finds most objects, and its config."""
    folder = tmp_path_factory.mktemp("detection")
    data = write_data(folder / "data", 40)
    adam = {"name": "adamw", "learning_rate": 6e-3}
    config = write_config(
        folder / "c.yaml",
        data,
        data={"batch_size": 4},
        train={"epochs": 30, "optimizer": adam},
    )
    assert train("--config", config, "--out", folder / "run") == 0
    return folder


def test_it_learns_and_its_terms_add_up(trained):
    with (trained / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    terms = [key for key in rows[0] if key.startswith("loss_")]
    heads = [f"loss_{h}_{t}" for t in ("cross_entropy", "smooth_l1") for h in ("rpn", "head")]
    assert sorted(terms) == sorted(heads)
    for row in rows:
        total = sum(float(row[key]) for key in terms)
        assert float(row["loss"]) == pytest.approx(total, rel=1e-5)
    recall = [float(row["val_proposal_recall"]) for row in rows]
    assert max(recall) > 0.9
    metrics = read(trained / "run" / "summary.json")["metrics"]
    assert metrics["test"]["ap50"] > 0.6


def test_a_training_of_few_steps_says_how_many_epochs_are_enough(trained):
    said = re.search(
        r"(\d+) steps in all.*detection took some (\d+).*train.epochs=(\d+)",
        (trained / "run" / "report.html").read_text(),
    )
    steps, least, epochs = map(int, said.groups())
    assert steps == read(trained / "run" / "summary.json")["steps"] < least
    assert (epochs - 1) * steps / 30 < least <= epochs * steps / 30


def test_scores_are_cocos_of_the_predictions_that_are_written(trained):
    """`predictions.json` against the table of boxes, without any code of the task."""
    listed = read(trained / "run" / "predictions" / "test.json")
    with (trained / "data" / "boxes.csv").open() as file:
        rows = list(csv.DictReader(file))
    answers, truths = [], []
    for entry in listed:
        own = [r for r in rows if Path(r["filename"]).stem == Path(entry["id"]).stem and r["xmin"]]
        truths.append(
            {
                "boxes": np.array(
                    [[float(r[k]) for k in ("xmin", "ymin", "xmax", "ymax")] for r in own]
                ).reshape(-1, 4),
                "classes": np.array([NAMES.index(r["class"]) for r in own], int),
            }
        )
        answers.append({k: np.array(entry[k]) for k in ("boxes", "scores", "classes")})
        answers[-1]["boxes"] = answers[-1]["boxes"].reshape(-1, 4)
    summary = read(trained / "run" / "summary.json")["metrics"]["test"]
    assert coco_numbers(answers, truths, 2)["ap"] == pytest.approx(summary["ap"], abs=5e-3)
    with np.load(trained / "run" / "predictions" / "test_detections.npz") as held:
        evidence = DetectionEvidence.from_arrays(held)
    assert evidence.measure("ap", None).value() == summary["ap"]


def test_killed_and_resumed_it_is_the_same_bit_for_bit(trained, quick):
    """As after a kill in the last epoch; the slow test below kills a process."""
    cut = shutil.copytree(trained / "run", trained / "cut")
    newest, before = sorted(steps_in(cut / "checkpoints"))[::-1][:2]
    shutil.rmtree(cut / "checkpoints" / f"ckpt-{newest:08d}")
    for name in ("summary.json", "report.html", "metrics.csv"):
        (cut / name).unlink()
    assert train("--resume", cut) == 0
    assert f"goes on after step {before}" in (cut / "log.txt").read_text()
    ends = [read(path / "summary.json") for path in (trained / "run", cut)]
    assert ends[0]["variables_sha256"] == ends[1]["variables_sha256"]
    assert ends[0]["metrics"] == ends[1]["metrics"]
    assert history(trained / "run") == history(cut)


@pytest.mark.slow
def test_a_process_killed_anywhere_is_resumed_bit_for_bit(trained):
    folder = trained / "killed"
    argv = ["--config", str(trained / "c.yaml"), "--out", str(folder), "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tfvision", "_run", "train", "detection", *argv],
        cwd=ROOT,
        env=os.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    table = folder / "metrics.csv"
    while not (table.exists() and len(table.read_text().splitlines()) >= 3):
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -9
    assert not (folder / "summary.json").exists()
    assert train("--resume", folder) == 0
    ends = [read(path / "summary.json") for path in (trained / "run", folder)]
    assert ends[0]["variables_sha256"] == ends[1]["variables_sha256"]
    assert ends[0]["metrics"] == ends[1]["metrics"]


def test_it_is_evaluated_as_it_was_scored(trained, tmp_path, capsys):
    before = read(trained / "run" / "summary.json")["metrics"]
    assert use("evaluate", trained / "run", "--out", tmp_path / "e") == 0
    assert read(trained / "run" / "summary.json")["metrics"] == before
    assert use("evaluate", trained / "run", "--tta", "flip_lr,scale(factor=1.25)") == 0
    with_views = read(trained / "run" / "evaluation.json")[-1]["metrics"]["test"]
    assert with_views["ap50"] > 0.5
    point = read(trained / "run" / "summary.json")["operating_point"]
    own, at = with_views["operating_point"], point["splits"]["test"]
    assert own["threshold"] == point["threshold"]
    printed = capsys.readouterr().out
    chosen = f"  from a score of {point['threshold']:.3f} on, the run's best F1 on validation: "
    assert f"{chosen}precision {at['precision']:.4f}, recall {at['recall']:.4f}, F1" in printed
    assert f"{chosen}precision {own['precision']:.4f}, recall {own['recall']:.4f}, F1" in printed


def test_photographs_of_any_size_are_predicted(trained, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    image, rows = scene(3)
    large = np.full((200, 300, 3), 85, np.uint8)
    large[100:148, 200:264] = image
    Image.fromarray(image).save(photos / "small.png")
    Image.fromarray(large).save(photos / "large.png")
    argv = ["predict", trained / "run", photos, "--threshold", "0.3"]
    assert use(*argv, "--out", tmp_path / "whole") == 0
    small = {entry["id"]: entry for entry in read(tmp_path / "whole" / "predictions.json")}["small"]
    assert min(small["scores"], default=1) >= 0.3
    assert use(*argv, "--tile", "64", "--out", tmp_path / "tiles") == 0
    found = {entry["id"]: entry for entry in read(tmp_path / "tiles" / "predictions.json")}
    assert found["small"]["classes"] == small["classes"]
    wanted = np.add([row[:4] for row in rows], [200, 100, 200, 100])
    for box in wanted:
        near = [np.abs(np.array(other) - box).max() for other in found["large"]["boxes"]]
        assert min(near) < 8


def test_the_export_is_loaded_back_and_equal(trained):
    exports = {row["file"]: row for row in read(trained / "run" / "summary.json")["exports"]}
    assert set(exports) == {"saved_model", "model.weights.h5"}
    assert all(row["labels_equal"] and row["max_difference"] < 1e-4 for row in exports.values())
    assert "alone" in exports["saved_model"]["loaded_with"]  # where tfvision cannot be imported


def test_the_saved_model_takes_any_size_and_batch(trained):
    """A batch gives what its images give alone."""
    loaded = tf.saved_model.load(trained / "run" / "export" / "saved_model")
    serve = loaded.signatures["serving_default"]
    for size in ((48, 64), (90, 70)):
        images = np.random.default_rng(0).integers(0, 255, (3, *size, 3)).astype(np.uint8)
        images[:, 10:30, 20:40] = (220, 60, 40)
        whole = serve(image=tf.constant(images))
        assert whole["boxes"].shape == (3, 10, 4)
        assert whole["classes"].dtype == tf.int32
        for i in range(3):
            alone = serve(image=tf.constant(images[i : i + 1]))
            for name, value in alone.items():
                np.testing.assert_allclose(value[0], whole[name][i], atol=1e-3)


def test_a_submission_has_a_row_an_image(trained, tmp_path):
    out = tmp_path / "s.csv"
    argv = ["submit", trained / "run", "--format", "boxes", "--class-as", "name"]
    assert use(*argv, "--out", out) == 0
    rows = list(csv.reader(out.open()))
    listed = read(trained / "run" / "predictions" / "test.json")
    assert [row[0] for row in rows[1:]] == [entry["id"] for entry in listed]
    first = next(row for row, entry in zip(rows[1:], listed, strict=True) if entry["scores"])
    assert first[1].split()[0] in NAMES


def test_a_submission_has_the_rows_of_a_sample_in_its_order(trained, tmp_path, capsys):
    names = [entry["id"] for entry in read(trained / "run" / "predictions" / "test.json")]
    sample, out = tmp_path / "sample.csv", tmp_path / "s.csv"
    argv = ["submit", trained / "run", "--format", "boxes", "--columns", "Id,PredictionString"]
    rows = [f"{name}," for name in reversed(names)]
    sample.write_text("\n".join(["Id,PredictionString", *rows]))
    assert use(*argv, "--sample", sample, "--out", out) == 0
    assert [row[0] for row in csv.reader(out.open())] == ["Id", *reversed(names)]
    sample.write_text("\n".join(["Id,PredictionString", *rows[1:], "elsewhere,"]))
    assert use(*argv, "--sample", sample, "--out", tmp_path / "other.csv") == 2
    assert "elsewhere" in capsys.readouterr().err
    assert not (tmp_path / "other.csv").exists()


@pytest.mark.slow
def test_rules_are_fitted_out_of_fold(trained, tmp_path):
    config = write_config(tmp_path / "f.yaml", trained / "data", train={"export": False})
    assert train("--config", config, "--folds", "2", "--out", tmp_path / "F") == 0
    assert commands.main(["postprocess", str(tmp_path / "F"), "--debug"]) == 0
