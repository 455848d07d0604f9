"""Images as files: encoded in the format of the name they had, where that keeps their pixels."""

import io

import numpy as np
from PIL import Image

from tfvision.data.files.images import EXTENSIONS
from tfvision.errors import InputError

JPEG = {"quality": 95, "subsampling": 0}  # what is of one colour stays so but for a few grey levels
LOSSLESS = {"PNG": {}, "BMP": {}, "TIFF": {}, "PPM": {}, "WEBP": {"lossless": True, "exact": True}}
DEEP = ("PNG", "TIFF")  # hold 16 bits


def encoded(image: np.ndarray, name: str) -> tuple[str, bytes]:
    """An image as the bytes of a file, and the file's name.

    It is the name that came where its format holds the pixels: JPEG (quality 95, full colour
    resolution), PNG, BMP, TIFF, WebP and PPM. Else its extension is another: `.png` for GIF,
    which would lose colours, and for 16 bits where they do not fit; `.tif` for floating point.
    Nothing but pixels is written: no EXIF, no colour profile, no transparency.

    Args:
        image: (H, W, C) uint8, uint16 or float32, C 1 or 3.
        name: A file name with the extension of an image.

    Raises:
        InputError: The format cannot hold an image of that size.
    """
    start, dot, suffix = name.rpartition(".")
    kind = EXTENSIONS.get(f".{suffix.lower()}") if dot else None
    if image.dtype.kind == "f" and kind != "TIFF":
        kind, name = "TIFF", f"{start or name}.tif"
    elif kind not in (DEEP if image.dtype == np.uint16 else ("JPEG", *LOSSLESS)):
        kind, name = "PNG", f"{start or name}.png"
    if image.shape[-1] == 3 and image.dtype != np.uint8:
        return name, _deep_colour(image, kind)
    pixels = image[..., 0] if image.shape[-1] == 1 else image
    buffer = io.BytesIO()
    try:
        picture = Image.fromarray(np.ascontiguousarray(pixels))
        picture.save(buffer, kind, **(JPEG if kind == "JPEG" else LOSSLESS[kind]))
    except (OSError, ValueError) as error:
        raise InputError(f"{name} cannot be written as {kind}: {error}.") from error
    return name, buffer.getvalue()


def _deep_colour(image: np.ndarray, kind: str) -> bytes:
    """A colour image of uint16 as PNG or TIFF, of float32 as TIFF, which Pillow does not write."""
    if kind == "PNG":
        import cv2  # here: most data has no such image

        return cv2.imencode(".png", image[..., ::-1])[1].tobytes()  # OpenCV has blue first
    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, image, photometric="rgb", compression="zlib")
    return buffer.getvalue()
