"""Whole runs that meet a fault (T02, T09, T10), are copied, or are not runs at all (C05-C10, K)."""

import functools
import io
import json
import os
import shutil
import signal
import zipfile

import h5py
import keras
import numpy as np
import pytest

from tests.support import runs
from tfvision.config import load_config
from tfvision.engine import run_folder
from tfvision.engine.checkpoint import steps_in
from tfvision.engine.export import load_exported
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.runs import finish, train
from tfvision.runs.check_settings import check_settings
from tfvision.tasks.segmentation import results
from tfvision.tasks.segmentation.masks_given_later import read_labels
from tfvision.tasks.segmentation.schema import SegmentationConfig


class AfterSteps(keras.callbacks.Callback):
    """Does something after some steps, once."""

    def __init__(self, steps, action):
        super().__init__()
        self.steps, self.action = steps, action

    def on_train_batch_end(self, batch, logs=None):
        self.steps -= 1
        if self.steps == 0:
            self.action()


@pytest.fixture
def after(monkeypatch):
    """`after(steps, action)`: the next trainings do something after so many steps."""
    real = train.train

    def after(steps, action):
        callbacks = [AfterSteps(steps, action)]
        monkeypatch.setattr(train, "train", functools.partial(real, callbacks=callbacks))

    return after


# Signals


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_the_step_and_the_rest_is_the_uninterrupted_run(
    whole, tmp_path, quick, after, capsys, number, code
):
    """T02, K14: exit code, a checkpoint of that very step; resumed elsewhere, nothing differs."""
    after(3, lambda: os.kill(os.getpid(), number))
    run = tmp_path / "run"
    assert runs.train("--config", whole / "config.yaml", "--out", run) == code
    said = capsys.readouterr().err
    assert f"stopped by {signal.Signals(number).name}; its state is saved" in said
    assert steps_in(run / "checkpoints")[-1] == 3
    # K13, K14: in another place, its old one gone, through a link, under an odd name.
    elsewhere = tmp_path / "another place" / "Läufe 'x'"
    shutil.copytree(run, elsewhere)
    shutil.rmtree(run)
    link = tmp_path / "link"
    link.symlink_to(elsewhere)
    assert runs.train("--resume", link) == 0
    assert runs.summary(link)["variables_sha256"] == runs.summary(whole)["variables_sha256"]
    assert runs.summary(elsewhere)["metrics"] == runs.summary(whole)["metrics"]
    assert runs.history(elsewhere) == runs.history(whole)
    kept = [p for p in elsewhere.rglob("*.json") if p.name != "env.json"]
    assert not [p for p in kept if str(tmp_path / "run") in p.read_text()]


def test_a_resume_elsewhere_says_why_it_is_not_exact(whole, tmp_path, quick, capsys):
    """K08: other versions and devices are allowed; log and report say what that means."""
    run = runs.copy(whole, tmp_path / "run")
    env = json.loads((run / "env.json").read_text())
    (run / "env.json").write_text(json.dumps({**env, "keras": "3.0.0", "replicas": 4}))
    assert runs.train("--resume", run) == 0
    said = capsys.readouterr().err
    assert "The resumed run is not bit for bit the uninterrupted one: " in said
    assert f"keras 3.0.0 -> {keras.__version__}" in said
    assert "replicas 4 -> 1" in said
    assert "not bit for bit" in (run / "report.html").read_text()


# Parts that fail after the training


def fail(*_, **__):
    raise ZeroDivisionError("no pixels")


PARTS = [
    (finish, "score_splits", "scoring"),
    (finish, "export_run", "the export"),
    (results, "render", "the report"),
]


