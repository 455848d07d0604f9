"""Checkpoints come back exactly, damage is found, and a failed write costs nothing."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from tfvision.engine import checkpoint as module
from tfvision.engine.checkpoint import (
    FILES,
    Checkpoint,
    OtherFormat,
    load_checkpoint,
    name_variables,
    newest_checkpoint,
    restore_variables,
    save_checkpoint,
    steps_in,
)
from tfvision.engine.files import sha256_of
from tfvision.errors import EnvironmentFault, InputError

ALL_FILES = (*FILES, "MANIFEST.json")


def make(step: int) -> Checkpoint:
    rng = np.random.default_rng(step)
    variables = {"model/0000/kernel": rng.random((40, 30)), "model/0001/bias": np.full(3, step)}
    return Checkpoint(step, variables, {"step": step, "history": [{"loss": 1 / 3}]})


def save(folder, *steps, best_step=None):
    for step in steps:
        save_checkpoint(folder, make(step), best_step=best_step)


def path_of(folder, step):
    return folder / f"ckpt-{step:08d}"


def assert_equal(one: Checkpoint, other: Checkpoint):
    assert (one.step, one.state) == (other.step, other.state)
    assert list(one.variables) == list(other.variables)
    for name, value in one.variables.items():
        assert value.dtype == other.variables[name].dtype
        np.testing.assert_array_equal(value, other.variables[name])


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def truncate(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def flip_bit(path, position):
    content = bytearray(path.read_bytes())
    content[int(position * (len(content) - 1))] ^= 1
    path.write_bytes(content)


def rewrite(path, **changes):
    """Changes `state.json` as another program would: with a manifest that fits."""
    state = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps({**state, **changes}))
    sign(path)


def sign(path):
    manifest = {
        name: {"bytes": (path / name).stat().st_size, "sha256": sha256_of(path / name)}
        for name in FILES
    }
    (path / "MANIFEST.json").write_text(json.dumps(manifest))


# What is saved comes back


@pytest.mark.parametrize(
    "value",
    [
        np.float32(3.5),
        np.array(7, np.int64),
        np.zeros((0, 3), np.float32),
        np.array([], np.int32),
        np.arange(6, dtype=np.uint32).reshape(2, 3),
        np.array([True, False]),
        np.array([1.5, np.nan, np.inf, -0.0], np.float16),
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(12.0)[::2],
        np.array([np.finfo(np.float64).tiny, np.pi]),
    ],
    ids=lambda v: f"{v.dtype}{list(v.shape)}",
)
def test_values_come_back_bit_for_bit(tmp_path, value):
    saved = Checkpoint(1, {"model/0000/ä name/with spaces": value}, {})
    save_checkpoint(tmp_path, saved, best_step=None)
    back = load_checkpoint(tmp_path, 1).variables["model/0000/ä name/with spaces"]
    assert back.dtype == value.dtype
    assert back.shape == value.shape
    assert back.tobytes() == np.ascontiguousarray(value).tobytes()


def test_order_state_and_many_variables_come_back(tmp_path):
    variables = {f"model/{i:04d}/v": np.full(2, i) for i in reversed(range(30))}
    state = {"best": 0.1 + 0.2, "none": None, "rows": [{"a": 1}], "text": "é"}
    save_checkpoint(tmp_path, Checkpoint(123456789, variables, state), best_step=None)
    back = load_checkpoint(tmp_path, 123456789)
    assert list(back.variables) == list(variables)
    assert all(np.array_equal(back.variables[k], v) for k, v in variables.items())
    assert back.state == state


def test_a_checkpoint_without_variables(tmp_path):
    save_checkpoint(tmp_path, Checkpoint(0, {}, {}), best_step=None)
    assert load_checkpoint(tmp_path, 0) == Checkpoint(0, {}, {})


def test_a_folder_that_is_not_there_holds_none(tmp_path):
    assert steps_in(tmp_path / "none") == []
    assert newest_checkpoint(tmp_path / "none") == (None, [])
    assert newest_checkpoint(tmp_path) == (None, [])


def test_what_is_no_checkpoint_is_not_listed(tmp_path):
    save(tmp_path, 5)
    for name in ("ckpt-5", "ckpt-00000007.bak", "xckpt-00000008", ".tmp-00000009-1"):
        (tmp_path / name).mkdir()
    assert steps_in(tmp_path) == [5]


# Damage


@pytest.mark.parametrize("name", ALL_FILES)
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.999])
def test_truncated_files_are_found(tmp_path, name, share):
    save(tmp_path, 3, 6)
    truncate(path_of(tmp_path, 6) / name, share)
    found, notes = newest_checkpoint(tmp_path)
    assert_equal(found, make(3))
    (note,) = notes
    assert note.startswith("checkpoint of step 6 is damaged, moved to damaged-00000006: ")
    assert names_in(tmp_path) == ["ckpt-00000003", "damaged-00000006"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("position", [0, 0.1, 0.5, 0.9, 1])
def test_one_flipped_bit_is_found(tmp_path, name, position):
    save(tmp_path, 3, 6)
    flip_bit(path_of(tmp_path, 6) / name, position)
    with pytest.raises(EnvironmentFault, match=rf"{name} does not have the SHA-256"):
        load_checkpoint(tmp_path, 6)
    found, _ = newest_checkpoint(tmp_path)
    assert found.step == 3


def test_a_flipped_bit_of_the_manifest_never_gives_other_values(tmp_path):
    """In a number's or a name's place it is found; anywhere it leaves the values alone."""
    save(tmp_path, 6)
    manifest = path_of(tmp_path, 6) / "MANIFEST.json"
    whole = manifest.read_bytes()
    found = 0
    for position in range(len(whole)):
        content = bytearray(whole)
        content[position] ^= 1
        manifest.write_bytes(content)
        try:
            assert_equal(load_checkpoint(tmp_path, 6), make(6))
        except EnvironmentFault:
            found += 1
    assert found > 0.9 * len(whole)


@pytest.mark.parametrize(
    "content",
    ["", "{", "{}", "[]", "null", '{"variables.npz": {}}', '{"variables.npz": 3, "state.json": 4}'],
)
def test_a_manifest_that_vouches_for_nothing(tmp_path, content):
    save(tmp_path, 3, 6)
    (path_of(tmp_path, 6) / "MANIFEST.json").write_text(content)
    with pytest.raises(EnvironmentFault, match="ckpt-00000006 cannot be read"):
        load_checkpoint(tmp_path, 6)
    assert newest_checkpoint(tmp_path)[0].step == 3


@pytest.mark.parametrize("name", ALL_FILES)
def test_a_missing_file(tmp_path, name):
    save(tmp_path, 3, 6)
    (path_of(tmp_path, 6) / name).unlink()
    assert newest_checkpoint(tmp_path)[0].step == 3


def test_more_in_the_manifest_than_needed_is_no_damage(tmp_path):
    save(tmp_path, 6)
    manifest = path_of(tmp_path, 6) / "MANIFEST.json"
    more = {**json.loads(manifest.read_text()), "../../../etc/passwd": {"bytes": 1, "sha256": "x"}}
    manifest.write_text(json.dumps(more))
    assert_equal(load_checkpoint(tmp_path, 6), make(6))


@pytest.mark.parametrize("state", ["{}", "[]", '{"format": 1}', "null"])
def test_a_state_that_is_signed_but_makes_no_sense(tmp_path, state):
    save(tmp_path, 6)
    (path_of(tmp_path, 6) / "state.json").write_text(state)
    sign(path_of(tmp_path, 6))
    with pytest.raises(EnvironmentFault, match="ckpt-00000006 cannot be read"):
        load_checkpoint(tmp_path, 6)


def test_a_newer_format_is_refused_and_left_alone(tmp_path):
    save(tmp_path, 3, 6)
    rewrite(path_of(tmp_path, 6), format=2)
    with pytest.raises(
        OtherFormat, match=r"has checkpoint format 2; this tfvision reads 1\. Use the"
    ):
        newest_checkpoint(tmp_path)
    assert names_in(tmp_path) == ["ckpt-00000003", "ckpt-00000006"]
    assert issubclass(OtherFormat, EnvironmentFault)


def test_more_in_the_state_than_needed_is_no_damage(tmp_path):
    save(tmp_path, 6)
    rewrite(path_of(tmp_path, 6), written_by="a later version")
    assert_equal(load_checkpoint(tmp_path, 6), make(6))


def test_objects_that_would_run_code_are_not_read(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "canary"),)

    save(tmp_path, 6)
    objects = np.empty(1, object)
    objects[0] = Bomb()
    np.savez(path_of(tmp_path, 6) / "variables.npz", v00000=objects, v00001=objects)
    sign(path_of(tmp_path, 6))
    with pytest.raises(EnvironmentFault, match=r"cannot be read.*holds objects, which are not"):
        load_checkpoint(tmp_path, 6)
    assert not (tmp_path / "canary").exists()


def test_when_all_are_damaged_the_run_is_never_started_over(tmp_path):
    save(tmp_path, 3, 6)
    truncate(path_of(tmp_path, 3) / "variables.npz", 0.5)
    flip_bit(path_of(tmp_path, 6) / "state.json", 0.5)
    for _ in range(2):  # the second attempt finds only what the first has moved aside
        with pytest.raises(EnvironmentFault) as said:
            newest_checkpoint(tmp_path)
        message = str(said.value)
        assert f"No checkpoint in {tmp_path} is whole" in message
        assert "damaged-00000003" in message
        assert "damaged-00000006" in message
        assert "--config <run>/config.yaml" in message


def test_where_nothing_can_be_moved_damage_is_still_found(tmp_path, monkeypatch):
    save(tmp_path, 3, 6)
    truncate(path_of(tmp_path, 6) / "state.json", 0.5)

    def read_only(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "rename", read_only)
    found, (note,) = newest_checkpoint(tmp_path)
    assert found.step == 3
    assert "is damaged, left where it is" in note
    assert names_in(tmp_path) == ["ckpt-00000003", "ckpt-00000006"]


def test_leftovers_of_a_killed_save_are_ignored_and_removed(tmp_path):
    save(tmp_path, 3)
    leftover = tmp_path / ".tmp-00000006-99999"
    leftover.mkdir()
    (leftover / "variables.npz").write_bytes(b"half")
    assert newest_checkpoint(tmp_path)[0].step == 3
    save(tmp_path, 6)
    assert names_in(tmp_path) == ["ckpt-00000003", "ckpt-00000006"]


# What is kept


def test_the_newest_two_and_the_best_are_kept(tmp_path):
    save(tmp_path, 1, 2, 3, 4, 5, best_step=2)
    assert steps_in(tmp_path) == [2, 4, 5]
    save(tmp_path, 6, best_step=6)
    assert steps_in(tmp_path) == [5, 6]
    save(tmp_path, 7, best_step=None)
    assert steps_in(tmp_path) == [6, 7]


def test_a_pruning_that_was_killed_midway(tmp_path, monkeypatch):
    save(tmp_path, 1, 2)
    half = lambda path, **_: (path / "state.json").unlink()  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", half)
        save(tmp_path, 3)
    assert steps_in(tmp_path) == [1, 2, 3]
    assert_equal(newest_checkpoint(tmp_path)[0], make(3))
    save(tmp_path, 4)
    assert steps_in(tmp_path) == [3, 4]


def test_nothing_is_removed_before_the_new_one_is_verified(tmp_path, monkeypatch):
    save(tmp_path, 1, 2)
    real = module._write

    def damage(folder, checkpoint):
        real(folder, checkpoint)
        flip_bit(folder / "variables.npz", 0.5)

    monkeypatch.setattr(module, "_write", damage)
    with pytest.raises(EnvironmentFault, match="does not have the SHA-256"):
        save(tmp_path, 3)
    assert_equal(load_checkpoint(tmp_path, 1), make(1))
    assert newest_checkpoint(tmp_path)[0].step == 2


def test_the_same_step_is_saved_again(tmp_path):
    save(tmp_path, 3, 6)
    again = Checkpoint(6, make(6).variables, {"finished": True})
    save_checkpoint(tmp_path, again, best_step=6)
    assert_equal(load_checkpoint(tmp_path, 6), again)
    assert names_in(tmp_path) == ["ckpt-00000003", "ckpt-00000006"]


class Killed(BaseException):
    """As SIGKILL: no handler of the program sees it."""


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_killed_while_a_step_is_saved_again_one_of_both_is_there(tmp_path, monkeypatch, allowed):
    save(tmp_path, 6)
    again = Checkpoint(6, make(6).variables, {"finished": True})
    real, renames = os.rename, iter(range(allowed))

    def rename(*paths):
        if next(renames, None) is None:
            raise Killed
        real(*paths)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", rename)
        if allowed < 2:
            with pytest.raises(Killed):
                save_checkpoint(tmp_path, again, best_step=None)
        else:
            save_checkpoint(tmp_path, again, best_step=None)
    found, notes = newest_checkpoint(tmp_path)
    assert_equal(found, again if allowed == 2 else make(6))
    assert notes == []
    save(tmp_path, 9)
    assert names_in(tmp_path) == ["ckpt-00000006", "ckpt-00000009"]


# Writes that fail


@pytest.mark.parametrize(
    ("owner", "call", "at", "number"),
    [
        (np.lib.format, "write_array", 0, errno.ENOSPC),
        (np.lib.format, "write_array", 1, errno.ENOSPC),
        (os, "fsync", 0, errno.ENOSPC),
        (os, "fsync", 1, errno.EDQUOT),
        (os, "fsync", 2, errno.EIO),
        (os, "rename", 0, errno.EACCES),
        (json, "dump", 0, errno.ENOSPC),
    ],
    ids=lambda v: getattr(v, "__name__", v),
)
@pytest.mark.parametrize("step", [6, 9])
def test_a_failed_write_leaves_the_earlier_ones_whole(
    tmp_path, monkeypatch, owner, call, at, number, step
):
    save(tmp_path, 3, 6)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    real, calls = getattr(owner, call), iter(range(at))

    def fail(*arguments, **options):
        if next(calls, None) is None:
            raise OSError(number, os.strerror(number))
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, call, fail)
        with pytest.raises(EnvironmentFault) as said:
            save(tmp_path, step)
    message = str(said.value)
    assert f"Cannot write {path_of(tmp_path, step)}: {os.strerror(number)}." in message
    assert f"Needed about {40 * 30 * 8 + 3 * 8:,} bytes; " in message
    assert "are free there" in message
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert names_in(tmp_path) == ["ckpt-00000003", "ckpt-00000006"]
    save(tmp_path, 9)
    assert steps_in(tmp_path) == [6, 9]


def test_when_the_second_of_two_renames_fails_the_old_one_returns(tmp_path, monkeypatch):
    save(tmp_path, 6)
    real, count = os.rename, iter(range(3))

    def rename(*paths):
        if next(count) == 1:
            raise PermissionError(errno.EACCES, "Permission denied")
        real(*paths)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(EnvironmentFault, match="Permission denied"):
        save_checkpoint(tmp_path, Checkpoint(6, {}, {}), best_step=None)
    assert_equal(load_checkpoint(tmp_path, 6), make(6))
    assert names_in(tmp_path) == ["ckpt-00000006"]


SAVE_BEYOND_THE_LIMIT = """
import resource, sys
from pathlib import Path
import numpy as np
from tfvision.engine.checkpoint import Checkpoint, save_checkpoint
save_checkpoint(Path(sys.argv[1]), Checkpoint(3, {"a": np.zeros(9)}, {}), best_step=None)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
save_checkpoint(Path(sys.argv[1]), Checkpoint(6, {"a": np.zeros(10**6)}, {}), best_step=None)
"""


def test_a_real_limit_of_the_system(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SAVE_BEYOND_THE_LIMIT, tmp_path], capture_output=True, text=True
    )
    assert done.stderr.splitlines()[-1].startswith(
        "tfvision.errors.EnvironmentFault: Cannot write "
    )
    assert "Needed about 8,000,000 bytes" in done.stderr
    found, notes = newest_checkpoint(tmp_path)
    assert (found.step, notes) == (3, [])
    assert names_in(tmp_path) == ["ckpt-00000003"]


SAVE_FOR_EVER = """
import itertools, sys
from pathlib import Path
import numpy as np
from tfvision.engine.checkpoint import Checkpoint, newest_checkpoint, save_checkpoint
folder = Path(sys.argv[1])
newest = newest_checkpoint(folder)[0]
for step in itertools.count(newest.step if newest else 0):  # the first one again
    value = np.full(20_000, step)
    save_checkpoint(folder, Checkpoint(step, {"a": value}, {}), best_step=None)
    print(step, flush=True)
