"""Checkpoints against kills, disks, bits and files of strangers (T03-T05, K01-K05, K09-K13).

Nothing here needs TensorFlow; each kill is a real SIGKILL, each full disk a real one.
"""

import errno
import io
import os
import random
import resource
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from experiments.kill_in_save import STAGES
from tests.engine.test_checkpoint import (
    ALL_FILES,
    assert_equal,
    make,
    names_in,
    path_of,
    save,
    sign,
)
from tfvision.engine import checkpoint as module
from tfvision.engine.checkpoint import load_checkpoint, newest_checkpoint, steps_in
from tfvision.engine.files import write_bytes
from tfvision.errors import EnvironmentFault

ROOT = Path(__file__).parents[2]
KILL_EACH = """
import sys
from pathlib import Path
from experiments.kill_in_save import STAGES, in_a_fork, save_until_killed
for stage in STAGES:
    print(stage, in_a_fork(lambda: save_until_killed(Path(sys.argv[1]) / stage, stage, 4)))
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Seven folders: steps 1 to 3 are saved, the save of step 4 was killed at a stage."""
    folder = tmp_path_factory.mktemp("killed")
    done = subprocess.run(
        [sys.executable, "-c", KILL_EACH, folder], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.split() == [x for stage in STAGES for x in (stage, "-9")], done.stderr
    return folder


@pytest.mark.parametrize("stage", STAGES)
def test_killed_inside_a_save_the_previous_or_the_new_one_is_whole(killed, tmp_path, stage):
    """T03, K05, K09: at no stage a mix; leftovers go with the next save, N remain."""
    folder = tmp_path / "checkpoints"
    shutil.copytree(killed / stage, folder)
    found, notes = newest_checkpoint(folder)
    step = 4 if stage in ("renamed", "pruning") else 3
    assert (found.step, found.state, notes) == (step, {"step": step}, [])
    for value in found.variables.values():
        np.testing.assert_array_equal(value, np.full(1000, step))
    whole = [s for s in steps_in(folder) if not damage(folder, s)]
    assert len(whole) >= module.KEEP
    assert whole[-2:] == [step - 1, step]
    left = {name for name in names_in(folder) if name.startswith(".tmp-")}
    assert bool(left) == (step == 3)
    save(folder, 5)
    assert names_in(folder) == [f"ckpt-{step:08d}", "ckpt-00000005"]


def damage(folder, step) -> str:
    try:
        load_checkpoint(folder, step)
    except EnvironmentFault as error:
        return str(error)
    return ""


def test_twelve_of_twelve_flipped_bits_are_found(tmp_path):
    """K02: four random bits in each of the three files, one at a time."""
    save(tmp_path, 3, 6)
    chance, found = random.Random(6), 0
    for name in ALL_FILES:
        path = path_of(tmp_path, 6) / name
        whole = path.read_bytes()
        for _ in range(4):
            bit = chance.randrange(8 * len(whole))
            broken = bytearray(whole)
            broken[bit // 8] ^= 1 << bit % 8
            path.write_bytes(broken)
            found += bool(damage(tmp_path, 6))
            assert newest_checkpoint(tmp_path, tidy=False)[0].step == 3
        path.write_bytes(whole)
    assert found == 12
    assert_equal(load_checkpoint(tmp_path, 6), make(6))


# Files of strangers: the manifest fits, because they made it


def npy(header: str, data: bytes) -> bytes:
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def plant(folder, *, content: bytes, compression=zipfile.ZIP_STORED) -> None:
    """Another `variables.npz` in the checkpoint of step 6, signed."""
    save(folder, 6)
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", compression) as archive:
        archive.writestr("v00000.npy", content)
        archive.writestr("v00001.npy", content)
    (path_of(folder, 6) / "variables.npz").write_bytes(raw.getvalue())
    sign(path_of(folder, 6))


HEADER = "{'descr': '<f8', 'fortran_order': False, 'shape': (%d,), }"


@pytest.mark.parametrize(
    ("planted", "message"),
    [
        ({"content": npy(HEADER % 10**12, b"x" * 80)}, "does not fill its shape"),
        ({"content": npy(HEADER % 5, b"x" * 80)}, "does not fill its shape"),
        (
            {
                "content": npy(HEADER % 10**7, bytes(8 * 10**7)),
                "compression": zipfile.ZIP_DEFLATED,
            },
            "declares more than its",
        ),
        (
            {
                "content": npy(HEADER % 10, np.random.default_rng(0).bytes(80)),
                "compression": zipfile.ZIP_LZMA,
            },
            "is compressed|declares more",
        ),
        ({"content": npy("{'descr': '|O', 'fortran_order': False, 'shape': ()}", b"")}, "objects"),
        ({"content": npy(f"__import__('os').mkdir({'canary'!r})", b"")}, "malformed"),
        ({"content": b"\x93NUMPY\x09\x00"}, "npy format|magic"),
        ({"content": b"no array"}, "magic"),
    ],
    ids=["shape-bomb", "shape-too-small", "zip-bomb", "lzma", "object", "code", "version", "text"],
)
def test_arrays_of_strangers_are_refused_and_take_no_memory(
    tmp_path, monkeypatch, planted, message
):
    """K11, K12: bombs, objects and code inside an npz with a manifest that fits."""
    monkeypatch.chdir(tmp_path)
    plant(tmp_path, **planted)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(EnvironmentFault, match=rf"ckpt-00000006 cannot be read.*({message})"):
        load_checkpoint(tmp_path, 6)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 50_000  # kilobytes
    assert not (tmp_path / "canary").exists()


def test_a_directory_that_lies_about_sizes_stays_within_the_file(tmp_path):
    """K11: the zip's directory says that a stored array has 2 GB."""
    save(tmp_path, 6)
    path = path_of(tmp_path, 6) / "variables.npz"
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        size, start = archive.getinfo("v00000.npy").file_size, archive.start_dir
    lie = content[start:].replace(size.to_bytes(4, "little"), (2**31).to_bytes(4, "little"))
    path.write_bytes(content[:start] + lie)
    sign(path_of(tmp_path, 6))
    with pytest.raises(EnvironmentFault, match="declares more than its"):
        load_checkpoint(tmp_path, 6)


# Real disks


def in_a_namespace(command: str, **paths) -> subprocess.CompletedProcess:
    """Runs a shell command where it may mount; skips the test where the machine refuses that."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("this machine has no `unshare` to mount a small disk with")
    trial = [unshare, "-rm", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt"]
    if subprocess.run(trial, capture_output=True).returncode:
        pytest.skip("this machine lets no one mount a small disk (unshare -rm refused)")
    return subprocess.run(
        [unshare, "-rm", "sh", "-ec", command],
        cwd=ROOT,
        env={**os.environ, **{k: str(v) for k, v in paths.items()}, "PY": sys.executable},
        capture_output=True,
        text=True,
    )


SAVE = """
import os, sys
from pathlib import Path
import numpy as np
from tfvision.engine.checkpoint import Checkpoint, newest_checkpoint, save_checkpoint
from tfvision.errors import EnvironmentFault
folder = Path(os.environ["DISK"]) / "checkpoints"
def save(step, size):
    value = np.full(size, step, np.float64)
    save_checkpoint(folder, Checkpoint(step, {"a": value}, {}), best_step=None)
def newest():
    found, notes = newest_checkpoint(folder)
    return found.step, bool((found.variables["a"] == found.step).all()), notes, sorted(
        os.listdir(folder))
"""
FULL = """
save(3, 30_000)
try:
    save(6, 100_000)
except EnvironmentFault as error:
    print(error)
print(newest())
save(9, 30_000)  # fits again
print(newest())
"""
READ_ONLY = """
try:
    save(6, 10)
except EnvironmentFault as error:
    print(error)
print(newest())
"""


def test_a_full_disk_keeps_the_previous_checkpoint(tmp_path):
    """T04: ENOSPC on a tmpfs of 1 MB; the message has the needed and the free bytes."""
    (tmp_path / "disk").mkdir()
    done = in_a_namespace(
        'mount -t tmpfs -o size=1m tmpfs "$DISK"; "$PY" -c "$CODE"',
        DISK=tmp_path / "disk",
        CODE=SAVE + FULL,
    )
    assert done.returncode == 0, done.stderr
    message, after, later = done.stdout.splitlines()
    assert "Cannot write" in message
    assert "No space left on device. Needed about 800,000 bytes; " in message
    free = int(message.split("bytes; ")[1].split(" are free")[0].replace(",", ""))
    assert 0 < free < 800_000
    assert after == "(3, True, [], ['ckpt-00000003'])"
    assert later == "(9, True, [], ['ckpt-00000003', 'ckpt-00000009'])"


def test_a_disk_that_has_become_read_only(tmp_path):
    """T04: EROFS; the save fails with a sentence and what is there can be read."""
    (tmp_path / "disk").mkdir()
    done = in_a_namespace(
        'mount -t tmpfs -o size=1m tmpfs "$DISK"; "$PY" -c "$FIRST"; '
        'mount -o remount,ro "$DISK"; "$PY" -c "$THEN"',
        DISK=tmp_path / "disk",
        FIRST=SAVE + "save(3, 10)",
        THEN=SAVE + READ_ONLY,
    )
    assert done.returncode == 0, done.stderr
    message, after = done.stdout.splitlines()
    assert "Cannot write" in message
    assert "Read-only file system" in message
    assert after == "(3, True, [], ['ckpt-00000003'])"


@pytest.mark.parametrize("number", [errno.EPERM, errno.EXDEV, errno.EACCES])
@pytest.mark.parametrize("call", ["rename", "replace"])
def test_a_folder_in_which_nothing_can_be_renamed(tmp_path, monkeypatch, number, call):
    """K13, T05: an error with the cause, never a success; what was there stays."""
    save(tmp_path / "checkpoints", 3)
    write_bytes(tmp_path / "summary.json", b"old")

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, refuse)
    match = rf"Cannot write .*: {os.strerror(number)}\..*untouched\..*--out"
    if call == "rename":
        with pytest.raises(EnvironmentFault, match=match):
            save(tmp_path / "checkpoints", 6)
        assert names_in(tmp_path / "checkpoints") == ["ckpt-00000003"]
        assert_equal(newest_checkpoint(tmp_path / "checkpoints")[0], make(3))
    else:
        with pytest.raises(EnvironmentFault, match=match):
            write_bytes(tmp_path / "summary.json", b"new")
        assert (tmp_path / "summary.json").read_bytes() == b"old"
        assert names_in(tmp_path) == ["checkpoints", "summary.json"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path):
    """T05: a PermissionError is an error, not a success."""
    save(tmp_path, 3)
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(EnvironmentFault, match="Permission denied"):
            save(tmp_path, 6)
    finally:
        tmp_path.chmod(0o700)
    assert newest_checkpoint(tmp_path)[0].step == 3
