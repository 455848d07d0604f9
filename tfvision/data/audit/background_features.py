"""What surrounds the object of an image: its border, and what lies outside its box or region,
in about a hundred numbers of colour and texture. They say nothing of form."""

import base64
import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from tfvision.data.files.cache import read_json, write_json
from tfvision.data.files.issue import BadSample
from tfvision.data.files.pixels import white_of
from tfvision.data.files.timeout import map_in_time
from tfvision.data.scan.measure import Facts
from tfvision.data.sources.source import RawSample, Source

FORMAT = 1  # of the kept numbers; another one looks again
SIDE = 48  # pixels a side that images are brought to
RING = 6  # width of the border, of these pixels
MARGIN = 3  # pixels about a box or region: shadows and blurred edges
LEAST = 0.04  # share of the picture that must lie outside
KNOWN = 0.9  # of the images must have a place outside, for that to be looked at
MOST_READ = 2000  # images a test looks at
BATCH = 128  # images measured at a time
BINS = 12  # of the histogram of a plane; three of them are one bin of that of all planes
COLOUR = 0.3  # colour differences beyond it are in the last bin
_SMALLEST = 1e-3  # of white: a step that is none


@dataclass(frozen=True)
class Surround:
    """Attributes:
    border: (D,) float32 of the border ring.
    outside: (D,) float32 of all outside the object; None where no box or region says where
        that is, or hardly anything is left.
    """

    border: np.ndarray
    outside: np.ndarray | None


@dataclass(frozen=True)
class Backgrounds:
    """Attributes:
    index: (n,) the records looked at, in the order of the source.
    features: (n, D) float32.
    what: "what lies outside the boxes or regions" or "the border of the image".
    """

    index: np.ndarray
    features: np.ndarray
    what: str


