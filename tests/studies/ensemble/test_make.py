"""Ensembles of runs and of folds, used like a run."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests.support import runs
from tfvision.cli import commands
from tfvision.data.sources.source import Record
from tfvision.engine.run_folder import RunFolder
from tfvision.engine.shards import Shards
from tfvision.errors import InputError
from tfvision.recipe.recorded import recorded_splits
from tfvision.runs import finish
from tfvision.runs.load import load_run
from tfvision.runs.request import EnsembleRequest
from tfvision.studies.ensemble import make as ensemble
from tfvision.studies.ensemble import members, unseen
from tfvision.studies.ensemble import weights as blending
from tfvision.tasks.segmentation.schema import SegmentationConfig


@pytest.fixture(scope="module")
def other(dataset, tmp_path_factory):
    """A run of another architecture, on the data of `whole`."""
    folder = tmp_path_factory.mktemp("other")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finish, "export_run", lambda *args, **options: [])
        return runs.new_run(folder / "run", dataset, model={"depth": 2}, seed=5)


def made(out, *arguments) -> Path:
    assert runs.use("ensemble", *arguments, "--out", out, "--quiet") == 0
    return out


def refused(capsys, *arguments) -> str:
    """The message of a call that must fail as wrong input."""
    assert runs.use("ensemble", *arguments) == 2
    return capsys.readouterr().err


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def light(run: Path, to: Path) -> Path:
    """A copy of a run's records alone, for errors that come before any weights are read."""
    to.mkdir(parents=True)
    for name in ("config.yaml", "data.json", "summary.json"):
        (to / name).write_bytes((run / name).read_bytes())
    return to


def probabilities(path: Path) -> np.ndarray:
    with np.load(path / "predictions.npz", allow_pickle=False) as file:
        return file["probabilities"].astype(np.float32)


def test_two_runs_are_used_like_one(whole, other, dataset, tmp_path, capfd):
    together = tmp_path / "e"
    arguments = [whole, other, "--member-weights", "3,1", "--out", together]
    assert runs.use("ensemble", *arguments) == 0
    said = capfd.readouterr().err
    assert "ensemble of 2 runs" in said
    assert "weight 0.750" in said
    assert "weight 0.250" in said

    argv = ["predict", together, dataset, "--probabilities", "--out", tmp_path / "joined"]
    assert runs.use(*argv) == 0
    before = runs.summary(together)
    assert runs.use("evaluate", together) == 0
    assert runs.summary(together) == before
    assert runs.use("export", together) == 0
    (row,) = runs.summary(together)["exports"]
    assert row["file"] == "saved_model"
    assert row["labels_equal"]
    assert row["max_difference"] < 1e-5
    assert sorted(p.name for p in (together / "export").iterdir()) == ["export.json", "saved_model"]
    both = [str(whole), str(together)]
    assert commands.main(["compare", *both, "--out", str(tmp_path / "compare")]) == 0
    found = json.loads((tmp_path / "compare/compare.json").read_text())
    assert found["split"] == "test"
    assert found["runs"][1]["score"] == pytest.approx(before["metrics"]["test"]["mean_iou"])

    parts = []
    for i, run in enumerate((whole, other)):
        out = tmp_path / f"alone-{i}"
        assert runs.use("predict", run, dataset, "--out", out, "--probabilities") == 0
        parts.append(probabilities(out))
    want = 0.75 * parts[0] + 0.25 * parts[1]
    np.testing.assert_allclose(probabilities(tmp_path / "joined"), want, atol=1e-3)  # float16
    labels = runs.labels(tmp_path / "joined/predictions.npz")
    scored = runs.labels(together / "predictions/test.npz")
    for name in scored:
        np.testing.assert_array_equal(labels[name], scored[name])
    _, truth = runs.arrays(4, first=14)
    score = runs.mean_iou(truth, labels.values())
    assert before["metrics"]["test"]["mean_iou"] == pytest.approx(score, abs=1e-12)
    record = json.loads((together / "ensemble.json").read_text())
    assert record["scores"]["test"]["ensemble"] == pytest.approx(score, abs=1e-12)
    alone = [runs.summary(run)["metrics"]["test"]["mean_iou"] for run in (whole, other)]
    assert record["scores"]["test"]["members"] == pytest.approx(alone)


