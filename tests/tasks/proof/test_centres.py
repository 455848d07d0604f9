"""A task that the toolkit does not have gets all that it gives: `centres.py` is all of it."""

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.support.evidence import AveragePrecision
from tests.tasks.proof import centres
from tfvision.cli import commands, training
from tfvision.metrics.contract import Contract
from tfvision.tasks import facts

ROOT = Path(__file__).parents[3]
CONFIG = {
    "task": "centres",
    "model": "heat",
    "data": {"source": {"name": "scenes", "pool": 72, "test": 12}, "batch_size": 8},
    "train": {
        "epochs": 8,
        "optimizer": {"name": "adamw", "learning_rate": 6e-3},
        "export": False,
    },
}


def train(*argv) -> int:
    return training.train("centres", [*map(str, argv), "--device", "cpu", "--debug"])


def use(*argv) -> int:
    return commands.main([*map(str, argv), "--device", "cpu", "--debug"])


def use_plain(*argv) -> int:
    """A command that has no `--device`."""
    return commands.main([*map(str, argv), "--debug"])


def new_config(path: Path, **sections) -> Path:
    config = {k: {**v, **sections[k]} if k in sections else v for k, v in CONFIG.items()}
    path.write_text(yaml.safe_dump(config))
    return path


def read(path: Path):
    return json.loads(path.read_text())


