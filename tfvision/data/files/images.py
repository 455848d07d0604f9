"""The one place where image and mask files are decoded.

Content decides what a file is, not its extension. Formats: PNG, JPEG, TIFF, BMP, GIF,
WebP, PPM; others (EPS, PDF, PSD, ...) are refused, since their parsers do more than read.

What becomes of an image:

| file | array |
|---|---|
| grey, 1-bit | (H, W, 1) uint8, 1-bit as 0 and 255 |
| 16-bit grey, signed or 32-bit integers within 0..65535 | (H, W, 1) uint16 |
| floating point | (H, W, 1 or 3) float32; NaN and infinity are refused |
| RGB, palette, CMYK, YCbCr | (H, W, 3) uint8 |
| RGB of 16 bits a channel: PNG, PPM, TIFF | (H, W, 3) uint16 |
| least value is white (TIFF) | inverted |
| with alpha | without it where it is fully opaque; else laid on black, with a warning |
| with alpha most of which is neither opaque nor transparent | refused: it is data |
| any number of bands, with `bands` declared | (H, W, 1 or 3), these bands |
| two bands, four or more; several pages | refused, unless `bands`, `pages` say what they are |

A mask keeps its numbers: grey levels as they are, palette indices (never the palette's
colours), 1-bit as 0 and 1. A coloured mask needs `mask_palette`.
The EXIF orientation is applied to images and masks alike. All of this is settled by the options of
`tfvision.data.files.reading.Reading`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from tfvision.data.files.issue import BadSample
from tfvision.data.files.opening import EXTENSIONS, Opened, count_pages, open_as_bands, open_file
from tfvision.data.files.paths import read_bytes
from tfvision.data.files.pixels import (
    chosen_bands,
    colours_to_labels,
    image_array,
    mask_array,
    mask_of_bands,
)
from tfvision.data.files.reading import Reading

__all__ = ["EXTENSIONS", "Decoded", "pages_in", "read_image", "read_mask"]

JPEG_MASK = "a JPEG mask has blurred labels at its edges: save masks as PNG"


@dataclass(frozen=True)
class Decoded:
    """A decoded file.

    Attributes:
        pixels: Image (H, W, C) uint8, uint16 or float32; mask (H, W) int32.
        mode: How the file stores it, see `tfvision.data.files.opening.Opened`.
        warnings: What a careful user would want to know, one sentence each.
        colours: Of a mask with a palette "#rrggbb" of each number that stands in it; else {}.
    """

    pixels: np.ndarray
    mode: str
    warnings: tuple[str, ...] = ()
    colours: Mapping[int, str] = field(default_factory=dict)


def read_image(
    path: str | Path,
    reading: Reading | None = None,
    *,
    place: str = "",
    page: int | None = None,
    **options,
) -> Decoded:
    """Decodes an image file; see the table in this module's head.

    Args:
        path: The file.
        reading: How; None: by `options`, the fields of `Reading`.
        place: What messages call it; the path by default.
        page: Which page is read, whatever `reading.pages` says.

    Raises:
        BadSample: Not an image, damaged, too large, NaN, several pages or a number of bands of
            which nothing says what they are; names the file.
    """
    reading, place = reading or Reading(**options), place or str(path)
    limit = {"limit": None} if reading.max_pixels is None else {}  # memory says it then
    data, suffix = read_bytes(Path(path), place=place, **limit), Path(path).suffix
    if reading.pages == "bands":
        opened = open_as_bands(data, suffix, place, reading)
    else:
        opened = open_file(data, suffix, place, reading, page=page)
    if opened.image is not None and reading.bands is None:
        pixels = image_array(opened.image, place, opened.warnings)
    else:
        bands, alpha = opened.all_bands(place)
        pixels = chosen_bands(bands, alpha, reading.bands, place, opened.warnings)
    return Decoded(pixels, opened.mode, tuple(opened.warnings))


def read_mask(
    path: str | Path,
    reading: Reading | None = None,
    *,
    place: str = "",
    page: int | None = None,
    **options,
) -> Decoded:
    """Decodes a mask file into its raw values, (H, W) int32.

    With `mask_palette` files with a palette count by their colours too; with `threshold` the
    values are 0 and 1. `bands` says nothing of masks.

    Args:
        path, reading, place, page, **options: As `read_image` has them.

    Raises:
        BadSample: As `read_image`; also a coloured mask without `mask_palette`, a colour
            that it does not list, transparency, and fractional values.
    """
    reading, place = reading or Reading(**options), place or str(path)
    data = read_bytes(Path(path), place=place)
    opened = open_file(data, Path(path).suffix, place, reading, page=page, of_mask=True)
    warnings, colours = list(opened.warnings), {}
    if opened.format in ("JPEG", "MPO") and reading.threshold is None:
        warnings.append(JPEG_MASK)
    if opened.inverted:
        warnings.append("is stored with white as its least value: read as it is seen, black as 0")
    if reading.mask_palette is not None:
        labels = _by_colour(opened, reading, place)
    elif opened.image is None:
        labels = mask_of_bands(opened.bands, opened.alpha, place, threshold=reading.threshold)
    else:
        labels = mask_array(opened.image, place, threshold=reading.threshold)
        colours = _palette_colours(opened.image, labels)
    return Decoded(labels, opened.mode, tuple(warnings), colours)


def pages_in(path: Path, *, place: str) -> int:
    """How many pages or frames a file holds.

    Raises:
        BadSample: It cannot be read, or is no image.
    """
    return count_pages(read_bytes(path, place=place), place)


def _by_colour(opened: Opened, reading: Reading, place: str) -> np.ndarray:
    if opened.image is None:
        raise BadSample(
            place,
            f"is a mask stored as {opened.mode}, mask_palette lists colours of 8 bits a channel",
            "Save it as 8-bit RGB.",
        )
    return colours_to_labels(opened.image, dict(reading.mask_palette), place)


def _palette_colours(image: Image.Image, labels: np.ndarray) -> dict[int, str]:
    if image.mode != "P" or image.palette is None:
        return {}
    colours = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    used = np.flatnonzero(np.bincount(labels.ravel(), minlength=256))
    return {int(n): "#" + bytes(colours[n]).hex() for n in used if n < len(colours)}