def test_a_part_that_fails_after_the_training_loses_nothing(
    whole, tmp_path, quick, monkeypatch, capsys
):
    """T10: exit code 4, the part by name, the weights kept; --resume does the rest, be it up to
    the next part that fails."""
    run = runs.copy(whole, tmp_path / "run")
    shutil.rmtree(run / "export")
    for module, name, part in PARTS:
        (run / "report.html").unlink(missing_ok=True)
        with monkeypatch.context() as patch:
            patch.setattr(module, name, fail)
            assert runs.train("--resume", run) == 4
        said = capsys.readouterr().err
        assert f"its weights are kept, but {part} failed: ZeroDivisionError: no pixels." in said
        assert f"--resume {run}" in said
        assert "internal error" not in said
        assert (run / "report.html").exists() == (part == "the export")
        if part == "the export":
            assert "The export failed: no pixels" in (run / "report.html").read_text()
        assert steps_in(run / "checkpoints") == [2, 4]
    assert runs.train("--resume", run) == 0
    assert (run / "report.html").exists()
    assert "The export failed" not in (run / "report.html").read_text()
    assert runs.summary(run)["metrics"] == runs.summary(whole)["metrics"]


def test_an_image_that_is_broken_meanwhile_is_named_and_mended(tmp_path, quick, after, capsys):
    """T09: a file is damaged while the run trains; scoring names it, --resume ends the run."""
    data = runs.write_folder(tmp_path / "data", [(16, 16)] * 10)
    config = runs.write_config(tmp_path / "c.yaml", data, train={"epochs": 1})
    files = sorted((data / "images").iterdir())
    good = {file: file.read_bytes() for file in files}
    after(1, lambda: [file.write_bytes(good[file][:60]) for file in files])
    run = tmp_path / "run"
    assert runs.train("--config", config, "--out", run) == 2
    said = capsys.readouterr().err
    assert any(f"{file.parent.name}/{file.name}" in said for file in files)
    for file, content in good.items():
        file.write_bytes(content)
    assert runs.train("--resume", run) == 0
    assert set(runs.summary(run)["metrics"]) == {"val", "test"}


def test_an_op_that_fails_on_real_images_names_them(dataset, tmp_path, quick, capsys):
    """T09: albumentations raises inside tf.data, which names no image."""
    broken = {"name": "albumentations", "transforms": [{"name": "RandomCrop", "height": 99}]}
    broken["transforms"][0]["width"] = 99
    config = runs.write_config(tmp_path / "c.yaml", dataset, data={"augment": [broken]})
    assert runs.train("--config", config, "--out", tmp_path / "run") == 2
    said = capsys.readouterr().err.split("tfvision: ")[-1]
    assert said.startswith("The batch of step 1 cannot be made: albumentations.")
    assert "CropSizeError: Crop size (height, width) exceeds image dimensions" in said
    named = said.split("The images of that batch: ")[1].split(".")[0].split(", ")
    assert len(named) == 4
    assert set(named) <= {str(i) for i in range(10)}


