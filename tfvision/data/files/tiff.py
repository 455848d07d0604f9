"""TIFF files: pages, bands, number types and windows, by tifffile.

What Pillow decodes to the same numbers (8 bits, grey of 16 bits, floating-point grey) is left to
it, since it reads every compression without a further package; `is_plain` says which these are.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from tfvision.data.files.issue import BadSample

BROKEN = "Restore the file, or take the sample out of the data set."
GREY_INVERTED, GREY, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
UNSIGNED, FLOAT = 1, 3
ORIENTATION = 274
ALPHA = (1, 2)  # kinds of extra samples that are transparency


@dataclass(frozen=True)
class Header:
    """What a TIFF file says of its pages, reduced copies and masks of transparency left out.

    Attributes:
        pages: How many there are.
        height, width: Of the first page, as stored.
        orientation: Of the first page, as EXIF counts it.
        least_is_white: Whether grey is stored inverted, and has been turned round when it is read.
        directories: For each page its number among all directories of the file, where Pillow
            reads every page, and reads it right; else ().
    """

    pages: int
    height: int
    width: int
    orientation: int
    least_is_white: bool
    directories: tuple[int, ...]


def read_header(data: bytes, place: str) -> Header:
    """Looks at the directories of a TIFF file; decodes nothing.

    Raises:
        BadSample: It is damaged.
    """
    with opened(io.BytesIO(data), place) as file:
        pages = pages_of(file)
        first, count = pages[0], len(pages)
        plain = tuple(page.index for page in pages) if all(map(is_plain, pages)) else ()
        if count == 1 and file.is_imagej:  # one directory for all pages of a large stack
            count = int((file.imagej_metadata or {}).get("images", 1))
        tag = first.tags.get(ORIENTATION)
        return Header(
            pages=count,
            height=int(first.imagelength),
            width=int(first.imagewidth),
            orientation=1 if tag is None else int(tag.value),
            least_is_white=first.photometric == GREY_INVERTED,
            directories=plain if count == len(pages) else (),
        )


def read_page(data: bytes, number: int, place: str) -> tuple[np.ndarray, bool, str]:
    """A page as stored, not turned.

    Returns:
        (H, W, n) of any number type, whether its last band is transparency, and how it is stored,
        e.g. "6 x uint16". Grey whose least value is white is inverted.

    Raises:
        BadSample: The page cannot be decoded.
    """
    with opened(io.BytesIO(data), place) as file:
        pages = pages_of(file)
        page = pages[min(number, len(pages) - 1)]
        try:
            if number < len(pages):
                pixels = page.asarray()
            else:
                pixels = file.series[0].asarray().reshape(-1, *page.shape)[number]
        except Exception as error:  # its decoders raise a dozen types on damaged bytes
            raise _not_decoded(page, error, place) from error
        pixels = bands_last(pixels, page.axes, place)
        return upright_grey(pixels, page, place), has_alpha(page), _stored(page)


@contextmanager
def opened(file: io.BytesIO | Path, place: str) -> Iterator[tifffile.TiffFile]:
    """An open TIFF file with one page at least."""
    try:
        tiff = tifffile.TiffFile(file)
        if not tiff.pages:
            raise ValueError("it has no page")
    except Exception as error:
        raise BadSample(place, f"is a damaged TIFF: {error}", BROKEN) from error
    with tiff:
        yield tiff


def pages_of(file: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """The pages that are pictures of their own."""
    reduced_or_mask = 0b101
    pages = [page for page in file.pages if not int(page.subfiletype) & reduced_or_mask]
    return pages or [file.pages[0]]


def is_plain(page: tifffile.TiffPage) -> bool:
    """Whether Pillow decodes a page to what is stored there."""
    bits, samples, kind, colour = (
        page.bitspersample,
        page.samplesperpixel,
        page.sampleformat,
        page.photometric,
    )
    if page.imagedepth > 1:
        return False
    if kind == FLOAT:
        return bits == 32 and samples == 1 and colour == GREY
    if kind != UNSIGNED:
        return False
    if samples == 1:
        small = bits in (1, 2, 4, 8) and colour in (GREY_INVERTED, GREY, PALETTE)
        return small or (bits in (12, 16) and colour == GREY)
    alpha = has_alpha(page)
    if bits != 8:
        return False
    if colour == GREY:
        return samples == 2 and alpha
    if colour == RGB:
        return samples == 3 or (samples == 4 and alpha)
    return samples == {CMYK: 4, YCBCR: 3}.get(int(colour), 0)


def has_alpha(page: tifffile.TiffPage) -> bool:
    """Whether the last band is declared as transparency."""
    return bool(page.extrasamples) and int(page.extrasamples[-1]) in ALPHA


def bands_last(pixels: np.ndarray, axes: str, place: str) -> np.ndarray:
    """(H, W, n) of a page with these axes, such as YX, YXS or SYX."""
    kept = "".join(a for a, n in zip(axes, pixels.shape, strict=True) if n > 1 or a in "YX")
    pixels = pixels.reshape([n for a, n in zip(axes, pixels.shape, strict=True) if a in kept])
    if kept == "YX":
        return pixels[..., None]
    if kept == "SYX":
        return np.moveaxis(pixels, 0, -1)
    if kept == "YXS":
        return pixels
    raise BadSample(
        place,
        f"is a TIFF with the axes {axes} in one page, an image has rows, columns and bands",
        "Save its slices as pages or as files.",
    )


def upright_grey(pixels: np.ndarray, page: tifffile.TiffPage, place: str) -> np.ndarray:
    """Grey whose least value is white, inverted; all else as it is."""
    if page.photometric == PALETTE or page.photometric in (CMYK, YCBCR):
        raise BadSample(
            place,
            f"is a TIFF of the colours {page.photometric.name} with {_stored(page)} values",
            "Save it as RGB or grey.",
        )
    if page.photometric != GREY_INVERTED:
        return pixels
    if pixels.dtype.kind not in "ub":
        raise BadSample(
            place,
            f"is a TIFF of {pixels.dtype} values whose least is white, which is defined for whole "
            "numbers from 0 on alone",
            "Save it with black as the least value.",
        )
    if pixels.dtype.kind == "b":
        return ~pixels
    return pixels.dtype.type(2**page.bitspersample - 1) - pixels


def _stored(page: tifffile.TiffPage) -> str:
    bits, many = page.bitspersample, page.samplesperpixel
    kind = {1: "uint", 2: "int", 3: "float"}.get(int(page.sampleformat), "data")
    return f"{many} x {kind}{bits}" if many > 1 else f"{kind}{bits}"


def _not_decoded(page: tifffile.TiffPage, error: Exception, place: str) -> BadSample:
    if isinstance(error, ImportError) or "imagecodecs" in str(error):
        compression = getattr(page.compression, "name", page.compression)
        return BadSample(
            place,
            f"is a TIFF of {_stored(page)} with the compression {compression}, which is read with "
            "the package imagecodecs alone",
            "Install it: pip install imagecodecs. Or save the file without compression.",
        )
    return BadSample(place, f"is damaged or cut off ({error})", BROKEN)
