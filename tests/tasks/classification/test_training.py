"""Whole classification runs: what they leave, repeat, resume, predict and submit."""

import json
import re
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

from tests.support import classes, runs
from tfvision.cli import commands
from tfvision.config import load_any
from tfvision.engine.checkpoint import steps_in
from tfvision.engine.shards import Shards
from tfvision.metrics.calibration import with_temperature
from tfvision.studies.fitted.temperature import calibrate

FILES = {
    *("config.yaml", "env.json", "data.json", "splits.csv", "metrics.csv", "summary.json"),
    *("report.html", "log.txt", "issues.json", "checkpoints", "predictions", "samples", ".lock"),
}


FILE = {"path": "some.keras", "preprocessing": "tf"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return classes.write_npz(tmp_path_factory.mktemp("data") / "squares.npz")


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory):
    """A finished run. Tests that write to it take a copy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfvision.runs.finish.export_run", lambda *args, **options: [])
        return classes.new_run(
            tmp_path_factory.mktemp("run") / "run",
            dataset,
            data={"augment": ["flip_lr(p=0.5)"], "mix": ["mixup(alpha=0.4)"]},
            loss=["cross_entropy(class_weights='inverse', label_smoothing=0.1)"],
            train={"checkpoint_every": 1e-6},
        )


def test_a_run_leaves_the_files_scripts_rely_on_and_says_its_task(run):
    assert {path.name for path in run.iterdir()} == FILES
    assert {path.name for path in (run / "predictions").iterdir()} == {
        *("val.csv", "val_confusion.npz", "test.csv", "test_confusion.npz"),
    }
    summary = runs.summary(run)
    assert summary["task"] == "classification"
    assert (run / "config.yaml").read_text().startswith("task: classification\n")
    assert load_any(run / "config.yaml").task == "classification"
    assert runs.data(run)["class_labels"] == ["0", "1", "2"]


@pytest.mark.parametrize("split", ["val", "test"])
def test_scores_are_those_of_the_predictions_counted_by_hand(run, dataset, split):
    rows = classes.rows(run / f"predictions/{split}.csv")
    assert list(rows[0]) == ["id", "label", "truth", "p_0", "p_1", "p_2"]
    with np.load(dataset) as file:
        assert [int(row["truth"]) for row in rows] == file[f"y_{split}"].tolist()
    truth, found = (np.array([int(row[key]) for row in rows]) for key in ("truth", "label"))
    metrics = runs.summary(run)["metrics"][split]
    assert metrics["accuracy"] == pytest.approx(np.mean(truth == found))
    f1 = []
    for k in set(truth) | set(found):
        hit = np.sum((truth == k) & (found == k))
        f1.append(2 * hit / (np.sum(truth == k) + np.sum(found == k)))
    assert metrics["macro_f1"] == pytest.approx(np.mean(f1))
    for row in rows:
        shares = [float(row[f"p_{k}"]) for k in range(3)]
        assert sum(shares) == pytest.approx(1, abs=1e-5)
        assert int(row["label"]) == int(np.argmax(shares))
    with np.load(run / f"predictions/{split}_confusion.npz") as file:
        assert file["plain"].sum(axis=(1, 2)).tolist() == [1] * len(rows)


def test_validation_while_training_and_scoring_at_the_end_agree(run):
    rows = runs.history(run)
    best = max(rows, key=lambda row: (float(row["val_macro_f1"]), -float(row["val_loss"])))
    summary = runs.summary(run)
    assert int(best["epoch"]) == summary["best_epoch"]
    assert float(best["val_macro_f1"]) == pytest.approx(summary["metrics"]["val"]["macro_f1"])
    assert float(best["val_accuracy"]) == pytest.approx(summary["metrics"]["val"]["accuracy"])


def test_a_run_cut_off_inside_an_epoch_and_resumed_is_the_uninterrupted_one(run, tmp_path, quick):
    """The run saves after every step: what is left of it here ends within its second epoch."""
    cut = runs.copy(run, tmp_path / "cut")
    newest, before = sorted(steps_in(cut / "checkpoints"))[::-1][:2]
    assert (newest, before) == (6, 5)  # 3 steps an epoch
    shutil.rmtree(cut / f"checkpoints/ckpt-{newest:08d}")
    for name in ("summary.json", "report.html", "metrics.csv"):
        (cut / name).unlink()
    assert classes.train("--resume", cut) == 0
    assert "goes on after step 5" in (cut / "log.txt").read_text()
    assert runs.summary(cut)["variables_sha256"] == runs.summary(run)["variables_sha256"]
    assert runs.history(cut) == runs.history(run)
    assert (cut / "predictions/test.csv").read_bytes() == (
        run / "predictions/test.csv"
    ).read_bytes()


def test_a_backbone_opens_block_by_block_and_a_resume_between_is_exact(dataset, tmp_path, quick):
    """The second stage goes on with the optimizer of the first: it counts on."""
    image = x = keras.Input((16, 16, 3))
    for i in (1, 2):
        x = keras.layers.Conv2D(3, 3, strides=2, padding="same", name=f"block{i}_conv")(x)
        x = keras.layers.BatchNormalization(name=f"block{i}_bn")(x)
    keras.Model(image, x).save(tmp_path / "backbone.keras")
    backbone = {"path": str(tmp_path / "backbone.keras"), "preprocessing": "none"}
    whole = classes.new_run(
        tmp_path / "whole",
        dataset,
        model={"name": "transfer", "backbone": backbone},
        train={"epochs": 3, "unfreeze": {"blocks": 1, "every": 1}, "checkpoint_every": 1e-6},
    )
    log = (whole / "log.txt").read_text()
    assert [f"stage {n} of 3" in log for n in (1, 2, 3)] == [True] * 3
    cut = runs.copy(whole, tmp_path / "cut")
    newest, before = sorted(steps_in(cut / "checkpoints"))[::-1][:2]
    assert (newest, before) == (9, 8)  # 3 steps an epoch, an epoch a stage
    shutil.rmtree(cut / f"checkpoints/ckpt-{newest:08d}")
    assert classes.train("--resume", cut) == 0
    assert runs.summary(cut)["variables_sha256"] == runs.summary(whole)["variables_sha256"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """train/ and val/ with a folder for each class, and test/ flat, with a table of its truth."""
    root = tmp_path_factory.mktemp("folders")
    classes.write_folders(root / "data/train", 5)
    classes.write_folders(root / "data/val", 2, first=50)
    (root / "data/test").mkdir()
    lines = ["Id,Category"]
    for i in range(6):
        pixels = classes.picture(900 + i, i % 3)[:, : 16 - i]  # of several sizes
        Image.fromarray(pixels).save(root / f"data/test/t{i}.png")
        lines.append(f"t{i}.png,{classes.NAMES[i % 3]}")
    (root / "truth.csv").write_text("\n".join(lines[:-1]) + "\n")  # one is not known
    return root


@pytest.fixture(scope="module")
def named(folders, tmp_path_factory):
    """A run on them, that sees pieces of a size of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfvision.runs.finish.export_run", lambda *args, **options: [])
        return classes.new_run(
            tmp_path_factory.mktemp("named") / "run",
            folders / "data",
            data={"image_size": [12, 20], "fit": "pad"},
            train={"epochs": 1},
        )


