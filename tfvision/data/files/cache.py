"""The user's cache folder: data that is built or looked through once."""

import contextlib
import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any


def cache_folder() -> Path:
    """`TFVISION_CACHE`; by default `tfvision` in the user's cache folder. May not exist yet."""
    if folder := os.environ.get("TFVISION_CACHE"):
        return Path(folder)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tfvision"


def read_json(name: str) -> Any:
    """What `write_json` wrote under this name; None where it is absent or damaged."""
    try:
        checksum, _, body = (cache_folder() / name).read_bytes().partition(b"\n")
        if checksum.decode("ascii") != hashlib.sha256(body).hexdigest():
            return None
        return json.loads(body)
    except (OSError, ValueError):
        return None


def write_json(name: str, value: Any) -> None:
    """Writes `value` under a name, whole or not at all, with its checksum.

    Raises:
        OSError: The cache folder cannot be written.
    """
    body = json.dumps(value, separators=(",", ":")).encode()
    write_atomic(cache_folder() / name, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def write_atomic(path: Path, content: bytes) -> None:
    """Writes a file so that a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:80]}-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
