"""Finished runs in use: evaluate, predict, export."""

import json
import re
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.support import runs
from tfvision.engine.checkpoint import load_checkpoint
from tfvision.engine.predict import half
from tfvision.engine.run_folder import RunFolder
from tfvision.engine.shards import Shards
from tfvision.engine.tta import TestTimeAugmentation
from tfvision.registry import Spec
from tfvision.runs import finish
from tfvision.runs.load import LoadedRun, load_run, open_like
from tfvision.runs.predict import weights_of
from tfvision.runs.request import UseRequest, parse_tile, parse_views
from tfvision.runs.views_and_tiles import as_requested
from tfvision.tasks.segmentation import results
from tfvision.tasks.segmentation.masks_given_later import read_labels
from tfvision.tasks.task import task_of


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
    variables = load_run(RunFolder(run)).predictor.model.variables
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
    inference = load_run(RunFolder(mars)).predictor
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


def test_images_of_several_sizes_are_predicted_each_at_its_own(tmp_path, quick, capsys):
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
    views = ["--tta", "scale(factor=0.5),flip_lr"]  # at the size of the model, not the image's
    assert runs.use("predict", run, one, "--out", tmp_path / "views", *views) == 0
    (averaged,) = runs.labels(tmp_path / "views/predictions.npz").values()
    assert averaged.shape == alone.shape
    assert runs.use("predict", run, one, "--out", tmp_path / "tiles", "--tile", 8) == 2
    assert "this run brings every image to 16x16, the size it was tr" in capsys.readouterr().err


