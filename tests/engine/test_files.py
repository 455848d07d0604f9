"""A file is whole or not there, and a failed write says what was needed."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tfvision.engine.files import (
    cannot_write,
    sha256_of,
    sync_folder,
    write_bytes,
    write_json,
    write_text,
)
from tfvision.errors import EnvironmentFault


def test_writes_make_the_folder_and_leave_nothing_else(tmp_path):
    path = tmp_path / "a b" / "é.bin"
    write_bytes(path, b"one")
    write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["é.bin"]


def test_text_is_utf8_and_json_is_read_back(tmp_path):
    write_text(tmp_path / "t", "é☃\r\n")
    assert (tmp_path / "t").read_bytes() == "é☃\r\n".encode()
    value = {"a": [1, 2.5, None, "é"], "b": {"c": True}}
    write_json(tmp_path / "j", value)
    assert json.loads((tmp_path / "j").read_text(encoding="utf-8")) == value
    assert "é" in (tmp_path / "j").read_text(encoding="utf-8")


def test_json_holds_no_nan_which_others_cannot_read(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "j", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("call", "number", "text"),
    [
        ("fsync", errno.ENOSPC, "No space left on device"),
        ("replace", errno.EACCES, "Permission denied"),
        ("fsync", errno.EIO, "Input/output error"),
    ],
)
def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch, call, number, text):
    path = tmp_path / "summary.json"
    write_bytes(path, b"old")

    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(
        EnvironmentFault,
        match=rf"Cannot write .*summary\.json: {text}\. Needed about 1,234 bytes; [\d,]+ are free",
    ):
        write_bytes(path, b"x" * 1234)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["summary.json"]


def test_a_write_beyond_the_limit_of_a_process_leaves_the_old_file(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"old")
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from tfvision.engine.files import write_bytes\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_bytes(Path(sys.argv[1]), b'x' * 2000)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert "EnvironmentFault: Cannot write" in done.stderr
    assert "File too large" in done.stderr
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_file_in_the_place_of_a_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(EnvironmentFault, match=r"Cannot write .*[\d,]+ are free there"):
        write_bytes(tmp_path / "file" / "inside", b"x")


def test_free_bytes_are_those_of_the_nearest_folder_that_can_be_asked(tmp_path, monkeypatch):
    asked = []

    def usage(folder):
        asked.append(folder)
        if folder != tmp_path:
            raise PermissionError(errno.EACCES, "Permission denied")
        return SimpleNamespace(free=7)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    error = cannot_write(tmp_path / "a" / "b", OSError("odd"), 5)
    assert str(error).startswith(
        f"Cannot write {tmp_path / 'a' / 'b'}: odd. Needed about 5 bytes; 7 "
    )
    assert asked == [tmp_path / "a" / "b", tmp_path / "a", tmp_path]
    assert error.exit_code == 3


def test_sync_of_a_folder_that_is_not_there_is_no_error(tmp_path):
    sync_folder(tmp_path)
    sync_folder(tmp_path / "none")


def test_sha256(tmp_path):
    data = bytes(range(256)) * 999
    (tmp_path / "f").write_bytes(data)
    assert sha256_of(tmp_path / "f") == hashlib.sha256(data).hexdigest()