def test_predict_names_every_image_and_views_are_averaged(named, folders, tmp_path):
    flipped, plain = tmp_path / "flipped", tmp_path / "plain"
    assert runs.use("predict", named, folders / "data/test", "--out", plain) == 0
    rows = classes.rows(plain / "predictions.csv")
    assert [row["id"] for row in rows] == [f"t{i}" for i in range(6)]
    assert list(rows[0]) == ["id", "label", *(f"p_{name}" for name in classes.NAMES)]
    for row in rows:
        shares = [float(row[f"p_{name}"]) for name in classes.NAMES]
        assert row["label"] == classes.NAMES[int(np.argmax(shares))]
    views = ("--tta", "flip_lr,shift(pixels=1),scale(factor=0.75),scale(factor=1.5)")
    argv = ("predict", named, folders / "data/test", "--out", flipped, *views)
    argv += ("--probabilities", "--shards", 4)
    assert runs.use(*argv) == 0
    others = classes.rows(flipped / "predictions.csv")
    assert [row["id"] for row in others] == [row["id"] for row in rows]
    assert others != rows
    store = Shards.open(flipped / "probabilities")
    assert store["t0"].shape == (1, 1, 3)


def test_predict_of_a_mirrored_view_is_the_mean_of_both(named, folders, tmp_path):
    mirrored = tmp_path / "mirrored"
    mirrored.mkdir()
    for path in sorted((folders / "data/test").glob("*.png")):
        Image.fromarray(np.asarray(Image.open(path))[:, ::-1]).save(mirrored / path.name)
    shares = []
    for source, views in (
        (folders / "data/test", ()),
        (mirrored, ()),
        (folders / "data/test", ("--tta", "flip_lr")),
    ):
        out = tmp_path / f"out-{len(shares)}"
        assert runs.use("predict", named, source, "--out", out, *views) == 0
        rows = classes.rows(out / "predictions.csv")
        shares.append([[float(r[f"p_{name}"]) for name in classes.NAMES] for r in rows])
    plain, other, both = map(np.array, shares)
    # Of the others the frame is a pixel wider on one side, so their mirror image is framed anew.
    same = [i for i in range(6) if (20 - round(0.75 * (16 - i))) % 2 == 0]
    assert len(same) == 4
    assert both[same] == pytest.approx((plain + other)[same] / 2, abs=2e-6)


