"""Folds: how samples are assigned and checked, trained, predicted out of fold, and scored."""

import json
import shutil

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.support import runs
from tfvision.cli import training
from tfvision.config import load_config
from tfvision.engine.run_folder import RunFolder
from tfvision.engine.shards import Shards
from tfvision.errors import InputError
from tfvision.metrics.contract import Contract
from tfvision.metrics.evidence import ConfusionEvidence
from tfvision.runs import finish, process
from tfvision.studies.folds import folder as folds
from tfvision.studies.folds import train as folds_train
from tfvision.studies.folds.assign import assign_samples
from tfvision.studies.folds.scores import cautions, fold_metrics, pooled_interval
from tfvision.tasks.segmentation.schema import SegmentationConfig


def write(path, images, masks):
    np.savez(path, images=np.asarray(images), masks=np.asarray(masks))
    return path


def config_of(tmp_path, source, *overrides, **sections):
    path = runs.write_config(tmp_path / "c.yaml", source, **sections)
    return load_config(SegmentationConfig, path, list(overrides))


# --------------------------------------------------------------------------- assigning


def test_folds_share_neither_groups_nor_near_duplicates(tmp_path):
    """Patients of two images each; the second image of every third is nearly that of the next."""
    rng = np.random.default_rng(0)
    images, masks = (list(x) for x in runs.arrays(24))
    for i in range(1, 20, 6):
        noisy = images[i].astype(float) + rng.normal(0, 0.5, (16, 16))
        images[i + 1] = np.clip(noisy, 0, 255).astype(np.uint8)
        masks[i + 1] = masks[i]
    for folder, arrays in (("images", images), ("masks", masks)):
        (tmp_path / folder).mkdir()
        for i, array in enumerate(arrays):
            Image.fromarray(array).save(tmp_path / folder / f"p{i // 2:02d}_{i % 2}.png")
    given = ["data.folds=3", "data.fold=0", r"data.groups='^(p\d+)_'", "data.test_fraction=0"]
    assigned = assign_samples(config_of(tmp_path, tmp_path, *given))
    assert sorted(assigned.names) == [f"p{i // 2:02d}_{i % 2}" for i in range(24)]
    fold = dict(zip(assigned.names, assigned.folds, strict=True))
    unit = dict(zip(assigned.names, assigned.units, strict=True))
    together = [(f"p{i:02d}_0", f"p{i:02d}_1") for i in range(12)]
    near = [(f"p{i // 2:02d}_1", f"p{i // 2 + 1:02d}_0") for i in range(1, 20, 6)]
    found = {tuple(sorted(p[:2])) for p in assigned.prepared.audit.pairs}
    places = {record.id: i for i, record in enumerate(assigned.prepared.source.records)}
    assert {tuple(places[n] for n in pair) for pair in near} <= found
    for one, other in [*together, *near]:
        assert fold[one] == fold[other]
        assert unit[one] == unit[other]
    assert len(set(unit.values())) == 12 - len(near)
    for splits in assigned.splits:
        assert set(splits) == {"train", "val"}
    assert sum(row["units"] for row in assigned.rows()) == 12 - len(near)
    assert [row["val"] for row in assigned.rows()] == [assigned.folds.count(f) for f in range(3)]
    assert assigned.folds == sorted(assigned.folds)


def rare(tmp_path, holders, *, equal=False):
    """Twelve images of classes 0 and 1; these indices hold class 2 as well, and may be equal."""
    images, masks = runs.arrays(12)
    masks = np.where(masks == 2, 1, masks)
    for i in holders:
        masks[i, :4, :4] = 2
        if equal:
            images[i], masks[i] = images[holders[0]], masks[holders[0]]
    return write(tmp_path / "d.npz", images, masks)


