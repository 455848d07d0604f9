"""Labels that contradict each other, one region under several images, shares, the page."""

import csv
import json

import numpy as np
import pytest

from tests.data.audit.labelled import (
    NAMES,
    SIDE,
    audited,
    balanced,
    of_kind,
    pictures,
    source,
)
from tests.data.audit.planted import again, crop, scenes
from tests.data.make import save
from tfvision.cli import commands
from tfvision.curation import audit_classes
from tfvision.data.scan.scan import scan
from tfvision.data.sources.recognise import open_source
from tfvision.data.truth import truth_kind
from tfvision.report.audit_page import outlined


def photographs(number: int, seed: int = 1):
    """Different pictures (N, 64, 128) uint8, and a class each."""
    return scenes(seed, number).images, balanced(number, seed).tolist()


def test_equal_images_with_different_labels_are_an_error():
    images, labels = photographs(24)
    images, labels = [*images, images[3], images[5]], [*labels, (labels[3] + 1) % 4, labels[5]]
    found = audited(source(np.stack(images), labels))
    (conflict,) = of_kind(found, "conflicting_labels")
    assert (conflict.severity, conflict.members, conflict.suspects) == ("error", (3, 24), ())
    assert set(conflict.evidence["labels"].values()) == {NAMES[labels[3]], NAMES[labels[24]]}
    assert "is undecided" in conflict.reading
    (double,) = of_kind(found, "duplicate_images")
    assert double.members == (5, 25)
    assert "with the same label" in double.reading
    assert not of_kind(found, "conflicting_masks", "shared_mask")


def test_nearly_equal_images_with_different_labels_are_a_warning():
    rng = np.random.default_rng(0)
    images, labels = photographs(24)
    images += [again(images[3], rng), again(images[5], rng)]
    labels += [(labels[3] + 1) % 4, labels[5]]
    found = audited(source(np.stack(images), labels))
    (conflict,) = of_kind(found, "near_conflict")
    assert (conflict.severity, conflict.members, conflict.suspects) == ("warning", (3, 24), ())
    for label in (labels[3], labels[24]):
        assert NAMES[label] in conflict.reading
    near = of_kind(found, "near_duplicates")
    assert [f.members for f in near] == [(3, 24), (5, 25)]
    assert "with different labels" in near[0].reading
    assert "with the same label" in near[1].reading