# Settings that contradict each other


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"loss": ["dice(class_weights=[1, 2])"], "data": {"class_names": ["a", "b", "c"]}},
            r"loss `dice`: Class weights must be one a class: 2 weights came for 3 classes",
        ),
        ({"loss": ["dice(class_weights=[1, -2])"]}, "must be finite and not negative"),
        ({"loss": ["dice(class_weights='invers')"]}, "Did you mean 'inverse'"),
        (
            {"postprocess": ["drop_class(index=3)"], "data": {"class_names": ["a", "b", "c"]}},
            r"must name one of 3 classes, 0 to 2.*Received: 3",
        ),
        (
            {
                "metrics": ["mean_iou", "mean_dice(exclude_classes=[5])"],
                "data": {"class_names": ["a", "b"]},
            },
            r"exclude_classes must lie in 0\.\.1; received \[5\]",
        ),
        (
            {
                "metrics": ["mean_iou(ignore_labels=[0])"],
                "postprocess": ["drop_class(index=1)"],
                "data": {"class_names": ["a", "b"]},
            },
            "leave no class that may be predicted",
        ),
        ({"data": {"class_names": ["a", "a"]}}, "lists 'a' twice"),
        ({"data": {"batch_size": 3}}, r"data\.batch_size 3 must divide by 2 device\(s\) .* Try 2"),
        ({"train": {"accumulate": 4}}, r"batch_size 4 must divide by 2 .*accumulate 4\. Try 8"),
        (
            {"data": {"image_size": [4, 64]}, "model": {"depth": 3}},
            r"data\.image_size 4x64 is smaller than the stride of unet, 8",
        ),
        (
            {"data": {"val_fraction": 0.6, "test_fraction": 0.4}},
            "val_fraction 0.6 and data.test_fraction 0.4 together leave nothing",
        ),
        ({"data": {"splits": "none.csv"}}, r"data\.splits: there is no file none\.csv"),
        ({"data": {"exclude": "none.csv"}}, r"data\.exclude: there is no file none\.csv"),
        (
            {"train": {"deterministic": True, "xla": True}},
            "train.deterministic and train.xla exclude each other",
        ),
        (
            {"train": {"optimizer": {"name": "adamw", "learning_rate": "0.001"}}},
            r"optimizer `adamw`: learning_rate is the text '0\.001', not a number\. Leave",
        ),
        ({"model": {"width": "8"}}, r"model `unet`: width is the text '8'"),
        (
            {"data": {"mix": ["mosaic"]}},
            r"data\.mix, mosaic: this needs boxes, and a segmentation has masks\. Leave it out",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(tmp_path, sections, message):
    """C05, C06, C02: said before any file of data is opened; there is none here."""
    path = runs.write_config(tmp_path / "c.yaml", tmp_path / "no-data.npz", **sections)
    config = load_config(SegmentationConfig, path)
    with pytest.raises(InputError, match=message):
        check_settings(config, replicas=2)


def test_all_contradictions_are_told_at_once_and_before_the_data(tmp_path, capsys):
    """C05: on the command line, though the data set is no data set; no folder is made."""
    (tmp_path / "no.npz").write_bytes(b"not an archive")
    config = runs.write_config(
        tmp_path / "c.yaml",
        tmp_path / "no.npz",
        data={"val_fraction": 0.9, "test_fraction": 0.9},
        train={"accumulate": 3},
    )
    assert runs.train("--config", config, "--out", tmp_path / "run") == 2
    said = capsys.readouterr().err
    assert "together leave nothing to train on" in said
    assert "train.accumulate 3" in said
    assert "archive" not in said
    assert not (tmp_path / "run").exists()


def test_a_depth_that_the_size_does_not_allow_is_refused(tmp_path, capsys):
    """C05: the images' size is known once the data is read; a padded 32 is always allowed."""
    data = runs.write_npz(tmp_path / "d.npz")  # 16x16
    for depth, code in ((6, 2), (5, 0)):
        config = runs.write_config(tmp_path / "c.yaml", data, model={"depth": depth, "width": 1})
        assert runs.train("--config", config, "--dry-run") == code
        refused = "model.depth 6 halves an image 6 times; images of 16x16 allow 5 at most"
        assert (refused in capsys.readouterr().err) == (code == 2)


def test_a_stride_deeper_than_model_depth_says_is_refused_and_padding_is_said(tmp_path, capsys):
    """C05: PAN halves what its encoder gives further, `levels` times."""
    data = runs.write_npz(tmp_path / "d.npz")  # 16x16
    for levels, code in ((3, 2), (2, 0)):  # strides 64 and 32
        model = {"name": "pan", "depth": 3, "levels": levels, "width": 2}
        config = runs.write_config(tmp_path / "c.yaml", data, model=model)
        assert runs.train("--config", config, "--dry-run") == code
        said = capsys.readouterr().err
        assert ("pan halves an image to a 64th, and images are 16x16: its" in said) == (code == 2)
        assert ("warning: Images of 16x16 are padded" in said) == (code == 0)
    assert "the stride of pan, 32: 75% of what it sees is padding" in said


@pytest.mark.parametrize("name", ["unet", "unetpp"])
def test_shipped_settings_do_not_contradict_each_other(name):
    path = results.__file__.rpartition("tfvision")[0]
    config = load_config(
        SegmentationConfig, f"{path}configs/seg/{name}.yaml", ["data.image_size=[64, 128]"]
    )
    config = config.model_copy(update={"postprocess": ()})
    check_settings(config, replicas=1)


def test_the_check_leaves_no_trace_in_the_run(whole, tmp_path, quick):
    """It builds a model where the size is small; the run's variables keep names and values."""
    run = tmp_path / "run"
    flags = ["--set", "data.image_size=[16, 16]", "--set", "data.class_names=['0', '1', '2']"]
    assert runs.train("--config", whole / "config.yaml", "--out", run, *flags) == 0
    assert runs.summary(run)["variables_sha256"] == runs.summary(whole)["variables_sha256"]


def test_a_batch_larger_than_the_data_has_steps_and_says_so(dataset, tmp_path, quick, capsys):
    """C06: never 0 steps an epoch."""
    run = runs.new_run(tmp_path / "run", dataset, data={"batch_size": 32}, train={"epochs": 1})
    assert "data.batch_size 32 is more than the 10 training images" in capsys.readouterr().err
    assert "more than the 10 training images" in (run / "report.html").read_text()
    assert runs.summary(run)["steps"] == 1


def test_a_disk_too_small_for_the_run_is_refused_before_the_first_step(
    dataset, tmp_path, monkeypatch, capsys
):
    """C10: needed and free bytes; what checkpoints, exports and predictions take counts."""
    free = 1_000_000
    usage = shutil._ntuple_diskusage(10**9, 10**9 - free, free)
    monkeypatch.setattr(run_folder.shutil, "disk_usage", lambda path: usage)
    config = runs.write_config(tmp_path / "c.yaml", dataset)
    assert runs.train("--config", config, "--out", tmp_path / "run") == 3
    said = capsys.readouterr().err
    assert "No space for the run in" in said
    assert "1,000,000 are free there" in said
    needed = int(said.split("needs about ")[1].split(" bytes")[0].replace(",", ""))
    assert 1_000_000 < needed < 20_000_000
    assert not (tmp_path / "run/config.yaml").exists()


def test_the_estimate_of_space_is_enough_and_not_far_too_much(whole, tmp_path, dataset):
    """C10: the space a finished run takes lies below what is asked for, within 20 MB."""
    there = sum(p.stat().st_size for p in whole.rglob("*") if p.is_file())
    asked = []

    class Asked(Exception):
        pass

    def note(self, needed):
        asked.append(needed)
        raise Asked

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "check_space", note)
        runs.train("--config", whole / "config.yaml", "--out", tmp_path / "run")
    assert there < asked[0] < there + 20_000_000