@pytest.mark.parametrize(
    ("holders", "named"),
    [([5], r"1 image that holds it \('5'\) 1"), ([4, 7], r"2 images .*\('4', '7'\) 2")],
)
def test_a_fold_that_would_train_without_a_class_is_an_error(tmp_path, holders, named):
    """One image holds it, or two equal ones, which are held together."""
    source = rare(tmp_path, holders, equal=True)
    config = config_of(tmp_path, source, "data.folds=3", "data.fold=0", "data.test_fraction=0")
    message = rf"fold \d of 3 would train without the class 'class 2': of the {named} validates? in"
    with pytest.raises(InputError, match=message + ".*They are one unit"):
        assign_samples(config)


def test_a_file_may_say_the_folds(tmp_path):
    """Whatever the seed; what is left out for another reason is out, the rest stays."""
    source = write(tmp_path / "d.npz", *runs.arrays(12))
    said = {str(i): (i * 5) % 3 for i in range(11)}
    lines = ["id,split,fold", *(f"{name},train,{fold}" for name, fold in said.items())]
    (tmp_path / "s.csv").write_text("\n".join([*lines, "11,test,"]) + "\n")
    (tmp_path / "x.csv").write_text("id\n4\n")
    given = [f"data.splits={tmp_path / 's.csv'}", "data.folds=3", "data.fold=0"]
    for more in (["seed=1"], ["seed=2"], [f"data.exclude={tmp_path / 'x.csv'}"]):
        assigned = assign_samples(config_of(tmp_path, source, *given, *more))
        found = dict(zip(assigned.names, assigned.folds, strict=True))
        assert found == {n: f for n, f in said.items() if n != "4" or "seed" in more[0]}
        assert "as the column fold of" in assigned.how
        assert all(splits[11] == "test" for splits in assigned.splits)


def test_a_class_that_a_validation_part_lacks_is_a_warning(tmp_path):
    source = rare(tmp_path, [3, 8])
    given = ["data.folds=3", "data.fold=0", "data.test_fraction=0"]
    assigned = assign_samples(config_of(tmp_path, source, *given))
    held = {assigned.folds[assigned.names.index(name)] for name in ("3", "8")}
    (lacking,) = {0, 1, 2} - held
    assert len(assigned.warnings) == 1
    assert f"no image of the validation part of fold {lacking} holds" in assigned.warnings[0]
    assert "(images of all folds that hold it: 2)" in assigned.warnings[0]
    assert assigned.rows()[lacking]["class_images"][2] == 0


# --------------------------------------------------------------------------- scores


def counts_of(cms):
    cms = np.asarray(cms, np.int64)
    return ConfusionEvidence([str(i) for i in range(len(cms))], cms)


def test_the_pooled_score_is_of_all_counts_and_no_mean_of_scores():
    """Class 1 stands in one fold only, and is half found; the others have nothing of it."""
    only = [[90, 0], [0, 0]]
    mixed = [[50, 0], [20, 20]]
    metrics = fold_metrics(
        [counts_of([only, only]), counts_of([only]), counts_of([mixed])],
        None,
        Contract(),
        score="mean_iou",
        units=["a", "b", "c", "d"],
    )
    values = [1.0, 1.0, (50 / 70 + 0.5) / 2]
    assert [row["mean_iou"] for row in metrics["folds"]] == pytest.approx(values)
    assert metrics["mean"]["mean_iou"] == pytest.approx(np.mean(values))
    assert metrics["deviation"]["mean_iou"] == pytest.approx(np.std(values, ddof=1))
    assert metrics["mean"]["per_class_iou"] == pytest.approx([np.mean([1, 1, 50 / 70]), 0.5])
    assert metrics["mean"]["num_folds"] == [3, 1]
    assert metrics["deviation"]["per_class_iou"][1] is None
    pooled = metrics["pooled"]
    assert pooled["mean_iou"] == pytest.approx((320 / 340 + 0.5) / 2)
    assert pooled["num_images"] == 4
    assert metrics["test"] is None


