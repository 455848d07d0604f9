"""Pseudo-labels: who may be trained on, what a training makes of them, when they are refused."""

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support import classes, runs
from tfvision.cli import commands
from tfvision.config import dump_config, load_config
from tfvision.data.scan.scan import scan
from tfvision.data.scan.with_pseudo_samples import join
from tfvision.data.sources.recognise import open_source as open_path
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.recipe.dataset import prepare
from tfvision.runs import process
from tfvision.runs.process import ProcessFailed
from tfvision.studies.fitted import pseudo
from tfvision.studies.folds.assign import assign_samples
from tfvision.tasks.classification.pseudo_images import (
    EQUAL,
    GROUP,
    KNOWN,
    NEAR,
    kin_of,
    open_images,
)
from tfvision.tasks.classification.pseudo_labels import (
    PseudoLabel,
    confident,
    read_pseudo,
    with_pseudo,
)
from tfvision.tasks.classification.pseudo_labels import write_pseudo as write_file
from tfvision.tasks.classification.schema import ClassificationConfig

LABELLED, UNLABELLED = 60, 12


def write_data(path, labelled=LABELLED, unlabelled=UNLABELLED, **more):
    """Labelled images, the classes in turns, and a test part without labels."""
    labels = np.arange(labelled) % 3
    images = np.stack([classes.picture(i, int(k)) for i, k in enumerate(labels)])
    others = np.stack([classes.picture(1000 + i, i % 3) for i in range(unlabelled)])
    np.savez(path, **{"x_train": images, "y_train": labels, "x_test": others, **more})
    return path


def config_of(path, source, /, *overrides, **sections):
    return load_config(
        ClassificationConfig, classes.write_config(path, source, **sections), list(overrides)
    )


def label(positions, number=0):
    return [PseudoLabel(i, number, 0.99) for i in positions]


# --------------------------------------------------------------------------- the file, the guard


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """A data set with a split, and images beside it of which some are doubles of its samples."""
    folder = tmp_path_factory.mktemp("held")
    images = np.stack([classes.picture(i, i % 3) for i in range(18)])
    data = write_images(folder / "data", images)
    lines = ["id,split"]
    split = {i: "val" if i in (3, 4) else "test" if i == 5 else "train" for i in range(18)}
    lines += [f"{classes.NAMES[i % 3]}/s{i:02d},{split[i]}" for i in range(18)]
    (folder / "splits.csv").write_text("\n".join(lines) + "\n")
    config = config_of(
        folder / "c.yaml", data, f"data.splits={folder / 'splits.csv'}", data={"channels": 1}
    )
    beside = folder / "beside"
    beside.mkdir()
    rng = np.random.default_rng(0)
    noisy = np.clip(images[4].astype(float) + rng.normal(0, 1, (16, 16)), 0, 255)
    for name, pixels in {
        "a_new": classes.picture(500, 0),
        "b_copy_of_val": images[3],
        "c_nearly_val": noisy.astype(np.uint8),
        "d_copy_of_test": images[5],
        "e_copy_of_train": images[0],
        "f_new": classes.picture(501, 1),
    }.items():
        Image.fromarray(pixels).save(beside / f"{name}.png")
    return config, prepare(config.data, seed=0), beside


def write_images(root, images):
    for i, pixels in enumerate(images):
        folder = root / classes.NAMES[i % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"s{i:02d}.png")
    return root


def test_doubles_of_what_is_not_trained_on_are_told(held):
    config, prepared, beside = held
    images = open_images(config.data, prepared, beside)
    assert [i for i, _ in images.keys] == [
        *("a_new", "b_copy_of_val", "c_nearly_val", "d_copy_of_test", "e_copy_of_train", "f_new"),
    ]
    kin = kin_of(prepared, images, range(6), None)
    found = [one.problem(prepared.splits) for one in kin]
    assert found == ["", EQUAL, NEAR, EQUAL, KNOWN, ""]
    # Where these samples are trained on, nothing leaks; they have labels all the same.
    trained = ["train"] * len(prepared.splits)
    assert [one.problem(trained) for one in kin] == ["", KNOWN, "", KNOWN, KNOWN, ""]
    # A sample that is in no split stands between two: its double would be there again.
    assert [one.problem([None] * len(trained)) for one in kin][4] == EQUAL


