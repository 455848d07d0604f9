"""From the bytes of an image file to Pillow's image, or to all its bands where that loses some."""

import io
import struct
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageOps

from tfvision.data.files.damage import JPEG_START, PNG_START, jpeg_without_end, png_damage
from tfvision.data.files.deep import is_deep_colour, read_deep_colour
from tfvision.data.files.issue import BadSample
from tfvision.data.files.pixels import image_bands
from tfvision.data.files.reading import Reading
from tfvision.memory import memory_bytes

EXTENSIONS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm"), "PPM"),
    ".png": "PNG",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".webp": "WEBP",
}
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
BROKEN = "Restore the file, or take the sample out of the data set."
_ORIENTATION = 0x0112
_TURNS = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[::-1],
}  # as stored -> upright, by EXIF orientation

Image.init()  # here, once: threads that all meet their first TIFF would race for it
_FORMATS = [name for name in dict.fromkeys(EXTENSIONS.values()) if name in Image.OPEN]


@dataclass(frozen=True)
class Opened:
    """A file as it is stored, upright.

    Attributes:
        image: As Pillow decodes it; None where that would lose something.
        bands: Then all its bands, (H, W, n) of any number type.
        alpha: Whether the last of these is transparency.
        mode: How the file stores it, by Pillow's name: "RGB", "L", "P", "I;16", "RGBA", ...; or
            its bands: "6 x uint16".
        format: Of the file, "PNG".
        inverted: Whether grey is stored with white as its least value, and was turned round.
        warnings: What a careful user would want to know, one sentence each.
    """

    image: Image.Image | None
    bands: np.ndarray | None
    alpha: bool
    mode: str
    format: str
    warnings: list[str]
    inverted: bool = False

    def all_bands(self, place: str) -> tuple[np.ndarray, bool]:
        """(H, W, n), and whether the last is transparency."""
        return (self.bands, self.alpha) if self.image is None else image_bands(self.image, place)


def open_file(
    data: bytes,
    suffix: str,
    place: str,
    reading: Reading,
    *,
    page: int | None = None,
    of_mask: bool = False,
) -> Opened:
    """A file's content, upright.

    Args:
        data: The content.
        suffix: Of the file's name.
        place: For messages.
        reading: How it is read; of `pages` a number or None, or any where `page` is given.
        page: Which page.
        of_mask: Whether it is a mask, for messages.

    Raises:
        BadSample: Not an image, damaged, too large, several pages of which none is declared.
    """
    if data.startswith(PNG_START) and (damage := png_damage(data)):
        raise BadSample(place, f"is a damaged PNG: {damage}", BROKEN)
    if data.startswith(TIFF_STARTS):
        return _open_tiff(data, suffix, place, reading, page, of_mask)
    image, warnings = _identified(data, place), []
    _check_format("JPEG" if image.format == "MPO" else image.format, suffix, warnings)
    _check_pixels(image.height, image.width, len(image.getbands()), place, reading)
    number = page_number(_frames(image), reading, page, place, of_mask=of_mask, animated=True)
    if number:
        image.seek(number)
    mode, kind = image.mode, image.format
    if is_deep_colour(data):
        pixels, alpha = read_deep_colour(data, place)
        turned = _TURNS.get(_orientation(image, place, reading.exif, warnings), lambda a: a)
        mode = f"{pixels.shape[-1]} x uint16"
        return Opened(None, turned(pixels), alpha, mode, kind, warnings)
    image = _loaded(image, data, place, warnings)
    return Opened(_upright(image, place, reading.exif, warnings), None, False, mode, kind, warnings)