def test_members_are_found_when_all_moves_and_refused_when_gone_or_changed(whole, other, tmp_path):
    home = tmp_path / "home"
    first, second = runs.copy(whole, home / "a"), runs.copy(other, home / "b")
    made(home / "e", first, second)
    home.rename(tmp_path / "moved")
    home = tmp_path / "moved"
    assert len(load_run(RunFolder(home / "e")).predictor.members) == 2
    with pytest.raises(InputError, match="--depth prunes one UNet"):
        load_run(RunFolder(home / "e"), depth=1)

    (home / "b").rename(home / "c")
    with pytest.raises(InputError, match=r"needs the run .*home/b, which is gone"):
        load_run(RunFolder(home / "e"))
    runs.copy(whole, home / "b", **{"depth: 1": "depth: 1"})
    with pytest.raises(InputError, match=r"moved/b, a member of .* has other weights than when"):
        load_run(RunFolder(home / "e"))


def test_an_ensemble_is_not_trained_on(whole, other, tmp_path, capsys):
    out = tmp_path / "e"
    light(whole, out)
    (out / "ensemble.json").write_text("{}")
    assert runs.train("--resume", out) == 2
    assert "is an ensemble: there is nothing to train" in capsys.readouterr().err
    assert "is an ensemble itself" in refused(capsys, other, out, "--out", tmp_path / "f")


def test_runs_that_do_not_go_together_are_refused(whole, tmp_path, capsys):
    first, out = light(whole, tmp_path / "a"), tmp_path / "e"

    def message(name, change):
        second = light(whole, tmp_path / name)
        edit(second / "data.json", change)
        return refused(capsys, first, second, "--out", out)

    text = message("classes", lambda d: d.update(class_names=["sky", "sea", "sand"]))
    assert (
        "have different classes: ['class 0', 'class 1', 'class 2'] against ['sky', 'sea', 'sand']"
        in text
    )
    text = message("channels", lambda d: d.update(channels=3))
    assert "different numbers of image channels: 1 against 3" in text
    text = message("white", lambda d: d.update(white=4095))
    assert "different values that count as white: None against 4095" in text
    assert not out.exists()

    third = light(whole, tmp_path / "rules")
    text = (third / "config.yaml").read_text()
    assert "postprocess: []" in text
    changed = text.replace("postprocess: []", "postprocess: [{name: drop_class, index: 0}]")
    (third / "config.yaml").write_text(changed)
    text = refused(capsys, first, third, "--out", out)
    assert "scored or decoded differently" in text
    assert "postprocess" in text
    fourth = light(whole, tmp_path / "contract")
    edit(fourth / "summary.json", lambda s: s["contract"].update(ignore_labels=[0]))
    assert "contract.ignore_labels" in refused(capsys, first, fourth, "--out", out)


