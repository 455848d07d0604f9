"""The sentinel in a whole run: said once, kept over a resume, an error where asked."""

import json

import numpy as np
import pytest

from tests.support import runs


@pytest.fixture
def swapped(tmp_path):
    """Training masks whose classes mean something else than those of the validation split."""
    path = runs.write_npz(tmp_path / "data.npz", train=16, val=6, test=4)
    with np.load(path) as file:
        content = dict(file)
    content["y_val"] = (content["y_val"] + 1) % runs.CLASSES
    np.savez(path, **content)
    return path


LEARNS = {"normalization": "batch"}
LONG = {"model": LEARNS, "train": {"epochs": 8}}


def test_an_alarm_is_said_once_and_stands_in_the_report(tmp_path, swapped, quick, capsys):
    run = runs.new_run(tmp_path / "run", swapped, **LONG)
    said = capsys.readouterr().err
    assert said.count("no better than the most frequent class") == 1
    assert "no better than the most frequent class" in (run / "report.html").read_text()


def test_fail_stops_at_the_alarm_and_warn_goes_on(tmp_path, swapped, quick, capsys):
    config = runs.write_config(
        tmp_path / "c.yaml",
        swapped,
        model=LEARNS,
        train={**LONG["train"], "sentinel": "fail"},
    )
    assert runs.train("--config", config, "--out", tmp_path / "run") == 2
    assert "train.sentinel is fail" in capsys.readouterr().err
    assert not (tmp_path / "run" / "summary.json").exists()
    resumed = runs.train("--resume", tmp_path / "run", "--set", "train.sentinel=warn")
    assert resumed == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["epochs"] == 8
    assert "no better than" in (tmp_path / "run" / "report.html").read_text()


def test_an_alarm_before_the_first_step(tmp_path, capsys):
    data = runs.write_npz(tmp_path / "data.npz")
    config = runs.write_config(tmp_path / "c.yaml", data, loss=["dice(ignore_labels=[0, 1, 2])"])
    flags = ["--config", config, "--out", tmp_path / "run", "--set", "train.epochs=1"]
    assert runs.train(*flags, "--set", "train.sentinel=fail") == 2
    assert "'dice' gives no gradient" in capsys.readouterr().err
    assert runs.train(*flags, "--set", "train.sentinel=off", "--dry-run") == 0
    assert "gradient" not in capsys.readouterr().err
    assert runs.train(*flags, "--dry-run") == 0
    assert "warning: the loss term 'dice' gives no gradient" in capsys.readouterr().err
