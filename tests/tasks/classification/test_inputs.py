"""Whole runs on images with masks and boxes, one for each way a network can be shown them."""

import csv

import keras
import numpy as np
import pytest
from PIL import Image

from tests.support import classes, runs
from tfvision.cli import commands
from tfvision.data.audit.finding import Audit
from tfvision.data.scan.scan import scan
from tfvision.data.sources.array_source import ArraySource
from tfvision.recipe.dataset import Prepared
from tfvision.tasks.classification import attention
from tfvision.tasks.classification.inference import ClassInference
from tfvision.tasks.classification.schema import ClassificationConfig
from tfvision.tasks.task import task_of

PARTS = {"train": 12, "val": 6, "test": 4}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two squares an image, of the grey level of its class; two images in a row are a group."""
    root = tmp_path_factory.mktemp("squares")
    rows = [("file", "mask", "label", "xmin", "ymin", "xmax", "ymax", "group", "split")]
    for i, split in enumerate(s for s, count in PARTS.items() for _ in range(count)):
        rng, label = np.random.default_rng(i), i // 2 % 3
        pixels, mask = rng.normal(60, 15, (24, 24)), np.zeros((24, 24), np.uint8)
        mask[3:11, 2:10] = mask[14:20, 15:22] = 255
        pixels[mask > 0] += 40 + 60 * label
        names = f"i{i}.png", f"m{i}.png"
        for name, array in zip(names, (pixels, mask), strict=True):
            Image.fromarray(np.clip(array, 0, 255).astype(np.uint8)).save(root / name)
        split = "test" if split == "test" else ""  # the rest is shared out
        rows.append((*names, classes.NAMES[label], 2, 3, 22, 20, f"g{i // 2}", split))
    with open(root / "squares.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return root / "squares.csv"


def slow(*values, id):
    return pytest.param(*values, id=id, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("shown", "others", "model"),
    [
        pytest.param("patches", {"aggregate": "area"}, None, id="patches"),
        pytest.param("dual", {"augment": ["brightness"]}, {"name": "dual_stream"}, id="dual"),
        pytest.param("crop", {"augment": ["random_background(p=1)"]}, None, id="crop"),
        slow("full", {"mix": ["paste_on_background(p=1)"]}, None, id="full"),
        slow("masked", {}, None, id="masked"),
        slow("mask_channel", {}, None, id="mask_channel"),
        slow("removed", {}, None, id="removed"),
    ],
)
def test_a_run_predicts_as_it_was_scored(dataset, tmp_path, quick, shown, others, model):
    sections = {"data": {"input": shown, **others}, "train": {"epochs": 1}}
    if model is not None:
        sections["model"] = model
    run = classes.new_run(tmp_path / "run", dataset, **sections)
    scored = {row["id"]: row for row in classes.rows(run / "predictions/test.csv")}
    assert len(scored) == PARTS["test"]
    assert runs.use("predict", run, "--out", tmp_path / "out") == 0  # its own test images
    again = {row["id"]: row for row in classes.rows(tmp_path / "out/predictions.csv")}
    assert {i: row["label"] for i, row in again.items()} == {
        i: row["label"] for i, row in scored.items()
    }
    for name in classes.NAMES:
        found = [float(again[i][f"p_{name}"]) for i in scored]
        assert found == pytest.approx(
            [float(row[f"p_{name}"]) for row in scored.values()], abs=1e-5
        )
    pieces = 2 if shown == "patches" else 1
    (row,) = runs.history(run)
    assert ("val_piece_accuracy" in row) == (pieces == 2)
    assert int(runs.summary(run)["steps"]) == -(-12 * pieces // 4)
    said = f"of the {2 * PARTS['test']} pieces before they are joined"
    assert (said in (run / "report.html").read_text()) == (pieces == 2)
    looked = runs.summary(run)["attention"]
    if shown == "dual":  # image and crop share a map, on which no one region lies
        assert looked is None
    else:
        assert (looked["split"], looked["images"] <= PARTS["test"]) == ("test", True)
        assert 0 <= looked["outside"] <= 1
        assert 0 <= looked["area"] < 1
    if shown == "patches":
        split = {row["id"]: row["split"] for row in classes.rows(run / "splits.csv")}
        both = [(split[f"i{i}"], split[f"i{i + 1}"]) for i in range(0, 18, 2)]
        assert all(first == second for first, second in both)
        assert {first for first, _ in both} == {"train", "val"}


def test_the_share_of_attention_beside_the_object_is_that_of_a_planted_map():
    """A net that counts bright pixels looks at these, which lie half beside the object."""
    images = np.zeros((2, 8, 8), np.uint8)
    images[:, 2:4, :4] = 255
    regions = np.zeros((2, 8, 8), np.uint8)
    regions[0, :, :2], regions[1, :, :4] = 1, 1
    source = ArraySource(
        {"test": {"images": images, "regions": regions, "labels": np.array([0, 1])}},
        name="test",
        layout="test",
        class_names=["a", "b"],
        stamp="planted",
    )
    found = scan(source, cache=False)
    whole = Prepared(source, found, ["test"] * 2, "", (8, 8), False, 1, Audit([], [], [], []))
    config = ClassificationConfig.model_validate({"model": "small_cnn"})
    recipe = task_of("classification").recipe(
        config, num_classes=2, channels=1, size=(8, 8), resized=False
    )
    image = keras.Input((8, 8, 1))
    kept = keras.layers.Conv2D(1, 1, use_bias=False, name="map")(image)
    pooled = keras.layers.GlobalAveragePooling2D()(kept)
    model = keras.Model(image, keras.layers.Dense(2, use_bias=False, name="logits")(pooled))
    model.stride = 1
    model.set_weights([np.ones((1, 1, 1, 1)), np.array([[1.0, -1.0]])])
    inference = ClassInference(model, channels=1, size=(8, 8))
    told = attention.beside_the_object(recipe, inference, whole, "test")
    assert told == {"split": "test", "images": 2, "outside": pytest.approx(0.25), "area": 0.625}
    shown = attention.overlays(recipe, inference, whole, [0, 1], [0, 1])
    red = [np.asarray(x)[..., 0].astype(int) - np.asarray(x)[..., 1] for x in shown]
    assert (red[0] > 0).tolist() == (images[0] > 0).tolist()
    assert not red[1].any()  # nothing speaks for class 1


def test_own_images_that_are_not_there_or_broken_are_not_predicted(
    dataset, tmp_path, quick, capsys
):
    for path in dataset.parent.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "i19.png").write_text("no image")
    run = classes.new_run(
        tmp_path / "run",
        tmp_path / dataset.name,
        data={"val_fraction": 0, "on_bad_sample": "quarantine"},
        train={"epochs": 1},
    )
    for split, message in (
        ("test", "each image of the split `test`, and 1 of it cannot be used (i19;"),
        ("val", "no images in the split `val`. Name what to predict"),
    ):
        for command, *options in (("predict",), ("submit", "--format", "labels")):
            out = ("--split", split, "--out", tmp_path / "out")
            argv = (command, run, *options, *out, "--device", "cpu")
            assert commands.main(list(map(str, argv))) == 2
            assert message in capsys.readouterr().err
            assert not (tmp_path / "out").exists()
