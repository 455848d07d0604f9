"""Writing predicted labels."""

import csv
import io
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfvision.engine.files import cannot_write, write_bytes
from tfvision.errors import InputError


def write_predictions(
    target: Path,
    ids: Sequence[str],
    labels: Sequence[np.ndarray],
    probabilities: Sequence[np.ndarray] | None = None,
) -> Path:
    """Writes labels (H, W) uint8, in the order given.

    Images of one size go into `<target>.npz`, with `ids` and `labels` (N, H, W), and
    `probabilities` (N, H, W, K) float16 where given; images of different sizes into a
    folder `<target>/`, one PNG each (and one npz each for probabilities), with an
    `index.csv` of `id,file,height,width`. What an earlier call wrote there is replaced when
    the new files are complete.

    Returns:
        The file or folder.

    Raises:
        InputError: A folder `<target>/` is in the way that holds something else.
        EnvironmentFault: No space, no permission; what was there before is untouched.
    """
    if len({image.shape for image in labels}) <= 1:
        arrays = {"ids": np.array(list(ids), dtype=str), "labels": np.array(labels, np.uint8)}
        if probabilities is not None:
            arrays["probabilities"] = np.array(probabilities, np.float16)
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)
        path = target.with_name(target.name + ".npz")
        write_bytes(path, content.getvalue())
        if _is_ours(target):  # of other images, of different sizes
            shutil.rmtree(target, ignore_errors=True)
        return path
    if target.exists() and not _is_ours(target):
        raise InputError(
            f"{target} holds something else than predictions; it is not replaced. Choose another "
            "--out."
        )
    temporary = target.with_name(f".{target.name}-{os.getpid()}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        _write_folder(temporary, ids, labels, probabilities)
        replace_folder(target, temporary)
        target.with_name(target.name + ".npz").unlink(missing_ok=True)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise cannot_write(target, error, sum(image.size for image in labels)) from error
    return target


def write_class_predictions(
    target: Path,
    ids: Sequence[str],
    labels: np.ndarray,
    probabilities: np.ndarray,
    names: Sequence[str],
    *,
    truth: np.ndarray | None = None,
) -> Path:
    """Writes `<target>.csv`: `id,label`, with `truth` where it is given, and `p_<name>`.

    Args:
        target: Without extension.
        ids: N of them, in order.
        labels: (N,) predicted classes.
        probabilities: (N, K), written with 6 digits.
        names: K, as the data writes its classes.
        truth: (N,) true classes; one that is none of 0..K-1 is left empty.

    Returns:
        The file.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    own = [] if truth is None else ["truth"]
    writer.writerow(["id", "label", *own, *(f"p_{name}" for name in names)])
    for i, name in enumerate(ids):
        true = []
        if truth is not None:
            true = [names[truth[i]] if 0 <= truth[i] < len(names) else ""]
        digits = [f"{p:.6f}" for p in probabilities[i]]
        writer.writerow([name, names[labels[i]], *true, *digits])
    path = target.with_name(target.name + ".csv")
    write_bytes(path, text.getvalue().encode("utf-8", errors="backslashreplace"))
    return path


def _is_ours(folder: Path) -> bool:
    """Whether it is a folder with nothing in it but what `_write_folder` puts there."""
    if not folder.is_dir():
        return False
    names = [path.name for path in folder.iterdir()]
    return all(re.fullmatch(r"index\.csv|\d{6,}\.(png|npz)", name) for name in names)


def replace_folder(target: Path, new: Path) -> None:
    """Puts `new` where `target` is; on any failure `target` is what it was."""
    old = target.with_name(f".{target.name}-old-{os.getpid()}.tmp")
    if target.exists():
        os.rename(target, old)
    try:
        os.rename(new, target)
    except OSError:
        if old.exists():
            os.rename(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _write_folder(folder, ids, labels, probabilities):
    from PIL import Image

    index = io.StringIO()
    writer = csv.writer(index)
    writer.writerow(["id", "file", "height", "width"])
    for i, (name, image) in enumerate(zip(ids, labels, strict=True)):
        file = f"{i:06d}.png"
        Image.fromarray(np.asarray(image, np.uint8)).save(folder / file)
        if probabilities is not None:
            np.savez_compressed(
                folder / f"{i:06d}.npz", probabilities=probabilities[i].astype(np.float16)
            )
        writer.writerow([name, file, *image.shape])
    (folder / "index.csv").write_text(index.getvalue(), encoding="utf-8", newline="")
