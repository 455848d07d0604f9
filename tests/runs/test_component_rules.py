"""Rules on components act in scores, predictions and submissions; the export names them."""

import csv
import json

import numpy as np
import pytest
import yaml

from tests.support import runs
from tfvision.engine.run_folder import RunFolder
from tfvision.postprocess import smallest_component
from tfvision.runs import export, finish
from tfvision.runs.load import load_run

SPECKS = {"name": "smallest_component", "pixels": 20}
DROPPED = {"name": "drop_class", "index": 0}
rule = smallest_component(num_classes=runs.CLASSES, pixels=20)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of one epoch whose only rule is on components."""
    folder = tmp_path_factory.mktemp("specks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFVISION_CACHE", str(folder / "cache"))
        patch.setattr(finish, "export_run", lambda *args, **options: [])
        source = runs.write_npz(folder / "scenes.npz")
        return runs.new_run(folder / "run", source, postprocess=[SPECKS], train={"epochs": 1})


def with_rules(run, to, rules):
    """A copy of the run with other rules."""
    runs.copy(run, to)
    config = yaml.safe_load((to / "config.yaml").read_text())
    (to / "config.yaml").write_text(yaml.safe_dump({**config, "postprocess": rules}))
    return to


def predict(run, out, *flags):
    assert runs.use("predict", run, source_of(run), "--out", out, *flags) == 0
    return runs.labels(out / "predictions.npz")


def source_of(run):
    return yaml.safe_load((run / "config.yaml").read_text())["data"]["source"]["path"]


@pytest.fixture(scope="module")
def plain(run, tmp_path_factory):
    """id -> labels of the test set without any rule."""
    folder = tmp_path_factory.mktemp("plain")
    return predict(with_rules(run, folder / "run", []), folder / "out")


def test_predictions_of_the_run_and_of_predict_are_the_cleaned_labels(run, plain, tmp_path):
    of_run = runs.labels(run / "predictions/test.npz")
    predicted = predict(run, tmp_path)
    assert list(of_run) == list(predicted) == list(plain)
    for name, labels in plain.items():
        np.testing.assert_array_equal(of_run[name], rule(labels))
        np.testing.assert_array_equal(predicted[name], rule(labels))
    assert any((rule(labels) != labels).any() for labels in plain.values())


def test_scores_stand_beside_those_of_the_plain_argmax(run, plain):
    with np.load(source_of(run), allow_pickle=False) as file:
        truth = file["y_test"]
    scores = runs.summary(run)["metrics"]["test"]
    assert scores["mean_iou"] == pytest.approx(runs.mean_iou(truth, plain.values()))
    cleaned = [rule(labels) for labels in plain.values()]
    assert scores["post_processed"]["mean_iou"] == pytest.approx(runs.mean_iou(truth, cleaned))


def test_evaluate_of_other_data_cleans_too(run, tmp_path):
    copy = with_rules(run, tmp_path / "run", [SPECKS])
    images, masks = runs.arrays(5, first=50)
    np.savez(tmp_path / "other.npz", images=images, masks=masks)
    assert runs.use("evaluate", copy, "--data", tmp_path / "other.npz") == 0
    (entry,) = json.loads((copy / "evaluation.json").read_text())
    assert runs.use("predict", copy, tmp_path / "other.npz", "--out", tmp_path / "out") == 0
    found = runs.labels(tmp_path / "out/predictions.npz")
    processed = entry["metrics"]["data"]["post_processed"]["mean_iou"]
    assert processed == pytest.approx(runs.mean_iou(masks, found.values()))


def test_a_submission_has_the_cleaned_labels(run, plain, tmp_path):
    out = tmp_path / "s.csv"
    assert runs.use("submit", run, source_of(run), "--out", out, "--format", "mars") == 0
    with open(out, newline="") as file:
        rows = list(csv.reader(file))[1:]
    cleaned = np.stack([rule(labels) for labels in plain.values()])
    np.testing.assert_array_equal(np.array([r[1:] for r in rows], int), cleaned.reshape(4, -1))


def test_the_best_epoch_is_chosen_without_them(run):
    assert not any("post_processed" in key for row in runs.history(run) for key in row)
    assert load_run(RunFolder(run)).recipe.monitor == "val_mean_iou"


def test_rules_of_single_pixels_come_first_wherever_they_stand(run, plain, tmp_path):
    copy = with_rules(run, tmp_path / "run", [SPECKS, DROPPED])
    found = predict(copy, tmp_path / "out")
    only = predict(with_rules(run, tmp_path / "only", [DROPPED]), tmp_path / "dropped")
    assert any((labels == 0).any() for labels in plain.values())
    for name, labels in found.items():
        np.testing.assert_array_equal(labels, rule(only[name]))
        assert (labels > 0).all()


def test_the_export_carries_the_pixels_rules_and_lists_the_others(run, tmp_path, monkeypatch):
    copy = with_rules(run, tmp_path / "run", [SPECKS, DROPPED])
    served = []

    def write(folder, inference, fixed, description, plain):
        folder.mkdir()
        served.append(inference.serving_default)

    monkeypatch.setattr(export, "write_export", write)  # its files are tested elsewhere
    monkeypatch.setattr(export, "check_export", lambda *args, **options: [])
    assert runs.use("export", copy) == 0
    written = json.loads((copy / "export/export.json").read_text())
    assert written["probabilities"] == "softmax of the logits"
    assert written["postprocess"] == [DROPPED]
    assert written["postprocess_left_out"] == [SPECKS]
    with np.load(source_of(run), allow_pickle=False) as file:
        out = served[0](file["x_test"][..., None])
    kept = out["probabilities"].numpy()
    kept[..., 0] = -1
    np.testing.assert_array_equal(out["labels"], np.argmax(kept, -1))
