"""Files of a data set: reading them without surprises, and staying inside the root."""

import os
import re
import stat
from pathlib import Path, PurePosixPath

from tfvision.data.files.issue import BadSample

MAX_FILE_BYTES = 2**30

_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:")
_DRIVE = re.compile(r"^[A-Za-z]:")


def read_bytes(path: Path, *, place: str, limit: int | None = MAX_FILE_BYTES) -> bytes:
    """The content of a regular file. Never waits on a pipe.

    Args:
        path: The file.
        place: What messages call it.
        limit: The most bytes that it may have; None: any number.

    Raises:
        BadSample: No such file, a broken link, no permission, a folder, a pipe or
            device, an empty file, or one above the limit.
    """
    flags = os.O_RDONLY
    for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):  # not every system has all three
        flags |= getattr(os, name, 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise BadSample(place, *_why_not(path, error)) from error
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise BadSample(place, "is a folder, an image file must stand here", "Rename it.")
        if not stat.S_ISREG(status.st_mode):
            raise BadSample(
                place, "is a pipe or a device, not a regular file", "Put the file itself here."
            )
        if status.st_size == 0:
            raise BadSample(place, "is empty (0 bytes)", "Copy the file again.")
        if limit is not None and status.st_size > limit:
            raise BadSample(
                place,
                f"has {status.st_size:,} bytes, the limit is {limit:,}",
                "Cut it into tiles.",
            )
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return file.read()
    except OSError as error:
        raise BadSample(place, f"cannot be read ({error.strerror})", "Check the disk.") from error
    finally:
        os.close(descriptor)


def stamp_of(path: Path) -> str:
    """Path, size and time of change of a file: differs where the file was written again."""
    try:
        status = os.stat(path)
    except OSError as error:
        return f"{path}|{error.strerror}"
    return f"{path}|{status.st_size}|{status.st_mtime_ns}"


def inside(root: Path, text: str, *, place: str, allow_outside_root: bool = False) -> Path:
    """The file that a relative path in a table stands for.

    Args:
        root: Folder that the path is relative to.
        text: The path as it is written; backslashes separate folders too.
        place: For messages: "line 12 of data.csv".
        allow_outside_root: Whether absolute paths, `..` and links may leave `root`.

    Raises:
        BadSample: Names the place, the path, and where it leads.
    """
    if "\0" in text:
        raise BadSample(place, f"the path {text!r} holds a NUL byte", "Correct the path.")
    if _URL.match(text) and not _DRIVE.match(text):
        raise BadSample(place, f"{text!r} is a URL, a path is expected", "Download the file first.")
    written = text if os.path.isabs(text) else text.replace("\\", "/")
    path = Path(root, written)
    if allow_outside_root:
        return path
    advice = f"Write a path below {root}, or type --set data.source.allow_outside_root=true."
    if os.path.isabs(written) or _DRIVE.match(text) or PurePosixPath(written).is_absolute():
        raise BadSample(place, f"the path {text!r} is absolute", advice)
    if not leads_inside(root, path):
        raise BadSample(
            place, f"the path {text!r} leaves the data set: {os.path.realpath(path)}", advice
        )
    return path


def leads_inside(root: Path, path: Path) -> bool:
    """Whether `path`, links followed, stands below `root`."""
    real, base = os.path.realpath(path), os.path.realpath(root)
    return real == base or real.startswith(base.rstrip(os.sep) + os.sep)


def _why_not(path: Path, error: OSError) -> tuple[str, str]:
    if isinstance(error, FileNotFoundError):
        if os.path.islink(path):
            return f"is a broken link to {os.readlink(path)}", "Restore the file it points to."
        plain = re.sub(r"(?<!\d)0+(?=\d)", "", path.name)
        beside = path.parent.iterdir() if path.parent.is_dir() else ()
        same = [p.name for p in beside if re.sub(r"(?<!\d)0+(?=\d)", "", p.name) == plain]
        advice = "Correct the path or restore the file."
        if same:
            advice = f"{same[0]} lies there: write the name as the file has it. Spreadsheets drop "
            advice += "zeros before numbers; import such a column as text."
        return f"no such file ({path})", advice
    if isinstance(error, PermissionError):
        return "permission denied", "Make the file readable (chmod u+r)."
    return f"cannot be opened ({error.strerror})", "Check the path."
