"""A temperature: fitted out of fold, judged nested, refused on noise, and no label changed."""

import json

import numpy as np
import pytest

from tests.support import class_folds, runs
from tfvision.errors import InputError
from tfvision.metrics.calibration import fit_temperature, with_temperature
from tfvision.runs.fitted_files import read_temperature
from tfvision.studies.fitted.temperature import calibrate

COUNT = 60


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    root = tmp_path_factory.mktemp("folds")
    labels = np.arange(COUNT) // 2 % 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFVISION_CACHE", str(root / "cache"))
        table = class_folds.write_table(root / "data", labels, [[k] for k in labels])
        return class_folds.write_folds(root / "folds", table, input="full")


def predict(folder, sharpness, seed=0):
    """Out-of-fold predictions: the truth is drawn from probabilities, which are then sharpened."""
    rng = np.random.default_rng(seed)
    truth = class_folds.truth_of(folder)

    def probabilities(name):
        honest = rng.choice([0.55, 0.7, 0.85])
        right = rng.random() < honest  # whatever the class is, it has what was drawn for it
        odds = sharpness * np.log(honest / (1 - honest)) * (1 if right else -1)
        p = 1 / (1 + np.exp(-odds))
        return [p, 1 - p] if truth[name] == 0 else [1 - p, p]

    found = {name: probabilities(name) for name in truth}
    (folder / "out_of_fold/shards.json").unlink()
    for path in (folder / "out_of_fold").iterdir():
        path.unlink()
    class_folds.write_store(folder, found.__getitem__)
    return found, truth


def test_models_too_sure_of_themselves_are_cooled_by_the_other_folds(begun, capsys):
    found, truth = predict(begun, sharpness=5.0)
    assert runs.use("calibrate", begun) == 0
    told = json.loads((begun / "temperature.json").read_text())
    assert told["verdict"] == "applied"
    assert 3 < told["temperature"] < 9
    ids = json.loads((begun / "folds.json").read_text())["samples"]["ids"]
    shares = np.array([found[name] for name in ids]).astype(np.float16).astype(np.float64)
    shares /= shares.sum(axis=1, keepdims=True)
    labels = np.array([truth[name] for name in ids])
    assert told["temperature"] == pytest.approx(fit_temperature(shares, labels), rel=1e-4)
    # Nested, by hand: each half is scaled by the temperature of the other.
    after = np.empty_like(shares)
    for own in (np.s_[: COUNT // 2], np.s_[COUNT // 2 :]):
        others = np.setdiff1d(np.arange(COUNT), np.arange(COUNT)[own])
        after[own] = with_temperature(shares[own], fit_temperature(shares[others], labels[others]))
    rows = np.arange(COUNT)
    loss = told["log_loss"]
    assert loss["before"] == pytest.approx(-np.log(shares[rows, labels]).mean(), rel=1e-4)
    assert loss["after"] == pytest.approx(-np.log(after[rows, labels]).mean(), rel=1e-4)
    assert loss["difference"] == pytest.approx(loss["after"] - loss["before"])
    assert loss["low"] < loss["difference"] < loss["high"] < 0
    error = told["expected_calibration_error"]
    assert error["after"] < error["before"]
    assert read_temperature(begun / "temperature.json").temperature == told["temperature"]
    assert "expected calibration error" in capsys.readouterr().err


def test_honest_probabilities_are_left_alone_and_the_refused_file_is_not_taken(begun, capsys):
    predict(begun, sharpness=1.0, seed=1)
    told = calibrate(begun, quiet=True)
    assert told["verdict"] == "refused"
    assert "that interval is not below 0" in told["reason"]
    with pytest.raises(InputError, match=r"was refused, as the log-loss changes by .* Leave"):
        read_temperature(begun / "temperature.json")


def test_images_that_are_all_right_give_no_temperature(begun):
    truth = class_folds.truth_of(begun)
    predict(begun, sharpness=1.0)
    for path in (begun / "out_of_fold").iterdir():
        path.unlink()
    class_folds.write_store(begun, lambda name: [0.6, 0.4] if truth[name] == 0 else [0.4, 0.6])
    told = calibrate(begun, quiet=True)
    assert (told["verdict"], told["temperature"]) == ("refused", 0.05)
    assert "up to the end of the temperatures that are sought (0.05)" in told["reason"]


def test_what_is_no_classification_is_refused(tmp_path):
    with pytest.raises(InputError, match="is no run: it has no config"):
        calibrate(tmp_path)
    runs.write_config(tmp_path / "config.yaml", tmp_path / "x.npz")
    with pytest.raises(InputError, match=r"means nothing to .*, a segmentation\. Its prob"):
        calibrate(tmp_path)
