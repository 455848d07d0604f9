"""The one place where image and mask files are decoded.

Content decides what a file is, not its extension. Formats: PNG, JPEG, TIFF, BMP, GIF,
WebP, PPM; others (EPS, PDF, PSD, ...) are refused, since their parsers do more than read.

What becomes of an image:

| file | array |
|---|---|
| grey, 1-bit | (H, W, 1) uint8, 1-bit as 0 and 255 |
| 16-bit grey, 32-bit integers up to 65535 | (H, W, 1) uint16 |
| floating point | (H, W, 1) float32; NaN and infinity are refused |
| RGB, palette, CMYK, YCbCr | (H, W, 3) uint8 |
| with alpha | without it where it is fully opaque; else laid on black, with a warning |

A mask keeps its numbers: grey levels as they are, palette indices (never the palette's
colours), 1-bit as 0 and 1. A coloured mask needs `mask_palette`.
The EXIF orientation is applied to images and masks alike.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from tfvision.data.files.damage import JPEG_START, PNG_START, jpeg_without_end, png_damage
from tfvision.data.files.issue import BadSample
from tfvision.data.files.paths import read_bytes
from tfvision.data.files.pixels import colours_to_labels, image_array, mask_array, parse_palette
from tfvision.errors import InputError

MAX_PIXELS = 89_478_485
"""Largest image that is decoded unless `max_pixels` says otherwise: Pillow's own figure."""

EXIF_POLICIES = ("apply", "ignore", "fail")
EXTENSIONS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm"), "PPM"),
    ".png": "PNG",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".webp": "WEBP",
}
_ORIENTATION, _BITS_PER_SAMPLE = 0x0112, 0x0102

Image.init()  # here, once: threads that all meet their first TIFF would race for it
_FORMATS = [name for name in dict.fromkeys(EXTENSIONS.values()) if name in Image.OPEN]


@dataclass(frozen=True)
class Decoded:
    """A decoded file.

    Attributes:
        pixels: Image (H, W, C) uint8, uint16 or float32; mask (H, W) int32.
        mode: Pillow's name of how the file stores it: "RGB", "L", "P", "I;16", "RGBA", ...
        warnings: What a careful user would want to know, one sentence each.
    """

    pixels: np.ndarray
    mode: str
    warnings: tuple[str, ...] = ()


def read_image(
    path: str | Path, *, place: str = "", exif: str = "apply", max_pixels: int = MAX_PIXELS
) -> Decoded:
    """Decodes an image file; see the table in this module's head.

    Args:
        path: The file.
        place: What messages call it; the path by default.
        exif: "apply" the orientation that the file declares, "ignore" it, or "fail".
        max_pixels: Larger images are refused before they are decoded. Pillow itself
            refuses above twice `MAX_PIXELS`.

    Raises:
        BadSample: Not an image, damaged, too large, NaN; names the file.
    """
    place = place or str(path)
    image, warnings = _open(Path(path), place, exif, max_pixels)
    mode = image.mode
    return Decoded(image_array(image, place, warnings), mode, tuple(warnings))


def read_mask(
    path: str | Path,
    *,
    place: str = "",
    mask_palette: Mapping | Sequence | None = None,
    exif: str = "apply",
    max_pixels: int = MAX_PIXELS,
) -> Decoded:
    """Decodes a mask file into its raw values, (H, W) int32.

    Args:
        path, place, exif, max_pixels: As `read_image` has them.
        mask_palette: Label of each colour, for masks stored as colours; see
            `tfvision.data.files.pixels.parse_palette`. Palette files then count by their
            colours too.

    Raises:
        BadSample: As `read_image`; also a coloured mask without `mask_palette`, a colour
            that it does not list, transparency, and fractional values.
    """
    place = place or str(path)
    image, warnings = _open(Path(path), place, exif, max_pixels)
    mode = image.mode
    if image.format == "JPEG":
        warnings.append("a JPEG mask has blurred labels at its edges: save masks as PNG")
    if mask_palette is not None:
        labels = colours_to_labels(image, parse_palette(mask_palette), place)
    else:
        labels = mask_array(image, place)
    return Decoded(labels, mode, tuple(warnings))


