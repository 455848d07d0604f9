"""Detect, crop, classify by the command line: trained, stopped, gone on with, used."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.support.runs import use
from tfvision.cli import training
from tfvision.engine.signals import Interrupted
from tfvision.errors import InputError
from tfvision.recipe.dataset import prepare
from tfvision.runs import process
from tfvision.studies.two_stage import detected
from tfvision.studies.two_stage.file import read_file

ROOT = Path(__file__).parents[3]
NAMES = ("disc", "square")
FILE = {
    "data": {
        "val_fraction": 0.25,
        "test_fraction": 0,
        "batch_size": 8,
        "near_duplicates": "ignore",
    },
    "detector": {
        "model": {
            "name": "retinanet",
            "backbone": {"name": "slim_resnet", "width": 4},
            "levels": [3],
            "channels": 8,
            "head_depth": 1,
            "anchor_sizes": [[16]],
            "ratios_hw": [1.0],
        },
        "loss": ["focal", "smooth_l1"],
        "metrics": ["ap50"],
        "train": {
            "epochs": 1,
            "optimizer": {"name": "sgd", "learning_rate": 0.02},
            "export": False,
        },
    },
    "classifier": {
        "data": {"image_size": [12, 12], "input": "crop(margin=0.1)"},
        "model": {"name": "small_cnn", "filters": [4], "units": 8},
        "metrics": ["accuracy"],
        "train": {"epochs": 1, "optimizer": {"name": "sgd", "learning_rate": 0.1}, "export": False},
    },
}


def drawn(seed: int):
    """An image (32, 48, 3) uint8 with one disc or square, and its box."""
    rng = np.random.default_rng(seed)
    image = rng.integers(60, 110, (32, 48, 3)).astype(np.uint8)
    y, x = np.mgrid[:32, :48] + 0.5
    side = int(rng.integers(12, 20))
    left, top = int(rng.integers(1, 48 - side)), int(rng.integers(1, 32 - side))
    u, v = (x - left) / side * 2 - 1, (y - top) / side * 2 - 1
    inside = u * u + v * v < 1 if seed % 2 == 0 else np.maximum(abs(u), abs(v)) < 1
    image[inside] = (220, 60, 40) if seed % 2 == 0 else (60, 90, 230)
    return image, (left, top, left + side, top + side)


def write_data(root: Path, count: int = 20, test: int = 5) -> Path:
    """`train/` with a table of boxes, `test/` without, and its labels beside all of it."""
    rows = []
    for i in range(count + test):
        image, box = drawn(i)
        part = "train" if i < count else "test"
        (root / part).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / part / f"{i:02d}.png")
        rows.append((f"{i:02d}.png", *box, NAMES[i % 2]))
    columns = ["filename", "xmin", "ymin", "xmax", "ymax", "label"]
    write_csv(root / "train.csv", columns, rows[:count])
    truth = [(name, label, *box) for name, *box, label in rows[count:]]
    write_csv(root.parent / "truth.csv", ["Id", "Category", *columns[1:5]], truth)
    wrong = [(name, label, 0, 0, 2, 2) for name, label, *_ in truth]
    write_csv(root.parent / "wrong_boxes.csv", ["Id", "Category", *columns[1:5]], wrong)
    write_csv(root.parent / "labels.csv", ["Id", "Category"], [row[:2] for row in truth])
    return root


def write_csv(path: Path, columns, rows) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def write_file(path: Path, **sections) -> Path:
    path.write_text(yaml.safe_dump({**FILE, **sections}))
    return path


class Trainings:
    """Runs trainings in this process, and notes them; one may be stopped before it begins."""

    def __init__(self, stop: str = ""):
        self.started, self.stop = [], stop

    def __call__(self, argv, **_) -> int:
        task, arguments = argv[5], list(argv[6:])
        self.started.append(task)
        if task == self.stop:
            raise Interrupted(2)
        return training.train(task, [*arguments, "--quiet"])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished run of two stages, which was stopped once; beside it file, data and labels."""
    folder = tmp_path_factory.mktemp("two_stage")
    write_data(folder / "data")
    file, out = write_file(folder / "file.yaml"), folder / "run"
    command = ("two-stage", file, "--data", folder / "data", "--out", out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFVISION_CACHE", str(folder / "cache"))
        stopped, going_on, again = Trainings(stop="classification"), Trainings(), Trainings()
        patch.setattr(process, "run_process", stopped)
        assert use(*command) == 130
        assert not (out / "config.yaml").exists()
        patch.setattr(process, "run_process", going_on)
        assert use(*command) == 0
        patch.setattr(process, "run_process", again)
        assert use(*command) == 0
    tried = [each.started for each in (stopped, going_on, again)]
    return SimpleNamespace(folder=folder, out=out, file=file, tried=tried)


def summary(run: Path) -> dict:
    return json.loads((run / "summary.json").read_text())


def evaluated(made, labels: str) -> dict:
    assert use("evaluate", made.out, "--labels", made.folder / labels, "--quiet") == 0
    return json.loads((made.out / "evaluation.json").read_text())[-1]["metrics"]["labels"]


def test_the_whole_command_goes_on_where_it_stopped(made):
    assert made.tried == [["detection", "classification"], ["classification"], []]
    said = summary(made.out)
    assert said["arch"] == "retinanet + small_cnn"
    stages = said["metrics"]["val"]["stages"]
    assert stages["both"]["images"] == 5
    assert stages["both"]["share"] == said["metrics"]["val"]["accuracy"]
    page = (made.out / "report.html").read_text()
    assert "What each stage loses" in page
    assert f"{stages['both']['share']:.3f}" in page
    for member in ("detector", "classifier"):
        assert f'href="{member}/report.html"' in page
    data = [
        json.loads((made.out / m / "data.json").read_text()) for m in ("detector", "classifier")
    ]
    assert data[0]["class_names"] == ["object"]
    assert data[1]["class_names"] == list(NAMES)
    assert data[0]["splits"] == data[1]["splits"]


def test_its_saved_model_gives_what_it_predicts(made):
    (row,) = summary(made.out)["exports"]
    assert row["labels_equal"]
    assert row["max_difference"] < 1e-5
    description = json.loads((made.out / "export" / "export.json").read_text())
    assert "whole images of any size, in which boxes are found" in description["takes"]


def test_boxes_of_the_labels_do_not_enter_the_score(made):
    right, wrong, none = (
        evaluated(made, name) for name in ("truth.csv", "wrong_boxes.csv", "labels.csv")
    )
    assert right["stages"]["both"] == wrong["stages"]["both"] == none["stages"]["both"]
    assert right["log_loss"] == wrong["log_loss"] == none["log_loss"]
    assert right["stages"]["both"]["images"] == 5
    assert wrong["stages"]["perfect_classifier"]["share"] == 0
    assert right["stages"]["annotated_boxes"]["images"] == 5
    assert none["stages"]["annotated_boxes"] is None
    assert none["stages"]["detector_ap50"] is None


def test_every_image_has_a_row_in_a_fresh_process(made, tmp_path):
    argv = ["submit", str(made.out), "--split", "test", "--format", "labels"]
    argv += ["--columns", "Id,Category", "--id-suffix", ".png", "--out", str(tmp_path / "s.csv")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-m", "tfvision", *argv], check=True, env=environment, capture_output=True
    )
    with (tmp_path / "s.csv").open() as file:
        submitted = {row["Id"]: row["Category"] for row in csv.DictReader(file)}
    assert sorted(submitted) == [f"{i}.png" for i in range(20, 25)]
    assert (
        use("predict", made.out, made.folder / "data" / "test", "--out", tmp_path, "--quiet") == 0
    )
    with (tmp_path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {f"{Path(row['id']).name}.png": row["label"] for row in rows} == submitted


def test_runs_that_are_there_are_put_together(made, tmp_path, monkeypatch):
    members = {name: {"run": str(made.out / name)} for name in ("detector", "classifier")}
    file = write_file(tmp_path / "file.yaml", **members, data={}, keep=0.01, export=False)
    monkeypatch.setattr(process, "run_process", None)
    out = tmp_path / "run"
    assert use("two-stage", file, "--data", made.folder / "data", "--out", out, "--quiet") == 0
    said = summary(out)["metrics"]["val"]
    assert (
        said["stages"]["annotated_boxes"]
        == (summary(made.out)["metrics"]["val"]["stages"]["annotated_boxes"])
    )
    splits = [json.loads((run / "data.json").read_text())["splits"] for run in (out, made.out)]
    assert splits[0] == splits[1]  # what one of them trained on is no validation
    for config, what in (
        ({"classifier": {"run": str(out)}}, "is made of several runs"),
        ({"detector": members["classifier"]}, "a detection is needed"),
        (members, "both stages are runs, and have their splits"),
        ({**members, "data": {}, "boxes": "detected"}, "it is a run already"),
    ):
        with pytest.raises(InputError, match=what):
            read_file(write_file(tmp_path / "f.yaml", **config), data=made.folder / "data")


def test_a_folder_goes_on_with_the_same_data_only(made, tmp_path, capsys):
    other = write_data(tmp_path / "data", count=18)
    assert use("two-stage", made.file, "--data", other, "--out", made.out, "--quiet") == 2
    assert "was begun otherwise" in capsys.readouterr().err


def test_boxes_to_train_on_are_found_by_who_did_not_train_on_them(made, tmp_path, monkeypatch):
    """Planted: the folds' store has one box for all, the detector another."""
    plan = read_file(made.file, data=made.folder / "data")
    prepared = prepare(plan.classifier.config.data, seed=0)
    ids = [r.id for r in prepared.source.records if r.labelled]
    train = [ids[i] for i in prepared.indices("train")]

    def box(*sides):
        return {"boxes": np.array([sides], "f4"), "scores": np.ones(1, "f4"), "classes": [0]}

    nothing = {"boxes": np.zeros((0, 4), "f4"), "scores": np.zeros(0, "f4"), "classes": []}
    store = SimpleNamespace(
        prediction=lambda name: nothing if name == train[0] else box(1, 2, 11, 12)
    )
    task = SimpleNamespace(predictions=lambda recipe, predictor, samples: [box(5, 5, 25, 30)])
    loaded = SimpleNamespace(task=task, recipe=None, predictor=None)
    monkeypatch.setattr(detected, "Shards", SimpleNamespace(open=lambda path: store))
    monkeypatch.setattr(detected, "load_run", lambda run: loaded)
    monkeypatch.setattr(detected, "read_folds", lambda path: {"samples": {"ids": train}})
    how = {"keep": "best", "fallback": "centre"}
    path, run = tmp_path / "detected.csv", made.out / "detector"
    found = detected.write_detected(path, prepared, tmp_path, run, **how)
    assert found == {"images": 20, "undetected": 1}
    with path.open() as file:
        rows = {
            r["id"]: [float(r[k]) for k in ("x1", "y1", "x2", "y2")] for r in csv.DictReader(file)
        }
    wanted = {name: [1, 2, 11, 12] for name in train}
    wanted |= {ids[i]: [5, 5, 25, 30] for i in prepared.indices("val")}
    assert rows == {**wanted, train[0]: [12, 8, 36, 24]}
    monkeypatch.setattr(detected, "read_folds", lambda path: {"samples": {"ids": train[1:]}})
    with pytest.raises(InputError, match=r"has no boxes of .*, which is trained on"):
        detected.write_detected(path, prepared, tmp_path, run, **how)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"colour": 1}, "colour"),
        ({"keep": 1.5}, "keep is best, or a score above 0 and up to 1; got 1.5"),
        ({"fallback": "none"}, "fallback"),
        ({"boxes": False}, "boxes"),
        ({"data": {"source": {"one_class": True}}}, "the detector reads all classes as one"),
        ({"data": {"fractions": 1}}, "fractions"),
        ({"detector": {**FILE["detector"], "postprocess": ["at_most(number=1)"]}}, "says `keep`"),
        ({"detector": {**FILE["detector"], "data": {"splits": "s.csv"}}}, "under data of the file"),
        (
            {"detector": {**FILE["detector"], "run": "runs/x"}},
            "leave out loss, metrics, model, train, or run",
        ),
        ({"classifier": {**FILE["classifier"], "data": {"input": "full"}}}, "It says full"),
        ({"classifier": {**FILE["classifier"], "model": "smal_cnn"}}, "Did you mean 'small_cnn'"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_trained(section, message, tmp_path):
    with pytest.raises(InputError, match=message):
        read_file(write_file(tmp_path / "file.yaml", **section), data=tmp_path)


def test_data_is_needed(tmp_path):
    with pytest.raises(InputError, match="say which images to read, with their boxes: --data PATH"):
        read_file(write_file(tmp_path / "file.yaml"))
    with pytest.raises(InputError, match="no such file or folder"):
        read_file(write_file(tmp_path / "file.yaml"), data=tmp_path / "none")