def test_evaluate_scores_a_table_of_labels(named, folders, tmp_path, capsys):
    copy = runs.copy(named, tmp_path / "run")
    out = tmp_path / "predicted"
    assert runs.use("predict", copy, folders / "data/test", "--out", out) == 0
    found = [row["label"] for row in classes.rows(out / "predictions.csv")][:5]
    right = np.mean([label == classes.NAMES[i % 3] for i, label in enumerate(found)])
    kept = tmp_path / "kept"
    assert runs.use("evaluate", copy, "--labels", folders / "truth.csv", "--out", kept) == 0
    told = capsys.readouterr()
    assert "1 of 6 samples is not listed" in told.err
    (entry,) = json.loads((copy / "evaluation.json").read_text())
    assert entry["metrics"]["labels"]["num_images"] == 5
    assert entry["metrics"]["labels"]["accuracy"] == pytest.approx(right)
    assert [row["label"] for row in classes.rows(kept / "predictions/labels.csv")] == found
    with np.load(kept / "predictions/labels_confusion.npz") as file:
        assert file["ids"].tolist() == [f"t{i}" for i in range(5)]
        assert np.trace(file["plain"].sum(axis=0)) == round(5 * right)
    assert runs.use("evaluate", copy, "--split", "val") == 0
    assert "val: 6 images, macro F1" in capsys.readouterr().out


def test_submit_writes_a_row_for_every_image_as_the_sample_has_them(named, folders, tmp_path):
    sample, out = tmp_path / "sample.csv", tmp_path / "out.csv"
    ids = [f"t{i}.png" for i in (3, 1, 0, 2, 5, 4)]
    sample.write_text("\n".join(["Id,Category", *(f"{i},dark" for i in ids)]) + "\n")
    options = ("--format", "labels", "--columns", "Id,Category", "--id-suffix", ".png")
    argv = ("submit", named, folders / "data/test", *options, "--sample", sample, "--out", out)
    assert runs.use(*argv) == 0
    rows = classes.rows(out)
    assert [row["Id"] for row in rows] == ids
    assert {row["Category"] for row in rows} <= set(classes.NAMES)
    assert runs.use(*argv, "--class-as", "number") == 0
    numbers = [int(row["Category"]) for row in classes.rows(out)]
    assert [classes.NAMES[k] for k in numbers] == [row["Category"] for row in rows]