# Files of strangers


def config_of(class_name, module, **config):
    return {"class_name": class_name, "module": module, "config": config, "registered_name": None}


def model_file(path, layer, name="x", member="config.json"):
    """A `.keras` whose `config.json` asks for a layer that should not be made."""
    model = config_of(
        "Sequential",
        "keras",
        name="m",
        layers=[
            config_of("InputLayer", "keras.layers", batch_shape=[None, 4], name="input"),
            layer,
        ],
    )
    raw = io.BytesIO()
    with h5py.File(raw, "w") as file:
        file.create_group("layers")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, json.dumps(model))
        archive.writestr("metadata.json", json.dumps({"keras_version": keras.__version__}))
        archive.writestr("model.weights.h5", raw.getvalue())
    return path


LAMBDA = config_of(
    "Lambda",
    "keras.layers",
    name="evil",
    function={"class_name": "__lambda__", "config": {"code": "4wAAAA==", "defaults": None}},
)
SERVED = config_of("TFSMLayer", "keras.layers", name="evil", filepath="CANARY_MODEL")
IMPORTED = config_of("function", "os", name="mkdir")
CLIMBING = config_of("Dense", "keras.layers", name="../../canary", units=2)


@pytest.mark.parametrize("command", ["evaluate", "predict", "export"])
@pytest.mark.parametrize(
    "layer", [LAMBDA, SERVED, IMPORTED, CLIMBING], ids=["lambda", "tfsm", "import", "climb"]
)
def test_a_model_file_of_others_is_never_loaded(tmp_path, monkeypatch, capsys, command, layer):
    """K11: given as RUN it is refused by a sentence, unopened."""
    monkeypatch.chdir(tmp_path)
    path = model_file(tmp_path / "model.keras", layer)
    before = sorted(tmp_path.rglob("*"))

    def opened(*_, **__):
        raise AssertionError("it was opened")

    monkeypatch.setattr(keras.models, "load_model", opened)
    monkeypatch.setattr(zipfile, "ZipFile", opened)
    more = [tmp_path, "--out", "out"] if command == "predict" else []
    assert runs.use(command, path, *more) == 2
    said = capsys.readouterr().err
    assert f"{path} is a model file, not a run." in said
    assert "give the folder of a run" in said
    assert sorted(tmp_path.rglob("*")) == before


