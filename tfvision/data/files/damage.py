"""Damage that Pillow does not tell, or tells without saying what is left of the image."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
PNG_START = b"\x89PNG\r\n\x1a\n"


def jpeg_without_end(data: bytes) -> bytes | None:
    """`data` completed by its end marker, where nothing else is missing; else None.

    The decoder fills a scan that stops early from whatever bytes follow. So the file
    is decoded with several fillings before the marker: where all give one picture,
    every pixel was there.
    """
    body = data[:-1] if data.endswith(b"\xff") else data
    try:
        pictures = [_decode(body + fill * 64 + JPEG_END) for fill in (b"", b"\x55", b"\xaa")]
    except Exception:  # a damaged header: nothing to complete
        return None
    if all(np.array_equal(pictures[0], other) for other in pictures[1:]):
        return body + JPEG_END
    return None


def png_damage(data: bytes) -> str | None:
    """The first damaged critical chunk of a PNG file, in words; None where all are whole.

    Chunks and their CRC-32: PNG specification (ISO/IEC 15948), section 5.
    """
    offset = len(PNG_START)
    while offset + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, offset)
        name = data[offset + 4 : offset + 8]
        end = offset + 12 + length
        if end > len(data):
            break
        (expected,) = struct.unpack_from(">I", data, end - 4)
        critical = not name[0] & 0x20
        if critical and zlib.crc32(memoryview(data)[offset + 4 : end - 4]) != expected:
            return f"the checksum of its {name.decode('ascii', 'replace')} chunk is wrong"
        if name == b"IEND":
            return None
        offset = end
    return "the file is cut off before its end"


def _decode(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data), formats=("JPEG",)))
