"""A regression, whose score has no end and is the better the lower: `counting.py` is all of it."""

import csv
import json

import pytest
import yaml

from tests.tasks.proof import counting
from tfvision.cli import commands, training
from tfvision.errors import InputError
from tfvision.tasks import facts

CONFIG = {
    "task": "counting",
    "model": "counter",
    "data": {"source": {"name": "scenes", "pool": 64, "test": 16}, "batch_size": 8},
    "train": {
        "epochs": 6,
        "optimizer": {"name": "adamw", "learning_rate": 5e-4},
        "export": False,
    },
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs, the second of which has no time to learn."""
    folder = tmp_path_factory.mktemp("counting")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(facts.VARIABLE, "tests.tasks.proof.counting:FACTS")
        patch.setenv("TFVISION_CACHE", str(folder / "cache"))
        (folder / "c.yaml").write_text(yaml.safe_dump(CONFIG))
        for name, options in {"long": [], "short": ["--set", "train.epochs=1"]}.items():
            argv = ["--config", folder / "c.yaml", "--out", folder / name, *options]
            argv += ["--device", "cpu", "--debug"]
            assert training.train("counting", list(map(str, argv))) == 0
    return folder


@pytest.fixture(autouse=True)
def _known(monkeypatch):
    monkeypatch.setenv(facts.VARIABLE, "tests.tasks.proof.counting:FACTS")


def read(path):
    return json.loads(path.read_text())


def test_the_epoch_of_the_lowest_error_is_kept(runs):
    with (runs / "long" / "metrics.csv").open() as file:
        errors = [float(row["val_mean_error"]) for row in csv.DictReader(file)]
    summary = read(runs / "long" / "summary.json")
    assert errors[summary["best_epoch"] - 1] == min(errors) < errors[0]
    assert summary["metrics"]["val"]["mean_error"] == pytest.approx(min(errors), rel=1e-6)


def test_the_run_of_the_lower_error_is_better(runs):
    argv = ["compare", runs / "short", runs / "long", "--split", "val", "--out", runs / "compared"]
    assert commands.main([*map(str, argv), "--debug"]) == 0
    (pair,) = read(runs / "compared" / "compare.json")["pairs"]
    assert pair["difference"] < 0
    assert pair["low"] < pair["difference"] < pair["high"]
    assert pair["verdict"] != "worse"


def test_what_makes_no_sense_for_it_is_refused_with_the_reason(runs, capsys):
    assert commands.main(["evaluate", str(runs / "long"), "--tile", "64", "--device", "cpu"]) == 2
    assert "is no sum over tiles" in capsys.readouterr().err
    with pytest.raises(InputError, match="counting has no method `merge`: predict without --tile"):
        counting.Counting().merge([], (96, 128))


def test_a_prediction_is_a_number_an_image(runs):
    out = runs / "predicted"
    argv = ["predict", runs / "long", "--tta", "flip_lr", "--out", out, "--device", "cpu"]
    assert commands.main(list(map(str, argv))) == 0
    answers = read(out / "predictions.json")
    assert len(answers) == 16
    assert all(0 < answer["number"] < 10 for answer in answers)
