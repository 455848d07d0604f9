"""The audit command, its files, the cleaned copy, and the audit inside a training.

What an audit finds is tested in tests/data/audit; here its place is taken by one that holds
equal masks for shared and the brightest image under them for the intruder.
"""

import csv
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support import runs
from tfvision.cli import commands
from tfvision.config import DataConfig
from tfvision.curation.clean import check_target
from tfvision.data.audit.finding import Audit, Finding
from tfvision.data.scan import measure
from tfvision.data.scan.duplicates import identical
from tfvision.data.scan.scan import scan
from tfvision.data.sources.array_source import ArraySource
from tfvision.data.sources.recognise import open_source
from tfvision.data.sources.source import Record
from tfvision.data.split.exclude import exclude_csv, read_exclude
from tfvision.errors import InputError
from tfvision.recipe import audit_findings
from tfvision.recipe.dataset import prepare
from tfvision.registry import Spec

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def simple(monkeypatch):
    """An audit of equal masks: of three or more the brightest image is the intruder's."""

    def audit(source, found, *, splits=None):
        assert len(source.records) == len(found.truth_sha256) == len(found.facts)
        result = []
        for group in identical(found.truth_sha256):
            bright = [source.read_raw(i).image.mean() for i in group]
            held = (group[int(np.argmax(bright))],) if len(group) > 2 else ()
            reading = "the brightest is the intruder" if held else "cannot tell whose it is"
            evidence = {"fit": 0.12345, "fits": {i: float(i) for i in group}}
            finding = Finding("shared_mask", "warning", tuple(group), held, reading, evidence)
            result.append(finding)
        return Audit(result, [], [f.members for f in result], [])

    monkeypatch.setattr(audit_findings, "audit", audit)


def audit(*argv) -> int:
    return commands.main(["audit", *map(str, argv), "--debug"])


def record(folder: Path) -> dict:
    return json.loads((folder / "audit.json").read_text())


def rows(path: Path) -> list[dict]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def planted_arrays():
    """Scenes of which 1, 4 and 6 have one mask; 4 is the brightest. 2 and 5 share another."""
    images, masks = runs.arrays(9)
    masks[[4, 6]] = masks[1]
    masks[5] = masks[2]
    images[4] = np.maximum(images[4], 230)
    return images, masks


def planted_npz(path: Path, **more) -> Path:
    images, masks = planted_arrays()
    np.savez(path, images=images, masks=masks, **more)
    return path


def planted_folder(root: Path) -> Path:
    for name, image, mask in zip("abcdefghi", *planted_arrays(), strict=True):
        for kind, array in (("images", image), ("masks", mask)):
            (root / kind / "deep").mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(root / kind / "deep" / f"{name}.png")
    (root / "classes.txt").write_text("ground\nstone\nsky\n")
    return root


def planted_manifest(root: Path) -> Path:
    planted_folder(root / "files")
    names = [f"deep/{name}.png" for name in "abcdefghi"]
    lines = [f"files/images/{n};files/masks/{n};;note {i}" for i, n in enumerate(names)]
    (root / "list.csv").write_text("image;mask;group;remark\n" + "\n".join(lines) + "\n")
    return root / "list.csv"


def tree(root: Path) -> dict[str, bytes]:
    files = [root] if root.is_file() else sorted(root.rglob("*"))
    return {str(p): p.read_bytes() for p in files if p.is_file()}


# The files


def test_the_files_say_what_was_found_and_list_the_suspects_only(simple, tmp_path, capsys):
    data = planted_npz(tmp_path / "set.npz")
    assert audit(data) == 0
    folder = tmp_path / "runs/audit/set"
    assert sorted(p.name for p in folder.iterdir()) == ["audit.html", "audit.json", "exclude.csv"]
    text = (folder / "exclude.csv").read_text()
    assert text.splitlines()[0] == "id,reason,evidence"
    assert [(r["id"], r["reason"]) for r in rows(folder / "exclude.csv")] == [("4", "shared_mask")]
    assert "the brightest is the intruder; fit 0.123; fits 4" in text
    found = record(folder)
    assert found["samples"] == found["labelled"] == 9
    assert found["sizes"] == {"16 x 16": 9}
    _, masks = planted_arrays()
    assert found["class_pixels"] == {"to be split": [int((masks == k).sum()) for k in range(3)]}
    assert found["class_images"] == {
        "to be split": [int((masks == k).any(axis=(1, 2)).sum()) for k in range(3)]
    }
    first = found["findings"][0]
    assert [m["id"] for m in first["members"]] == ["1", "4", "6"]
    assert [m["id"] for m in first["suspects"]] == ["4"]
    page = (folder / "audit.html").read_text()
    assert "The brightest is the intruder" in page
    assert "Cannot tell whose it is" in page
    printed = capsys.readouterr().out
    assert "warning: one mask under different images: 1, 4, 6; suspected: 4." in printed
    assert "1 sample is proposed to be left out" in printed
    assert audit(data, "--quiet", "--json") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert json.loads(lines[0])["out"] == "runs/audit/set-2"