def test_one_run_a_run_twice_and_a_taken_folder_are_refused(whole, tmp_path, capsys):
    first, second = light(whole, tmp_path / "a"), light(whole, tmp_path / "b")
    out = ["--out", tmp_path / "e"]
    assert "needs at least two runs" in refused(capsys, first, *out)
    again = tmp_path / "b/../a"
    assert "is given twice" in refused(capsys, first, again, *out)
    assert "is no run: it has no config.yaml" in refused(capsys, first, tmp_path, *out)
    text = refused(capsys, first, second, "--out", first)
    assert "exists and is not an empty folder" in text
    (second / "summary.json").unlink()
    assert "is not finished" in refused(capsys, first, second, *out)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--weights", "fitted"], "--weights fitted needs folds folders"),
        (["--weights", "greedy"], "has chosen its best epoch already"),
        (["--weights", "greedy", "--member-weights", "1,2"], "Give one of the two"),
        (["--member-weights", "1,2,3"], "one weight an argument: 2; got 3"),
        (["--member-weights", "1,0"], "must be positive numbers; received 0"),
        (["--member-weights", "1,x"], "takes numbers between commas, such as 2,1"),
    ],
)
def test_weights_that_cannot_be_had_are_refused(whole, tmp_path, capsys, flags, message):
    given = [light(whole, tmp_path / "a"), light(whole, tmp_path / "b")]
    assert message in refused(capsys, *given, "--out", tmp_path / "e", *flags)


@dataclass(frozen=True)
class Data:
    """As much of `Prepared` as a split needs: sample i has id and hash i."""

    splits: list
    how: str = ""
    notes: list = field(default_factory=list)

    def indices(self, split, labelled=True):
        return [i for i, name in enumerate(self.splits) if name == split]

    def record(self):
        named = {s: [str(i) for i in self.indices(s)] for s in unseen.PARTS}
        return {
            "fingerprint": "f",
            "splits": named,
            "hashes": {s: [f"hash {i}" for i in ids] for s, ids in named.items()},
        }


def member(splits, fingerprint="f") -> members.Member:
    config = SegmentationConfig.model_validate({"model": {"name": "unet"}})
    data = {**Data(splits).record(), "fingerprint": fingerprint}
    return members.Member(Path("run"), config, data, {})


@pytest.fixture
def splits_of(monkeypatch):
    """What the samples of an ensemble count as, its members' splits given."""

    def of(*given, prints=None):
        monkeypatch.setattr(unseen, "prepare", lambda *args, **options: Data(list(given[0])))
        prints = prints or ["f"] * len(given)
        listed = [member(splits, p) for splits, p in zip(given, prints, strict=True)]
        return unseen.prepare_unseen(listed)

    return of


def test_only_what_no_member_trained_on_is_scored(splits_of):
    first = ["train", "val", "val", "val", "test", "test", "test", "test", None]
    other = ["val", "train", "val", "test", "test", "val", "train", None, "train"]
    prepared, notes = splits_of(first, other)
    assert prepared.splits == [
        *("train", "train", "val", "val"),
        *("test", "val", "train", "train", None),
    ]
    assert notes == []
    own = [Record(str(i), "", None, True, group=None, place="") for i in range(9)]
    hashes = [f"hash {i}" for i in range(9)]
    assert recorded_splits(prepared.record(), own, hashes) == prepared.splits


def test_folds_have_no_validation_part_together(splits_of):
    folds = [["test", *("val" if i == k else "train" for i in range(3))] for k in range(3)]
    prepared, notes = splits_of(*folds)
    assert prepared.splits == ["test", "train", "train", "train"]
    assert notes == []


def test_members_that_share_no_test_part_have_no_test_score(splits_of):
    prepared, notes = splits_of(["train", "test"], ["test", "train"])
    assert "test" not in prepared.splits
    assert "No sample is in the test part of all members" in notes[0]
    prepared, notes = splits_of(["train", "test"], ["train", "test"], prints=["f", "g"])
    assert prepared.splits == ["train", "train"]
    assert "were trained on different data" in notes[0]