"""


def test_killed_at_any_moment_the_newest_that_was_announced_is_there(tmp_path):
    rng = random.Random(0)
    last = -1
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVE_FOR_EVER, tmp_path], stdout=subprocess.PIPE, text=True
        )
        process.stdout.readline()
        time.sleep(rng.uniform(0.01, 0.15))
        process.send_signal(signal.SIGKILL)
        said = process.communicate()[0].split()
        found, notes = newest_checkpoint(tmp_path)
        assert notes == []
        assert found.step >= max([last, *map(int, said)])
        np.testing.assert_array_equal(found.variables["a"], np.full(20_000, found.step))
        last = found.step
    assert last > 3


# Places


def test_a_copied_folder_and_odd_paths(tmp_path):
    folder = tmp_path / "a run with 'spaces' and é" / "checkpoints"
    save(folder, 3, 6)
    shutil.copytree(folder, tmp_path / "elsewhere")
    shutil.rmtree(folder)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert_equal(newest_checkpoint(tmp_path / "link")[0], make(6))
    save(tmp_path / "link", 9)
    assert steps_in(tmp_path / "elsewhere") == [6, 9]
    for path in (tmp_path / "elsewhere").rglob("*.json"):
        assert str(tmp_path) not in path.read_text()


# Another model


def dense(units, name="head", dtype="float32"):
    layer = keras.layers.Dense(units, name=name, dtype=dtype)
    layer.build((None, 3))
    return layer


def as_arrays(variables):
    return {k: keras.ops.convert_to_numpy(v) for k, v in name_variables("model", variables).items()}


def test_values_return_into_variables_of_the_same_names():
    saved = dense(4)
    saved.kernel.assign(np.arange(12.0).reshape(3, 4))
    other = dense(4)
    restore_variables(name_variables("model", other.variables), as_arrays(saved.variables), "X")
    np.testing.assert_array_equal(other.kernel, saved.kernel)
    assert list(as_arrays(saved.variables)) == ["model/0000/head/kernel", "model/0001/head/bias"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            lambda: dense(5).variables,
            r"\(2 differences\):\n  model/0000/head/kernel: \(\(3, 4\), 'float32'\) there, \(\(3,",
        ),
        (lambda: dense(4).variables[:1], r"not in this model: model/0001/head/bias"),
        (
            lambda: [*dense(4).variables, keras.Variable(0.0, name="more")],
            r"missing there: model/0002/more",
        ),
        (
            lambda: dense(4, name="tail").variables,
            r"\(4 differences\):\n  missing there: model/0000/tail/kernel",
        ),
        (
            lambda: dense(4, dtype="float16").variables,
            r"head/bias: \(\(4,\), 'float32'\) there, \(\(4,\), 'float16'\) here",
        ),
    ],
)
def test_variables_of_another_model_are_refused_and_none_is_assigned(other, message):
    variables = other()
    before = [keras.ops.convert_to_numpy(v) for v in variables]
    with pytest.raises(InputError, match=message) as said:
        restore_variables(
            name_variables("model", variables), as_arrays(dense(4).variables), "The checkpoint"
        )
    assert str(said.value).startswith("The checkpoint belongs to another model or optimizer")
    for variable, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_of_many_differences_ten_are_shown():
    saved = {f"model/{i:04d}/v": np.zeros(1) for i in range(50)}
    with pytest.raises(InputError, match=r"\(50 differences\)") as said:
        restore_variables({}, saved, "X")
    assert len(str(said.value).splitlines()) == 11