def test_a_long_list_is_cut_on_the_terminal_and_harmless_there(monkeypatch, tmp_path, capsys):
    reading = "RED \x1b[31m and a line\nmore"
    many = [Finding("doubtful_mask", "warning", (i % 9,), (), f"{reading} {i}") for i in range(33)]
    monkeypatch.setattr(audit_findings, "audit", lambda *a, **k: Audit(many, [], [], []))
    assert audit(planted_npz(tmp_path / "set.npz"), "--out", "out") == 0
    printed = capsys.readouterr().out
    assert printed.count("RED ") == 20
    assert "... and 13 more in out/audit.html" in printed
    assert "\x1b" not in printed
    assert "a line\\nmore" in printed
    assert len(record(Path("out"))["findings"]) == 33
    assert (tmp_path / "out/audit.html").read_text().count("RED ") == 33


def test_notes_of_one_kind_are_cut_to_three_and_counted(monkeypatch, tmp_path, capsys):
    chains = [Finding("chain", "note", (i, i + 1), (), "a run") for i in range(8)]
    monkeypatch.setattr(audit_findings, "audit", lambda *a, **k: Audit(chains, [], [], []))
    assert audit(planted_npz(tmp_path / "set.npz"), "--out", "out") == 0
    printed = capsys.readouterr().out
    assert printed.count(". A run.") == 3
    assert "nearly the one before: 5 more in out/audit.html" in printed


def test_a_folder_that_holds_something_is_refused(simple, tmp_path, capsys):
    data = planted_npz(tmp_path / "set.npz")
    (tmp_path / "mine").mkdir()
    assert audit(data, "--out", "mine") == 0
    before = tree(tmp_path / "mine")
    assert audit(data, "--out", "mine") == 2
    assert "--out mine exists and is not an empty folder" in capsys.readouterr().err
    assert tree(tmp_path / "mine") == before


def test_what_cannot_be_read_is_shown_and_only_all_of_it_is_an_error(tmp_path, capsys):
    data = runs.write_folder(tmp_path / "data", [(16, 16)] * 4)
    broken = data / "images/b.png"
    broken.write_bytes(broken.read_bytes()[:60])
    assert audit(data, "--out", "out") == 0
    found = record(Path("out"))
    assert found["scan"]["errors"] == 1
    assert found["issues"][0]["place"] == "images/b.png"
    assert "images/b.png" in (tmp_path / "out/audit.html").read_text()
    assert "error: images/b.png" in capsys.readouterr().out
    for file in (data / "images").iterdir():
        file.write_bytes(b"no image")
    assert audit(data, "--out", "other") == 2
    assert "images/a.png" in capsys.readouterr().err
    assert audit(tmp_path / "dat") == 2
    assert "Did you mean" in capsys.readouterr().err
    assert audit(data, "--set", "train.epochs=3") == 2
    assert "sets keys of data" in capsys.readouterr().err
    assert audit(data, "--set", "data.clas_names=[a]") == 2
    assert "class_names" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_keys_of_data_count_as_in_a_training(simple, tmp_path):
    images, masks = planted_arrays()
    np.savez(tmp_path / "set.npz", images=images, masks=masks * 7)
    flags = ["--set", "data.source.mask_values=[0,7,14]", "--set", "data.class_names=[a,b,c]"]
    assert audit(tmp_path / "set.npz", "--out", "out", *flags) == 0
    assert record(Path("out"))["class_names"] == ["a", "b", "c"]
    splits = "id,split\n" + "".join(f"{i},{'val' if i > 5 else 'train'}\n" for i in range(8))
    (tmp_path / "splits.csv").write_text(splits)
    assert audit(tmp_path / "set.npz", "--out", "two", *flags, "--splits", "splits.csv") == 0
    assert {row["split"]: row["samples"] for row in record(Path("two"))["parts"]} == {
        "train": 6,
        "val": 2,
        "left out": 1,
    }


