"""Writing a submission as predictions come: never half a file, never a row twice."""

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tfvision.engine.files import cannot_write, sync_folder
from tfvision.engine.submission.check import Checked, check_submission
from tfvision.engine.submission.layouts import Layout, csv_line
from tfvision.errors import InputError


def write_submission(
    path: Path,
    layout: Layout,
    images: Iterable[tuple[str, np.ndarray]],
    *,
    keys: Sequence[str],
    sizes: Mapping[str, tuple[int, int]] | None = None,
) -> Checked:
    """Writes the rows of images, reads the file back, and only then gives it its name.

    Rows are written as they come; one that comes before its turn waits, as text.

    Args:
        path: The file; one that is there is replaced when the new one is right.
        layout: What the rows say.
        images: (id, labels) each; labels (H, W) uint8, or what the layout takes.
        keys: Key of every row, in the order of the file.
        sizes: See `check_submission`; `images` may fill it while it is read.

    Raises:
        InputError: An image does not fit the layout, rows are missing or left over.
        EnvironmentFault: No space, no permission. What was there before is untouched.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb", buffering=1 << 20) as file:
            file.write(csv_line(layout.header))
            _write_rows(file, layout, images, keys)
            file.flush()
            os.fsync(file.fileno())
        checked = check_submission(temporary, layout, keys=keys, sizes=sizes)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        written = temporary.stat().st_size if temporary.exists() else 0
        raise cannot_write(path, error, written) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return checked


def _write_rows(file, layout: Layout, images, keys: Sequence[str]) -> None:
    turn, waiting = 0, {}
    for name, labels in images:
        for key, row in layout.rows(name, labels):
            waiting[key] = row
        while turn < len(keys) and keys[turn] in waiting:
            file.write(waiting.pop(keys[turn]))
            turn += 1
    if waiting or turn < len(keys):
        missing = "" if turn == len(keys) else f"; the next row should be {keys[turn]}"
        raise InputError(
            f"{turn} of {len(keys)} rows could be written, {len(waiting)} are left over{missing}."
        )
