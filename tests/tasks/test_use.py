"""Finished runs in use: evaluate, predict, export."""

import json
import re
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.tasks import runs
from tfvision.engine.checkpoint import load_checkpoint
from tfvision.engine.run_folder import RunFolder
from tfvision.registry import Spec
from tfvision.tasks import finish, use
from tfvision.tasks.use import load_run, read_labels


@pytest.fixture
def run(whole, tmp_path):
    return runs.copy(whole, tmp_path / "run")


def test_evaluate_prints_and_writes_what_training_did(run, whole, capsys):
    assert runs.use("evaluate", run) == 0
    printed = capsys.readouterr().out
    log = (whole / "log.txt").read_text()
    for split in ("val", "test"):
        (score,) = re.findall(rf"^{split} +mean IoU (\d\.\d{{4}})", log, re.M)
        assert f"{split}: 4 images, mean IoU {score}, pixel accuracy" in printed
    assert runs.summary(run) == runs.summary(whole)
    for name in ("val.npz", "test.npz"):
        assert (run / "predictions" / name).read_bytes() == (
            whole / "predictions" / name
        ).read_bytes()


def test_evaluate_of_other_data_stands_beside_the_runs_own_scores(run, whole, tmp_path):
    images, masks = runs.arrays(5, first=50)
    np.savez(tmp_path / "other.npz", images=images, masks=masks)
    assert runs.use("evaluate", run, "--data", tmp_path / "other.npz") == 0
    (entry,) = json.loads((run / "evaluation.json").read_text())
    assert entry["metrics"]["data"]["num_images"] == 5
    assert runs.use("predict", run, tmp_path / "other.npz", "--out", tmp_path / "out") == 0
    found = runs.labels(tmp_path / "out/predictions.npz")
    want = runs.mean_iou(masks, found.values())
    assert entry["metrics"]["data"]["mean_iou"] == pytest.approx(want, abs=1e-12)
    assert runs.summary(run) == runs.summary(whole)


@pytest.mark.parametrize("split", ["val", "test", None])
def test_predict_gives_the_predictions_of_the_run_in_the_order_of_the_input(
    whole, dataset, tmp_path, split
):
    chosen = ["--split", split] if split else []  # of an npz with a test set, that
    assert runs.use("predict", whole, dataset, "--out", tmp_path, *chosen) == 0
    found = runs.labels(tmp_path / "predictions.npz")
    want = runs.labels(whole / f"predictions/{split or 'test'}.npz")
    assert list(found) == list(want) == ["0", "1", "2", "3"]
    for name in want:
        assert found[name].dtype == np.uint8
        np.testing.assert_array_equal(found[name], want[name])


def test_predict_of_everything_has_unique_ids_and_probabilities_on_request(
    whole, dataset, tmp_path
):
    arguments = ["--out", tmp_path, "--split", "all", "--probabilities"]
    assert runs.use("predict", whole, dataset, *arguments) == 0
    with np.load(tmp_path / "predictions.npz", allow_pickle=False) as file:
        ids, labels, probabilities = (file[k] for k in ("ids", "labels", "probabilities"))
    assert [ids[0], ids[10], ids[-1]] == ["train/0", "val/0", "test/3"]
    assert len(set(ids)) == len(labels) == 18
    np.testing.assert_allclose(probabilities.astype(float).sum(-1), 1, atol=2e-3)
    best = probabilities.max(-1)
    chosen = np.take_along_axis(probabilities, labels[..., None].astype(int), -1)[..., 0]
    np.testing.assert_array_equal(chosen, best)