def test_neither_audit_nor_copy_import_tensorflow(tmp_path):
    data = planted_npz(tmp_path / "set.npz")
    code = f"""
import sys
from tfvision.cli import commands
assert commands.main(["audit", {str(data)!r}, "--out", "out", "--clean", "copy"]) == 0
assert not {{"tensorflow", "keras"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(ROOT)})


def test_a_second_look_reads_no_image_again(tmp_path, monkeypatch):
    data = planted_npz(tmp_path / "set.npz")
    assert audit(data, "--out", "one") == 0
    monkeypatch.setattr(measure, "look", None)
    assert audit(data, "--out", "two") == 0
    assert record(Path("two")) == record(Path("one"))
    config = DataConfig(source=Spec(name="auto", path=str(data)))
    assert prepare(config, seed=0).scan.fingerprint == record(Path("one"))["fingerprint"]


# The exclude list


def test_the_list_goes_from_an_audit_to_a_training(simple, tmp_path):
    data = planted_npz(tmp_path / "set.npz")
    assert audit(data, "--out", "out") == 0
    config = DataConfig(source=Spec(name="npz", path=str(data)), exclude=Path("out/exclude.csv"))
    prepared = prepare(config, seed=0)
    kept = {i for split in prepared.record()["splits"].values() for i in split}
    assert kept == set("01235678")
    assert prepared.record()["excluded"] == ["4"]
    content = (tmp_path / "out/exclude.csv").read_bytes()
    assert prepared.record()["exclude_sha256"] == hashlib.sha256(content).hexdigest()
    assert any("1 sample left out (1 shared_mask)" in note for note in prepared.notes)


def test_a_second_audit_adds_to_the_list_of_the_first(simple, tmp_path):
    data = planted_npz(tmp_path / "set.npz")
    (tmp_path / "mine.csv").write_text('id,reason,evidence\n0,ugly,"I said, so"\n')
    assert audit(data, "--out", "out", "--exclude", "mine.csv") == 0
    assert record(Path("out"))["samples"] == 8
    listed = rows(tmp_path / "out/exclude.csv")
    assert [(row["id"], row["reason"]) for row in listed] == [("0", "ugly"), ("4", "shared_mask")]
    assert listed[0]["evidence"] == "I said, so"


def test_odd_ids_and_parts_survive_the_list(tmp_path):
    odd = ["a,b", 'say "x"', "é/ü", "=1+1", "line\nbreak", "0"]
    records = [Record(name, "train", None, True, None, name) for name in odd]
    records += [
        Record("0", "val", "val", True, None, "other"),
        Record("9", "", None, False, None, ""),
    ]
    text = exclude_csv([(i, "leak", 'he said: "a, b"') for i in range(7)], records)
    assert text.splitlines()[0] == "id,reason,evidence,part"
    (tmp_path / "x.csv").write_text(text)
    read = read_exclude(tmp_path / "x.csv", records)
    assert read.rows == [(i, "leak", 'he said: "a, b"') for i in range(7)]
    assert read.names == sorted([*odd[:5], "train/0", "val/0"])


def leaking_npz(path: Path) -> Path:
    """In val stands 2 of train again, as 1."""
    (x, y), (x_val, y_val) = runs.arrays(8), runs.arrays(3, first=8)
    x_val[1], y_val[1] = x[2], y[2]
    np.savez(path, x_train=x, y_train=y, x_val=x_val, y_val=y_val)
    return path


def test_of_a_leak_the_training_copy_is_proposed_and_then_no_longer_counts(tmp_path):
    data = leaking_npz(tmp_path / "set.npz")
    assert audit(data, "--out", "out") == 0
    assert record(Path("out"))["kinds"]["leak"] == 1
    assert record(Path("out"))["scan"] == {"errors": 0, "warnings": 0}
    (row,) = rows(tmp_path / "out/exclude.csv")
    assert (row["id"], row["part"], row["reason"]) == ("2", "train", "leak")
    assert "1 in val" in row["evidence"]
    source = Spec(name="npz", path=str(data))
    with pytest.raises(InputError, match="is the very image of row 2 of x_train"):
        prepare(DataConfig(source=source, test_fraction=0), seed=0)
    config = DataConfig(source=source, test_fraction=0, exclude=Path("out/exclude.csv"))
    prepared = prepare(config, seed=0, issues=tmp_path / "issues.json")
    assert prepared.record()["counts"] == {"train": 7, "val": 3, "test": 0}
    assert not [f for f in prepared.audit.findings if f.kind == "leak"]
    assert not prepared.scan.issues
    written = json.loads((tmp_path / "issues.json").read_text())
    assert "leak" not in {finding["kind"] for finding in written["audit"]}


def test_an_excluded_record_leaks_no_more_out_of_a_split_of_ones_own(tmp_path):
    images, masks = runs.arrays(8)
    images[5], masks[5] = images[2], masks[2]
    np.savez(tmp_path / "set.npz", images=images, masks=masks)
    lines = [f"{i},{'val' if i in (5, 6) else 'train'}\n" for i in range(8)]
    (tmp_path / "splits.csv").write_text("id,split\n" + "".join(lines))
    (tmp_path / "exclude.csv").write_text("id,reason\n2,leak\n")
    source = Spec(name="npz", path=str(tmp_path / "set.npz"))
    config = DataConfig(source=source, splits=tmp_path / "splits.csv")
    with pytest.raises(InputError, match="puts what belongs together into different splits"):
        prepare(config, seed=0)
    prepared = prepare(config.model_copy(update={"exclude": tmp_path / "exclude.csv"}), seed=0)
    assert prepared.record()["splits"]["train"] == ["0", "1", "3", "4", "7"]


def test_a_sample_that_cannot_be_read_may_be_left_out(tmp_path):
    data = runs.write_folder(tmp_path / "data", [(16, 16)] * 6)
    (data / "images/b.png").write_bytes(b"no image")
    (data / "masks/c.png").write_bytes(b"no image")
    (tmp_path / "exclude.csv").write_text("id,reason\nb,broken\nc,broken\n")
    source = Spec(name="folder", path=str(data))
    config = DataConfig(source=source, test_fraction=0, exclude=tmp_path / "exclude.csv")
    splits = prepare(config, seed=0).record()["splits"]
    assert sorted(splits["train"] + splits["val"]) == ["a", "d", "e", "f"]
    (tmp_path / "exclude.csv").write_text("id,reason\nb,broken\n")
    with pytest.raises(InputError, match=r"masks/c\.png"):
        prepare(config, seed=0)


# Inside a training


def test_indices_are_those_of_the_whole_source_where_some_are_excluded(simple, tmp_path):
    source = open_source(planted_npz(tmp_path / "set.npz"))
    found = scan(source)
    whole = audit_findings.find(source, found)
    assert [(f.members, f.suspects) for f in whole.findings] == [((1, 4, 6), (4,)), ((2, 5), ())]
    assert whole.findings[0].evidence["fits"] == {1: 1.0, 4: 4.0, 6: 6.0}
    part = audit_findings.find(source, found, excluded={0, 1})
    assert part.findings[1].evidence["fits"] == {4: 2.0, 6: 4.0}
    named = audit_findings.to_json(part, source.records, [None] * 9)
    assert named[1]["evidence"]["fits"] == {"4": 2.0, "6": 4.0}
    assert [(f.members, f.suspects) for f in part.findings] == [((2, 5), ()), ((4, 6), ())]
    assert part.clusters == [[2, 5], [4, 6]]


def test_a_training_says_what_was_found_and_keeps_all_of_it(simple, tmp_path, quick, capsys):
    data = planted_npz(tmp_path / "my set.npz")
    (tmp_path / "exclude.csv").write_text("id,reason\n8,dark\n")
    run = runs.new_run(
        tmp_path / "run",
        data,
        data={"exclude": str(tmp_path / "exclude.csv"), "class_names": ["a", "b", "c"]},
        train={"epochs": 1},
    )
    said = capsys.readouterr().err
    flags = f'--exclude {tmp_path / "exclude.csv"} --set \'data.class_names=["a", "b", "c"]\''
    shown = f"`python -m tfvision audit '{data}' {flags}` shows them"
    line = "audit: one mask under different images: 2 findings, 5 samples, 1 suspected"
    assert f"{line}; {shown}" in said
    assert "exclude.csv: 1 sample left out (1 dark)" in said
    kept = json.loads((run / "issues.json").read_text())["audit"]
    assert [[m["id"] for m in f["members"]] for f in kept] == [["1", "4", "6"], ["2", "5"]]
    report = (run / "report.html").read_text()
    assert line in report
    assert "the brightest is the intruder" in report
    assert "1 sample left out (1 dark)" in report


# The cleaned copy


def contents(path: Path) -> dict[str, tuple[bytes, bytes]]:
    """id -> pixels of image and mask, of data that has no error."""
    source = open_source(path)
    found = scan(source)
    assert not found.errors
    raw = [source.read_raw(i) for i in range(len(source))]
    return {
        record.id: (sample.image.tobytes(), sample.mask.astype(np.uint8).tobytes())
        for record, sample in zip(source.records, raw, strict=True)
    }


@pytest.mark.parametrize("layout", ["folder", "manifest"])
def test_a_clean_copy_of_files_has_the_layout_without_the_suspects(layout, simple, tmp_path):
    data = (planted_folder if layout == "folder" else planted_manifest)(tmp_path / "data")
    before = tree(tmp_path / "data")
    assert audit(data, "--out", "out", "--clean", tmp_path / "new/copy") == 0
    assert tree(tmp_path / "data") == before
    copy = tmp_path / "new/copy" / ("" if layout == "folder" else "list.csv")
    kept = contents(data)
    gone = "deep/e" if layout == "folder" else "files/images/deep/e"
    del kept[gone]
    assert contents(copy) == kept
    assert not list((tmp_path / "new/copy").rglob("e.png"))
    if layout == "folder":
        assert (copy / "classes.txt").read_text() == (data / "classes.txt").read_text()
    else:
        assert [row["remark"] for row in rows(copy)] == [f"note {i}" for i in range(9) if i != 4]
    assert audit(copy, "--out", "again") == 0
    assert not rows(tmp_path / "again/exclude.csv")


def test_a_manifest_of_files_elsewhere_is_rewritten(simple, tmp_path):
    planted_folder(tmp_path / "far")
    (tmp_path / "here").mkdir()
    lines = [f"../far/images/deep/{n}.png,{tmp_path}/far/masks/deep/{n}.png\n" for n in "abc"]
    (tmp_path / "here/list.csv").write_text("image,mask\n" + "".join(lines))
    flags = ["--set", "data.source.allow_outside_root=true"]
    assert audit(tmp_path / "here/list.csv", "--out", "out", "--clean", "copy", *flags) == 0
    clean = list(contents(tmp_path / "copy/list.csv").values())
    assert clean == list(contents(tmp_path / "far").values())[:3]


def test_a_clean_npz_tells_where_its_rows_come_from(simple, tmp_path):
    more = {"z": np.arange(9) * 10, "class_names": np.array(["a", "b", "c"]), "pi": np.array(3.14)}
    data = planted_npz(tmp_path / "set.npz", **more)
    before = tree(data)
    assert audit(data, "--out", "out", "--clean", "copy") == 0
    assert tree(data) == before
    keep = [0, 1, 2, 3, 5, 6, 7, 8]
    with np.load(data) as old, np.load("copy/set.npz") as new:
        assert sorted(new.files) == sorted(old.files)
        for key in ("images", "masks", "z"):
            np.testing.assert_array_equal(new[key], old[key][keep])
            assert new[key].dtype == old[key].dtype
        assert new["class_names"].tolist() == ["a", "b", "c"]
        assert new["pi"] == old["pi"]
    origin = [(row["id"], row["original_id"]) for row in rows(Path("copy/origin.csv"))]
    assert origin == [(str(new), str(old)) for new, old in enumerate(keep)]
    assert not scan(open_source("copy/set.npz")).errors


def test_a_clean_npz_of_pairs_and_of_parts(tmp_path):
    images, masks = planted_arrays()
    pairs = np.stack([images, masks], axis=1)
    np.savez_compressed(tmp_path / "mars.npz", training_set=pairs, test_set=images[:4])
    (tmp_path / "exclude.csv").write_text("id,reason\n3,bad\n5,bad\n")
    flags = ["--exclude", "exclude.csv", "--clean"]
    assert audit(tmp_path / "mars.npz", "--out", "one", *flags, "mars") == 0
    with np.load("mars/mars.npz") as new:
        np.testing.assert_array_equal(new["training_set"], pairs[[0, 1, 2, 4, 6, 7, 8]])
        np.testing.assert_array_equal(new["test_set"], images[:4])
    parts = {"x_train": images[:6], "y_train": masks[:6], "x_val": images[6:], "y_val": masks[6:]}
    np.savez(tmp_path / "parts.npz", **parts, z=np.arange(3), names_train=np.arange(6))
    (tmp_path / "exclude.csv").write_text("id,reason,part\n0,bad,val\n4,bad,\n")
    assert audit(tmp_path / "parts.npz", "--out", "two", *flags, "parts") == 0
    with np.load("parts/parts.npz") as new:
        np.testing.assert_array_equal(new["x_train"], images[[0, 1, 2, 3, 5]])
        np.testing.assert_array_equal(new["y_val"], masks[7:])
        np.testing.assert_array_equal(new["z"], [1, 2])
        np.testing.assert_array_equal(new["names_train"], [0, 1, 2, 3, 5])
    origin = rows(Path("parts/origin.csv"))
    assert [(r["part"], r["id"], r["original_id"]) for r in origin[4:]] == [
        ("train", "4", "5"),
        ("val", "0", "1"),
        ("val", "1", "2"),
    ]


def test_rows_of_an_array_that_fits_two_parts_are_not_guessed(tmp_path, capsys):
    images, masks = (array[:6] for array in planted_arrays())
    parts = {"x_train": images[:3], "y_train": masks[:3], "x_val": images[3:], "y_val": masks[3:]}
    np.savez(tmp_path / "set.npz", **parts, weather=np.arange(3))
    (tmp_path / "exclude.csv").write_text("id,part\n0,val\n")
    assert audit("set.npz", "--out", "out", "--exclude", "exclude.csv", "--clean", "copy") == 2
    assert "weather has 3 rows, as many as the parts train, val" in capsys.readouterr().err
    assert not (tmp_path / "copy").exists()
    assert not (tmp_path / "out").exists()


def test_a_copy_leaves_out_what_cannot_be_read(simple, tmp_path, capsys):
    data = planted_folder(tmp_path / "data")
    (data / "masks/deep/a.png").write_bytes(b"no image")
    assert audit(data, "--out", "out", "--clean", "copy", "--json") == 0
    printed = capsys.readouterr().out.splitlines()
    assert "7 samples; 2 left out, of them 1 that cannot be read" in printed[-2]
    assert json.loads(printed[-1])["clean"]["left_out"] == 2
    assert sorted(contents(tmp_path / "copy")) == [f"deep/{n}" for n in "bcdfghi"]


@pytest.mark.parametrize("layout", ["folder", "npz"])
def test_a_copy_that_fails_leaves_nothing_behind(layout, simple, tmp_path, monkeypatch, capsys):
    made = planted_folder if layout == "folder" else planted_npz
    data = made(tmp_path / ("data" if layout == "folder" else "set.npz"))
    before = tree(data)
    calls = []

    def fail(file, to, *arguments, **options):
        calls.append(to)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        return kept(file, to, *arguments, **options)

    owner, name = (shutil, "copy2") if layout == "folder" else (np.lib.format, "write_array")
    kept = getattr(owner, name)
    calls += [None] * (layout == "npz")
    monkeypatch.setattr(owner, name, fail)
    (tmp_path / "new").mkdir()
    assert audit(data, "--out", "out", "--clean", tmp_path / "new/copy") == 3
    assert "No space left on device" in capsys.readouterr().err
    assert len(calls) == 3
    assert not list((tmp_path / "new").iterdir())
    assert tree(data) == before


def test_a_copy_goes_to_a_new_place_outside_the_data(simple, tmp_path, capsys):
    data = planted_folder(tmp_path / "data")
    (tmp_path / "taken").mkdir()
    assert audit(data, "--out", "out", "--clean", "taken") == 2
    assert "--clean taken exists already" in capsys.readouterr().err
    assert audit(data, "--out", "out", "--clean", data / "clean") == 2
    assert "lies inside the data set" in capsys.readouterr().err
    assert audit(data, "--out", "both", "--clean", "both") == 2
    assert "--out and --clean both name both" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "taken").iterdir())


def test_data_that_changes_before_it_is_copied_is_not_copied(simple, tmp_path, monkeypatch, capsys):
    data = planted_folder(tmp_path / "data")
    find = audit_findings.find

    def change(*arguments, **options):
        Image.fromarray(np.zeros((16, 16), np.uint8)).save(data / "images/deep/a.png")
        return find(*arguments, **options)

    monkeypatch.setattr(audit_findings, "find", change)
    assert audit(data, "--out", "out", "--clean", "copy") == 2
    assert "images/deep/a.png was changed after it had been scanned" in capsys.readouterr().err
    assert not (tmp_path / "copy").exists()


def test_data_without_files_is_not_copied(tmp_path):
    images, masks = planted_arrays()
    source = ArraySource({"train": {"images": images, "masks": masks}}, name="embedded")
    with pytest.raises(InputError, match="embedded is no file or folder"):
        check_target(source, tmp_path / "copy")