def textured(number: int, seed: int = 0):
    """Images without edges that a region could lie on, of one kind of ground, with labels and
    a region of its own each."""
    labels = balanced(number, seed)
    images, _ = pictures(labels, np.zeros(number, int), seed)
    regions = np.zeros((number, SIDE, SIDE), np.uint8)
    for i, region in enumerate(regions):
        region[2 : 8 + i % 9, 3 : 9 + i // 9] = 1
    return images, labels, regions


def test_the_intruder_under_a_shared_region_is_told_by_its_looks():
    images, labels, regions = textured(60)
    regions[50] = regions[7]
    images[50] = np.random.default_rng(3).integers(0, 255, (SIDE, SIDE, 3))
    (shared,) = of_kind(audited(source(images, labels, regions=regions)), "shared_mask")
    assert (shared.members, shared.suspects) == ((7, 50), (50,))
    assert "judged by colours and texture" in shared.reading
    unlike = shared.evidence["unlike_its_class"]
    assert unlike[50] > 4 > 2 > unlike[7]


def test_nobody_is_named_where_looks_do_not_tell():
    images, labels, regions = textured(60)
    regions[50] = regions[7]
    (shared,) = of_kind(audited(source(images, labels, regions=regions)), "shared_mask")
    assert (shared.members, shared.suspects) == ((7, 50), ())
    assert "is undecided" in shared.reading
    assert "colours and texture do not decide" in shared.reading


def test_the_intruder_under_a_shared_region_is_told_by_borders_where_these_fit():
    """Scenes whose regions are their digits: the fit of borders tells, as it does of masks."""
    planted = scenes(2, 60)
    regions = [(mask > 0).astype(np.uint8) for mask in planted.masks]
    images = [*planted.images, crop(planted.rng)]
    regions.append(regions[4])
    made = source(np.stack(images), balanced(61), regions=np.stack(regions))
    (shared,) = of_kind(audited(made), "shared_mask")
    assert (shared.members, shared.suspects) == ((4, 60), (60,))
    assert "borders match edges" in shared.reading


@pytest.mark.parametrize("value", [0, 1])
def test_regions_of_one_value_are_rightly_equal(value):
    images, labels, regions = textured(30)
    regions[:5] = value
    found = audited(source(images, labels, regions=regions))
    (uniform,) = of_kind(found, "uniform_masks")
    assert (uniform.severity, uniform.members) == ("note", (0, 1, 2, 3, 4))
    assert f"nothing but {value}" in uniform.reading
    assert not of_kind(found, "shared_mask")


def test_equal_labels_are_no_shared_mask():
    images, labels, _ = textured(30)
    assert not of_kind(audited(source(images, labels)), "shared_mask", "uniform_masks")


def test_balance_and_pieces():
    images, _, regions = textured(30)
    labels = [0] * 24 + [1] * 3 + [2] * 2 + [3]
    regions[0, 20:23, 20:23] = 1  # a second component, apart from the first
    made = source(images, labels, regions=regions)
    found = scan(made, cache=False)
    (line,) = audit_classes.balance(found)
    assert "1 image of ring to 24 of bar" in line
    assert "80.0 %" in line
    said = audit_classes.record(
        made, found, {"train": range(28), "val": [28, 29]}, task="classification"
    )
    assert said["class_pieces"] == {"train": [25, 3, 1, 0], "val": [0, 0, 1, 1]}
    even = scan(source(images[:28], np.arange(28) % 4), cache=False)
    assert audit_classes.balance(even) == []


def test_outlines_frame_the_class_and_draw_around_the_object():
    images, labels, regions = textured(2)
    made = source(images, labels, regions=regions)
    mask = truth_kind("label").drawing(made.read(0), 4)
    assert set(np.unique(mask)) == {labels[0], 4}
    assert ((mask == 4) == (regions[0] > 0)).all()
    drawn = outlined(images[0], mask, 4, SIDE)
    assert (drawn != images[0])[0, 0].any()
    boxed = source(images, labels, boxes=np.array([[[2, 3, 8, 9]]] * 2, np.float32))
    mask = truth_kind("label").drawing(boxed.read(0), 4)
    assert (np.argwhere(mask == 4).min(axis=0) == (3, 2)).all()
    assert (mask == 4).sum() == 36
    assert (
        truth_kind("label").drawing(source(images, labels, x={"images": images}).read(2), 4) is None
    )


@pytest.fixture
def folder(tmp_path):
    """A folder for each class, each before a ground of its own, and a double in two classes."""
    labels = balanced(48, 3)
    images, _ = pictures(labels, labels)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        save(tmp_path / "data" / NAMES[label] / f"{i}.png", image)
    save(tmp_path / "data" / NAMES[(labels[0] + 1) % 4] / "double.png", images[0])
    return tmp_path / "data"


@pytest.mark.parametrize("task", [[], ["--task", "classification"]])
def test_the_command_knows_a_folder_for_each_class(folder, tmp_path, capsys, task):
    out = tmp_path / "out"
    code = commands.main(["audit", str(folder), "--out", str(out), *task])
    printed = capsys.readouterr().out
    assert code == 0
    said = json.loads((out / "audit.json").read_text())
    assert said["task"] == "classification"
    assert said["kinds"]["shortcut"] == 1
    assert said["kinds"]["conflicting_labels"] == 1
    assert sum(said["class_images"]["to be split"]) == 49
    assert "49 with labels" in printed
    assert "error: the same image with different labels" in printed
    assert "warning: the background alone predicts the class" in printed
    page = (out / "audit.html").read_text()
    assert "with labels" in page
    assert "The background alone predicts the class" in page
    assert page.count("<img") >= 14  # twelve examples, the double twice
    with open(out / "exclude.csv", newline="") as file:
        assert list(csv.DictReader(file)) == []


def test_a_clean_copy_of_class_folders(folder, tmp_path):
    listed = tmp_path / "exclude.csv"
    double = next(folder.rglob("double.png"))
    name = f"{double.parent.name}/double"
    listed.write_text(f"id,reason,evidence\n{name},conflicting_labels,wrong\n")
    flags = ["--out", str(tmp_path / "out"), "--clean", str(tmp_path / "copy")]
    assert commands.main(["audit", str(folder), "--exclude", str(listed), *flags]) == 0
    before, after = ({r.id: r.label for r in open_any(p)} for p in (folder, tmp_path / "copy"))
    assert before.pop(name) == double.parent.name
    assert after == before


@pytest.mark.parametrize("header", ["file,xmin,ymin,xmax,ymax,label\n", ""])
@pytest.mark.parametrize("by_folder", [True, False])
def test_a_clean_copy_of_a_table_of_labels(tmp_path, header, by_folder):
    labels = balanced(12, 3)
    images, _ = pictures(labels, labels)
    data = tmp_path / "data"
    rows = []
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        save(data / "train" / f"{i}.png", image)
        rows.append(f"{i}.png,8,8,16,16,{label}\n")
    save(data / "test" / "t.png", images[0])
    (data / "train.csv").write_text(header + "".join(rows))
    (data / "classes.txt").write_text("\n".join(NAMES))
    listed = tmp_path / "exclude.csv"
    listed.write_text("id,reason,evidence\n0,doubt,x\n7,doubt,x\n")
    given = data if by_folder else data / "train.csv"
    flags = ["--out", str(tmp_path / "out"), "--clean", str(tmp_path / "copy")]
    assert commands.main(["audit", str(given), "--exclude", str(listed), *flags]) == 0
    copy = tmp_path / "copy" if by_folder else tmp_path / "copy" / "train.csv"
    before, after = ({r.id: r.label for r in open_any(p)} for p in (given, copy))
    assert after == {k: v for k, v in before.items() if k not in ("0", "7")}
    kept = [row for i, row in enumerate(rows) if i not in (0, 7)]
    assert (tmp_path / "copy" / "train.csv").read_text() == header + "".join(kept)


def test_a_clean_copy_of_an_npz_with_labels(tmp_path):
    labels = balanced(12, 3)
    images, _ = pictures(labels, labels)
    np.savez(tmp_path / "set.npz", x=images, y=labels)
    listed = tmp_path / "exclude.csv"
    listed.write_text("id,reason,evidence\n4,doubt,x\n")
    flags = ["--out", str(tmp_path / "out"), "--clean", str(tmp_path / "copy")]
    assert (
        commands.main(["audit", str(tmp_path / "set.npz"), "--exclude", str(listed), *flags]) == 0
    )
    with np.load(tmp_path / "copy" / "set.npz") as copy:
        assert np.array_equal(copy["y"], np.delete(labels, 4))
        assert np.array_equal(copy["x"], np.delete(images, 4, axis=0))


def open_any(path):
    return open_source(path, truth="label").records


def test_the_other_task_is_refused(folder, capsys):
    assert commands.main(["audit", str(folder), "--task", "segmentation"]) == 2
    assert "train_cls.py" in capsys.readouterr().err