@pytest.fixture(scope="module")
def folds(whole, other, tmp_path_factory):
    """Two folds folders of two folds: their runs are whole runs, what they predict is made up."""
    root = tmp_path_factory.mktemp("folds")
    _, masks = runs.arrays(14)
    rng = np.random.default_rng(0)
    for name, skill in (("F1", 0.5), ("F2", 0.0)):
        for fold, run in enumerate((whole, other)):
            runs.copy(run, root / name / f"fold-{fold}")
        noise = rng.dirichlet(np.ones(3), masks.shape)
        store = Shards.create(
            root / name / "out_of_fold",
            ids=[str(i) for i in range(14)],
            class_names=runs.data(whole)["class_names"],
            origin={},
        )
        (positions,) = store.missing()
        store.write(positions, list(skill * np.eye(3)[masks] + (1 - skill) * noise))
        config = (whole / "config.yaml").read_text()
        (root / name / "folds.yaml").write_text(
            config.replace("folds: null", "folds: 2").replace("fold: null", "fold: 0")
        )
        samples = {
            "ids": [str(i) for i in range(14)],
            "folds": [i % 2 for i in range(14)],
            "units": [str(i) for i in range(14)],
        }
        (root / name / "folds.json").write_text(json.dumps({"samples": samples}))
    return root


@pytest.fixture
def truth(monkeypatch):
    """The truth of `folds`: masks are assigned from two parts of its file, not from one."""
    _, masks = runs.arrays(14)
    named = [(str(i), {"mask": mask.astype(np.int32)}) for i, mask in enumerate(masks)]
    monkeypatch.setattr(blending, "targets_of", lambda folder: iter(named))


def test_a_folds_folder_is_the_mean_of_its_runs(folds, tmp_path):
    made(tmp_path / "e", folds / "F1")
    record = json.loads((tmp_path / "e/ensemble.json").read_text())
    assert [m["weight"] for m in record["members"]] == [0.5, 0.5]
    assert record["weights"]["used"] == "mean"
    assert set(record["scores"]) == {"val", "test"}


def test_folds_folders_are_weighed_out_of_fold(folds, truth, tmp_path, capsys):
    for name in ("fitted", "greedy"):
        out = tmp_path / name
        assert (
            runs.use("ensemble", folds / "F1", folds / "F2", "--weights", name, "--out", out) == 0
        )
        assert f"the {name} weights are used" in capsys.readouterr().err
        record = json.loads((out / "ensemble.json").read_text())
        shares = record["weights"]["weights"]
        assert shares[0] > 0.9
        of_first = [m for m in record["members"] if m["folds"].endswith("F1")]
        assert [m["weight"] for m in of_first] == pytest.approx([shares[0] / 2] * 2)
        assert len(record["members"]) + len(record["left_out"]) == 4


def test_the_mean_of_folds_folders_is_scored_out_of_fold(folds, truth, tmp_path):
    made(tmp_path / "e", folds / "F1", folds / "F2")
    found = json.loads((tmp_path / "e/ensemble.json").read_text())["weights"]["out_of_fold"]
    assert found["alone"][1] < found["mean"] < found["alone"][0]


def test_folds_that_cannot_be_weighed_are_refused(folds, whole, other, tmp_path, capsys):
    out = ["--out", tmp_path / "e"]
    text = refused(capsys, folds / "F1", "--weights", "fitted", *out)
    assert "needs at least two folds folders" in text
    text = refused(capsys, folds / "F1", other, *out)
    assert "of runs or of folds folders, not of both" in text
    unlike = tmp_path / "F3"
    for fold in range(2):
        light(whole, unlike / f"fold-{fold}")
    for name in ("folds.yaml", "folds.json"):
        (unlike / name).write_bytes((folds / "F1" / name).read_bytes())
    text = refused(capsys, folds / "F1", unlike, "--weights", "fitted", *out)
    assert "has no shards.json" in text
    (unlike / "folds.json").unlink()
    assert "is not complete" in refused(capsys, folds / "F1", unlike, *out)


def test_a_refused_request_writes_nothing(whole, tmp_path):
    given = [light(whole, tmp_path / name) for name in "ab"]
    request = EnsembleRequest(given, tmp_path / "e", weights="fitted")
    with pytest.raises(InputError, match="needs folds folders"):
        ensemble.make(request)
    assert not (tmp_path / "e").exists()