def reduced(image: np.ndarray, white: float | None) -> np.ndarray:
    """An image (H, W, C) brought to (SIDE, SIDE, 3) uint8, whatever its form.

    Args:
        image: As a `RawSample` has it.
        white: The pixel value that becomes 255; None: what the dtype says.
    """
    scaled = image
    if image.dtype != np.uint8 or white not in (None, 255):
        scaled = image.astype(np.float32) * np.float32(255 / white_of(image.dtype, white))
    small = cv2.resize(scaled, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    small = np.clip(np.rint(small), 0, 255).astype(np.uint8).reshape(SIDE, SIDE, -1)
    return np.repeat(small, 3, axis=2) if small.shape[2] == 1 else small


def outside_of(sample: RawSample) -> np.ndarray | None:
    """Where there is no object, (SIDE, SIDE) bool, with a margin; None where nothing says so,
    or less than `LEAST` of the picture is left."""
    height, width = sample.image.shape[:2]
    if sample.region is not None and sample.region.any():
        drawn = (sample.region > 0).astype(np.float32)
    elif sample.boxes is not None and len(sample.boxes):
        drawn = np.zeros((height, width), np.float32)
        for x1, y1, x2, y2 in np.asarray(sample.boxes, np.float64):
            rows = slice(max(0, int(np.floor(y1))), max(0, int(np.ceil(y2))))
            drawn[rows, max(0, int(np.floor(x1))) : max(0, int(np.ceil(x2)))] = 1
    else:
        return None
    here = cv2.resize(drawn, (SIDE, SIDE), interpolation=cv2.INTER_AREA) > 0
    kernel = np.ones((2 * MARGIN + 1,) * 2, np.uint8)
    outside = cv2.dilate(here.astype(np.uint8), kernel) == 0
    return outside if outside.mean() >= LEAST else None


def border() -> np.ndarray:
    """The border ring, (SIDE, SIDE) bool."""
    ring = np.ones((SIDE, SIDE), bool)
    ring[RING:-RING, RING:-RING] = False
    return ring


def summary(images: np.ndarray, use: np.ndarray) -> np.ndarray:
    """Colour and texture of some pixels of each image.

    Args:
        images: (n, h, w, 3) uint8.
        use: (n, h, w) or (h, w) bool, the pixels; some of each image.

    Returns:
        (n, D) float32: means and spreads of brightness and two colour differences; the roots
        of the shares in histograms of each and of all three together (on roots, distance is
        Hellinger's); logarithms of the steps between neighbours, and the directions of edges,
        at two scales.
    """
    parts = []
    for start in range(0, len(images), BATCH):
        some = images[start : start + BATCH]
        mask = use[start : start + BATCH] if use.ndim == 3 else np.broadcast_to(use, some.shape[:3])
        parts.append(_summary(some, mask))
    return np.concatenate(parts)


def _summary(images: np.ndarray, use: np.ndarray) -> np.ndarray:
    red, green, blue = np.moveaxis(images.astype(np.float32) / 255, 3, 0)
    planes = [(red + green + blue) / 3, red - green, (red + green) / 2 - blue]
    count = use.sum(axis=(1, 2))
    columns, together = [], np.zeros(use.shape, np.int64)
    for number, plane in enumerate(planes):
        mean = (plane * use).sum(axis=(1, 2)) / count
        square = (plane**2 * use).sum(axis=(1, 2)) / count
        columns += [mean[:, None], np.sqrt(np.maximum(square - mean**2, 0))[:, None]]
        unit = plane if number == 0 else (plane + COLOUR) / (2 * COLOUR)
        cell = np.clip(unit * BINS, 0, BINS - 1).astype(np.int64)
        columns.append(_histogram(cell, BINS, use, count))
        together = together * (BINS // 3) + cell // 3
    columns.append(_histogram(together, (BINS // 3) ** 3, use, count))
    columns.append(_texture(planes[0], use))
    columns.append(_texture(*_halved(planes[0], use)))
    return np.concatenate(columns, axis=1).astype(np.float32)


def _histogram(cell: np.ndarray, bins: int, use: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The roots of the shares, (n, bins)."""
    rows = np.broadcast_to(np.arange(len(cell))[:, None, None], cell.shape)
    filled = np.bincount((rows * bins + cell)[use], minlength=len(cell) * bins)
    return np.sqrt(filled.reshape(len(cell), bins) / count[:, None])


def _texture(grey: np.ndarray, use: np.ndarray) -> np.ndarray:
    """(n, 6): logarithms of the mean steps across and down, and the shares of four directions
    of edges, over neighbours that are all in use."""
    dx, dy = grey[:, :-1, 1:] - grey[:, :-1, :-1], grey[:, 1:, :-1] - grey[:, :-1, :-1]
    both = use[:, :-1, :-1] & use[:, :-1, 1:] & use[:, 1:, :-1]
    count = np.maximum(both.sum(axis=(1, 2)), 1)
    steps = [np.log(_SMALLEST + (np.abs(d) * both).sum(axis=(1, 2)) / count) for d in (dx, dy)]
    weight = np.hypot(dx, dy) * both
    sector = np.floor(np.arctan2(dy, dx) / np.pi * 4 + 0.5).astype(np.int64) % 4
    total = weight.sum(axis=(1, 2)) + _SMALLEST
    shares = [(weight * (sector == k)).sum(axis=(1, 2)) / total for k in range(4)]
    return np.stack([*steps, *shares], axis=1)


def _halved(grey: np.ndarray, use: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both at half the size; a pixel is in use where all four were."""
    four = [(slice(None), slice(i, None, 2), slice(j, None, 2)) for i in (0, 1) for j in (0, 1)]
    return sum(grey[cut] for cut in four) / 4, np.logical_and.reduce([use[cut] for cut in four])


def look_at(
    source: Source, facts: Sequence[Facts | None], index: Sequence[int], *, workers: int = 2
) -> dict[int, Surround]:
    """The surroundings of some records, of those that can be read.

    Where the scan's facts can be kept, so are these, by the content of image, region and boxes.
    """
    name, keep = _cache_name(source), bool(index) and source.stamp(index[0]) != ""
    known = read_json(name) if keep else None
    known = known if isinstance(known, dict) and len(known) < 4 * MOST_READ else {}
    keys = {i: _key(facts[i]) for i in index}
    new = measure_all(source, [i for i in index if keys[i] not in known], workers=workers)
    if keep and new:
        with contextlib.suppress(OSError):  # the scan has said that nothing can be kept
            write_json(name, {**known, **{keys[i]: _packed(s) for i, s in new.items()}})
    old = {i: _unpacked(known[key]) for i, key in keys.items() if key in known}
    return {**old, **new}


def small_images(
    source: Source, index: Sequence[int], workers: int
) -> dict[int, tuple[np.ndarray, np.ndarray | None]]:
    """`reduced` and `outside_of` of the records that can be read."""

    def one(place: int):
        try:
            sample = source.read_raw(index[place])
        except (BadSample, OSError):  # the scan has said it, or the file went away since
            return None
        return reduced(sample.image, source.white), outside_of(sample)

    looked = map_in_time(
        one, len(index), workers=workers, place=lambda i: source.records[index[i]].place
    )
    return {i: pair for i, pair in zip(index, looked, strict=True) if pair is not None}


def measure_all(source: Source, index: Sequence[int], *, workers: int = 2) -> dict[int, Surround]:
    """`look_at` without what is kept."""
    small = small_images(source, index, workers)
    if not small:
        return {}
    borders = summary(np.stack([image for image, _ in small.values()]), border())
    bare = {i: pair for i, pair in small.items() if pair[1] is not None}
    outside = {}
    if bare:
        images, masks = (np.stack(column) for column in zip(*bare.values(), strict=True))
        outside = dict(zip(bare, summary(images, masks), strict=True))
    return {i: Surround(b, outside.get(i)) for i, b in zip(small, borders, strict=True)}


def backgrounds(found: Mapping[int, Surround], index: Sequence[int]) -> Backgrounds:
    """The features of some records, all of one kind: of what is outside the object, where that
    is known of nearly all; else of the border.

    Args:
        found: What `look_at` found.
        index: The records.
    """
    index = [i for i in index if i in found]
    bare = [i for i in index if found[i].outside is not None]
    if bare and len(bare) >= KNOWN * len(index):
        features = np.stack([found[i].outside for i in bare])
        return Backgrounds(np.array(bare), features, "what lies outside the boxes or regions")
    features = np.stack([found[i].border for i in index]) if index else np.zeros((0, 0))
    return Backgrounds(np.array(index, np.int64), features, "the border of the image")


def chosen(
    facts: Sequence[Facts | None], index: Sequence[int], limit: int = MOST_READ
) -> list[int]:
    """At most `limit` of some records that were read; which ones is a matter of their hashes."""
    read = [i for i in index if facts[i] is not None]
    some = sorted(read, key=lambda i: (facts[i].image_sha256, i))[:limit]
    return sorted(some)


def _cache_name(source: Source) -> str:
    path = "" if source.path is None else str(source.path.resolve())
    text = "\n".join([str(FORMAT), source.name, path, repr(source.white)])
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    return f"surround-{digest[:32]}.json"


def _key(fact: Facts) -> str:
    text = repr((fact.image_sha256, fact.region_sha256, fact.boxes))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _packed(surround: Surround) -> list[str | None]:
    pair = surround.border, surround.outside
    return [None if a is None else base64.b64encode(a.tobytes()).decode() for a in pair]


def _unpacked(kept: Sequence[str | None]) -> Surround:
    pair = [None if t is None else np.frombuffer(base64.b64decode(t), np.float32) for t in kept]
    return Surround(*pair)
