"""What the audit keeps of each sample, made while the scan has it in memory.

About 5 kB a sample: a thumbnail, from which near-duplicates are found; two small maps,
where edges of the image and borders of the mask run, which show whether a mask
belongs to its image; and the regions of one colour, which may be stains. Nothing here reads a
file.
"""

import base64
import zlib
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from tfvision.data.scan.mask_fit import Fit, measure_fit
from tfvision.data.scan.patches import Patch, find_patches

THUMB = 32  # pixels a side
AREA = 4096  # pixels of a map, at most
ORIENTATIONS, WEIGHTS = 7, (0.75, 1.4)  # of a map's pixels: 1 + 7 * 2 codes, half a byte
CLASSES = 8  # the most frequent ones draw the mask's borders
NOISE = 2.0  # grey levels of 255; a gradient below is no edge


@dataclass(frozen=True)
class Sketch:
    """Attributes:
    thumb: 32x32 grey levels, one byte each, base64.
    phash: 64 bits of the thumbnail's low DCT frequencies, hexadecimal.
    edges: Map of the image's edges, "" without a mask; see `unpack_map`.
    borders: Map of the mask's borders, "" without a mask or where it is one class alone.
    fit: How well the borders lie on the edges; None where there is nothing to measure.
    patches: The regions of one colour; see `patches.find_patches`.
    """

    thumb: str
    phash: str
    edges: str = ""
    borders: str = ""
    fit: Fit | None = None
    patches: tuple[Patch, ...] = ()


def make_sketch(image: np.ndarray, mask: np.ndarray | None) -> Sketch:
    """The sketch of a sample as it is stored: image (H, W, C), raw mask (H, W) or None."""
    grey = _grey(image)
    thumb = np.asarray(_resize(grey, (THUMB, THUMB)))
    thumb = np.clip(np.rint(thumb), 0, 255).astype(np.uint8)
    text = base64.b64encode(thumb.tobytes()).decode()
    patches = find_patches(image)
    if mask is None or (mask == mask.flat[0]).all():
        return Sketch(text, perceptual_hash(thumb), patches=patches)
    shape = _map_shape(mask.shape)
    edges = edge_codes(np.asarray(_resize(grey, shape), np.float32))
    borders = border_codes(mask, shape)
    fit = measure_fit(decode(edges), decode(borders))
    if fit is not None:  # from pixels of the map to those of the image
        fit = fit.scaled(mask.shape[0] / shape[0], mask.shape[1] / shape[1])
    maps = pack_map(edges), pack_map(borders)
    return Sketch(text, perceptual_hash(thumb), *maps, fit=fit, patches=patches)


def read_thumb(text: str) -> np.ndarray:
    """(32, 32) float32, 0..255."""
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(THUMB, THUMB).astype(np.float32)


def perceptual_hash(thumb: np.ndarray) -> str:
    """The signs of the 8x8 lowest DCT-II coefficients about their median, without the mean.

    Args:
        thumb: (32, 32) grey levels.
    """
    low = _DCT @ thumb.astype(np.float64) @ _DCT.T
    bits = low.ravel() > np.median(low.ravel()[1:])
    return np.packbits(bits).tobytes().hex()


def hash_distance(first: str, second: str) -> int:
    """How many of the 64 bits differ."""
    return (int(first, 16) ^ int(second, 16)).bit_count()


def edge_codes(grey: np.ndarray) -> np.ndarray:
    """Where edges run and how, (h, w) uint8 codes 0..14, of grey levels (h, w) in 0..255.

    A pixel's weight is its gradient against the mean gradient about it, so that a faint
    edge on calm ground counts as much as a strong one in texture.
    """
    gradient = _gradient(_smooth(grey))
    magnitude = np.abs(gradient)
    return _encode(gradient, magnitude / (_box_mean(magnitude, 6) + NOISE))