def test_an_image_of_a_group_that_is_held_out_is_left_out(held):
    config, prepared, beside = held
    records = [
        replace(record, group="new") if record.id.endswith("s03") else record
        for record in prepared.source.records
    ]
    source = copy.copy(prepared.source)
    source.records = records
    grouped = replace(prepared, source=source)
    images = open_images(config.data, prepared, beside)
    kin = kin_of(grouped, images, [0, 1, 5], "new")
    assert [one.problem(prepared.splits) for one in kin] == [GROUP, EQUAL, GROUP]
    assert kin_of(grouped, images, [0], None)[0].problem(prepared.splits) == ""


def test_a_file_of_pseudo_labels_is_read_as_it_was_written(held, tmp_path):
    config, prepared, beside = held
    images = open_images(config.data, prepared, beside)
    given = confident(np.array([[0.2, 0.7, 0.1], [0.96, 0.02, 0.02], [0.01, 0.0, 0.99]] * 2), 0.95)
    assert [(p.position, p.number) for p in given] == [(1, 0), (2, 2), (4, 0), (5, 2)]
    write_file(tmp_path / "p.csv", images, given, prepared.class_names)
    assert (tmp_path / "p.csv").read_text().splitlines()[:2] == [
        "id,label,probability",
        "b_copy_of_val,dark,0.960000",
    ]
    assert read_pseudo(tmp_path / "p.csv", images, prepared.class_names) == given


def test_wrong_rows_are_listed_with_their_lines(held, tmp_path):
    config, prepared, beside = held
    images = open_images(config.data, prepared, beside)
    path = tmp_path / "p.csv"
    rows = ["a_new,dark,0.99", "nobody,dark,0.99", "f_new,darc,0.99", "f_new,dark,1.2"]
    path.write_text("\n".join(["id,label,probability", *rows, "a_new,white,0.99"]) + "\n")
    with pytest.raises(InputError) as error:
        read_pseudo(path, images, prepared.class_names)
    for words in (
        "4 of 5 rows are wrong",
        "line 3: no image without a label has the id 'nobody'",
        "line 4: Unknown class: 'darc'. Did you mean 'dark'?",
        "line 5: the probability must lie in (0, 1]; it is '1.2'",
        "line 6: 'a_new' stands in an earlier line",
    ):
        assert words in str(error.value)
    path.write_text("id,label,probability\n")
    with pytest.raises(InputError, match=r"lists no image\. Leave data\.pseudo out"):
        read_pseudo(path, images, prepared.class_names)


def of_file(held, tmp_path, positions):
    """What `with_pseudo` makes of a file of these images, all of the class dark."""
    config, prepared, beside = held
    images = open_images(config.data, prepared, beside)
    write_file(tmp_path / "p.csv", images, label(positions), prepared.class_names)
    data = config.data.model_copy(
        update={"pseudo": tmp_path / "p.csv", "pseudo_images": beside},
    )
    return with_pseudo(data, prepared)


