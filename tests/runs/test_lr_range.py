"""The range test on curves whose answer is known, and on a small config."""

import csv
import json
import math
import re

import numpy as np
import pytest
from PIL import Image

from tests.support import runs
from tfvision.cli import training
from tfvision.errors import InputError
from tfvision.runs import lr_range
from tfvision.runs.lr_range import (
    HIGHEST,
    LOWEST,
    STEPS,
    Curve,
    advice,
    lr_range_test,
    measure,
    smooth,
    table,
)
from tfvision.runs.request import TrainRequest


def valley(falls_at, breaks_at, noise=0.0):
    """`rate -> loss`: level at 2, a smooth fall to 0.5 about one rate, a rise from another."""
    rng = np.random.default_rng(0)

    def take(rate):
        fall = 1.5 / (1 + math.exp(-4 * (math.log10(rate) - math.log10(falls_at))))
        rise = (rate / breaks_at) ** 4
        return 2 - fall + rise + noise * rng.standard_normal()

    return take


@pytest.mark.parametrize("falls_at", [1e-4, 3e-3])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_the_steepest_rate_is_found_within_a_third_of_a_magnitude(falls_at, noise):
    curve = measure(valley(falls_at, 0.3, noise))
    assert abs(math.log10(curve.steepest / falls_at)) < 1 / 3
    assert curve.suggested == float(f"{curve.steepest:.1e}")


def test_rates_rise_by_a_constant_factor_over_six_magnitudes():
    seen = []
    curve = measure(lambda rate: seen.append(rate) or 1.0)
    assert len(seen) == len(curve.rates) == STEPS
    assert (seen[0], seen[-1]) == (LOWEST, HIGHEST) == (1e-6, 1.0)
    factors = np.array(seen[1:]) / seen[:-1]
    np.testing.assert_allclose(factors, 1e6 ** (1 / 99))


def test_it_stops_where_the_loss_breaks_out():
    curve = measure(valley(1e-3, 0.03))
    assert len(curve.rates) < STEPS
    assert 0.03 < curve.diverged < 0.3
    assert len(curve.losses) == len(curve.smoothed) == len(curve.rates)
    assert measure(lambda rate: 1 - rate / 2).diverged is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_it(value):
    take = valley(1e-3, 1e9)
    curve = measure(lambda rate: value if rate > 0.01 else take(rate))
    assert 0.01 < curve.diverged < 0.012
    assert max(curve.rates) <= 0.01
    assert all(map(math.isfinite, curve.losses))
    assert math.isfinite(curve.suggested)


def test_a_loss_that_is_never_finite_suggests_nothing():
    curve = measure(lambda rate: math.nan)
    assert (curve.rates, curve.steepest, curve.suggested) == ([], None, None)
    assert curve.diverged == LOWEST
    assert "no rate is suggested" in advice(curve)


def test_near_the_break_a_tenth_of_it_is_suggested():
    curve = Curve([1e-3, 1e-2], [1.0, 0.5], [1.0, 0.5], diverged=2e-2, steepest=1e-2)
    assert curve.suggested == 2e-3
    assert "suggested, a tenth of that" in advice(curve)
    assert "--set train.optimizer.learning_rate=0.002\n" in advice(curve)
    far = Curve([1e-3, 1e-2], [1.0, 0.5], [1.0, 0.5], diverged=None, steepest=1.234e-5)
    assert "suggested, where the loss fell fastest: " in advice(far)
    assert "learning_rate=1.2e-05\n" in advice(far)
    assert "a rate to start from, not the best one" in advice(far)
    assert "did not break out up to 1" in advice(far)


@pytest.mark.parametrize("loss", [lambda rate: 1.0, lambda rate: 1 + rate, lambda rate: 1 - 1e-3])
def test_without_a_fall_nothing_is_suggested(loss):
    curve = measure(loss)
    assert curve.suggested is None
    assert "no rate is suggested: the loss did not fall by 2 %" in advice(curve)