@pytest.fixture(scope="module")
def deep(dataset, tmp_path_factory):
    """A deeply supervised run, and what its report was given."""
    folder = tmp_path_factory.mktemp("deep")
    given = []

    def record(report, render=results.render):
        given.append(report)
        return render(report)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFVISION_CACHE", str(folder / "cache"))
        patch.setattr(finish, "export_run", lambda *args, **options: [])
        patch.setattr(results, "render", record)
        run = runs.new_run(
            folder / "run",
            dataset,
            model={"name": "unetpp", "depth": 2, "deep_supervision": True},
            metrics=["mean_dice"],
            train={"optimizer": runs.ADAMW},
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
    data = SimpleNamespace(task="segmentation", source=given, ignore_label=255)
    config = SimpleNamespace(data=data)
    loaded = SimpleNamespace(config=config, data={"mask_values": None, "white": None})
    np.testing.assert_array_equal(open_like(loaded, tmp_path).read(0).mask, mask)


def arrays_of(path):
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def test_views_are_averaged_in_what_predict_writes(whole, dataset, tmp_path):
    views = ["--tta", "flip_lr,flip_lr+flip_ud"]
    assert runs.use("predict", whole, dataset, "--out", tmp_path, "--probabilities", *views) == 0
    found = arrays_of(tmp_path / "predictions.npz")
    inference = load_run(RunFolder(whole)).predictor
    images = arrays_of(dataset)["x_test"][..., None] * np.float32(1 / 255)

    def ask(x):
        return inference.serve_float(tf.constant(x))["probabilities"].numpy()

    both = np.s_[:, ::-1, ::-1]
    parts = [ask(images), ask(images[:, :, ::-1])[:, :, ::-1], ask(images[both])[both]]
    np.testing.assert_allclose(found["probabilities"], np.mean(parts, axis=0), atol=1e-3)
    assert np.abs(parts[0] - np.mean(parts, axis=0)).max() > 2e-3  # views do change something
    np.testing.assert_array_equal(found["labels"], np.mean(parts, axis=0).argmax(-1))


def test_scores_with_views_stand_beside_the_runs_own(run, whole, dataset, tmp_path, capsys):
    views = ["--tta", "flip_lr, shift(pixels=2)", "--split", "test"]
    assert runs.use("evaluate", run, *views, "--json") == 0
    said = capsys.readouterr().out.splitlines()
    (entry,) = json.loads((run / "evaluation.json").read_text())
    assert entry == json.loads(said[-1])
    assert entry["tta"] == "flip_lr, shift(pixels=2)"
    assert "tile" not in entry
    assert said[0].startswith("test (tta flip_lr, shift(pixels=2)): 4 images, mean IoU")
    assert runs.use("predict", run, dataset, "--out", tmp_path, *views) == 0
    found = runs.labels(tmp_path / "predictions.npz")
    want = runs.mean_iou(arrays_of(dataset)["y_test"], found.values())
    assert entry["metrics"]["test"]["mean_iou"] == pytest.approx(want, abs=1e-12)
    assert runs.summary(run) == runs.summary(whole)
    kept = [(folder / "predictions/test.npz").read_bytes() for folder in (run, whole)]
    assert kept[0] == kept[1]


def test_an_image_in_tiles_has_the_labels_of_its_blended_probabilities(whole, tmp_path):
    images = np.stack([runs.scene(seed, 28, 30)[0] for seed in (60, 61)])
    np.savez(tmp_path / "large.npz", images=images)
    tiles = ["--tile", "16x12", "--overlap", "4", "--tta", "flip_ud"]
    outs = [tmp_path / "labels", tmp_path / "both", tmp_path / "plain"]
    data = tmp_path / "large.npz"
    assert runs.use("predict", whole, data, "--out", outs[0], *tiles) == 0
    assert runs.use("predict", whole, data, "--out", outs[1], *tiles, "--probabilities") == 0
    assert runs.use("predict", whole, data, "--out", outs[2], "--probabilities") == 0
    labels, both, plain = (arrays_of(out / "predictions.npz") for out in outs)
    np.testing.assert_array_equal(labels["labels"], both["labels"])
    np.testing.assert_allclose(both["probabilities"].astype(float).sum(-1), 1, atol=2e-3)
    differ = np.abs(both["probabilities"].astype(float) - plain["probabilities"]).max()
    assert 0 < differ < 0.5
    rows = ["--format", "mars", "--out", tmp_path / "s.csv", *tiles]
    assert runs.use("submit", whole, data, *rows) == 0
    written = np.loadtxt(tmp_path / "s.csv", delimiter=",", skiprows=1, dtype=int)
    np.testing.assert_array_equal(written[:, 1:], labels["labels"].reshape(2, -1))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--tta", "flip_rl"], "--tta flip_rl: Unknown view: 'flip_rl'. Did you mean 'flip_lr'"),
        (["--tta", "shift(pixels=1"], "--tta shift(pixels=1: Cannot read"),
        (["--tta", "flip_lr,"], "--tta flip_lr,: Cannot read ''"),
        (["--tta", "flip_lr,scale(factor=2.0),flip_lr"], "a view comes twice"),
        (["--tta", "shift(pixels=0)"], "must be a whole number of at least 1"),
        (["--tile", "12by12"], "such as 512, or HEIGHTxWIDTH, 256x512. Received: '12by12'"),
        (["--tile", "0"], "Received: '0'"),
        (["--overlap", "4"], "--overlap says what tiles share; give --tile as well"),
        (["--tile", "12", "--overlap", "7"], "--overlap must be 0 to 6"),
        (["--shards", "4"], "--shards is for probabilities; give --probabilities"),
        (["--shards", "0", "--probabilities"], "1 or more: 0"),
    ],
)
def test_views_tiles_and_shards_that_make_no_sense_are_refused(
    whole, dataset, tmp_path, capsys, flags, message
):
    assert runs.use("predict", whole, dataset, "--out", tmp_path, *flags) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_views_are_split_at_commas_and_plus_signs_outside_brackets():
    chains = parse_views("flip_lr, shift(pixels=4)+scale(factor=1.5e+0),scale(factor=0.5)")
    names = [[spec.name for spec in chain] for chain in chains]
    assert names == [["flip_lr"], ["shift", "scale"], ["scale"]]
    assert chains[1][1].kwargs == {"factor": 1.5}
    assert (parse_tile("512"), parse_tile("256x512")) == ((512, 512), (256, 512))