def test_pseudo_labels_join_the_training_samples_and_nothing_else(held, tmp_path):
    config, prepared, beside = held
    own, training = of_file(held, tmp_path, range(6))
    assert own.source is prepared.source
    for split in ("train", "val", "test"):
        assert own.indices(split) == prepared.indices(split)
        np.testing.assert_array_equal(own.class_pixels(split), prepared.class_pixels(split))
    for split in ("val", "test"):
        assert training.indices(split) == prepared.indices(split)
    added = training.indices("train")[len(prepared.indices("train")) :]
    assert [training.source.records[i].id for i in added] == ["a_new", "f_new"]
    assert training.class_pixels("train")[-2:].tolist() == [[1, 0, 0]] * 2
    for i, name in zip(added, ("a_new", "f_new"), strict=True):
        sample = training.source.read(i)
        want = np.asarray(Image.open(beside / f"{name}.png"))
        np.testing.assert_array_equal(sample.image[..., 0], want)
        assert sample.label == 0
        assert training.source.stamp(i) == training.scan.stamps[i] != ""
    told = own.record()["pseudo"]
    assert (told["listed"], told["used"]) == (6, 2)
    assert told["class_counts"] == {"dark": 2, "grey": 0, "white": 0}
    assert told["left_out"] == {EQUAL: 2, NEAR: 1, KNOWN: 1}
    assert "2 images that a model labelled are trained on (2 dark, " in own.notes[-1]
    assert "pseudo" not in prepared.record()
    # The record tells other images, other labels and other pixels apart.
    assert of_file(held, tmp_path, [0])[0].pseudo["sha256"] != told["sha256"]
    assert of_file(held, tmp_path, [0, 1, 5])[0].pseudo["sha256"] == told["sha256"]
    assert with_pseudo(config.data, prepared) == (prepared, prepared)


def test_a_file_that_leaves_nothing_to_train_on_is_refused(held, tmp_path):
    with pytest.raises(InputError, match=r"of its 2 images none may be trained on \(1 the very"):
        of_file(held, tmp_path, [1, 2])


def test_images_of_another_scale_keep_their_own_white(tmp_path):
    """Floating-point images up to 255 behind 8-bit ones."""
    first = write_data(tmp_path / "a.npz", 6, 2)
    np.savez(tmp_path / "b.npz", images=np.full((2, 16, 16), 200.0, np.float32))
    sides = []
    for path in (first, tmp_path / "b.npz"):
        source = open_path(path, truth="label")
        sides.append((source, scan(source, class_names=("0", "1", "2"))))
    joined, _ = join(*sides, [1, 0], [2, 0])
    assert [joined.white_of(i) for i in (0, len(joined) - 1)] == [None, 255]
    assert joined.read(len(joined) - 2).label == 2


# --------------------------------------------------------------------------- the command


class Faked:
    """The folds folder, its predictions of images, and trainings that write what is planted.

    `better` of the wrong samples of a fold are right in the new run, `worse` of the right wrong.
    """

    def __init__(self, folder, monkeypatch, *, better=0, worse=0, sure=0.99):
        self.folder, self.better, self.worse, self.sure = folder, better, worse, sure
        self.trained, self.predicted, self.copied = [], 0, None
        monkeypatch.setattr(pseudo, "run_process", self.predict)
        monkeypatch.setattr(pseudo, "train_in_process", self.train)

    def predict(self, argv, *, log=None):
        assert argv[:5] == [*process.CHILD, "predict-by-folds"]
        folder, path, out, device = argv[5:]
        assert (folder, device) == (str(self.folder), "cpu")
        self.predicted += 1
        config = load_config(ClassificationConfig, self.folder / "folds.yaml")
        own = prepare(config.data, seed=1)
        images = open_images(config.data, own, Path(path) if path else None)
        found = np.full((2, len(images.indices), 3), (1 - self.sure) / 2, np.float32)
        for i in range(len(images.indices)):
            found[:, i, i % 3] = self.sure
        np.savez(out, probabilities=found, image_sha256=np.array(images.hashes))
        return 0

    def train(self, config, out, *, overrides, device, quiet):
        if (out / "data.json").is_file():
            return
        given = dict(o.split("=", 1) for o in overrides)
        self.trained.append(given)
        old = self.folder / f"fold-{given['data.fold']}"
        (out / "predictions").mkdir(parents=True)
        (out / "data.json").write_text((old / "data.json").read_text())
        with np.load(old / "predictions/val_confusion.npz") as file:
            ids, cms = file["ids"], file["plain"].copy()
        right = np.trace(cms, axis1=1, axis2=2) > 0
        change = [*np.flatnonzero(~right)[: self.better], *np.flatnonzero(right)[: self.worse]]
        for i in change:
            truth = int(cms[i].sum(axis=1).argmax())
            cms[i] = 0
            cms[i, truth, truth if not right[i] else (truth + 1) % 3] = 1
        np.savez(out / "predictions/val_confusion.npz", ids=ids, plain=cms)