def test_the_interval_is_over_units_and_holds_the_score():
    rng = np.random.default_rng(0)
    cms = rng.integers(1, 30, (40, 3, 3)) + 40 * np.eye(3, dtype=int)

    def interval(cms, units):
        return pooled_interval(
            counts_of(cms), Contract(), score="mean_iou", units=units, folds=[0] * len(cms)
        )

    alone = interval(cms, [str(i) for i in range(40)])
    four = np.repeat(cms[:10], 4, axis=0)
    pairs = interval(four, [str(i // 4) for i in range(40)])
    loose = interval(four, [str(i) for i in range(40)])
    iou = cms.sum(axis=0)
    iou = np.diag(iou) / (iou.sum(0) + iou.sum(1) - np.diag(iou))
    assert alone["low"] < iou.mean() < alone["high"]
    assert (alone["units"], pairs["units"]) == (40, 10)
    # Four copies of each image tell no more than one: about twice the width they seem to have.
    widths = [x["high"] - x["low"] for x in (pairs, loose)]
    assert widths[0] > 1.7 * widths[1]
    assert interval(cms, ["a"] * 40) is None


# --------------------------------------------------------------------------- whole


def in_this_process(argv, *, log=None):
    """What `run_process` would start, here."""
    return training.train("segmentation", [*argv[6:], "--debug"])


@pytest.fixture
def here(monkeypatch):
    """Runs that are trained in this process, without their export; the folders they went to."""
    trained = []

    def start(argv, *, log=None):
        flag = "--resume" if "--resume" in argv else "--out"
        trained.append((flag, argv[argv.index(flag) + 1].rsplit("/", 1)[-1]))
        return in_this_process(argv)

    monkeypatch.setattr(process, "run_process", start)
    monkeypatch.setattr(finish, "export_run", lambda *args, **options: [])
    return trained


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """A complete folds folder: fold 1 was trained alone, then the rest was gone on with."""
    folder = tmp_path_factory.mktemp("folds")
    source = write(folder / "d.npz", *runs.arrays(14))
    config = runs.write_config(
        folder / "c.yaml",
        source,
        data={"test_fraction": 0.2},
        model={"normalization": "batch"},  # so that few probabilities are equal
        postprocess=["drop_class(index=2)"],
        train={"epochs": 4, "optimizer": runs.ADAMW},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFVISION_CACHE", str(folder / "cache"))
        patch.setattr(finish, "export_run", lambda *args, **options: [])
        patch.setattr(process, "run_process", in_this_process)
        assert runs.train("--config", config, "--folds", 2, "--fold", 1, "--out", folder / "F") == 0
        assert sorted(p.name for p in (folder / "F").iterdir()) == ["fold-1", "folds.yaml"]
        patch.setattr(process, "run_process", lambda *_, **__: pytest.fail("trained"))
        with pytest.raises(InputError, match=r"it has no folds\.json. Go on with --resume"):
            folds.read_folds(folder / "F")
        patch.setattr(process, "run_process", in_this_process)
        assert runs.train("--resume", folder / "F") == 0
    return folder / "F"


def test_every_assigned_sample_is_predicted_by_the_run_that_did_not_train_on_it(complete):
    record = folds.read_folds(complete)
    store = Shards.open(complete / "out_of_fold")
    data = [runs.data(complete / f"fold-{i}") for i in range(2)]
    assert store.ids == record["samples"]["ids"] == [i for d in data for i in d["splits"]["val"]]
    assert store.class_names == record["class_names"] == data[0]["class_names"]
    assert data[0]["splits"]["test"] == data[1]["splits"]["test"] != []
    assert not set(store.ids) & set(data[0]["splits"]["test"])
    for fold, d in enumerate(data):
        assert not set(d["splits"]["val"]) & set(d["splits"]["train"])
        assert record["samples"]["folds"][: len(data[0]["splits"]["val"])] == [0] * 6
        kept = runs.labels(complete / f"fold-{fold}" / "predictions" / "val.npz")
        for name in d["splits"]["val"]:
            there = store[name]
            assert there.shape == (16, 16, 3)
            np.testing.assert_allclose(there.sum(-1), 1, atol=3 * 2**-11)
            # Plain probabilities: the rule that drops class 2 is not in them.
            assert (there[..., 2] > 0).all()
            sure = np.abs(there[..., 0] - there[..., 1]) > 2**-11  # else float16 may tie them
            assert sure.mean() > 0.9
            np.testing.assert_array_equal(there[..., :2].argmax(-1)[sure], kept[name][sure])


def test_scores_are_those_of_the_predictions(complete):
    summary = runs.summary(complete)
    metrics = summary["metrics"]
    assert metrics == folds.read_folds(complete)["metrics"]
    truth = {name: targets["mask"] for name, targets in folds.targets_of(complete)}
    assert list(truth) == Shards.open(complete / "out_of_fold").ids
    predicted, each = {}, []
    for fold in range(2):
        kept = runs.labels(complete / f"fold-{fold}" / "predictions" / "val.npz")
        each.append(runs.mean_iou([truth[i] for i in kept], list(kept.values())))
        predicted |= kept
    assert [row["mean_iou"] for row in metrics["folds"]] == pytest.approx(each)
    assert metrics["mean"]["mean_iou"] == pytest.approx(np.mean(each))
    assert metrics["deviation"]["mean_iou"] == pytest.approx(np.std(each, ddof=1))
    pooled = runs.mean_iou([truth[i] for i in predicted], list(predicted.values()))
    assert metrics["pooled"]["mean_iou"] == pytest.approx(pooled)
    assert metrics["pooled"]["interval"]["low"] < pooled < metrics["pooled"]["interval"]["high"]
    test = [runs.summary(complete / f"fold-{i}")["metrics"]["test"] for i in range(2)]
    values = [t["post_processed"]["mean_iou"] for t in test]
    assert metrics["test"]["mean"]["mean_iou"] == pytest.approx(np.mean(values))
    assert (summary["task"], summary["arch"], summary["folds"]) == ("segmentation", "unet", 2)


def test_the_other_files_of_a_folds_folder(complete):
    record = folds.read_folds(complete)
    assert record["runs"] == ["fold-0", "fold-1"]
    assert "2 (counted from 0), seed 1" in record["how"]
    assert any("not the mean" in line for line in record["cautions"])
    assert not any("calibrated" in line for line in record["cautions"])
    of_specialists = cautions(record["metrics"], ConfusionEvidence, calibrated=True)
    assert any("specialists of each fold were calibrated on" in line for line in of_specialists)
    with np.load(complete / "out_of_fold_confusion.npz") as file:
        assert sorted(file.files) == ["fold", "ids", "plain", "processed"]
        assert file["ids"].tolist() == record["samples"]["ids"]
        assert file["fold"].tolist() == record["samples"]["folds"]
        plain = file["plain"]
    store = Shards.open(complete / "out_of_fold")
    for cm, (name, targets) in zip(plain, folds.targets_of(complete), strict=True):
        mask = targets["mask"]
        first, second = np.sort(store[name], axis=-1)[..., :0:-1].transpose(2, 0, 1)
        ties = (first - second <= 2**-11).sum()
        labels = store[name].argmax(-1)
        mine = [[((mask == t) & (labels == p)).sum() for p in range(3)] for t in range(3)]
        assert np.abs(cm - mine).sum() <= 2 * ties < 30
    units = folds.units_of(complete)
    assert len(units) == len(store.ids) == len(set(units))
    page = (complete / "report.html").read_text()
    assert f"{record['metrics']['pooled']['mean_iou']:.3f}" in page
    assert "not the mean of the folds" in page
    config = yaml.safe_load((complete / "folds.yaml").read_text())
    assert (config["data"]["folds"], config["data"]["fold"]) == (2, 0)


def test_a_finished_fold_is_left_alone_and_a_lost_shard_is_written_again(
    complete, tmp_path, here, capsys
):
    folder = tmp_path / "moved"
    shutil.copytree(complete, folder)
    before = [array for _, array in Shards.open(folder / "out_of_fold")]
    (folder / "out_of_fold" / "shard-00000.npz").write_bytes(b"damaged")
    (folder / "folds.json").unlink()
    assert runs.train("--resume", folder, "--json") == 0
    assert here == []
    after = [array for _, array in Shards.open(folder / "out_of_fold")]
    np.testing.assert_array_equal(before, after)
    said = capsys.readouterr()
    assert json.loads(said.out.splitlines()[-1]) == runs.summary(complete)
    assert "pooled" in said.err


def test_a_fold_that_was_stopped_is_gone_on_with(complete, tmp_path, here):
    folder = tmp_path / "F"
    shutil.copytree(complete, folder)
    (folder / "fold-1" / "summary.json").unlink()
    header = json.loads((folder / "out_of_fold" / "shards.json").read_text())
    origin, header["origin"] = header["origin"], {"of": "the weights before"}
    (folder / "out_of_fold" / "shards.json").write_text(json.dumps(header))
    assert runs.train("--resume", folder, "--quiet") == 0
    assert Shards.open(folder / "out_of_fold").origin == origin
    assert here == [("--resume", "fold-1")]
    assert runs.summary(folder)["metrics"] == runs.summary(complete)["metrics"]


def test_a_failed_fold_ends_with_its_code_and_the_rest_is_kept(
    complete, tmp_path, monkeypatch, capsys
):
    folder = tmp_path / "F"
    shutil.copytree(complete, folder)
    shutil.rmtree(folder / "fold-1")
    monkeypatch.setattr(process, "run_process", lambda argv, *, log=None: 3)
    assert training.train("segmentation", ["--resume", str(folder), "--device", "cpu"]) == 3
    said = capsys.readouterr().err
    assert "tfvision: Fold 1 of 2: The training of" in said
    assert (
        "ended with exit code 3. What it had saved is kept. Finished: fold-0. Go on with " in said
    )
    assert not (folder / "folds.json").exists()
    assert RunFolder(folder / "fold-0").report.is_file()


@pytest.mark.parametrize("flags", [["--folds", "2"], ["--folds", "3", "--fold", "0"]])
def test_a_start_that_trained_nothing_leaves_the_folder_to_the_next(
    tmp_path, here, monkeypatch, capsys, flags
):
    """An op does not fit the images, which the first fold finds before its first step."""
    source = write(tmp_path / "d.npz", *runs.arrays(14))
    config = runs.write_config(tmp_path / "c.yaml", source, data={"test_fraction": 0.0})
    given = ["--config", str(config), "--out", str(tmp_path / "F"), "--device", "cpu"]
    wrong = [*given, "--set", "data.augment=[{name: hsv}]"]
    assert training.train("segmentation", [*wrong, *flags]) == 2
    said = capsys.readouterr().err
    assert "hsv: changes colours" in said
    if "--fold" not in flags:
        left = {path.name for path in (tmp_path / "F").iterdir()}
        assert left <= {".lock", "log.txt"}
        assert "Nothing was trained: start again with --out" in said
    monkeypatch.setattr(process, "run_process", lambda argv, *, log=None: 4)
    assert training.train("segmentation", [*given, "--folds", "2"]) == 4
    run = folds_train.open_fold(
        tmp_path / "F",
        config_of(tmp_path, source, "data.folds=3", "data.fold=1"),
        "unet",
        tmp_path,
        overwrite=False,
    )
    assert (run.path.name, folds.load_folds_config(tmp_path / "F").data.folds) == ("fold-1", 3)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--resume", "F", "--set", "seed=2"], "leave out --set"),
        (["--resume", "F", "--folds", "3"], "leave out --folds"),
        (["--resume", "F", "--fold", "0"], "leave out --fold"),
        (["--config", "C", "--folds", "2", "--out", "F"], "F exists already. Go on with --resume"),
        (["--config", "C", "--folds", "3", "--fold", "0", "--out", "F"], "data.folds: 2 -> 3"),
        (["--config", "C", "--folds", "2", "--fold", "0", "--out", "F"], "fold-0 exists already"),
        (["--config", "C", "--folds", "2", "--out", "D"], "holds no folds (no folds.yaml)"),
        (["--config", "C", "--fold", "0"], "got folds None and fold 0 (as flags: --folds 5"),
        (["--config", "C", "--folds", "1"], "greater than or equal to 2"),
        (["--config", "C", "--folds", "2", "--fold", "2"], "data.fold counts from 0 to 1"),
        (["--config", "C", "--folds", "2", "--lr-range"], "name its fold, --fold 0"),
        (["--config", "C", "--folds", "20"], "cannot be assigned to 20 folds"),
    ],
)
def test_what_is_refused(complete, tmp_path, here, monkeypatch, capsys, flags, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "F").symlink_to(complete)
    (tmp_path / "C").symlink_to(complete.parent / "c.yaml")
    (tmp_path / "D").mkdir()
    (tmp_path / "D" / "mine").write_text("mine")
    assert training.train("segmentation", [*flags, "--device", "cpu"]) == 2
    assert message in capsys.readouterr().err
    assert here == []
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_says_how_all_folds_are_assigned_and_writes_nothing(
    complete, tmp_path, here, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    flags = ["--config", complete.parent / "c.yaml", "--folds", 3, "--dry-run", "--json"]
    assert runs.train(*flags) == 0
    said = capsys.readouterr()
    summary = json.loads(said.out.splitlines()[-1])
    assert [row["fold"] for row in summary["dealt"]] == [0, 1, 2]
    assert sum(row["val"] for row in summary["dealt"]) == 14 - summary["dealt"][0]["test"]
    assert "fold 2: train" in said.err
    assert here == []
    assert list(tmp_path.iterdir()) == []


def test_overwriting_removes_what_folds_have_written_and_nothing_else(
    complete, tmp_path, monkeypatch
):
    folder = tmp_path / "F"
    shutil.copytree(complete, folder)
    (folder / "mine.txt").write_text("mine")
    monkeypatch.setattr(process, "run_process", lambda argv, *, log=None: 3)
    config = complete.parent / "c.yaml"
    flags = ["--config", config, "--folds", 3, "--out", folder, "--overwrite", "--device", "cpu"]
    assert training.train("segmentation", list(map(str, flags))) == 3
    left = {p.name for p in folder.iterdir()} - {".lock", "log.txt"}
    assert left == {"mine.txt"}  # the new folds ended before a first step


def test_folds_are_of_one_task(complete):
    assert folds.load_folds_config(complete, "segmentation").data.folds > 1
    with pytest.raises(InputError, match=r"folds of another task: go on with train_seg\.py"):
        folds.load_folds_config(complete, "classification")


def test_data_that_has_changed_is_no_truth(complete, tmp_path):
    folder = tmp_path / "F"
    shutil.copytree(complete, folder)
    other = write(tmp_path / "other.npz", *runs.arrays(14, first=50))
    text = (folder / "folds.yaml").read_text()
    (folder / "folds.yaml").write_text(text.replace(str(complete.parent / "d.npz"), str(other)))
    with pytest.raises(InputError, match="is not what the folds were trained on"):
        folds.targets_of(folder)


def test_a_damaged_record_is_named(complete, tmp_path):
    with pytest.raises(InputError, match=r"is no folds folder: it has no folds\.yaml"):
        folds.units_of(tmp_path)
    folder = tmp_path / "F"
    shutil.copytree(complete, folder)
    (folder / "folds.json").write_text("{")
    with pytest.raises(InputError, match=r"folds\.json cannot be read"):
        folds.units_of(folder)


def test_single_folds_share_a_default_folder(complete, tmp_path):
    config = folds.load_folds_config(complete)
    parent = tmp_path / "seg"
    assert folds_train.default_folder(parent, "unet", config) == parent / "unet-folds"
    shutil.copytree(complete, parent / "unet-folds")
    assert folds_train.default_folder(parent, "unet", config) == parent / "unet-folds-2"
    assert folds_train.default_folder(parent, "unet", config, fold=1) == parent / "unet-folds-2"
    shutil.rmtree(parent / "unet-folds" / "fold-1")
    assert folds_train.default_folder(parent, "unet", config, fold=1) == parent / "unet-folds"
    other = config.model_copy(update={"seed": 9})
    assert folds_train.default_folder(parent, "unet", other, fold=1) == parent / "unet-folds-2"
