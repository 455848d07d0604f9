"""16 bits a colour channel, which Pillow cuts to 8: PNG by OpenCV, PPM by NumPy's reader."""

import numpy as np

from tfvision.data.files.damage import PNG_START
from tfvision.data.files.issue import BadSample

DAMAGED = "Restore the file, or take the sample out of the data set."


def is_deep_colour(data: bytes) -> bool:
    """Whether a file is a PNG or a PPM of more than one channel with more than 8 bits each."""
    if data.startswith(PNG_START):
        return data[24:25] == b"\x10" and data[25:26] in (b"\x02", b"\x04", b"\x06")
    if data[:2] not in (b"P3", b"P6"):
        return False
    try:
        return int(_ppm_header(data)[0][2]) > 255
    except (IndexError, ValueError):
        return False  # left to Pillow, whose message says what is wrong


def read_deep_colour(data: bytes, place: str) -> tuple[np.ndarray, bool]:
    """(H, W, n) uint16, of the full range 0..65535, and whether its last band is transparency."""
    return _read_png(data, place) if data.startswith(PNG_START) else (_read_ppm(data, place), False)


def _read_png(data: bytes, place: str) -> tuple[np.ndarray, bool]:
    import cv2  # here: most data has no such file

    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != 3 or pixels.dtype != np.uint16:
        raise BadSample(place, "is a damaged PNG of 16 bits a channel", DAMAGED)
    alpha = pixels.shape[-1] == 4
    pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[-1]]]  # OpenCV has blue first
    grey_with_alpha = data[25:26] == b"\x04"
    return np.ascontiguousarray(pixels[..., [0, 3]] if grey_with_alpha else pixels), alpha


def _read_ppm(data: bytes, place: str) -> np.ndarray:
    (width, height, most), start = _ppm_header(data)
    count = width * height * 3
    try:
        if data[:2] == b"P6":
            values = np.frombuffer(data, ">u2", count, offset=start)
        else:
            values = np.array(data[start:].split()[:count], np.uint16)
        pixels = values.reshape(height, width, 3)
    except (ValueError, OverflowError) as error:
        raise BadSample(place, f"is damaged or cut off ({error})", DAMAGED) from error
    if pixels.max() > most:
        raise BadSample(place, f"holds {pixels.max()}, its header says {most} at most", DAMAGED)
    return np.rint(pixels * (65535 / most)).astype(np.uint16)


def _ppm_header(data: bytes) -> tuple[tuple[int, int, int], int]:
    """Width, height and largest value of a PPM file, and where its values begin."""
    numbers, at = [], 2
    while len(numbers) < 3:
        while data[at : at + 1].isspace():
            at += 1
        end = at
        if data[at : at + 1] == b"#":
            at = data.index(b"\n", at)
            continue
        while data[end : end + 1].isdigit():
            end += 1
        numbers.append(int(data[at:end]))
        at = end
    return tuple(numbers), at + 1