def _open(path: Path, place: str, exif: str, max_pixels: int) -> tuple[Image.Image, list[str]]:
    """The decoded, upright Pillow image, and warnings."""
    if exif not in EXIF_POLICIES:
        raise InputError(f"exif must be one of {', '.join(EXIF_POLICIES)}; got {exif!r}.")
    data = read_bytes(path, place=place)
    image, warnings = _decode(data, place, max_pixels, exif)
    expected = EXTENSIONS.get(path.suffix.lower())
    found = "JPEG" if image.format == "MPO" else image.format
    if expected is not None and expected != found:
        warnings.append(f"the extension {path.suffix} does not fit: the file holds {found} data")
    if getattr(image, "is_animated", False) and image.format != "MPO":
        warnings.append("holds several frames: only the first is read")
    if _is_16_bit_colour(image, data):
        warnings.append("has 16 bits a colour channel: only the upper 8 are read")
    if image.format != "TIFF":  # these Pillow has turned already
        image = _upright(image, place, exif, warnings)
    return image, warnings


def _decode(data: bytes, place: str, max_pixels: int, exif: str) -> tuple[Image.Image, list[str]]:
    warnings: list[str] = []
    broken = "Restore the file, or take the sample out of the data set."
    if data.startswith(PNG_START) and (damage := png_damage(data)):
        raise BadSample(place, f"is a damaged PNG: {damage}", broken)
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large(place, str(error).split(",")[0], max_pixels) from error
    except Exception as error:  # Pillow's readers raise a dozen types on hostile bytes
        start = data[:24].decode("latin-1").encode("unicode_escape").decode("ascii")
        raise BadSample(
            place,
            f"is not an image that can be read: it starts with '{start}'",
            f"Known formats: {', '.join(_FORMATS)}. {broken}",
        ) from error
    if image.width * image.height > max_pixels:
        raise _too_large(place, f"{image.height} x {image.width} pixels", max_pixels)
    if image.format == "TIFF" and image.tag_v2.get(_ORIENTATION, 1) != 1:
        if exif == "ignore":
            raise BadSample(
                place,
                "is a TIFF with an orientation, which cannot be ignored",
                "Save it without the tag, or set exif: apply.",
            )
        warnings.append(_turned(image.tag_v2[_ORIENTATION], place, exif))
    try:
        image.load()
    except Exception as error:
        whole = jpeg_without_end(data) if data.startswith(JPEG_START) else None
        if whole is None:
            raise BadSample(place, f"is damaged or cut off ({error})", broken) from error
        image = Image.open(io.BytesIO(whole), formats=("JPEG",))
        image.load()
        warnings.append("the JPEG end marker is missing; all pixels are there")
    return image, warnings


def _too_large(place: str, found: str, max_pixels: int) -> BadSample:
    return BadSample(
        place,
        f"declares {found}, the limit is {max_pixels:,} pixels",
        "Cut it into tiles, or raise max_pixels where you trust the file.",
    )


def _upright(image: Image.Image, place: str, exif: str, warnings: list[str]) -> Image.Image:
    """The image as its EXIF orientation wants it seen."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
        if orientation == 1 or exif == "ignore":
            return image
        said = _turned(orientation, place, exif)
        ImageOps.exif_transpose(image, in_place=True)
    except (SyntaxError, ValueError, OSError, KeyError, TypeError, IndexError) as error:
        if isinstance(error, BadSample):
            raise
        warnings.append(f"its EXIF block cannot be read ({error}): taken as upright")
        return image
    warnings.append(said)
    return image


def _turned(orientation: int, place: str, exif: str) -> str:
    """The warning that an image is turned; an error where that must not be."""
    if exif == "fail":
        raise BadSample(
            place,
            f"has the EXIF orientation {orientation}, and exif: fail is set",
            "Turn the pixels themselves, or set exif: apply.",
        )
    return f"EXIF orientation {orientation} applied"


def _is_16_bit_colour(image: Image.Image, data: bytes) -> bool:
    """Whether Pillow has dropped the lower byte of each channel."""
    if image.mode not in ("RGB", "RGBA", "LA"):
        return False
    if image.format == "PNG":
        return data[24] == 16  # bit depth in the header chunk
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, ())
    return 16 in (bits if isinstance(bits, tuple) else (bits,))