def open_as_bands(data: bytes, suffix: str, place: str, reading: Reading) -> Opened:
    """A file whose pages are the bands of one image.

    Raises:
        BadSample: Its pages have different sizes or several bands each, and as `open_file`.
    """
    pages = range(count_pages(data, place))
    opened = [open_file(data, suffix, place, reading, page=n) for n in pages]
    bands = [one.all_bands(place)[0] for one in opened]
    if len(bands) == 1:
        return opened[0]
    if len({band.shape for band in bands}) > 1 or bands[0].shape[-1] != 1:
        shapes = sorted({" x ".join(map(str, band.shape)) for band in bands})
        raise BadSample(
            place,
            f"has pages of {' and '.join(shapes[:3])} (height x width x bands), and with pages: "
            "bands each must be one band, of one size",
            "Take one page instead: --set data.source.pages=0.",
        )
    stacked = np.concatenate(bands, axis=-1)
    return replace(opened[0], image=None, bands=stacked, mode=f"{len(bands)} pages")


def count_pages(data: bytes, place: str) -> int:
    """How many pages or frames a file holds.

    Raises:
        BadSample: It is no image.
    """
    if data.startswith(TIFF_STARTS):
        from tfvision.data.files.tiff import read_header  # its library only where there is a TIFF

        return read_header(data, place).pages
    return _frames(_identified(data, place))


def page_number(
    pages: int,
    reading: Reading,
    page: int | None,
    place: str,
    *,
    of_mask: bool = False,
    animated: bool = False,
) -> int:
    """Which page is read.

    Args:
        pages: How many there are.
        reading: Its `pages` counts where `page` is None.
        page: The page that is asked for.
        place, of_mask: For messages.
        animated: Whether they are the frames of an animation, for messages.

    Raises:
        BadSample: There are several and nothing says which, or there is none of that number.
    """
    wanted = reading.pages if page is None else page
    if wanted in (None, "each", "bands"):
        if pages > 1:
            word = "frame" if animated else "page"
            typed = [f"pages=0 for the first {word} alone", f"pages=each for a sample a {word}"]
            if of_mask:
                typed[1] = f"pages=each where its image has as many, each {word} a sample"
            elif not animated:
                typed.append("pages=bands for the bands of one image")
            raise BadSample(
                place,
                f"holds {pages} {word}s, one {'mask' if of_mask else 'picture'} a file is expected",
                f"Say what is read: {', '.join(f'--set data.source.{text}' for text in typed)}.",
            )
        return 0
    if wanted >= pages:
        raise BadSample(
            place,
            f"holds {pages} page{'s' * (pages > 1)}, and page {wanted} is declared, counted from 0",
            "Declare a page that every file has: --set data.source.pages=0.",
        )
    return wanted


def _open_tiff(
    data: bytes, suffix: str, place: str, reading: Reading, page: int | None, of_mask: bool
) -> Opened:
    from tfvision.data.files.tiff import read_header, read_page

    header, warnings = read_header(data, place), []
    _check_format("TIFF", suffix, warnings)
    _check_pixels(header.height, header.width, 3, place, reading)
    number = page_number(header.pages, reading, page, place, of_mask=of_mask)
    if header.orientation != 1 and reading.exif != "ignore":
        warnings.append(_turned(header.orientation, place, reading.exif))
    if header.directories and (header.orientation == 1 or reading.exif != "ignore"):
        image = _identified(data, place)
        if header.directories[number]:
            image.seek(header.directories[number])
        mode = image.mode  # Pillow turns a TIFF itself
        image = _loaded(image, data, place, warnings)
        return Opened(image, None, False, mode, "TIFF", warnings, header.least_is_white)
    pixels, alpha, mode = read_page(data, number, place)
    if reading.exif != "ignore":
        pixels = _TURNS.get(header.orientation, lambda a: a)(pixels)
    return Opened(None, pixels, alpha, mode, "TIFF", warnings, header.least_is_white)