def test_without_an_input_the_runs_own_test_images_are_submitted(run, named, folders, tmp_path):
    options = ("--format", "labels", "--columns", "Id,Category", "--out")
    assert runs.use("submit", run, *options, tmp_path / "own.csv") == 0  # labelled ones
    scored = classes.rows(run / "predictions/test.csv")
    assert [list(row.values()) for row in classes.rows(tmp_path / "own.csv")] == [
        [row["id"], row["label"]] for row in scored
    ]
    assert runs.use("submit", named, *options, tmp_path / "flat.csv") == 0  # without labels
    assert runs.use("submit", named, folders / "data/test", *options, tmp_path / "given.csv") == 0
    assert (tmp_path / "flat.csv").read_bytes() == (tmp_path / "given.csv").read_bytes()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("predict", "--out", "x", "--tile", "8"), "a classification has one answer an image"),
        (("predict", "--out", "x", "--depth", "1"), "--depth prunes a UNet\\+\\+"),
        (("submit", "--out", "x", "--format", "rle"), "--format rle is not for a classification"),
    ],
)
def test_what_needs_masks_is_refused(named, folders, tmp_path, capsys, argv, message):
    command, *options = (str(tmp_path / "x") if word == "x" else word for word in argv)
    assert runs.use(command, named, folders / "data/test", *options) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"data": {"mix": ["copy_paste"]}}, "copy_paste: this needs masks"),
        ({"data": {"augment": ["crop(height=8, width=8)"]}}, "gives images of 8x8x1; small_cnn"),
        ({"data": {"input": "crop"}}, "data.input `crop` needs masks or boxes"),
        ({"data": {"input": "crob"}}, "data.input: Unknown input: 'crob'. Did you mean 'crop'"),
        ({"data": {"aggregate": "sum"}}, "data.aggregate"),
        ({"model": {"name": "unet"}}, "model: Unknown classifier: 'unet'"),
        (
            {"model": {"name": "transfer", "pretrained": "forbidden", "backbone": FILE}},
            "forbidden, but outside weights would enter by model.backbone.path (some.keras)",
        ),
        ({"task": "segmentation"}, "of the task 'segmentation', and this is classification"),
        ({"train": {"unfreeze": {"every": 2}}}, "train.epochs is 2. Raise train.epochs above"),
    ],
)
def test_what_does_not_fit_is_refused(dataset, tmp_path, capsys, sections, message):
    config = classes.write_config(tmp_path / "c.yaml", dataset, **sections)
    assert classes.train("--config", config, "--dry-run") == 2
    assert message in capsys.readouterr().err


def test_a_config_of_classification_is_refused_by_the_other_script(dataset, tmp_path, capsys):
    config = classes.write_config(tmp_path / "c.yaml", dataset, task="classification")
    assert runs.train("--config", config, "--dry-run") == 2
    message = capsys.readouterr().err
    assert "is of the task 'classification', and this is segmentation: give it to" in message
    assert "train_cls.py" in message