def write_folds(folder, source):
    """A complete folds folder of 2 folds, of which a third is wrong; no model."""
    folder.mkdir()
    sections = {"data": {"folds": 2, "fold": 0, "test_fraction": 0}, "metrics": ["accuracy"]}
    config = config_of(folder.with_suffix(".yaml"), source, **sections)
    (folder / "folds.yaml").write_text(dump_config(config))
    assigned = assign_samples(config)
    record = {
        "folds": 2,
        "class_names": assigned.prepared.class_names,
        "data_fingerprint": assigned.prepared.scan.fingerprint,
        "contract": {"ignore_labels": [], "exclude_classes": [], "absent": "skip"},
        "samples": {"ids": assigned.names, "folds": assigned.folds, "units": assigned.units},
    }
    (folder / "folds.json").write_text(json.dumps(record))
    for fold in range(2):
        own = assigned.members(fold)
        ids = [assigned.prepared.source.records[i].id for i in own]
        truth = assigned.prepared.scan.class_pixels[own].argmax(1)
        cms = np.zeros((len(own), 3, 3), int)
        cms[np.arange(len(own)), truth, (truth + (np.arange(len(own)) % 3 == 0)) % 3] = 1
        run = folder / f"fold-{fold}"
        (run / "predictions").mkdir(parents=True)
        np.savez(run / "predictions/val_confusion.npz", ids=ids, plain=cms)
        told = {"fingerprint": record["data_fingerprint"], "splits": {"val": ids}}
        (run / "data.json").write_text(json.dumps(told))
        (run / "summary.json").write_text(json.dumps({"variables_sha256": f"w{fold}"}))
    return folder


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    root = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFVISION_CACHE", str(root / "cache"))
        return write_folds(root / "F", write_data(root / "d.npz"))


@pytest.fixture
def fake(template, tmp_path, monkeypatch):
    """A folds folder of its own, of 60 samples and 12 images without labels."""

    def made(source=None, **planted):
        folder = tmp_path / "F"
        if source is None:
            shutil.copytree(template, folder)
        else:
            write_folds(folder, source)
        return Faked(folder, monkeypatch, **planted)

    return made


def call(folder, *options):
    return commands.main(["pseudo", *map(str, [folder, *options]), "--device", "cpu", "--debug"])


def told_of(folder):
    return json.loads((folder / "pseudo/pseudo.json").read_text())


def test_a_planted_gain_is_applied_and_the_final_labels_are_written(fake, capsys):
    made = fake(better=8)
    assert call(made.folder) == 0
    told = told_of(made.folder)
    gain = told["gain"]["declared"]
    assert told["verdict"] == "applied"
    assert gain["low"] > 0
    assert gain["difference"] == pytest.approx(16 / 60)
    assert (told["num_samples"], told["num_unlabelled"]) == (60, UNLABELLED)
    assert [row["used"] for row in told["by_fold"]] == [UNLABELLED] * 2
    assert told["class_counts"] == {"0": 4, "1": 4, "2": 4}
    rows = classes.rows(made.folder / "pseudo/pseudo.csv")
    assert [row["label"] for row in rows] == [str(i % 3) for i in range(UNLABELLED)]
    assert told["command"].endswith(f"data.pseudo={made.folder / 'pseudo/pseudo.csv'}")
    assert "--set data.folds=null" in told["command"]
    said = capsys.readouterr().err
    assert "applied: +0.2" in said
    assert "fold 0: its run is sure of 12 of 12 images; 12 to train on (4 0, 4 1, 4 2)" in said
    assert "val score of a run trained with them is too high" in said
    # Each fold was trained as it was, with its own file and nothing else changed.
    for fold, given in enumerate(made.trained):
        assert given == {
            "data.fold": str(fold),
            "data.pseudo": json.dumps(str(made.folder / f"pseudo/fold-{fold}.csv")),
            "data.pseudo_images": "null",
            "train.export": "false",
        }