def _identified(data: bytes, place: str) -> Image.Image:
    """Pillow's image, of which the header alone is read.

    By Pillow's readers themselves: its `open` adds a limit of its own to `max_pixels`.
    """
    file = io.BytesIO(data)
    reason: Exception | None = None
    for name in _FORMATS:
        factory, accepts = Image.OPEN[name]
        try:
            if accepts is None or accepts(data[:16]):
                file.seek(0)
                return factory(file, "")
        except (SyntaxError, IndexError, TypeError, struct.error) as error:
            reason = error  # another reader may know it
        except Exception as error:  # Pillow's readers raise a dozen types on hostile bytes
            reason = error
            break
    start = data[:24].decode("latin-1").encode("unicode_escape").decode("ascii")
    raise BadSample(
        place,
        f"is not an image that can be read: it starts with '{start}'",
        f"Known formats: {', '.join(_FORMATS)}. {BROKEN}",
    ) from reason


def _frames(image: Image.Image) -> int:
    """Of an animation or a stack; a photograph with a second picture behind it (MPO) has one."""
    if image.format == "MPO" or not getattr(image, "is_animated", False):
        return 1
    return image.n_frames


def _loaded(image: Image.Image, data: bytes, place: str, warnings: list[str]) -> Image.Image:
    try:
        image.load()
    except Exception as error:
        whole = jpeg_without_end(data) if data.startswith(JPEG_START) else None
        if whole is None:
            raise BadSample(place, f"is damaged or cut off ({error})", BROKEN) from error
        image = Image.open(io.BytesIO(whole), formats=("JPEG",))
        image.load()
        warnings.append("the JPEG end marker is missing; all pixels are there")
    return image


def _check_format(found: str, suffix: str, warnings: list[str]) -> None:
    expected = EXTENSIONS.get(suffix.lower())
    if expected is not None and expected != found:
        warnings.append(f"the extension {suffix} does not fit: the file holds {found} data")


def _check_pixels(height: int, width: int, bands: int, place: str, reading: Reading) -> None:
    """Raises a `BadSample` before an image is decoded that is larger than is allowed, or than
    memory holds: Pillow's copy of a pixel and ours, `2 * bands + 1` bytes."""
    pixels = height * width
    if reading.max_pixels is None:
        free, need = memory_bytes()[1], pixels * (2 * bands + 1)
        if free is not None and need > free:
            raise BadSample(
                place,
                f"has {height} x {width} pixels, which take {need / 2**30:.1f} GiB to decode, "
                f"{2 * bands + 1} bytes a pixel, and {free / 2**30:.1f} GiB are free",
                "Save it as a TIFF, which is read window by window.",
            )
    elif pixels > reading.max_pixels:
        raise BadSample(
            place,
            f"declares {height} x {width} pixels, the limit is {reading.max_pixels:,} pixels",
            "A segmentation predicts images of any size in tiles: predict RUN IMAGE --tile 512. To "
            "train on it or to audit it, where you trust the file, raise the limit: --set "
            f"data.source.max_pixels={pixels}.",
        )


def _upright(image: Image.Image, place: str, exif: str, warnings: list[str]) -> Image.Image:
    """The image as its EXIF orientation wants it seen."""
    orientation = _orientation(image, place, exif, warnings)
    if orientation != 1:
        try:
            ImageOps.exif_transpose(image, in_place=True)
        except _BAD_EXIF as error:
            warnings[-1] = f"its EXIF block cannot be read ({error}): taken as upright"
    return image


_BAD_EXIF = (SyntaxError, ValueError, OSError, KeyError, TypeError, IndexError)


def _orientation(image: Image.Image, place: str, exif: str, warnings: list[str]) -> int:
    """The EXIF orientation that is to be applied, 1 for none; says so among the warnings."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except _BAD_EXIF as error:
        warnings.append(f"its EXIF block cannot be read ({error}): taken as upright")
        return 1
    if orientation == 1 or exif == "ignore":
        return 1
    warnings.append(_turned(orientation, place, exif))
    return orientation


def _turned(orientation: int, place: str, exif: str) -> str:
    """The warning that an image is turned; an error where that must not be."""
    if exif == "fail":
        raise BadSample(
            place,
            f"has the EXIF orientation {orientation}, and exif: fail is set",
            "Turn the pixels themselves, or set exif: apply.",
        )
    return f"EXIF orientation {orientation} applied"
