"""From decoded files to arrays: colour modes, transparency, palettes, number types."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from tfvision.data.files.issue import BadSample
from tfvision.errors import InputError

Colour = tuple[int, int, int]


def parse_palette(palette: Mapping | Sequence) -> dict[Colour, int]:
    """Colours and their labels: `["#000000", "#ff0000"]` in class order, or a mapping.

    A colour is "#rrggbb" or three numbers 0..255.
    """
    if isinstance(palette, Mapping):
        items = list(palette.items())
    else:
        items = [(colour, label) for label, colour in enumerate(palette)]
    labels = {}
    for colour, label in items:
        key = _colour(colour)
        if key in labels:
            raise InputError(f"mask_palette lists the colour {colour!r} twice. Keep one.")
        if isinstance(label, bool) or not isinstance(label, int) or label < 0:
            raise InputError(
                f"mask_palette gives {colour!r} the label {label!r}; it must be 0, 1, 2, ..."
            )
        labels[key] = label
    if not labels:
        raise InputError('mask_palette is empty. Write {"#000000": 0, "#ff0000": 1}.')
    return labels


def image_array(image: Image.Image, place: str, warnings: list[str]) -> np.ndarray:
    """(H, W, C); see the table in this module's head."""
    if image.mode in ("RGB", "L", "P") and "transparency" in image.info:
        image = image.convert("LA" if image.mode == "L" else "RGBA")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        grey = image.mode in ("LA", "La")
        return _on_black(np.asarray(image.convert("LA" if grey else "RGBA")), warnings)
    if image.mode == "L":
        return np.asarray(image)[..., None]
    if image.mode == "1":
        return np.asarray(image.convert("L"))[..., None]
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _uint16(np.asarray(image), place)[..., None]
    if image.mode == "F":
        pixels = np.asarray(image, np.float32)
        check_finite(pixels, place)
        return pixels[..., None]
    try:
        return np.asarray(image.convert("RGB"))
    except (ValueError, OSError) as error:
        raise BadSample(
            place, f"has the colour mode {image.mode}", "Save it as RGB or grey."
        ) from error


def _on_black(pixels: np.ndarray, warnings: list[str]) -> np.ndarray:
    """Colour or grey with alpha (H, W, C + 1) as (H, W, C)."""
    colour, alpha = pixels[..., :-1], pixels[..., -1:]
    if (alpha == 255).all():
        return np.ascontiguousarray(colour)
    warnings.append("is partly transparent: laid on black")
    return np.rint(colour * (alpha / np.float32(255))).astype(np.uint8)


def _uint16(pixels: np.ndarray, place: str) -> np.ndarray:
    low, high = pixels.min(), pixels.max()
    if low < 0 or high > 65535:
        raise BadSample(
            place, f"holds values {low}..{high}, 0..65535 are expected", "Rescale the image."
        )
    return pixels.astype(np.uint16)


def check_finite(values: np.ndarray, place: str) -> None:
    """Raises a `BadSample` that names the first NaN or infinity of an array (H, W[, C])."""
    if not np.isfinite(values).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise BadSample(
            place,
            f"holds {values[at]} at pixel (y, x) = {at[:2]}"
            f" ({np.count_nonzero(~np.isfinite(values))} such values)",
            "Replace them by numbers, or take the sample out.",
        )


def mask_array(image: Image.Image, place: str) -> np.ndarray:
    """(H, W) int32 raw values."""
    if image.mode in ("LA", "PA", "RGBA"):
        if (np.asarray(image.getchannel("A")) != 255).any():
            raise BadSample(
                place, "is a partly transparent mask", "Save it as grey or palette PNG."
            )
        image = image.convert({"LA": "L", "PA": "P", "RGBA": "RGB"}[image.mode])
    if image.mode == "RGB":
        pixels = np.asarray(image)
        coloured = (pixels != pixels[..., :1]).any(axis=-1)
        if coloured.any():
            y, x = (int(i) for i in np.argwhere(coloured)[0])
            raise BadSample(
                place,
                f"is a coloured mask: pixel (y, x) = ({y}, {x}) is "
                f"({', '.join(map(str, pixels[y, x]))}), labels are numbers",
                'Say what the colours mean, e.g. mask_palette: {"#000000": 0, "#ff0000": 1}, '
                "or save label numbers.",
            )
        return pixels[..., 0].astype(np.int32)
    if image.mode in ("1", "L", "P", "I") or image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.int32)
    if image.mode == "F":
        return integral(np.asarray(image), place)
    raise BadSample(
        place, f"is a mask of colour mode {image.mode}", "Save it as grey or palette PNG."
    )


def integral(mask: np.ndarray, place: str) -> np.ndarray:
    """A mask (H, W) of any number type as int32; fractions and NaN are refused."""
    if mask.dtype.kind in "biu" and mask.dtype.itemsize <= 4:
        return mask.astype(np.int32)
    wrong = (
        ~((mask == np.rint(mask)) & (np.abs(mask) < 2**31))
        if mask.dtype.kind == "f"
        else (np.abs(mask.astype(np.float64)) >= 2**31)
    )
    if wrong.any():
        y, x = (int(i) for i in np.argwhere(wrong)[0])
        raise BadSample(
            place,
            f"the mask holds {mask[y, x]} at pixel (y, x) = ({y}, {x}), labels are whole numbers",
            "Store class numbers 0, 1, 2, ... in the mask.",
        )
    return mask.astype(np.int32)


def colours_to_labels(image: Image.Image, palette: dict[Colour, int], place: str) -> np.ndarray:
    pixels = np.asarray(image.convert("RGB")).astype(np.int32)
    codes = (pixels[..., 0] << 16) | (pixels[..., 1] << 8) | pixels[..., 2]
    known = np.array([(r << 16) | (g << 8) | b for r, g, b in palette], np.int32)
    order = np.argsort(known)
    position = np.searchsorted(known[order], codes).clip(max=len(known) - 1)
    unknown = known[order][position] != codes
    if unknown.any():
        y, x = (int(i) for i in np.argwhere(unknown)[0])
        red, green, blue = (int(v) for v in pixels[y, x])
        raise BadSample(
            place,
            f"the mask holds the colour #{red:02x}{green:02x}{blue:02x} at pixel (y, x) = "
            f"({y}, {x}), mask_palette does not list it",
            "Add it to mask_palette, or correct the mask.",
        )
    return np.array(list(palette.values()), np.int32)[order][position]


def _colour(colour) -> Colour:
    if isinstance(colour, str):
        digits = colour.removeprefix("#")
        if len(digits) == 6 and all(c in "0123456789abcdefABCDEF" for c in digits):
            return tuple(int(digits[i : i + 2], 16) for i in (0, 2, 4))
    elif len(colour) == 3 and all(isinstance(v, int) and 0 <= v <= 255 for v in colour):
        return tuple(colour)
    raise InputError(
        f'mask_palette holds the colour {colour!r}. Write "#rrggbb" or three numbers 0..255.'
    )
