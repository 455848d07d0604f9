"""Pictures of single samples: image, truth, prediction and errors, as PNG data URIs.

The colours come from `palette`, which every plot of the project shares: class 3 has the
same colour in an overlay, in a curve and in a table.
"""

import base64
import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tfvision.errors import InputError

# Okabe and Ito, "Color Universal Design" (2008), with slate for black, which dark mode hides.
_FIRST_COLOURS = "4a5058 e69f00 56b4e9 009e73 f0e442 0072b2 d55e00 cc79a7"
# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color
# Vision Deficiency" (2009), severity 1: linear RGB as seen without L, M and S cones.
_VISIONS = np.array(
    [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ],
    ]
)
# Ottosson, "A perceptual color space for image processing" (2020): linear RGB to OKLab.
_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)

HATCH = np.array([[205, 208, 212], [150, 155, 161]], np.uint8)  # not labelled: light, dark stripe
ERROR = np.array([214, 20, 84], np.uint8)  # a wrong pixel, over a grey image
# Sides in pixels that overlays are reduced to, one after the other, until they fit `budget`.
_SIDES = (512, 384, 256, 192, 128, 96, 64)


@dataclass
class Overlay:
    """One sample of the report.

    Attributes:
        id: The sample's id, as in the source.
        split: The split it is of.
        image: (H, W, C) or (H, W) uint8 in 0..255.
        truth: (H, W) integers; labels outside 0..K-1, such as 255, are ignored pixels.
        prediction: (H, W) integers in 0..K-1.
        score: The sample's own mean IoU, in [0, 1], or NaN.
    """

    id: str
    split: str
    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    score: float


def palette(num_classes: int) -> np.ndarray:
    """Colours of the classes 0..K-1, distinct without L, M or S cones as far as K allows.

    The first eight are the set of Okabe and Ito. Each further colour is the one farthest,
    in OKLab and under the worst of four kinds of vision, from all before it. A class keeps
    its colour whatever K is.

    Returns:
        (K, 3) uint8, RGB.

    Raises:
        InputError: When K is not in 1..256.
    """
    if not 1 <= num_classes <= 256:
        raise InputError(f"A palette has 1 to 256 colours; num_classes is {num_classes}.")
    return np.array(_colours(num_classes), np.uint8)


def hex_colours(num_classes: int) -> list[str]:
    """`palette` as CSS colours, such as `#e69f00`."""
    colours = palette(num_classes) if num_classes else []
    return ["#{:02x}{:02x}{:02x}".format(*colour) for colour in colours]


