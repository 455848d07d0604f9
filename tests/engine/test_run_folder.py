"""A run's folder: whose it is, what may be replaced, and who may write to it."""

import csv
import errno
import os
import platform
import signal
import subprocess
import sys

import pytest

from tfvision.engine.run_folder import KNOWN, RunFolder, free_folder
from tfvision.errors import EnvironmentFault, InputError


@pytest.fixture
def run(tmp_path):
    """A run with something in every place, its lock free."""
    run = RunFolder(tmp_path / "a run")
    run.create()
    for name in ("checkpoints", "predictions", "export"):
        (run.path / name).mkdir()
        (run.path / name / "file").write_text("old")
    for name in KNOWN:
        if not (run.path / name).exists():
            (run.path / name).write_text("old")
    run.unlock()
    return run


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_create_makes_a_locked_folder_with_its_parents(tmp_path):
    run = RunFolder(tmp_path / "runs" / "seg" / "x")
    run.create()
    assert names_in(run.path) == [".lock"]
    assert (run.path / ".lock").read_text() == f"{os.getpid()} on {platform.node()}"
    run.unlock()


def test_a_run_is_not_replaced_unless_asked(run):
    before = names_in(run.path)
    for call in (run.create, run.check_free):
        with pytest.raises(
            InputError,
            match=r"a run exists already\. Go on with --resume .*a run, replace it with --o",
        ):
            call()
    assert names_in(run.path) == before


def test_overwriting_removes_what_a_run_writes_and_nothing_else(run):
    (run.path / "notes.md").write_text("mine")
    (run.path / "mine").mkdir()
    run.check_free(overwrite=True)
    run.create(overwrite=True)
    assert names_in(run.path) == [".lock", "mine", "notes.md"]
    run.unlock()


def test_overwriting_follows_no_link(run, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("x")
    (run.path / "export" / "file").unlink()
    (run.path / "export").rmdir()
    (run.path / "export").symlink_to(elsewhere)
    run.create(overwrite=True)
    assert (elsewhere / "precious").read_text() == "x"
    run.unlock()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_is_no_run_is_never_emptied(tmp_path, overwrite):
    (tmp_path / "summary.json").write_text("mine")
    for call in (RunFolder(tmp_path).create, RunFolder(tmp_path).check_free):
        with pytest.raises(InputError, match=r"holds no run \(no config\.yaml\): it is not overwr"):
            call(overwrite=overwrite)
    assert names_in(tmp_path) == ["summary.json"]


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "x").write_text("mine")
    with pytest.raises(InputError, match="holds no run"):
        RunFolder(tmp_path / "x").create(overwrite=True)
    with pytest.raises(EnvironmentFault, match=r"Cannot write to the run folder .*x/y: .*--out"):
        RunFolder(tmp_path / "x" / "y").create()


def test_a_start_that_ended_before_the_config_was_written_is_begun_again(tmp_path):
    first = RunFolder(tmp_path)
    first.create()
    first.log("the data set is broken")
    first.unlock()
    again = RunFolder(tmp_path)
    again.check_free()
    again.create()
    again.unlock()


def test_overwriting_that_was_killed_midway_can_be_done_again(run, monkeypatch):
    import shutil

    class Killed(BaseException):
        pass

    def kill(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", kill)
        with pytest.raises(Killed):
            run.create(overwrite=True)
    run.unlock()
    RunFolder(run.path).check_free(overwrite=True)


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    def fail(self, *_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("pathlib.Path.write_text", fail)
    with pytest.raises(
        EnvironmentFault, match=r"Cannot write to the run folder .*: Read-only file system\..*--out"
    ):
        RunFolder(tmp_path / "x").create()


def test_a_lock_that_cannot_be_opened(tmp_path):
    (tmp_path / ".lock").mkdir()
    with pytest.raises(
        EnvironmentFault, match=r"Cannot write to the run folder .*: Is a directory"
    ):
        RunFolder(tmp_path).lock()


HOLD = """
import sys, time
from tfvision.engine.run_folder import RunFolder
run = RunFolder(sys.argv[1])
run.create()
print("locked", flush=True)
time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_has_died(tmp_path):
    path = tmp_path / "x"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "locked\n"
        (path / "config.yaml").write_text("model: unet\n")
        for call in (RunFolder(path).lock, lambda: RunFolder(path).create(overwrite=True)):
            with pytest.raises(
                InputError,
                match=rf"x is in use by another process \(pid {holder.pid} on .*\)\. Wait",
            ):
                call()
        assert (path / "config.yaml").read_text() == "model: unet\n"
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    run = RunFolder(path)
    run.lock()
    run.lock()  # once more is no error
    assert (path / ".lock").read_text() == f"{os.getpid()} on {platform.node()}"
    run.unlock()
    run.unlock()


def test_the_lock_is_free_after_unlock(tmp_path):
    first, second = RunFolder(tmp_path), RunFolder(tmp_path)
    first.lock()
    with pytest.raises(InputError, match=rf"pid {os.getpid()}"):
        second.lock()
    first.unlock()
    second.lock()
    second.unlock()


def test_an_existing_run(run, tmp_path):
    assert RunFolder.existing(run.path).path == run.path
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(
            InputError, match=r"is no run: it has no config\.yaml\. A run is made by"
        ):
            RunFolder.existing(path)


def test_a_folder_of_folds_is_told_from_a_run_that_was_stopped(tmp_path):
    (tmp_path / ".lock").touch()
    (tmp_path / "folds.yaml").touch()
    with pytest.raises(InputError, match=r"a folder of folds.*/fold-0.*tfvision ensemble .*--out"):
        RunFolder.existing(tmp_path)


def test_records(run):
    run.write_json("data.json", {"a": [1, "é"]})
    assert run.read_json("data.json") == {"a": [1, "é"]}
    (run.path / "data.json").write_text('{"a"')
    for name in ("data.json", "none.json"):
        with pytest.raises(InputError, match=rf"{name} cannot be read .*go on with --resume"):
            run.read_json(name)


def test_history_is_a_table_with_a_row_an_epoch(run):
    run.write_history(
        [{"epoch": 1, "loss": 1 / 3}, {"epoch": 2, "loss": 1e-12, "val_score": float("nan")}]
    )
    with open(run.path / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {"epoch": "1", "loss": "0.333333333", "val_score": ""},
        {"epoch": "2", "loss": "1e-12", "val_score": "nan"},
    ]
    assert float(rows[0]["loss"]) == pytest.approx(1 / 3, rel=1e-8)


def test_the_log_takes_any_text_and_never_stops_a_run(run):
    (run.path / "log.txt").unlink()
    run.log("é")
    run.log("a file name \udcff")
    assert (run.path / "log.txt").read_text(encoding="utf-8") == "é\na file name \\udcff\n"
    RunFolder(run.path / "none").log("nowhere to go")


def test_the_next_free_folder(tmp_path):
    for name in ("unet", "unet-2", "unet-3"):
        assert free_folder(tmp_path, "unet") == tmp_path / name
        (tmp_path / name).mkdir()
    (tmp_path / "unet-2").rmdir()
    assert free_folder(tmp_path, "unet") == tmp_path / "unet-2"
    assert free_folder(tmp_path / "none", "unet") == tmp_path / "none" / "unet"