def test_shards_are_finished_after_a_kill_and_hold_each_image_once(
    whole, dataset, tmp_path, monkeypatch
):
    flags = ["--split", "all", "--probabilities", "--shards", "4"]  # 18 images: 5 shards
    plain, once, twice = (tmp_path / name for name in ("plain", "once", "twice"))
    assert runs.use("predict", whole, dataset, "--out", plain, *flags[:-2]) == 0
    assert runs.use("predict", whole, dataset, "--out", once, *flags) == 0
    written, write = [], Shards.write

    def killed(self, positions, probabilities):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(positions[0])
        write(self, positions, probabilities)

    monkeypatch.setattr(Shards, "write", killed)
    assert runs.use("predict", whole, dataset, "--out", twice, *flags) == 130
    assert not (twice / "predictions.npz").exists()
    with pytest.raises(ValueError, match=r"shard-00002\.npz: not written yet"):
        Shards.open(twice / "probabilities")
    written.append(None)  # no more kills
    assert runs.use("predict", whole, dataset, "--out", twice, *flags) == 0
    assert written == [0, 4, None, 8, 12, 16]
    store, want = Shards.open(twice / "probabilities"), arrays_of(plain / "predictions.npz")
    assert store.ids == want["ids"].tolist()
    for (name, found), labels, exact in zip(
        store, want["labels"], want["probabilities"], strict=True
    ):
        np.testing.assert_allclose(found, exact, atol=1e-3, err_msg=name)
        np.testing.assert_array_equal(found.argmax(-1), labels)
    for out in (once, twice):
        assert (out / "predictions.npz").read_bytes() == (once / "predictions.npz").read_bytes()
        found = arrays_of(out / "predictions.npz")
        assert list(found) == ["ids", "labels"]
        np.testing.assert_array_equal(found["labels"], want["labels"])


def test_a_store_of_something_else_is_not_filled_up(run, dataset, tmp_path, capsys):
    flags = ["--out", tmp_path / "out", "--probabilities", "--shards", "3"]
    assert runs.use("predict", run, dataset, *flags) == 0
    assert runs.use("predict", run, dataset, *flags, "--tta", "flip_lr") == 2
    said = capsys.readouterr().err
    assert "of other origin" in said
    assert '"tta": "flip_lr"' in said
    changed = arrays_of(dataset)
    changed["x_test"] = 255 - changed["x_test"]
    np.savez(tmp_path / "changed.npz", **changed)
    assert runs.use("predict", run, tmp_path / "changed.npz", *flags) == 2
    assert "images_sha256" in capsys.readouterr().err
    state = load_run(RunFolder(run))
    before = weights_of(state)
    state.predictor.model.get_layer("logits").bias.assign([1.0, 0.0, 0.0])
    assert weights_of(state) != before
    assert runs.use("predict", run, dataset, *flags) == 0  # its own is taken as it is


def test_rounding_to_half_precision_keeps_the_most_probable_class():
    below, above = np.float32(0.4), np.float32(0.4) + np.float32(2e-5)
    exact = np.array([[[below, above, 0.2], [above, below, 0.2], [0.1, 0.1, 0.8]]], np.float32)
    assert exact.astype(np.float16).argmax(-1).tolist() == [[0, 0, 2]]  # rounding makes a tie
    found = half(exact)
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found.argmax(-1), exact.argmax(-1))
    np.testing.assert_allclose(found, exact, atol=2**-11)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"tile": (14, 20)}, "at least 12 pixels, the stride of this model"),  # of 4 and 6
        ({"tile": (64, 64), "sizes": (None, (16, 24))}, "brings every image to 16x24"),
        ({"tta": "scale(factor=2.0)", "sizes": (None, (16, 24))}, "Leave the scale out"),
    ],
)
def test_an_ensemble_takes_views_and_tiles_that_fit_all_its_members(asked, message):
    sizes = asked.pop("sizes", (None, None))
    members = [
        SimpleNamespace(size=size, model=SimpleNamespace(stride=stride))
        for size, stride in zip(sizes, (4, 6), strict=True)
    ]
    config = SimpleNamespace(data=SimpleNamespace(batch_size=2))
    recipe = SimpleNamespace(size=(32, 32), config=config)
    ensemble = SimpleNamespace(members=members)
    loaded = LoadedRun(None, task_of("segmentation"), config, {}, recipe, ensemble)
    with pytest.raises(ValueError, match=message):
        as_requested(loaded, UseRequest(run=None, **asked))
    fits = as_requested(loaded, UseRequest(run=None, tta="flip_lr"))
    assert isinstance(fits.predictor, TestTimeAugmentation)