def colour_labels(labels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """(H, W) integers to (H, W, 3) uint8: class colours; ignored pixels are hatched grey."""
    height, width = labels.shape
    known = (labels >= 0) & (labels < len(colours))
    stripes = (np.arange(height)[:, None] + np.arange(width)) % 4 < 2
    return np.where(
        known[..., None], colours[np.where(known, labels, 0)], HATCH[stripes.astype(int)]
    )


def error_image(
    image: np.ndarray, truth: np.ndarray, prediction: np.ndarray, num_classes: int
) -> np.ndarray:
    """(H, W, 3) uint8: the image in pale grey, wrong pixels in `ERROR`, ignored ones hatched."""
    grey = _as_rgb(image).mean(-1, keepdims=True)
    picture = np.repeat(90 + grey * 0.6, 3, axis=-1).astype(np.uint8)
    known = (truth >= 0) & (truth < num_classes)
    picture[truth != prediction] = ERROR
    hatched = colour_labels(np.full(truth.shape, -1), palette(1))
    return np.where(known[..., None], picture, hatched)


def error_share(truth: np.ndarray, prediction: np.ndarray, num_classes: int) -> float:
    """Share of the labelled pixels that are wrong, in [0, 1]; NaN where none is labelled."""
    known = (truth >= 0) & (truth < num_classes)
    return float((truth != prediction)[known].mean()) if known.any() else float("nan")


def draw(
    overlays: list[Overlay], num_classes: int, *, budget: int = 900_000
) -> list[dict[str, str]]:
    """The four panels of each overlay.

    Small images keep their pixels (the page enlarges them without smoothing). When all
    panels together exceed `budget` characters, all are reduced to the largest of a few
    sides that fits, or to the smallest.

    Returns:
        For each overlay, PNG data URIs under `image`, `truth`, `prediction` and `errors`.

    Raises:
        InputError: When image, truth and prediction of an overlay differ in size.
    """
    for overlay in overlays:
        sizes = {array.shape[:2] for array in (overlay.image, overlay.truth, overlay.prediction)}
        if len(sizes) > 1:
            raise InputError(
                f"Overlay {overlay.id!r}: image, truth and prediction must have one size, "
                f"got {overlay.image.shape[:2]}, {overlay.truth.shape[:2]} and "
                f"{overlay.prediction.shape[:2]}. Resize the labels to the image."
            )
    drawn = []
    for side in _SIDES:
        drawn = [_panels(overlay, num_classes, side) for overlay in overlays]
        if sum(len(uri) for panels in drawn for uri in panels.values()) <= budget:
            break
    return drawn


def draw_images(images: list[np.ndarray], *, budget: int = 900_000) -> list[str]:
    """PNG data URIs of images (H, W), (H, W, 1 or more) uint8, none enlarged.

    All are reduced to the largest of a few sides with which they fit `budget` characters
    together, or to the smallest.
    """
    drawn: list[str] = []
    for side in _SIDES:
        drawn = [png_uri(_shrink(_as_rgb(image), side, smooth=True)) for image in images]
        if sum(map(len, drawn)) <= budget:
            break
    return drawn


def png_bytes(picture: np.ndarray) -> bytes:
    """(H, W, 3) or (H, W) uint8 as the content of a PNG file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def png_uri(picture: np.ndarray | bytes) -> str:
    """(H, W, 3) or (H, W) uint8, or the content of a PNG file, as a `data:image/png` URI."""
    content = picture if isinstance(picture, bytes) else png_bytes(picture)
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def _panels(overlay: Overlay, num_classes: int, side: int) -> dict[str, str]:
    image = _shrink(_as_rgb(overlay.image), side, smooth=True)
    truth = _shrink(overlay.truth.astype(np.int32), side)
    prediction = _shrink(overlay.prediction.astype(np.int32), side)
    colours = palette(num_classes)
    grey = image[..., 0] if (image == image[..., :1]).all() else image
    return {
        "image": png_uri(grey),
        "truth": png_uri(colour_labels(truth, colours)),
        "prediction": png_uri(colour_labels(prediction, colours)),
        "errors": png_uri(error_image(image, truth, prediction, num_classes)),
    }


def _shrink(array: np.ndarray, side: int, *, smooth: bool = False) -> np.ndarray:
    """Reduces the longer side to at most `side` pixels; labels by nearest neighbour."""
    height, width = array.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return array
    from PIL import Image

    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = Image.Resampling.BOX if smooth else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(array).resize(size, how))


def _as_rgb(image: np.ndarray) -> np.ndarray:
    """(H, W), (H, W, 1), (H, W, 3) or the first of more channels, as (H, W, 3) uint8."""
    image = np.asarray(image, np.uint8)
    if image.ndim == 2:
        image = image[..., None]
    return image[..., :3] if image.shape[-1] >= 3 else np.repeat(image[..., :1], 3, axis=-1)


@lru_cache
def _colours(num_classes: int) -> tuple[tuple[int, int, int], ...]:
    chosen = [tuple(bytes.fromhex(text)) for text in _FIRST_COLOURS.split()][:num_classes]
    if num_classes <= len(chosen):
        return tuple(chosen)
    steps = np.arange(0, 256, 23)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    lightness = _seen(grid)[0, :, 0]
    grid = grid[(lightness > 0.4) & (lightness < 0.93)]  # readable on white and on black
    seen = _seen(grid)
    distance = np.full(len(grid), np.inf)
    for index in range(num_classes):
        if index == len(chosen):
            chosen.append(tuple(int(value) for value in grid[distance.argmax()]))
        new = _seen(np.array([chosen[index]]))
        distance = np.minimum(distance, np.linalg.norm(seen - new, axis=-1).min(axis=0))
    return tuple(chosen)


def _seen(colours: np.ndarray) -> np.ndarray:
    """(N, 3) RGB in 0..255 to (4, N, 3) OKLab, as each kind of vision sees it."""
    share = colours / 255.0
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ _VISIONS.transpose(0, 2, 1), 0, 1)
    return np.cbrt(seen @ _TO_CONES.T) @ _TO_OKLAB.T