def test_smoothing_neither_shifts_nor_bends_a_line():
    line = np.linspace(3, 1, 50)
    np.testing.assert_allclose(smooth(line)[12:-12], line[12:-12], atol=1e-4)
    step = np.where(np.arange(60) < 30, 1.0, 0.0)
    smoothed = np.array(smooth(step))
    assert smoothed[29] + smoothed[30] == pytest.approx(1)
    assert smoothed[29] > 0.5 > smoothed[30]
    assert smooth([]) == []


def test_the_table_has_two_rows_a_magnitude():
    lines = table(measure(lambda rate: 1 - rate / 2)).splitlines()
    assert lines[0].split() == ["learning", "rate", "loss", "smoothed"]
    rates = [float(line.split()[0]) for line in lines[1:]]
    assert rates[0] == 1e-6
    assert 12 <= len(rates) <= 14
    np.testing.assert_allclose(np.diff(np.log10(rates)), 0.5, atol=0.05)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lr")
    source = runs.write_npz(folder / "scenes.npz")
    return runs.write_config(
        folder / "c.yaml",
        source,
        data={"augment": ["flip_lr(p=0.5)"]},
        # Without dropout two devices give the same; with normalisation there is a rate to suggest.
        model={"dropout": 0.0, "normalization": "group"},
        train={"optimizer": {"name": "sgd", "momentum": 0.5}, "clip_norm": 1.0},
    )


def test_a_config_gives_a_curve_twice_the_same_and_no_run(config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lr_range, "STEPS", 50)
    flags = ["--config", config, "--lr-range", "--json"]
    assert runs.train(*flags, "--out", "one") == 0
    said = capsys.readouterr()
    summary = json.loads(said.out.splitlines()[-1])
    assert summary["lr_range"] is True
    assert summary["arch"] == "unet"
    typed = re.search(r"--set train\.optimizer\.learning_rate=(\S+)", said.err)
    assert float(typed[1]) == summary["suggested"]
    assert 1e-5 < summary["suggested"] < 1
    with open("one/lr_range.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["step", "learning_rate", "loss", "smoothed"]
    assert len(rows) == summary["steps"]
    assert [int(row["step"]) for row in rows] == list(range(1, len(rows) + 1))
    losses = np.array([float(row["loss"]) for row in rows])
    assert losses.min() < 0.8 * losses[0]
    assert Image.open("one/lr_range.png").format == "PNG"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["lr_range.csv", "lr_range.png", "one"]
    assert (
        training.train("segmentation", [*map(str, flags), "--out", "two", "--device", "cpu:2"]) == 0
    )
    with open("two/lr_range.csv", newline="") as file:
        others = [float(row["loss"]) for row in csv.DictReader(file)]
    np.testing.assert_allclose(others[:20], losses[:20], rtol=1e-4)
    capsys.readouterr()
    assert runs.train(*flags, "--out", "one") == 2
    assert "one has an lr_range.csv already. Add --overwrite" in capsys.readouterr().err
    before = (tmp_path / "one/lr_range.csv").read_bytes()
    assert runs.train(*flags, "--out", "one", "--overwrite") == 0
    assert (tmp_path / "one/lr_range.csv").read_bytes() == before


def test_nothing_is_written_without_out_and_the_other_flags_are_refused(
    config, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    asked = []

    def train(request: TrainRequest, *, trial):
        asked.append(request)
        return trial(_Recipe, _Step(), lambda step: [], print)

    monkeypatch.setattr("tfvision.runs.lr_range.train", train)
    assert runs.train("--config", config, "--lr-range") == 0
    assert asked[0].dry_run
    assert "--set train.optimizer.learning_rate=" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert runs.train("--config", config, "--lr-range", "--dry-run") == 2
    assert "Give --dry-run or --lr-range, not both." in capsys.readouterr().err
    (tmp_path / "lr_range.csv").write_text("")
    with pytest.raises(InputError, match=r"has an lr_range\.csv already"):
        lr_range_test(asked[0], out=tmp_path)


class _Recipe:
    class config:
        class model:
            name = "unet"


class _Step:
    """A step whose loss is a valley of the rate."""

    class strategy:
        @staticmethod
        def experimental_distribute_dataset(data):
            return iter([None] * STEPS)

    def __call__(self, batch, rate):
        return valley(1e-3, 0.3)(rate)