@pytest.fixture(autouse=True)
def _known(monkeypatch):
    monkeypatch.setenv(facts.VARIABLE, "tests.tasks.proof.centres:FACTS")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two runs of one config, which differ by the seed."""
    folder = tmp_path_factory.mktemp("centres")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(facts.VARIABLE, "tests.tasks.proof.centres:FACTS")
        patch.setenv("TFVISION_CACHE", str(folder / "cache"))
        config = new_config(folder / "c.yaml")
        for seed in (0, 1):
            argv = ["--config", config, "--out", folder / f"run-{seed}", "--set", f"seed={seed}"]
            assert train(*argv) == 0
    return folder


def test_it_trains_and_reports(trained):
    with (trained / "run-0" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert float(row["loss"]) == pytest.approx(
            float(row["loss_heat"]) + float(row["loss_place"]), rel=1e-5
        )
    assert float(rows[-1]["loss"]) < 0.8 * float(rows[0]["loss"])
    summary = read(trained / "run-0" / "summary.json")
    assert summary["metrics"]["val"]["ap"] > 0.1 > float(rows[0]["val_ap"])
    best = max(float(row["val_ap"]) for row in rows)
    assert summary["metrics"]["val"]["ap"] == pytest.approx(best, rel=1e-6)
    page = (trained / "run-0" / "report.html").read_text()
    assert "average precision" in page


def test_killed_and_resumed_it_is_the_same_bit_for_bit(trained):
    folder = trained / "killed"
    argv = ["--config", trained / "c.yaml", "--out", folder, "--set", "seed=0", "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tfvision", "_run", "train", "centres", *map(str, argv)],
        cwd=ROOT,
        env={**os.environ, "TFVISION_CACHE": str(trained / "cache")},
        stdout=subprocess.DEVNULL,
    )
    table = folder / "metrics.csv"
    while not (table.exists() and len(table.read_text().splitlines()) >= 3):
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -9
    assert not (folder / "summary.json").exists()
    assert train("--resume", folder) == 0
    ends = [read(path / "summary.json") for path in (trained / "run-0", folder)]
    assert ends[0]["variables_sha256"] == ends[1]["variables_sha256"]
    assert ends[0]["metrics"] == ends[1]["metrics"]


def test_its_scores_are_those_of_the_points(trained, tmp_path):
    assert use("evaluate", trained / "run-0", "--out", tmp_path / "e") == 0
    (path,) = (tmp_path / "e").rglob("test_points.npz")
    with np.load(path) as held:
        found = centres.Points.from_arrays(held)
    rows, columns = np.nonzero(~np.isnan(found.found))
    measure = AveragePrecision(
        found.number.astype(float), rows, found.found[rows, columns], found.right[rows, columns]
    )
    weights = np.random.default_rng(0).integers(0, 3, (5, len(found))).astype(float)
    own = found.measure("ap", Contract())
    for ours, theirs in zip(own.under(weights), measure.under(weights), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    summary = read(trained / "run-0" / "summary.json")
    assert own.value() == pytest.approx(summary["metrics"]["test"]["ap"], rel=1e-12)


def test_two_runs_are_compared_with_intervals(trained, tmp_path):
    out = tmp_path / "compared"
    assert use_plain("compare", trained / "run-0", trained / "run-1", "--out", out) == 0
    (pair,) = read(out / "compare.json")["pairs"]
    assert pair["low"] < pair["difference"] < pair["high"]
    assert "average precision" in (out / "compare.html").read_text()


def test_a_mirrored_view_and_tiles_give_points_of_the_image(trained, tmp_path):
    answers = {}
    for name, options in {
        "plain": [],
        "view": ["--tta", "flip_lr"],
        "tile": ["--tile", 64],
    }.items():
        assert use("predict", trained / "run-0", *options, "--out", tmp_path / name) == 0
        answers[name] = read(tmp_path / name / "predictions.json")
    assert [len(each) for each in answers.values()] == [12] * 3
    source = centres.scenes(pool=1, test=12)
    near = dict.fromkeys(answers, 0)
    for name, listed in answers.items():
        for row, answer in enumerate(listed):
            true = centres.centres_of(source.read_raw(1 + row).boxes)
            points = np.array(answer["points"])[: len(true)]  # the highest scores
            assert ((points >= 0) & (points <= [128, 96])).all()
            away = np.hypot(*(points[:, None] - true).T)
            near[name] += (away.min(axis=1) < centres.NEAR).sum()
    # Were a view not turned back, or a tile not moved to its place, few would be near.
    assert near["view"] > 0.5 * near["plain"]
    assert near["tile"] > 0.5 * near["plain"]
    assert answers["view"] != answers["plain"] != answers["tile"]


def test_two_runs_are_joined(trained):
    both = [trained / "run-0", trained / "run-1"]
    assert use("ensemble", *both, "--out", trained / "joined") == 0
    joined = read(trained / "joined" / "summary.json")["metrics"]["test"]["ap"]
    alone = [read(run / "summary.json")["metrics"]["test"]["ap"] for run in both]
    assert min(alone) < joined < 1


def test_folds_run_in_processes_and_fit_the_threshold(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("TFVISION_CACHE", str(trained / "cache"))
    folds = tmp_path / "folds"
    source = {"name": "scenes", "pool": 24, "test": 4}
    config = new_config(tmp_path / "c.yaml", data={"source": source}, train={"epochs": 1})
    assert train("--config", config, "--out", folds, "--folds", 2) == 0
    with np.load(folds / "out_of_fold_points.npz") as held:
        assert len(held["ids"]) == 24
    assert use_plain("postprocess", folds) == 0
    fitted = read(folds / "postprocess.json")
    assert "at_least" in json.dumps(fitted)
    (path,) = (trained / "run-0").rglob("test_points.npz")
    with np.load(path) as held:
        found = held["found"]
    score = round(float(np.nanquantile(found, 0.7)), 4)
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump({"postprocess": [{"name": "at_least", "score": score}]}))
    out = tmp_path / "above"
    assert use("predict", trained / "run-0", "--postprocess", rules, "--out", out) == 0
    scores = [s for answer in read(out / "predictions.json") for s in answer["scores"]]
    assert min(scores) >= score
    assert len(scores) == (found >= score).sum()


def test_it_is_exported_and_predicts_the_same_without_tfvision(trained, tmp_path):
    run = shutil.copytree(trained / "run-0", tmp_path / "run")
    assert use("export", run) == 0
    exports = read(run / "summary.json")["exports"]
    assert {entry["file"] for entry in exports} >= {"saved_model", "model.keras"}
    assert all(entry["max_difference"] <= 1e-5 for entry in exports)