def test_a_saved_model_of_others_is_no_run_either(tmp_path, capsys):
    """K11: a SavedModel is a program, too."""
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01")
    assert runs.use("export", tmp_path) == 2
    assert "is a model file, not a run" in capsys.readouterr().err


def test_files_planted_in_a_runs_export_are_replaced_and_not_loaded(whole, tmp_path, capsys):
    """K11: `export` writes its own files and loads only those."""
    run = runs.copy(whole, tmp_path / "run")
    model_file(run / "export/model.keras", LAMBDA)
    (run / "export/saved_model/saved_model.pb").write_bytes(b"no graph")
    (run / "export/canary.py").write_text("import os; os.mkdir('canary')")
    assert runs.use("export", run) == 0
    assert "same results" in capsys.readouterr().err
    assert not (run / "export/canary.py").exists()
    again = keras.models.load_model(run / "export/model.keras", safe_mode=True)
    assert again.count_params() == 1751


def test_weights_of_strangers_read_no_other_file_and_take_no_memory(whole, tmp_path):
    """K11: an HDF5 link to another file, and a shape that its bytes do not fill."""
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["data"] = np.arange(9.0)
    for plant in ("link", "bomb"):
        folder = tmp_path / plant
        shutil.copytree(whole / "export", folder)
        with h5py.File(folder / "model.weights.h5", "r+") as file:
            places = []
            file.visititems(
                lambda name, item, found=places: (
                    found.append(name) if isinstance(item, h5py.Dataset) else None
                )
            )
            del file[places[0]]
            if plant == "link":
                file[places[0]] = h5py.ExternalLink(str(secret), "data")
            else:
                file.create_dataset(places[0], shape=(2**40,), dtype="f4", chunks=(1024,))
        with pytest.raises(Exception, match=r"(?i)external|shape|bytes|exceed|limit"):
            load_exported(folder)


@pytest.mark.parametrize("content", ["object", "bomb", "text", "npy", "half"])
def test_labels_of_strangers_are_read_as_numbers_or_refused(tmp_path, content):
    """K12: `--labels` unpickles nothing, and damage is a sentence."""
    path = tmp_path / "labels.npz"
    if content == "object":
        np.savez(path, labels=np.array([{"a": 1}], object))
    elif content == "bomb":
        np.savez_compressed(path, labels=np.zeros((100, 1000, 1000), np.uint8))
    elif content == "text":
        path.write_text("id,label\n")
    elif content == "npy":
        with open(path, "wb") as file:
            np.save(file, np.zeros((1, 4, 4), np.uint8))
    else:
        np.savez(path, labels=np.zeros((9, 4, 4), np.uint8))
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=str(path)):
        read_labels(path, ["0"], None)
