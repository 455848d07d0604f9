"""Data that has moved, truth that comes later, folders to predict: one tiny run of two classes."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.data.make import save
from tests.support import runs
from tfvision.config import differences
from tfvision.runs.record import MAY_CHANGE

NAMES = ("background", "cell")


def write(root, count=20, *, first=0, values=(0, 255), names=NAMES, swapped=False):
    """`images/` and `masks/` of bright squares on grey; other values or order on demand."""
    for seed in range(first, first + count):
        rng = np.random.default_rng(seed)
        mask = np.zeros((16, 16), np.uint8)
        y, x = rng.integers(1, 8, 2)
        mask[y : y + 6, x : x + 6] = 1
        image = np.clip(60 + 120 * mask + rng.normal(0, 20, mask.shape), 0, 255).astype(np.uint8)
        low, high = values[::-1] if swapped else values
        save(root / "images" / f"x{seed}.png", image)
        save(root / "masks" / f"x{seed}.png", np.where(mask, high, low).astype(np.uint8))
    if names:
        listed = names[::-1] if swapped else names
        (root / "classes.txt").write_text("\n".join(listed) + "\n")
    return root


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of 20 images whose data then goes to `new/`, and its folder of scores."""
    from tfvision.runs import finish

    root = tmp_path_factory.mktemp("moved")
    data = write(root / "old" / "set")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finish, "export_run", lambda *args, **options: [])
        source = {"name": "auto", "path": str(data), "mask_values": [0, 255]}
        run = runs.new_run(root / "run", data, data={"source": source}, train={"epochs": 1})
    (root / "new").mkdir()
    shutil.move(data, root / "new" / "set")
    return run


@pytest.fixture
def run(whole, tmp_path):
    return runs.copy(whole, tmp_path / "run")


def place(whole):
    return whole.parent / "new" / "set"


def refused(capsys, *argv):
    assert (runs.train if argv[0] == "--resume" else runs.use)(*argv) == 2
    return capsys.readouterr().err


def test_every_command_says_that_the_data_went_away_and_what_to_type(run, whole, tmp_path, capsys):
    old = whole.parent / "old" / "set"
    for argv in (
        ["--resume", run],
        ["evaluate", run],
        ["predict", run, "--out", tmp_path / "p"],
        ["submit", run, "--format", "rle", "--out", tmp_path / "s.csv"],
    ):
        said = refused(capsys, *argv)
        assert f"The run's data is no longer at {old}. Say where it is now with --data PATH" in said


def test_moved_data_is_taken_by_its_content(run, whole, tmp_path, capsys):
    before = runs.summary(run)["metrics"]
    assert runs.use("evaluate", run, "--data", place(whole)) == 0
    assert "the run's own data (its fingerprint is the same)" in capsys.readouterr().err
    assert runs.summary(run)["metrics"] == before  # val and test, not all of it
    assert not (run / "evaluation.json").exists()
    argv = ("predict", run, "--data", place(whole), "--split", "val", "--out", tmp_path / "p")
    assert runs.use(*argv) == 0
    own, again = (
        runs.labels(run / "predictions/val.npz"),
        runs.labels(tmp_path / "p/predictions.npz"),
    )
    assert own.keys() == again.keys()
    assert all((own[name] == again[name]).all() for name in own)


def test_a_resume_takes_moved_data_and_remembers_its_place(run, whole, monkeypatch):
    monkeypatch.setattr("tfvision.runs.train.finish", lambda *args, **options: {})
    record = runs.data(run)
    assert runs.train("--resume", run, "--data", place(whole)) == 0
    assert str(place(whole)) in (run / "config.yaml").read_text()
    for key in ("fingerprint", "splits", "hashes", "how"):
        assert runs.data(run)[key] == record[key]
    assert runs.train("--resume", run) == 0  # its config, which names the new place, is enough


def test_a_config_that_was_edited_to_the_new_place_is_the_runs_own(whole, tmp_path, monkeypatch):
    monkeypatch.setattr("tfvision.runs.train.finish", lambda *args, **options: {})
    old = str(whole.parent / "old" / "set")
    run = runs.copy(whole, tmp_path / "run", **{old: str(place(whole))})
    assert runs.train("--resume", run) == 0