@pytest.mark.parametrize(
    ("planted", "reason"),
    [
        ({"better": 2, "worse": 2}, "and that interval is not above 0"),
        ({"better": 1}, "change predictions of only 2 of 60 units out of fold: too few to tell"),
        ({"worse": 8}, "the gain out of fold is -0.2"),
        ({}, "they change no prediction out of fold"),
    ],
)
def test_what_does_not_surely_gain_is_refused_with_figures(fake, capsys, planted, reason):
    made = fake(**planted)
    assert call(made.folder) == 0
    told = told_of(made.folder)
    assert told["verdict"] == "refused"
    assert reason in told["reason"]
    assert (told["file"], told["command"]) == (None, None)
    assert not (made.folder / "pseudo/pseudo.csv").exists()
    assert f"refused: {told['reason']}" in capsys.readouterr().err


def test_it_goes_on_where_it_stopped_and_only_as_it_began(fake, monkeypatch, tmp_path):
    made = fake(better=8)
    trained = made.train

    def killed(config, out, **options):
        if out.name == "fold-1":
            raise ProcessFailed("The training ended with exit code 137.", 137)
        trained(config, out, **options)

    monkeypatch.setattr(pseudo, "train_in_process", killed)
    with pytest.raises(ProcessFailed, match=r"Fold 1 with .* Give the same command again"):
        pseudo.pseudo(made.folder, device="cpu", quiet=True)
    assert not (made.folder / "pseudo/pseudo.json").exists()
    monkeypatch.setattr(pseudo, "train_in_process", trained)
    assert call(made.folder) == 0
    assert made.predicted == 1
    assert [given["data.fold"] for given in made.trained] == ["0", "1"]
    before = told_of(made.folder)
    assert call(made.folder) == 0
    assert len(made.trained) == 2
    assert told_of(made.folder) == before
    with pytest.raises(InputError, match=r"asked for otherwise:\n  confidence: 0\.95 -> 0\.8"):
        pseudo.pseudo(made.folder, confidence=0.8, device="cpu")
    with pytest.raises(InputError, match="is not empty and holds no pseudo-labels"):
        pseudo.pseudo(made.folder, out=tmp_path, device="cpu")
    (made.folder / "fold-0/summary.json").write_text('{"variables_sha256": "trained again"}')
    with pytest.raises(InputError, match=r"weights: .*'trained again'"):
        pseudo.pseudo(made.folder, device="cpu")


def test_copies_of_samples_are_left_out_of_the_folds_they_validate_in(fake, tmp_path):
    """Of fold 0 and of fold 1 one each; where they train, they have their own label."""
    beside = tmp_path / "beside"
    beside.mkdir()
    for i in range(6):
        Image.fromarray(classes.picture(2000 + i, i % 3)).save(beside / f"new{i}.png")
    Image.fromarray(classes.picture(7, 7 % 3)).save(beside / "copy.png")
    made = fake(better=8)
    record = json.loads((made.folder / "folds.json").read_text())["samples"]
    fold = record["folds"][record["ids"].index("7")]
    assert call(made.folder, "--unlabelled", beside) == 0
    told = told_of(made.folder)
    assert [row["passed"] for row in told["by_fold"]] == [7, 7]
    assert [row["used"] for row in told["by_fold"]] == [6, 6]
    assert told["by_fold"][fold]["left_out"] == {EQUAL: 1}
    assert told["by_fold"][1 - fold]["left_out"] == {KNOWN: 1}
    for i in range(2):
        rows = classes.rows(made.folder / f"pseudo/fold-{i}.csv")
        assert [row["id"] for row in rows] == [f"new{n}" for n in range(6)]
    assert f"data.pseudo_images={beside}" in told["command"]