def test_the_weights_in_use_are_the_averages_of_the_best_epoch(run):
    state = load_checkpoint(run / "checkpoints", 4).state
    assert (state["best_epoch"], state["best_step"]) == (1, 2)  # so they are not the last
    saved = load_checkpoint(run / "checkpoints", 2).variables
    averages = [v for name, v in saved.items() if name.startswith("average/")]
    variables = load_run(RunFolder(run)).inference.model.variables
    used = [v.numpy() for v in variables if v.dtype == "float32"]
    assert len(used) == len(averages) > 0
    for one, other in zip(used, averages, strict=True):
        np.testing.assert_array_equal(one, other)
    model = keras.models.load_model(run / "export/model.keras")
    exported = [np.asarray(v) for v in model.variables if v.dtype == "float32"]
    for one, other in zip(used, exported, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def mars(tmp_path_factory):
    """A run on a data set with an unlabelled test set, whose score ignores the class 0."""
    folder = tmp_path_factory.mktemp("mars")
    images, masks = runs.arrays(12)
    test, _ = runs.arrays(4, first=30)
    np.savez(folder / "mars.npz", training_set=np.stack([images, masks], axis=1), test_set=test)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFVISION_CACHE", str(folder / "cache"))
        patch.setattr(finish, "export_run", lambda *args, **options: [])
        return runs.new_run(
            folder / "run", folder / "mars.npz", metrics=["mean_iou(ignore_labels=[0])"]
        )


def test_a_test_set_without_labels_has_no_score(mars):
    summary = runs.summary(mars)
    assert set(summary["metrics"]) == {"val"}
    assert runs.data(mars)["counts"]["test"] == 4
    assert runs.data(mars)["labelled"]["test"] == 0
    assert not (mars / "predictions/test.npz").exists()


def test_a_class_the_score_ignores_is_never_predicted(mars):
    summary = runs.summary(mars)
    assert summary["contract"]["ignore_labels"] == [0]
    metrics = summary["metrics"]["val"]
    found = runs.labels(mars / "predictions/val.npz")
    assert all((labels > 0).all() for labels in found.values())
    _, masks = runs.arrays(12)
    truth = [masks[int(name)] for name in found]
    processed = metrics["post_processed"]["mean_iou"]
    assert processed == pytest.approx(runs.mean_iou(truth, found.values(), ignored=[0]))
    inference = load_run(RunFolder(mars)).inference
    inference.model.get_layer("logits").bias.assign([99.0, 0.0, 0.0])
    out = inference.serving_default(tf.constant(runs.arrays(2)[0][..., None]))
    assert (np.argmax(out["probabilities"], -1) == 0).all()
    assert (out["labels"].numpy() > 0).all()
    rows = runs.history(mars)
    assert float(rows[summary["best_epoch"] - 1]["val_post_processed_mean_iou"]) == max(
        float(row["val_post_processed_mean_iou"]) for row in rows
    )


def test_labels_that_training_never_saw_are_scored_when_given(mars, tmp_path, capsys):
    run = runs.copy(mars, tmp_path / "run")
    data = mars.parent / "mars.npz"
    assert runs.use("evaluate", run, "--split", "test") == 2
    assert "The run has no labelled samples in: test" in capsys.readouterr().err
    assert runs.use("predict", run, data, "--out", tmp_path) == 0
    found = runs.labels(tmp_path / "predictions.npz")
    assert list(found) == ["0", "1", "2", "3"]
    assert all((labels > 0).all() for labels in found.values())
    _, truth = runs.arrays(4, first=30)
    np.savez(tmp_path / "truth.npz", ids=np.array(["3", "1"]), labels=truth[[3, 1]])
    assert runs.use("evaluate", run, "--labels", tmp_path / "truth.npz", "--json") == 0
    entry = json.loads(capsys.readouterr().out.splitlines()[-1])
    metrics = entry["metrics"]["labels"]["post_processed"]
    want = runs.mean_iou([truth[1], truth[3]], [found["1"], found["3"]], ignored=[0])
    assert metrics["mean_iou"] == pytest.approx(want, abs=1e-12)
    assert metrics["num_images"] == 2
    assert runs.summary(run) == runs.summary(mars)


def test_labels_are_matched_by_id_and_refused_where_they_do_not_fit(tmp_path):
    _, masks = runs.arrays(3)
    source = SimpleNamespace(mask_values=None, ignore_label=255)

    def read(name, ids):
        return read_labels(tmp_path / name, ids, source)

    np.savez(tmp_path / "order.npz", y=masks)
    np.testing.assert_array_equal(read("order.npz", ["a", "b", "c"]), masks)
    for name, mask in zip("ca", masks[:2], strict=True):
        (tmp_path / "folder").mkdir(exist_ok=True)
        Image.fromarray(mask).save(tmp_path / f"folder/{name}.png")
    by_name = read("folder", ["sub/a", "sub/b", "sub/c"])
    np.testing.assert_array_equal(by_name[0], masks[1])
    assert by_name[1] is None
    np.savez(tmp_path / "wrong.npz", truth=masks)
    with pytest.raises(ValueError, match=r"must hold `labels`, `masks` or `y`\. It has: truth"):
        read("wrong.npz", ["a"])
    with pytest.raises(ValueError, match="3 masks for 2 images"):
        read("order.npz", ["a", "b"])
    np.savez(tmp_path / "others.npz", ids=np.array(["x", "y", "z"]), labels=masks)
    with pytest.raises(ValueError, match="has none of the ids, such as 'a'"):
        read("others.npz", ["a"])


def test_labels_given_later_are_read_with_the_mask_values_of_the_run(tmp_path):
    _, masks = runs.arrays(3)
    values = np.array([10, 20, 30])
    stored = values[masks]
    stored[0, 0, 0] = 255
    np.savez(tmp_path / "raw.npz", labels=stored)
    source = SimpleNamespace(mask_values=values.tolist(), ignore_label=255)
    found = np.stack(read_labels(tmp_path / "raw.npz", ["a", "b", "c"], source))
    assert found[0, 0, 0] == 255
    found[0, 0, 0] = masks[0, 0, 0]
    np.testing.assert_array_equal(found, masks)


def test_images_of_several_sizes_are_predicted_each_at_its_own(tmp_path, quick):
    sizes = [(16, 16), (20, 14), (18, 26), (16, 16), (20, 14), (18, 26), (14, 14), (20, 14)]
    data = runs.write_folder(tmp_path / "data", sizes)
    splits = [f"{'abcdefgh'[i]},{'train' if i < 5 else 'val'}\n" for i in range(8)]
    (tmp_path / "splits.csv").write_text("id,split\n" + "".join(splits))
    run = runs.new_run(
        tmp_path / "run",
        data,
        data={"image_size": [16, 16], "splits": str(tmp_path / "splits.csv")},
        train={"epochs": 1},
    )
    assert runs.data(run)["resized"] is True
    assert runs.use("predict", run, data / "images", "--out", tmp_path / "out") == 0
    found = runs.labels(tmp_path / "out/predictions")
    assert list(found) == list("abcdefgh")
    assert [labels.shape for labels in found.values()] == sizes
    own = runs.labels(run / "predictions/val")
    assert list(own) == list("fgh")
    for name, labels in own.items():
        np.testing.assert_array_equal(found[name], labels)
    truth = [runs.scene(seed, *sizes[seed])[1] for seed in (5, 6, 7)]
    want = runs.mean_iou(truth, own.values())
    assert runs.summary(run)["metrics"]["val"]["mean_iou"] == pytest.approx(want, abs=1e-12)
    one = data / "images/c.png"
    assert runs.use("predict", run, one, "--out", tmp_path / "one") == 0
    (alone,) = runs.labels(tmp_path / "one/predictions.npz").values()
    np.testing.assert_array_equal(alone, found["c"])


@pytest.fixture(scope="module")
def deep(dataset, tmp_path_factory):
    """A deeply supervised run, and what its report was given."""
    folder = tmp_path_factory.mktemp("deep")
    given = []

    def record(path, report, write=finish.write_report):
        given.append(report)
        write(path, report)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFVISION_CACHE", str(folder / "cache"))
        patch.setattr(finish, "export_run", lambda *args, **options: [])
        patch.setattr(finish, "write_report", record)
        run = runs.new_run(
            folder / "run",
            dataset,
            model={"name": "unetpp", "depth": 2, "deep_supervision": True},
            metrics=["mean_dice"],
        )
    return run, given[0].depths


def test_a_deeply_supervised_run_has_a_table_of_its_depths(deep):
    run, depths = deep
    assert [row["depth"] for row in depths] == [1, 2]
    assert depths[0]["num_parameters"] < depths[1]["num_parameters"]
    metrics = runs.summary(run)["metrics"]["val"]
    assert depths[1]["val mean_iou"] == metrics["mean_iou"]
    html = re.sub(r"(?<=\d)\s(?=\d{3})", "", (run / "report.html").read_text())
    assert "can be cut at each depth without training again" in html
    for row in depths:
        assert f"<td>{row['num_parameters']}</td>" in html


def test_a_run_is_used_at_a_smaller_depth(deep, dataset, tmp_path, capsys):
    run = runs.copy(deep[0], tmp_path / "run")
    assert runs.use("export", run, "--depth", 1) == 0
    assert json.loads((run / "export/export.json").read_text())["depth"] == 1
    rows = runs.summary(run)["exports"]
    assert [row["file"] for row in rows] == ["saved_model", "model.weights.h5", "model.keras"]
    assert all(row["labels_equal"] and row["max_difference"] < 1e-5 for row in rows)
    assert runs.use("predict", run, dataset, "--out", tmp_path, "--depth", 1) == 0
    found = runs.labels(tmp_path / "predictions.npz")
    saved = tf.saved_model.load(str(run / "export/saved_model"))
    with np.load(dataset) as file:
        images = tf.constant(file["x_test"][..., None])
    want = saved.signatures["serving_default"](image=images)["labels"].numpy()
    np.testing.assert_array_equal(list(found.values()), want)
    whole = runs.labels(run / "predictions/test.npz")
    assert any((found[name] != whole[name]).any() for name in found)
    assert runs.use("evaluate", run, "--depth", 1, "--split", "val") == 0
    (entry,) = json.loads((run / "evaluation.json").read_text())
    assert entry["metrics"]["val"]["mean_iou"] == deep[1][0]["val mean_iou"]
    assert runs.use("predict", run, dataset, "--out", tmp_path, "--depth", 3) == 2
    assert "depth must be 1 to 2. Received: 3." in capsys.readouterr().err


def test_a_model_that_is_no_unetpp_has_no_smaller_depth(whole, dataset, tmp_path, capsys):
    assert runs.use("predict", whole, dataset, "--out", tmp_path, "--depth", 1) == 2
    assert "Only a UNet++ can be pruned to a depth; `unet` is none." in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_refused(tmp_path, capsys):
    assert runs.use("evaluate", tmp_path) == 2
    assert "is no run: it has no config.yaml" in capsys.readouterr().err


def test_other_data_is_read_with_the_options_of_the_runs_source(tmp_path):
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0]], np.uint8)
    image, mask = runs.scene(0)
    for folder, array in (("images", image), ("masks", colours[mask])):
        (tmp_path / folder).mkdir()
        Image.fromarray(array).save(tmp_path / folder / "a.png")
    palette = {"#000000": 0, "#ff0000": 1, "#00ff00": 2}
    given = Spec(name="folder", path="elsewhere", mask_palette=palette)
    config = SimpleNamespace(data=SimpleNamespace(source=given, ignore_label=255))
    loaded = SimpleNamespace(config=config, data={"mask_values": None, "white": None})
    np.testing.assert_array_equal(use.open_like(loaded, tmp_path).read(0).mask, mask)