def test_a_dry_run_writes_nothing_but_pictures(dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = classes.write_config(
        tmp_path / "c.yaml", dataset, data={"augment": ["flip_lr"], "mix": ["cutmix"]}
    )
    assert classes.train("--config", config, "--out", "run", "--dry-run", "--json") == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (printed["task"], printed["dry_run"]) == ("classification", True)
    pictures = {"run-augmentation.png", "run-samples.png"}
    assert {path.name for path in tmp_path.iterdir()} == {"c.yaml", *pictures}


def test_a_temperature_is_fitted_on_val_and_judged_on_test(run, tmp_path):
    run = runs.copy(run, tmp_path / "run")
    told = calibrate(run, quiet=True)
    assert told["temperature"] == pytest.approx(runs.summary(run)["temperature"])
    assert (told["num_images"], told["by_part"]) == (6, [told["temperature"]])
    assert told["how"] == "fitted on the validation split, judged on the test split"
    before = runs.summary(run)["metrics"]["test"]
    assert told["log_loss"]["before"] == pytest.approx(before["log_loss"], rel=1e-5)
    assert told["expected_calibration_error"]["before"] == pytest.approx(before["ece"])


def write_temperature(path, **values):
    given = {"class_names": ["0", "1", "2"], "aggregate": "mean", "verdict": "applied"}
    given |= {"reason": "", "temperature": 4.0, **values}
    path.write_text(json.dumps(given))
    return path


def test_a_temperature_changes_probabilities_and_never_labels(run, dataset, tmp_path, capsys):
    """Under rules of the run, too, which see what the model says."""
    rules = "postprocess: [{name: class_prior_offsets, offsets: [0, 0.5, -0.5]}]"
    run = runs.copy(run, tmp_path / "run", **{"postprocess: []": rules})
    assert runs.use("evaluate", run, "--split", "test") == 0
    hot = write_temperature(tmp_path / "t.json")
    rows = []
    for name, options in (("plain", ()), ("hot", ("--calibrated", hot))):
        assert runs.use("predict", run, dataset, "--out", tmp_path / name, *options) == 0
        rows.append(classes.rows(tmp_path / name / "predictions.csv"))
    shares = [[[float(r[f"p_{k}"]) for k in range(3)] for r in part] for part in rows]
    plain, scaled = map(np.array, shares)
    assert [r["label"] for r in rows[0]] == [r["label"] for r in rows[1]]
    assert any(int(r["label"]) != p.argmax() for r, p in zip(rows[0], plain, strict=True))
    assert np.abs(plain - scaled).max() > 0.01
    assert scaled == pytest.approx(with_temperature(plain, 4.0), abs=1e-4)
    assert (tmp_path / "hot/temperature.json").read_bytes() == hot.read_bytes()
    before = runs.summary(run)["metrics"]["test"]
    assert runs.use("evaluate", run, "--split", "test", "--calibrated", hot) == 0
    (entry,) = json.loads((run / "evaluation.json").read_text())
    assert entry["calibrated"] == "temperature 4"
    after = entry["metrics"]["test"]
    same = ("accuracy", "macro_f1", "post_processed")
    assert [after[key] for key in same] == [before[key] for key in same]
    assert after["log_loss"] != pytest.approx(before["log_loss"])
    assert "test (calibrated temperature 4): 6 images" in capsys.readouterr().out
    assert runs.summary(run)["metrics"]["test"] == before


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ({"class_names": ["a", "b"]}, (), "is of the classes a, b; this run has 0, 1, 2"),
        ({"aggregate": "area"}, (), "joined by area; here they are joined by mean"),
        ({"temperature": 0.0}, (), "Input should be greater than 0. Received: 0.0"),
        ({"verdict": "refused", "reason": "it is noise"}, (), "was refused, as it is noise"),
        ({}, ("--probabilities", "--shards", "4"), "--shards keeps probabilities as the model"),
    ],
)
def test_a_temperature_that_does_not_fit_is_refused(
    run, dataset, tmp_path, capsys, values, options, message
):
    path = write_temperature(tmp_path / "t.json", **values)
    out = ("--out", tmp_path / "out", "--calibrated", path)
    argv = ("predict", run, dataset, *out, *options, "--device", "cpu")
    assert commands.main(list(map(str, argv))) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_a_test_split_a_temperature_is_judged_on_parts_of_val(named, tmp_path):
    told = calibrate(runs.copy(named, tmp_path / "run"), quiet=True)
    assert (told["num_images"], len(told["by_part"])) == (6, 5)
    assert "judged on its parts, each with the temperature of the others" in told["how"]
    assert told["verdict"] == "refused"