def test_a_fold_whose_run_is_sure_of_nothing_stays_as_it_is(fake, monkeypatch):
    made = fake(better=8)
    whole = made.predict

    def predict(argv, *, log=None):
        whole(argv)
        with np.load(argv[7]) as file:
            arrays = dict(file)
        arrays["probabilities"][0] = 1 / 3
        np.savez(argv[7], **arrays)
        return 0

    monkeypatch.setattr(pseudo, "run_process", predict)
    assert call(made.folder) == 0
    told = told_of(made.folder)
    assert [given["data.fold"] for given in made.trained] == ["1"]
    assert told["by_fold"][0]["used"] == 0
    assert told["gain"]["declared"]["num_differing"] == 8
    # The mean of both runs is sure of no image: there is nothing to train on in the end.
    assert told["verdict"] == "refused"
    assert "the mean of the folds' runs is sure of no image" in told["reason"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": 0.3}, r"above 1 / 3 classes = 0\.333.*got 0\.3"),
        ({"confidence": 1.01}, r"at most 1; got 1\.01"),
        ({"confidence": float("nan")}, "got nan"),
        ({"confidence": 0.999}, r"Of 12 images .* none reaches the confidence 0\.999 .* 0\.9900"),
    ],
)
def test_a_confidence_that_cannot_be_is_refused(fake, options, message):
    with pytest.raises(InputError, match=message):
        pseudo.pseudo(fake().folder, device="cpu", quiet=True, **options)


def test_what_pseudo_labels_cannot_be_made_of_is_refused(fake, tmp_path):
    data = write_data(tmp_path / "d.npz")
    with np.load(data) as file:
        np.savez(data, **{k: file[k] for k in ("x_train", "y_train")})
    made = fake(data)
    with pytest.raises(InputError, match=r"no image without a label \(60 with one\). Name a fold"):
        pseudo.pseudo(made.folder, device="cpu")
    labelled = classes.write_folders(tmp_path / "labelled", 2)
    with pytest.raises(InputError, match=r"class_names is .*the data has the classes"):
        pseudo.pseudo(made.folder, unlabelled=labelled, device="cpu")
    with pytest.raises(InputError, match="is no folds folder"):
        pseudo.pseudo(tmp_path, device="cpu")
    with pytest.raises(InputError, match=r"--unlabelled .*: there is no such file"):
        call_plain(made.folder, "--unlabelled", tmp_path / "nowhere")
    folds = made.folder / "folds.yaml"
    whole = folds.read_text()
    folds.write_text(whole.replace("pseudo: null", "pseudo: p.csv"))
    with pytest.raises(InputError, match=r"trained with pseudo-labels already \(p\.csv\)"):
        pseudo.pseudo(made.folder, device="cpu")
    runs.write_config(folds, data, data={"folds": 2, "fold": 0})
    with pytest.raises(InputError, match="folds of the task segmentation; pseudo-labels are of a"):
        pseudo.pseudo(made.folder, device="cpu")


def call_plain(*argv):
    """The command with its error as it is raised."""
    arguments = commands._main_parser().parse_args(["pseudo", *map(str, argv)])
    return arguments.run(arguments)


def test_images_without_the_labels_file_are_refused(tmp_path):
    path = classes.write_config(tmp_path / "c.yaml", tmp_path / "d.npz")
    with pytest.raises(InputError, match=r"give data\.pseudo, the CSV of their labels, too"):
        load_config(ClassificationConfig, path, ["data.pseudo_images=somewhere"])


