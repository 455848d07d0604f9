"""From decoded files to arrays: colour modes, transparency, palettes, number types."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from tfvision.data.files.issue import BadSample
from tfvision.errors import InputError

Colour = tuple[int, int, int]
FEW_COLOURS = 24  # that are listed to be copied into mask_palette
TINT = 48  # grey levels by which the channels of a grey JPEG may differ


def white_of(dtype: np.dtype | str, declared: float | None = None) -> float:
    """The pixel value that means 1.0 in images of a dtype.

    It is 255, 65535 or 1.0, or what is declared. Where that is beyond 255 it is meant for the
    deeper images of a data set: those of 8 bits never reach it.
    """
    dtype = np.dtype(dtype)
    if declared is not None and not (dtype == np.uint8 and declared > 255):
        return float(declared)
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0


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
    """(H, W, 1 or 3); see the table in the head of `tfvision.data.files.images`."""
    pixels, alpha = image_bands(image, place)
    return without_alpha(pixels, place, warnings) if alpha else pixels


def image_bands(image: Image.Image, place: str) -> tuple[np.ndarray, bool]:
    """All bands of an image (H, W, n), and whether the last is transparency."""
    if image.mode in ("RGB", "L", "P") and "transparency" in image.info:
        image = image.convert("LA" if image.mode == "L" else "RGBA")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        grey = image.mode in ("LA", "La")
        return np.asarray(image.convert("LA" if grey else "RGBA")), True
    if image.mode == "L":
        return np.asarray(image)[..., None], False
    if image.mode == "1":
        return np.asarray(image.convert("L"))[..., None], False
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return stored_numbers(np.asarray(image), place)[..., None], False
    try:
        return np.asarray(image.convert("RGB")), False
    except (ValueError, OSError) as error:
        raise BadSample(
            place, f"has the colour mode {image.mode}", "Save it as RGB or grey."
        ) from error


def without_alpha(pixels: np.ndarray, place: str, warnings: list[str]) -> np.ndarray:
    """Colour or grey with alpha (H, W, n + 1) as (H, W, n): laid on black.

    Raises:
        BadSample: Most values of alpha are neither opaque nor transparent: it is data.
    """
    colour, alpha = pixels[..., :-1], pixels[..., -1:]
    largest = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "iu" else 1.0
    if (alpha == largest).all():
        return np.ascontiguousarray(colour)
    plain = np.count_nonzero((alpha == 0) | (alpha == largest))
    if 2 * plain < alpha.size:
        last = colour.shape[-1]
        raise BadSample(
            place,
            f"has an alpha channel that looks like data: {1 - plain / alpha.size:.0%} of its "
            "values are neither opaque nor transparent",
            f"Say which channels are read, e.g. {_typed_bands(range(last))} for all but alpha, "
            f"{_typed_bands([last])} for alpha alone, {_typed_bands([0, 1, last])} for three of "
            "them."
            if last == 3
            else f"Say which channel is read: {_typed_bands([0])}, or {_typed_bands([last])} for "
            "alpha.",
        )
    warnings.append("is partly transparent: laid on black")
    laid = colour * (alpha / np.float32(largest))
    return laid if pixels.dtype.kind == "f" else np.rint(laid).astype(pixels.dtype)


def chosen_bands(
    pixels: np.ndarray, alpha: bool, bands: Sequence[int] | None, place: str, warnings: list[str]
) -> np.ndarray:
    """The bands of an image that are read, (H, W, 1 or 3) uint8, uint16 or float32.

    Args:
        pixels: (H, W, n) of any number type.
        alpha: Whether the last band is transparency.
        bands: Which are declared, counted from 0; None: none, so all of them are meant.
        place: For messages.
        warnings: Is added what was done.

    Raises:
        BadSample: There is no such band; or there are neither one nor three, and none is declared.
    """
    count = pixels.shape[-1]
    if bands is not None:
        if max(bands) >= count:
            raise BadSample(
                place,
                f"has {count} band{'s' * (count > 1)}, numbered 0 to {count - 1}, and bands "
                f"{list(bands)} are declared",
                "Declare bands that every image has, or take the file out.",
            )
        return stored_numbers(np.ascontiguousarray(pixels[..., list(bands)]), place)
    pixels = stored_numbers(pixels, place)
    if alpha and count > 1:
        pixels = without_alpha(pixels, place, warnings)
    if pixels.shape[-1] not in (1, 3):
        raise BadSample(
            place,
            f"has {count} bands, and a model sees one or three",
            "Say which, counted from 0: "
            + _typed_bands([0, 1, 2] if count > 2 else [0])
            + f", or {_typed_bands([count - 1])} for the last alone.",
        )
    return pixels


def stored_numbers(pixels: np.ndarray, place: str) -> np.ndarray:
    """Pixels of any number type as uint8, uint16 or float32, values unchanged.

    Raises:
        BadSample: They hold negative integers, integers above 65535, NaN, or complex numbers.
    """
    kind = pixels.dtype.kind
    if pixels.dtype in (np.uint8, np.uint16) and pixels.dtype.isnative:
        return pixels
    if kind == "b":
        return pixels.astype(np.uint8) * np.uint8(255)
    if kind == "f":
        check_finite(pixels, place)
        return pixels.astype(np.float32)
    if kind not in "iu":
        raise BadSample(place, f"holds {pixels.dtype} values", "Save it as whole numbers or float.")
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0 or high > 65535:
        raise BadSample(
            place,
            f"holds {pixels.dtype} values {low}..{high}, 0..65535 are expected",
            "Rescale the image: shift and scale its values to 0..65535 and save it as uint16, or "
            "to 0..1 as float32.",
        )
    return pixels.astype(np.uint8 if pixels.dtype.itemsize == 1 else np.uint16)


def _typed_bands(bands: Sequence[int]) -> str:
    return f"--set data.source.bands=[{','.join(map(str, bands))}]"


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


_SAVE_MASK = (
    'python -c "from PIL import Image; from pathlib import Path; [{do}.save(p) for p in '
    "Path('FOLDER OF THE MASKS').glob('*.png')]\""
)
TRANSPARENT_MASK = (
    "is a partly transparent mask: labels are numbers, or colours that are declared",
    "Keep a copy of the masks. Then, where the object is what is opaque, type "
    + _SAVE_MASK.format(do="Image.open(p).convert('RGBA').getchannel('A')")
    + "; where colours say the class and what is transparent is background, "
    + _SAVE_MASK.format(
        do="Image.alpha_composite(Image.new('RGBA', i.size, 'black'), i).convert('RGB')"
    ).replace("glob('*.png')]", "glob('*.png') for i in [Image.open(p).convert('RGBA')]]")
    + ".",
)


def mask_array(image: Image.Image, place: str, *, threshold: float | None = None) -> np.ndarray:
    """(H, W) int32 raw values; with a threshold 1 from it on, 0 below."""
    if image.mode in ("LA", "PA", "RGBA"):
        if (np.asarray(image.getchannel("A")) != 255).any():
            raise BadSample(place, *TRANSPARENT_MASK)
        image = image.convert({"LA": "L", "PA": "P", "RGBA": "RGB"}[image.mode])
    if image.mode == "RGB":
        return grey_of_colours(np.asarray(image), place, threshold=threshold)
    if image.mode not in ("1", "L", "P", "I", "F") and not image.mode.startswith("I;16"):
        raise BadSample(
            place, f"is a mask of colour mode {image.mode}", "Save it as grey or palette PNG."
        )
    return mask_numbers(np.asarray(image), place, threshold=threshold)


def mask_of_bands(
    pixels: np.ndarray, alpha: bool, place: str, *, threshold: float | None
) -> np.ndarray:
    """The mask (H, W) int32 of bands (H, W, n) of any number type."""
    if alpha and pixels.shape[-1] > 1:
        if (pixels[..., -1] != pixels[..., -1].max()).any():
            raise BadSample(place, *TRANSPARENT_MASK)
        pixels = pixels[..., :-1]
    if pixels.shape[-1] == 1:
        return mask_numbers(pixels[..., 0], place, threshold=threshold)
    if pixels.shape[-1] == 3:
        return grey_of_colours(pixels, place, threshold=threshold)
    raise BadSample(
        place,
        f"is a mask of {pixels.shape[-1]} bands, one number a pixel is expected",
        "Save class numbers in one band.",
    )


def grey_of_colours(pixels: np.ndarray, place: str, *, threshold: float | None) -> np.ndarray:
    """The numbers (H, W) int32 of a mask stored in three equal channels (H, W, 3)."""
    low, high = pixels.min(axis=-1), pixels.max(axis=-1)
    nearly = TINT if threshold is not None and pixels.dtype == np.uint8 else 0
    coloured = high.astype(np.int64) - low > nearly  # JPEG tints grey a little
    if coloured.any():
        y, x = (int(i) for i in np.argwhere(coloured)[0])
        raise BadSample(
            place,
            f"is a coloured mask: pixel (y, x) = ({y}, {x}) is "
            f"({', '.join(map(str, pixels[y, x]))}), labels are numbers",
            _declare_colours(pixels),
        )
    return mask_numbers(pixels[..., 1], place, threshold=threshold)


def _declare_colours(pixels: np.ndarray) -> str:
    """What to type for a mask (H, W, 3) that is drawn in colours: those that it holds."""
    colours, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    if len(colours) > FEW_COLOURS or pixels.dtype != np.uint8:
        return (
            f"It holds {len(colours):,} colours: a picture, or a mask with blurred edges? Save "
            "class numbers, or a colour for each class and say what the colours mean: --set "
            "'data.source.mask_palette=[[0,0,0],[255,0,0]]' (in class order)."
        )
    shown = ",".join(f'"#{r:02x}{g:02x}{b:02x}"' for r, g, b in colours[np.argsort(-counts)])
    return (
        f"Say what the colours mean: --set 'data.source.mask_palette=[{shown}]' (in class order; "
        "these are the colours of this mask, the commonest first), or save label numbers."
    )


def mask_numbers(values: np.ndarray, place: str, *, threshold: float | None) -> np.ndarray:
    """Stored numbers (H, W) of a mask as int32; with a threshold 1 from it on, 0 below."""
    if threshold is None:
        return integral(values, place)
    if values.dtype.kind == "f":
        check_finite(values, place)
    if values.dtype.kind == "b":
        return values.astype(np.int32)
    return (values >= threshold).astype(np.int32)


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
            "Store class numbers 0, 1, 2, ... in the mask. Where values from one on mean the "
            "object, type it: --set data.source.threshold=0.5.",
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
