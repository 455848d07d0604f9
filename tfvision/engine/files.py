"""Files that are whole or not there at all."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfvision.errors import EnvironmentFault, InputError


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file that appears under its name only when it is complete and on disk.

    Raises:
        EnvironmentFault: No space, no permission; the old file stays as it was.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise cannot_write(path, error, len(data)) from error


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of UTF-8 text."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """`write_text` of indented JSON."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


@contextlib.contextmanager
def whole_folder(target: Path, *, what: str, flag: str) -> Iterator[Path]:
    """A folder to write into, which appears as `target` when the block ends well, or not at all.

    Args:
        target: Where nothing is yet.
        what: For messages: "The cleaned copy".
        flag: The flag that named the target.

    Raises:
        InputError: Something stands at `target` by now.
        EnvironmentFault: Something cannot be read or written; nothing is left behind.
    """
    temporary = target.parent / f".{target.name}.{os.getpid()}.tmp"
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if target.exists():  # a rename would replace an empty folder without a word
            raise InputError(f"{flag} {target} exists already. Name a folder that does not.")
        os.rename(temporary, target)
        sync_folder(target.parent)
    except OSError as error:
        raise EnvironmentFault(
            f"{what} {target} cannot be written: {error}. Nothing was left there. Free some space "
            f"or name another folder with {flag}."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            if temporary.exists():
                shutil.rmtree(temporary)


def check_free(out: Path) -> None:
    """Refuses an `--out` at which something else than an empty folder stands.

    Raises:
        InputError: It does.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out} exists and is not an empty folder. Choose another.")


def cannot_write(path: Path, error: OSError, needed: int) -> EnvironmentFault:
    """The error for a failed write, with what was needed and what is free."""
    free = 0
    for folder in [path.absolute(), *path.absolute().parents]:
        with contextlib.suppress(OSError):  # it is not there, or not for us to look into
            free = shutil.disk_usage(folder).free
            break
    return EnvironmentFault(
        f"Cannot write {path}: {error.strerror or error}. Needed about {needed:,} bytes; "
        f"{free:,} are free there. What was there before is untouched. Free some space or "
        "choose another folder with --out, then go on with --resume."
    )


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable, where the file system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