# --------------------------------------------------------------------------- training


def test_a_training_takes_pseudo_labels_and_scores_without_them(tmp_path, quick, capsys):
    """The labels are all wrong on purpose: what is scored is the truth all the same."""
    data = write_data(tmp_path / "d.npz", 18, 6)
    config = classes.write_config(tmp_path / "c.yaml", data, train={"checkpoint_every": 1e-6})
    own = load_config(ClassificationConfig, config)
    images = open_images(own.data, prepare(own.data, seed=1), None)
    file = tmp_path / "p.csv"
    write_file(file, images, label(range(6), number=2), ["0", "1", "2"])
    out, plain = tmp_path / "run", prepare(own.data, seed=1)
    assert classes.train("--config", config, "--out", out, "--set", f"data.pseudo={file}") == 0
    summary, told = runs.summary(out), runs.data(out)
    assert told["splits"]["val"] == [plain.source.records[i].id for i in plain.indices("val")]
    assert told["counts"] == plain.record()["counts"]
    assert told["class_images"] == plain.record()["class_images"]
    assert told["fingerprint"] == plain.scan.fingerprint
    assert summary["pseudo"] == told["pseudo"]
    assert summary["pseudo"]["class_counts"] == {"0": 0, "1": 0, "2": 6}
    rows = classes.rows(out / "predictions/val.csv")
    assert [row["id"] for row in rows] == told["splits"]["val"]
    assert [int(row["truth"]) for row in rows] == [int(row["id"]) % 3 for row in rows]
    # An epoch has them: 14 or 15 samples and 6 more are 5 batches of 4 and not 4.
    train = len(told["splits"]["train"])
    assert summary["steps"] == 2 * round((train + 6) / 4) != 2 * round(train / 4)
    assert "6 images that a model labelled are trained on" in (out / "report.html").read_text()
    assert runs.use("evaluate", out) == 0  # the data is what it was, pseudo-labels aside

    for name in ("summary.json", "report.html"):
        (out / name).unlink()
    write_file(file, images, label(range(5), number=2), ["0", "1", "2"])
    capsys.readouterr()
    assert classes.train("--resume", out) == 2
    assert f"data.pseudo {file}: class_counts.2: 6 -> 5" in capsys.readouterr().err
    write_file(file, images, label(range(6), number=2), ["0", "1", "2"])
    assert classes.train("--resume", out) == 0
    file.unlink()
    assert classes.train("--resume", out) == 2
    assert f"data.pseudo: there is no file {file}" in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_command_trains_every_fold_again(tmp_path, monkeypatch):
    """Real processes but for the trainings, which are in this one."""
    data = write_data(tmp_path / "d.npz", 24, 8)
    sections = {"data": {"test_fraction": 0}, "train": {"epochs": 6, "export": False}}
    config = classes.write_config(tmp_path / "c.yaml", data, **sections)
    monkeypatch.setattr(process, "run_process", lambda argv, **_: classes.train(*argv[6:]))
    folder = tmp_path / "F"
    assert classes.train("--config", config, "--out", folder, "--folds", 2) == 0
    assert call(folder, "--confidence", 0.34) == 0
    told = told_of(folder)
    for fold in range(2):
        run = RunFolder(folder / f"pseudo/fold-{fold}")
        old = runs.data(folder / f"fold-{fold}")
        new = run.read_json("data.json")
        assert new["splits"] == old["splits"]
        assert new["pseudo"]["used"] == told["by_fold"][fold]["used"] > 0
    assert told["verdict"] in ("applied", "refused")
    with np.load(folder / "pseudo/predicted.npz") as file:
        assert file["probabilities"].shape == (2, 8, 3)
        np.testing.assert_allclose(file["probabilities"].sum(-1), 1, atol=1e-5)