def border_codes(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Where borders between values of the mask run and how, (h, w) uint8 codes 0..14."""
    step = max(1, int(np.sqrt(mask.size / 2**18)))  # finer than the map still, and quick
    mask = mask[::step, ::step]
    low = int(mask.min())
    if int(mask.max()) - low < 256:  # quicker
        mask = (mask - low).astype(np.uint8)
        counts = cv2.calcHist([mask], [0], None, [256], [0, 256]).ravel()
        values = np.nonzero(counts)[0]
        counts = counts[values]
    else:
        values, counts = np.unique(mask, return_counts=True)
    chosen = values[np.argsort(-counts, kind="stable")][:CLASSES]
    areas = ((mask == mask.dtype.type(value)).view(np.uint8) * np.uint8(255) for value in chosen)
    shares = [np.asarray(_resize(Image.fromarray(area), shape), np.float32) for area in areas]
    gradient = _gradient(_smooth(np.stack(shares)))
    squared = (gradient * gradient / np.maximum(np.abs(gradient), 1e-6)).sum(axis=0)
    magnitude = np.abs(squared)
    # The root halves the angle again: an edge has no sign, so pi apart is the same.
    return _encode(np.sqrt(squared), 1.5 * magnitude / max(float(magnitude.max()), 1e-6))


def decode(codes: np.ndarray) -> np.ndarray:
    """Codes -> complex64: modulus the weight, argument twice the direction."""
    return _TABLE[codes]


def pack_map(codes: np.ndarray) -> str:
    """Codes (h, w) -> text: "h w" and two codes a byte, deflated, base64."""
    flat = np.append(codes.ravel(), np.zeros(codes.size % 2, np.uint8))
    body = zlib.compress((flat[::2] << 4 | flat[1::2]).tobytes(), 1)
    return f"{codes.shape[0]} {codes.shape[1]} {base64.b64encode(body).decode()}"


def unpack_map(text: str) -> np.ndarray:
    """What `pack_map` packed, decoded: (h, w) complex64."""
    height, width, body = text.split(" ")
    shape = int(height), int(width)
    packed = np.frombuffer(zlib.decompress(base64.b64decode(body)), np.uint8)
    codes = np.stack([packed >> 4, packed & 15], axis=1).ravel()
    return decode(codes[: shape[0] * shape[1]].reshape(shape))


def _grey(image: np.ndarray) -> Image.Image:
    """Grey levels 0..255: 8-bit ones as they are, others stretched to their own range."""
    if image.dtype == np.uint8:
        flat = image[..., 0] if image.shape[2] == 1 else image
        picture = Image.fromarray(np.ascontiguousarray(flat))
        return picture if picture.mode == "L" else picture.convert("L")
    values = image.astype(np.float32).mean(axis=2)
    low, high = float(values.min()), float(values.max())
    return Image.fromarray((values - low) * np.float32(255 / max(high - low, 1e-12)))


def _resize(picture: Image.Image, shape: tuple[int, int]) -> Image.Image:
    return picture.resize(shape[::-1], Image.Resampling.BOX)


def _map_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """The same form with at most `AREA` pixels."""
    shrink = min(1.0, np.sqrt(AREA / (shape[0] * shape[1])))
    return max(1, int(shape[0] * shrink)), max(1, int(shape[1] * shrink))


def _smooth(values: np.ndarray) -> np.ndarray:
    """(..., h, w): a binomial over 3x3 pixels."""
    if values.ndim == 3:
        return np.stack([_smooth(plane) for plane in values])
    return cv2.sepFilter2D(values, -1, _BINOMIAL, _BINOMIAL, borderType=cv2.BORDER_REPLICATE)


def _gradient(values: np.ndarray) -> np.ndarray:
    """(..., h, w) complex64: real part along x, imaginary part along y; grey levels a pixel."""
    gradient = np.zeros(values.shape, np.complex64)
    for along, out in ((-1, gradient.real), (-2, gradient.imag)):
        line, change = np.moveaxis(values, along, 0), np.moveaxis(out, along, 0)
        change[1:-1] = (line[2:] - line[:-2]) / 2
        if len(line) > 1:  # beyond the rim it goes on as at the rim
            change[0], change[-1] = (line[1] - line[0]) / 2, (line[-1] - line[-2]) / 2
    return gradient


def _box_mean(values: np.ndarray, radius: int) -> np.ndarray:
    """The mean over (2 radius + 1)^2 pixels, the border repeated."""
    return cv2.blur(values, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REPLICATE)


def _encode(gradient: np.ndarray, weight: np.ndarray) -> np.ndarray:
    turn = np.angle(gradient) * 2 / (2 * np.pi) % 1  # direction doubled, as a part of a turn
    code = 1 + np.rint(turn * ORIENTATIONS).astype(np.uint8) % ORIENTATIONS
    code = np.where(weight >= 1.1, code + ORIENTATIONS, code)
    return np.where(weight < 0.4, 0, code).astype(np.uint8)


def _code_table() -> np.ndarray:
    directions = np.exp(2j * np.pi * np.arange(ORIENTATIONS) / ORIENTATIONS)
    table = np.concatenate([[0], *(weight * directions for weight in WEIGHTS)])
    return table.astype(np.complex64)


_BINOMIAL = np.array([0.25, 0.5, 0.25], np.float32)
_TABLE = _code_table()
_DCT = np.cos(np.pi * np.outer(np.arange(8), 2 * np.arange(THUMB) + 1) / (2 * THUMB))