def test_other_data_is_refused_with_the_difference(run, whole, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(place(whole), other)
    (other / "images" / "x3.png").unlink()
    (other / "masks" / "x3.png").unlink()
    save(other / "masks" / "x5.png", np.eye(16, dtype=np.uint8) * 255)
    write(other, 1, first=90)
    for argv in (["--resume", run], ["export", run], ["predict", run, "--out", tmp_path / "p"]):
        said = refused(capsys, *argv, "--data", other)
        assert "The data set is not the one this run was trained on" in said
        assert "1 sample is gone: x3" in said
        assert "1 sample is new: x90" in said
        assert "1 sample is changed: x5" in said
    said = refused(capsys, "predict", run, other, "--data", other, "--out", tmp_path / "p")
    assert "--data says where the run's own data lies, and INPUT" in said


def test_a_run_keeps_samples_and_its_export_needs_no_data(run, tmp_path, monkeypatch, capsys):
    given = {}
    monkeypatch.setattr("tfvision.runs.export.write_export", lambda *args, **options: None)
    monkeypatch.setattr(
        "tfvision.runs.export.check_export",
        lambda folder, served, fixed, images, **options: given.update(images=images) or [],
    )
    (run / "export").mkdir()
    assert runs.use("export", run) == 0
    assert "Compared on samples that the run keeps" in capsys.readouterr().err
    first = np.load(run / "samples" / "val.npz")
    np.testing.assert_array_equal(given["images"][0], first["0/image"])
    assert set(first["ids"]) == set(runs.data(run)["splits"]["val"])
    assert len(np.load(run / "samples" / "train.npz")["ids"]) == 12
    shutil.rmtree(run / "samples")
    assert runs.use("export", run) == 2
    assert "The run's data is no longer at" in capsys.readouterr().err


def test_private_data_is_not_kept(whole, tmp_path, quick):
    data = write(tmp_path / "data", 10)
    source = {"name": "auto", "path": str(data), "mask_values": [0, 255]}
    options = {"source": source, "keep_samples": False}
    run = runs.new_run(tmp_path / "run", data, data=options, train={"epochs": 1})
    assert not (run / "samples").exists()
    kept = (whole / "log.txt").read_text()
    assert "kept of the data: 12 train and 4 val samples" in kept


# --------------------------------------------------------------------------- truth given later


def score(run):
    return json.loads((run / "evaluation.json").read_text())[-1]["metrics"]["data"]["mean_iou"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, ""),
        ({"names": None}, ""),
        ({"values": (0, 1)}, "masks hold {0, 1}, those of the run {0, 255}"),
        ({"values": (0, 1), "names": None}, "1 is read as 255"),
        ({"swapped": True}, "matched by name (here -> in the run): cell 0 -> 1, background 1 -> 0"),
        ({"swapped": True, "values": (0, 1)}, "matched by name"),
        ({"names": ("Background", "Cell")}, ""),
    ],
)
def test_the_same_truth_in_other_words_has_the_same_score(run, tmp_path, capsys, options, said):
    assert runs.use("evaluate", run, "--data", write(tmp_path / "plain", 6, first=40)) == 0
    want = score(run)
    capsys.readouterr()
    assert runs.use("evaluate", run, "--data", write(tmp_path / "o", 6, first=40, **options)) == 0
    assert score(run) == want
    assert said in capsys.readouterr().err


def test_classes_that_contradict_are_refused_with_both_lists_and_what_to_type(
    run, tmp_path, capsys
):
    data = write(tmp_path / "other", 6, first=40, names=("background", "nucleus"))
    said = refused(capsys, "evaluate", run, "--data", data)
    assert "has the classes ['background', 'nucleus'], the run has ['background', 'cell']" in said
    assert "'nucleus' is no class of the run" in said
    typed = 'data.class_names=["background", "cell"]'
    assert f"--set '{typed}'" in said
    assert runs.use("evaluate", run, "--data", data, "--set", typed) == 0


def test_advice_on_values_can_be_typed(run, tmp_path, capsys):
    data = write(tmp_path / "other", 6, first=40, values=(3, 7))
    said = refused(capsys, "evaluate", run, "--data", data)
    assert "--set 'data.source.mask_values=[0, 1]'" in said
    assert runs.use("evaluate", run, "--data", write(tmp_path / "plain", 6, first=40)) == 0
    want = score(run)
    typed = ("--set", "data.source.mask_values=[3, 7]")
    assert runs.use("evaluate", run, "--data", data, *typed) == 0
    assert score(run) == want
    assert "give one as well" in refused(capsys, "evaluate", run, *typed)
    assert "sets keys of data" in refused(
        capsys, "evaluate", run, "--data", data, "--set", "train.epochs=3"
    )


# --------------------------------------------------------------------------- folders to predict


def test_a_folder_of_folders_with_equal_names_is_predicted_name_by_name(run, tmp_path, capsys):
    data = write(tmp_path / "flat", 4, first=60)
    for number, name in enumerate(["p1/a", "p1/b", "p2/a", "p2/deep/a"]):
        target = tmp_path / "in" / f"{name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(data / "images" / f"x{60 + number}.png", target)
    assert runs.use("predict", run, tmp_path / "in", "--out", tmp_path / "out") == 0
    assert runs.use("predict", run, data / "images", "--out", tmp_path / "flat_out") == 0
    found, flat = (
        runs.labels(tmp_path / folder / "predictions.npz") for folder in ("out", "flat_out")
    )
    assert sorted(found) == ["p1/a", "p1/b", "p2/a", "p2/deep/a"]
    for number, name in enumerate(sorted(found)):
        np.testing.assert_array_equal(found[name], flat[f"x{60 + number}"])
    (tmp_path / "in" / "p2" / "c.png").write_bytes(b"\x89PNG no more")
    said = refused(capsys, "predict", run, tmp_path / "in", "--out", tmp_path / "bad")
    assert "p2/c.png: is not an image" in said
    assert not (tmp_path / "bad").exists()


def test_masks_among_the_folders_are_not_predicted_as_images(run, tmp_path):
    data = write(tmp_path / "in" / "deep", 2)
    assert Image.open(data / "masks" / "x0.png").size == (16, 16)
    assert runs.use("predict", run, tmp_path / "in", "--out", tmp_path / "out") == 0
    found = runs.labels(tmp_path / "out" / "predictions.npz")
    assert [name.rpartition("/")[2] for name in sorted(found)] == ["x0", "x1"]


def test_a_run_of_an_older_version_is_the_same_run():
    """What its checkpoints say of the config lacks keys that are new."""
    data = {"source": {"name": "folder", "path": "/old"}, "seed": 1}
    before = {"config": {"data": {**data, "groups": None}}, "data_fingerprint": "f"}
    source = {"name": "folder", "path": "/new"}
    now = {**data, "source": source, "groups": "names", "keep_samples": 300}
    changed = differences(before, {"config": {"data": now}, "data_fingerprint": "f"})
    assert len(changed) == 3
    assert all(line.startswith(MAY_CHANGE) for line in changed)
    other = {**now, "groups": "p", "source": {**source, "name": "npz"}}
    changed = differences(before, {"config": {"data": other}, "data_fingerprint": "g"})
    assert sum(not line.startswith(MAY_CHANGE) for line in changed) == 3
