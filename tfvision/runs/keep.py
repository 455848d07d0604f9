"""What a run keeps of its own samples, and what takes the place of its data where that is away."""

import hashlib
import time
from collections.abc import Iterator

import numpy as np

from tfvision.config import RunConfig
from tfvision.engine.run_folder import RunFolder
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.read import Native, native_scanned, shrunk
from tfvision.runs.kept_samples import FOLDER, Kept, chosen, counts, read_kept, write_kept

LONGEST = 512  # pixels of a longer side that is kept; more where the run trains at more
READ = 500_000_000  # pixels that are read for it, at most


def keep_samples(run: RunFolder, config: RunConfig, prepared: Prepared, say) -> None:
    """Writes `samples/` of a run, once: drawn by the run's seed, every class among them.

    Args:
        run: The run folder.
        config: Of the run: its `data.keep_samples` says how many, its seed which.
        prepared: Its data.
        say: Takes a line.
    """
    limit = config.data.keep_samples
    if limit is False or (run.path / FOLDER).exists():
        return
    began = time.monotonic()
    places = {split: prepared.indices(split) for split in ("train", "val")}
    many = counts(limit, {split: len(of_split) for split, of_split in places.items()})
    written = {
        split: write_kept(run.path, split, _read(prepared, _drawn(config, prepared, rows, count)))
        for (split, rows), count in zip(places.items(), many.values(), strict=True)
        if count
    }
    size = sum(path.stat().st_size for path in (run.path / FOLDER).glob("*.npz"))
    say(
        f"kept of the data: {' and '.join(f'{n} {split}' for split, n in written.items())} samples "
        f"in {run.path / FOLDER} ({size / 1e6:.1f} MB, {time.monotonic() - began:.1f} s), so that "
        "an export needs no data later; data.keep_samples=false keeps none"
    )


def kept_samples(run: RunFolder) -> list[Native]:
    """The samples that a run keeps, those of val first; [] where it keeps none."""
    found = [*read_kept(run.path, "val"), *read_kept(run.path, "train")]
    return [Native(k.image, k.scale, k.targets, k.region, k.box) for k in found]


def _drawn(config: RunConfig, prepared: Prepared, rows: list[int], count: int) -> list[int]:
    def chance(place: int) -> bytes:
        record = prepared.source.records[rows[place]]
        name = f"{config.seed}\n{record.part}\n{record.id}"
        return hashlib.sha256(name.encode()).digest()

    order = sorted(range(len(rows)), key=chance)
    return [rows[place] for place in chosen(prepared.scan.class_pixels[rows] > 0, order, count)]


def _read(prepared: Prepared, indices: list[int]) -> Iterator[Kept]:
    """These samples, large ones at a smaller size, until enough pixels have been read."""
    scan, longest = prepared.scan, max(LONGEST, *prepared.size)
    read = np.cumsum([scan.heights[i] * scan.widths[i] for i in indices])
    for index, pixels in zip(indices, read, strict=True):
        if pixels > READ and index != indices[0]:
            return
        one = shrunk(native_scanned(prepared, index), longest)
        name = prepared.source.records[index].id
        yield Kept(name, one.image, one.scale, one.targets, region=one.region, box=one.box)
