"""Writing predicted labels."""

import csv
import io
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfvision.engine.files import write_bytes, write_text


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
    `index.csv` of `id,file,height,width`.

    Returns:
        The file or folder.
    """
    if len({image.shape for image in labels}) <= 1:
        arrays = {"ids": np.array(list(ids), dtype=str), "labels": np.array(labels, np.uint8)}
        if probabilities is not None:
            arrays["probabilities"] = np.array(probabilities, np.float16)
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)
        path = target.with_name(target.name + ".npz")
        write_bytes(path, content.getvalue())
        return path
    return _write_folder(target, ids, labels, probabilities)


def _write_folder(target, ids, labels, probabilities):
    from PIL import Image

    temporary = target.with_name(f".{target.name}-{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    index = io.StringIO()
    writer = csv.writer(index)
    writer.writerow(["id", "file", "height", "width"])
    for i, (name, image) in enumerate(zip(ids, labels, strict=True)):
        file = f"{i:06d}.png"
        Image.fromarray(image).save(temporary / file)
        if probabilities is not None:
            np.savez_compressed(
                temporary / f"{i:06d}.npz", probabilities=probabilities[i].astype(np.float16)
            )
        writer.writerow([name, file, *image.shape])
    write_text(temporary / "index.csv", index.getvalue())
    if target.exists():
        shutil.rmtree(target)
    os.replace(temporary, target)
    return target