@pytest.mark.slow
def test_folds_and_ensembles_serve_a_classification(tmp_path):
    data = classes.write_folders(tmp_path / "data", 8)
    config = classes.write_config(tmp_path / "c.yaml", data, train={"export": False})
    folds = tmp_path / "folds"
    assert classes.train("--config", config, "--out", folds, "--folds", 2) == 0
    pooled = json.loads((folds / "folds.json").read_text())["metrics"]["pooled"]
    rows = [r for k in (0, 1) for r in classes.rows(folds / f"fold-{k}/predictions/val.csv")]
    right = np.mean([row["truth"] == row["label"] for row in rows])
    assert pooled["accuracy"] == pytest.approx(right)
    store = Shards.open(folds / "out_of_fold")
    assert store[store.ids[0]].shape == (1, 1, 3)
    mean = tmp_path / "mean"
    assert runs.use("ensemble", folds, "--out", mean) == 0
    assert runs.summary(mean)["task"] == "classification"
    both = folds / "fold-0", folds / "fold-1"
    assert runs.use("predict", mean, data, "--out", tmp_path / "p") == 0
    members = []
    for run in both:
        assert runs.use("predict", run, data, "--out", tmp_path / run.name) == 0
        members.append(classes.rows(tmp_path / run.name / "predictions.csv"))
    for row, *own in zip(classes.rows(tmp_path / "p/predictions.csv"), *members, strict=True):
        want = np.mean([float(r["p_grey"]) for r in own])
        assert float(row["p_grey"]) == pytest.approx(want, abs=2e-6)


@pytest.mark.slow
def test_every_exported_file_gives_the_labels_of_the_live_model(named, tmp_path):
    copy = runs.copy(named, tmp_path / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.undo()
        assert runs.use("export", copy) == 0
    described = json.loads((copy / "export/export.json").read_text())
    assert {row["file"] for row in described["checks"]} == {
        *("saved_model", "model.weights.h5", "model.keras"),
    }
    assert all(row["labels_equal"] for row in described["checks"])
    assert (described["task"], described["fit"]) == ("classification", "pad")


@pytest.fixture(scope="module")
def cropping(named, tmp_path_factory):
    """The run as one that sees crops, and images of which three of five have a box."""
    root = tmp_path_factory.mktemp("cropping")
    run = runs.copy(named, root / "run", **{"  input: full\n": "  input: crop\n"})
    lines = ["file,xmin,ymin,xmax,ymax,label"]
    for i in range(5):
        Image.fromarray(classes.picture(700 + i, i % 3)).save(root / f"t{i}.png")
        box = "2,3,12,13" if i < 3 else ",,,"
        lines.append(f"t{i}.png,{box},{classes.NAMES[i % 3]}")
    (root / "boxes.csv").write_text("\n".join(lines) + "\n")
    return run, root / "boxes.csv"


def test_predict_and_submit_say_what_was_cut_another_way(cropping, tmp_path, capsys):
    run, data = cropping
    note = "data.input `crop`: 2 of 5 images have no box and no mask and are taken whole."
    options = ("--format", "labels", "--columns", "Id,Category")
    for argv in (
        ("predict", run, data, "--out", tmp_path / "plain"),
        ("predict", run, data, "--out", tmp_path / "p", "--probabilities", "--shards", 2),
        ("submit", run, data, *options, "--out", tmp_path / "out.csv"),
    ):
        assert runs.use(*argv, "--json") == 0
        told = capsys.readouterr()
        assert told.err.count(note) == 1
        assert json.loads(told.out.splitlines()[-1])["notes"] == [note]
    assert runs.use("predict", run, data, "--out", tmp_path / "q", "--quiet") == 0
    assert note not in capsys.readouterr().err


def test_nothing_is_said_where_all_was_cut_as_asked(named, folders, tmp_path, capsys):
    argv = ("predict", named, folders / "data/test", "--out", tmp_path / "out", "--json")
    assert runs.use(*argv) == 0
    told = capsys.readouterr()
    assert "data.input" not in told.err
    assert json.loads(told.out.splitlines()[-1])["notes"] == []
