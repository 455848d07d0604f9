"""Images too large to be held, of which a part is decoded where it is looked at."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tfvision.data.files.issue import BadSample
from tfvision.data.files.opening import TIFF_STARTS, page_number
from tfvision.data.files.pixels import chosen_bands
from tfvision.data.files.reading import Reading
from tfvision.data.files.tiff import (
    GREY,
    GREY_INVERTED,
    ORIENTATION,
    RGB,
    bands_last,
    has_alpha,
    opened,
    pages_of,
    upright_grey,
)

SEPARATE = 2  # each band stored for itself


class Windows:
    """An image (H, W, C) of a TIFF file, whose parts are decoded by `image[rows, columns]`.

    Of a file in tiles or strips those are decoded that a part touches, and kept while parts of the
    same rows follow; of one that is not compressed nothing but the part is read.

    Args:
        path: The file.
        page: Which of its pages.
        finish: From stored bands (h, w, n) to what is read of them (h, w, C).

    Attributes:
        shape, dtype, ndim: As an array has them.
    """

    ndim = 3

    def __init__(self, path: Path, page: int, finish: Callable[[np.ndarray], np.ndarray]):
        self._file = tifffile.TiffFile(path)
        self._page = pages_of(self._file)[page]
        self._finish = finish
        self._kept: dict[int, tuple[Any, int]] = {}  # number of a segment -> it, its last row
        self._whole = self._mapped(path)
        first = self[:1, :1]
        self.shape = (int(self._page.imagelength), int(self._page.imagewidth), first.shape[-1])
        self.dtype = first.dtype

    def then(self, change: Callable[[np.ndarray], np.ndarray]) -> "Windows":
        """The same image, each part changed by a function (h, w, C) -> (h, w, D) of its pixels."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._finish = lambda bands: change(self._finish(bands))
        first = other[:1, :1]
        other.shape, other.dtype = (*self.shape[:2], first.shape[-1]), first.dtype
        return other

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        rows, columns = key
        top, bottom, _ = rows.indices(int(self._page.imagelength))
        left, right, _ = columns.indices(int(self._page.imagewidth))
        if self._whole is not None:
            return self._finish(np.asarray(self._whole[top:bottom, left:right]))
        return self._finish(self._decoded(top, bottom, left, right))

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self[:, :], dtype)

    def _mapped(self, path: Path) -> np.ndarray | None:
        """The bands (H, W, n) of a page that lies in the file as it is in memory."""
        page = self._page
        if not page.is_memmappable:
            return None
        dtype = page.dtype.newbyteorder(self._file.byteorder)
        stored = np.memmap(path, dtype, "r", page.dataoffsets[0], page.shape)
        return bands_last(stored, page.axes, str(path))

    def _decoded(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        page = self._page
        high = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
        wide = page.tilewidth if page.is_tiled else page.imagewidth
        down, across = -(-page.imagelength // high), -(-page.imagewidth // wide)
        planes = page.samplesperpixel if page.planarconfig == SEPARATE else 1
        found = np.zeros((bottom - top, right - left, page.samplesperpixel), page.dtype)
        self._kept = {number: kept for number, kept in self._kept.items() if kept[1] > top}
        for plane in range(planes):
            for row in range(top // high, -(-bottom // high)):
                for column in range(left // wide, -(-right // wide)):
                    number = (plane * down + row) * across + column
                    segment = self._segment(number, last=(row + 1) * high)
                    if segment is None:  # a tile that was left out
                        continue
                    y, x = row * high, column * wide
                    y0, y1 = max(top, y), min(bottom, y + segment.shape[0])
                    x0, x1 = max(left, x), min(right, x + segment.shape[1])
                    bands = slice(plane, plane + 1) if planes > 1 else slice(None)
                    found[y0 - top : y1 - top, x0 - left : x1 - left, bands] = segment[
                        y0 - y : y1 - y, x0 - x : x1 - x
                    ]
        return found

    def _segment(self, number: int, *, last: int) -> np.ndarray | None:
        """A tile or strip (h, w, n), decoded or still there."""
        if number not in self._kept:
            page, file = self._page, self._file.filehandle
            file.seek(page.dataoffsets[number])
            data = file.read(page.databytecounts[number])
            decoded = page.decode(data, number, jpegtables=page.jpegtables)[0] if data else None
            self._kept[number] = (None if decoded is None else decoded[0], last)
        return self._kept[number][0]


def open_windows(
    path: Path, reading: Reading, *, place: str, page: int | None = None
) -> Windows | None:
    """A TIFF image that is decoded part by part; None for another file, and for a TIFF that must be
    decoded whole: turned, with a palette or transparency, or compressed in a way that needs a
    package which is not there.

    Raises:
        BadSample: It is damaged, or has several pages, or bands that are not declared.
    """
    with path.open("rb") as file:
        if not file.read(4).startswith(TIFF_STARTS):
            return None
    with opened(path, place) as file:
        pages = pages_of(file)
        number = page_number(len(pages), reading, page, place)
        first = pages[number]
        turned = first.tags.get(ORIENTATION)
        colours = (GREY, GREY_INVERTED, RGB)
        if (
            (turned is not None and turned.value != 1 and reading.exif != "ignore")
            or first.photometric not in colours
            or first.bitspersample not in (8, 16, 32, 64)
            or first.imagedepth > 1
            or (has_alpha(first) and reading.bands is None)
            or file.is_imagej
        ):
            return None

    def finish(bands: np.ndarray) -> np.ndarray:
        upright = upright_grey(bands, first, place)
        return chosen_bands(upright, False, reading.bands, place, [])

    try:
        return Windows(path, number, finish)
    except BadSample:
        raise
    except Exception:  # its decoders raise a dozen types; decoded whole it says what is wrong
        return None
