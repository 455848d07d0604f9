"""Samples of its own data that a run keeps: `samples/train.npz`, `samples/val.npz`. NumPy only.

Report, certificate and calibration of exports can then do without the data. The folder may be
deleted at any time: whoever reads it goes on without.
"""

import io
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tfvision.engine.files import write_bytes

FOLDER = "samples"
MAX_BYTES = 50_000_000  # of both files together
SHARES = {"train": 2 / 3, "val": 1 / 3}  # of the samples, and of the bytes


@dataclass(frozen=True)
class Kept:
    """One sample.

    Attributes:
        id: Of the sample, in the run's data.
        image: (H, W, C) as stored, C is 1 or 3.
        scale: What a pixel is multiplied by to lie in [0, 1].
        targets: Its truth by name, as the task has it.
        region: (H, W) uint8, 0 or 1, or None.
        box: (4,) float32 `x1 y1 x2 y2` in pixels, of several boxes (n, 4), or None.
    """

    id: str
    image: np.ndarray
    scale: float
    targets: dict[str, np.ndarray] = field(default_factory=dict)
    region: np.ndarray | None = None
    box: np.ndarray | None = None


def counts(limit: int, there: dict[str, int]) -> dict[str, int]:
    """How many samples of train and val are kept; what one lacks goes to the other."""
    val = min(there["val"], max(round(limit * SHARES["val"]), limit - there["train"]))
    return {"train": min(there["train"], limit - val), "val": val}


def chosen(present: np.ndarray, order: Sequence[int], count: int) -> list[int]:
    """Places of samples, one class after the other, the rarest first, until there are enough.

    Args:
        present: (N, K) bool: which classes a sample holds.
        order: All N places, by chance.
        count: How many.
    """
    rare_first = np.argsort(present.sum(axis=0), kind="stable")
    queues = [iter([i for i in order if present[i, k]]) for k in rare_first] + [iter(order)]
    found: dict[int, None] = {}
    while len(found) < min(count, len(order)):
        for queue in queues:
            following = next((i for i in queue if i not in found), None)
            if following is not None and len(found) < count:
                found[following] = None
    return list(found)


def write_kept(run: Path, split: str, samples: Iterable[Kept]) -> int:
    """Writes samples of a split until its share of the bytes is spent; how many.

    Raises:
        EnvironmentFault: There is no room, or no permission.
    """
    limit, buffer, ids = SHARES[split] * MAX_BYTES, io.BytesIO(), []
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for sample in samples:
            arrays = _arrays(sample)
            spent = buffer.tell() + sum(array.nbytes for array in arrays.values())
            if spent + 1000 * (len(ids) + 1) > limit:  # of names and the list of contents
                break
            for key, array in arrays.items():
                _add(archive, f"{len(ids)}/{key}", array)
            ids.append(sample.id)
        _add(archive, "ids", np.array(ids, np.str_))
    write_bytes(Path(run) / FOLDER / f"{split}.npz", buffer.getvalue())
    return len(ids)


def read_kept(run: Path, split: str) -> list[Kept]:
    """The samples of a split that a run keeps; [] where there are none, or they are damaged."""
    try:
        with np.load(Path(run) / FOLDER / f"{split}.npz", allow_pickle=False) as file:
            return [_kept(file, number, str(name)) for number, name in enumerate(file["ids"])]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return []


def _arrays(sample: Kept) -> dict[str, np.ndarray]:
    arrays = {"image": sample.image, "scale": np.float64(sample.scale)}
    arrays |= {f"targets/{name}": np.asarray(value) for name, value in sample.targets.items()}
    rest = {"region": sample.region, "box": sample.box}
    return arrays | {key: value for key, value in rest.items() if value is not None}


def _add(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)


def _kept(file, number: int, name: str) -> Kept:
    own = f"{number}/"
    arrays = {key[len(own) :]: file[key] for key in file.files if key.startswith(own)}
    return Kept(
        name,
        arrays["image"],
        float(arrays["scale"]),
        {k.removeprefix("targets/"): v for k, v in arrays.items() if k.startswith("targets/")},
        region=arrays.get("region"),
        box=arrays.get("box"),
    )
