"""What the values of masks can mean where nothing declares it, and where that is in doubt.

A doubt is an error that says what was seen and what to type for each reading that is possible.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from tfvision.data.files.images import JPEG_MASK
from tfvision.data.files.issue import Issue
from tfvision.data.truth.classes import some

MANY = 8  # grey values beside the commonest, from here on they may be a seam
VERY_MANY = 32  # and from here on however often they are
LOOKED_AT = 12  # masks that are read again where counts alone do not tell
FEW_PIXELS, FEW_OF_ALL, FEW_OF_IMAGE = 10, 1e-6, 0.02
FEWEST_IDS = 4  # numbers of objects, at most, that could as well be classes
VOC_VOID = "#e0e0c0"  # the colour of index 255 in the palette of Pascal VOC
THRESHOLD = "--set data.source.threshold="


class MaskValues:
    """The raw values of all masks.

    Attributes:
        of: Place of a record -> its mask's values and how many pixels hold each.
        pixels: Value -> pixels that hold it, in all masks, in the order of the values.
        images: Value -> masks that hold it.
    """

    def __init__(
        self,
        facts: Sequence[Any],
        records: Sequence[Any],
        mask_of: Callable[[int], np.ndarray],
    ):
        self._facts, self._records, self._mask_of = facts, records, mask_of
        self.of: dict[int, Mapping[int, int]] = {
            i: fact.values for i, fact in enumerate(facts) if fact is not None and fact.values
        }
        total, images = Counter(), Counter()
        for values in self.of.values():
            total.update(values)
            images.update(values.keys())
        self.pixels = dict(sorted(total.items()))
        self.images = dict(sorted(images.items()))

    def place(self, index: int) -> str:
        return self._records[index].place

    def jpeg(self) -> list[int]:
        """Places of the masks that are JPEG files."""
        said = f"mask {JPEG_MASK}"
        return [i for i in self.of if said in self._facts[i].warnings]

    def colours(self, index: int) -> Mapping[int, str]:
        return self._facts[index].mask_colours

    def masks_with(self, wanted: Callable[[Mapping[int, int]], bool]) -> Iterable[np.ndarray]:
        """Some of the masks whose values are wanted."""
        chosen = [i for i, values in self.of.items() if wanted(values)]
        step = -(-len(chosen) // LOOKED_AT) or 1
        return (self._mask_of(i) for i in chosen[::step])

    def few(self) -> list[int]:
        """Values on less than a millionth of all pixels, or on fewer than ten, and a fiftieth, of
        each mask that holds them."""
        everything = sum(self.pixels.values())
        return [v for v, n in self.pixels.items() if n < FEW_OF_ALL * everything or self._tiny(v)]

    def _tiny(self, value: int) -> bool:
        return all(
            values[value] < min(FEW_PIXELS, FEW_OF_IMAGE * sum(values.values()))
            for values in self.of.values()
            if value in values
        )


def doubt(found: MaskValues, names: Sequence[str], ignore_label: int | None) -> Issue | None:
    """Why the values of masks cannot be read as they stand; None: they can.

    Args:
        found: The values.
        names: The class names, where they are declared: then every number of a class is one.
        ignore_label: The value that may mean "no label".
    """
    if not found.of:
        return None
    known = {*range(len(names)), ignore_label}
    numbered = bool(names) and known.issuperset(found.pixels)
    of_values = () if numbered else (_seam,) if names else (_seam, _object_numbers)
    for check in (_palettes, _jpeg, *of_values):
        if (issue := check(found)) is not None:
            return issue
    if not names and (issue := _strays(found, ignore_label)) is not None:
        return issue
    values = set(found.pixels)
    if ignore_label != 255 or 255 not in values or len(values) < 3:
        return None
    return _no_label(found, named=bool(names))


def _palettes(found: MaskValues) -> Issue | None:
    """Palette files whose numbers have other colours from file to file: the colours count."""
    first: dict[int, tuple[str, int]] = {}
    for index in found.of:
        for value, colour in found.colours(index).items():
            known, where = first.setdefault(value, (colour, index))
            if known != colour:
                seen = sorted({c for i in found.of for c in found.colours(i).values()})
                listed = ",".join(f'"{c}"' for c in seen[:8])
                return _error(
                    found.place(index),
                    f"its palette gives {value} the colour {colour}, that of {found.place(where)} "
                    f"gives it {known}: the colours say the class, not the numbers",
                    "List the colours in class order, background first: --set "
                    f"'data.source.mask_palette=[{listed}]'.",
                )
    return None


def _jpeg(found: MaskValues) -> Issue | None:
    files = found.jpeg()
    if not files or len(found.pixels) <= 2:
        return None
    low, high = min(found.pixels), max(found.pixels)
    return _error(
        found.place(files[0]),
        f"{len(files)} of {len(found.of)} masks are JPEG, which blurs labels: they hold "
        f"{len(found.pixels)} values, {low} to {high}",
        f"Where there is one object, type {_middle(low, high)}: values from there on are the "
        "object. Else save the masks as PNG from where they were drawn.",
    )


def _seam(found: MaskValues) -> Issue | None:
    """Grey values beside one or two that hold most pixels, mostly between a lower and a higher."""
    common = sorted(found.pixels, key=lambda v: -found.pixels[v])
    low, high = min(found.pixels), max(found.pixels)
    rest = [v for v in common if v not in (common[0], high if high != common[0] else low)]
    seldom = [v for v in rest if 5 * found.pixels[v] < found.pixels[common[0]]]
    if len(rest) < MANY or (len(seldom) < len(rest) and len(rest) < VERY_MANY):
        return None
    chosen = set(rest)
    between, total = Counter(), Counter()
    for mask in found.masks_with(lambda values: not chosen.isdisjoint(values)):
        grey = np.isin(mask, rest)
        between.update(_counts(mask[_between(mask) & grey]))
        total.update(_counts(mask[grey]))
    if 2 * between.total() < total.total():
        return _seam_of_classes(found, [v for v in rest if 2 * between[v] >= total[v] > 0])
    share = sum(found.pixels[v] for v in rest) / sum(found.pixels.values())
    if share > 0.9:
        return _error(
            "masks",
            f"the masks hold {len(found.pixels)} values, {low} to {high}, that change from pixel "
            "to pixel: they look like pictures, not labels",
            "Check that these are the masks; a mask holds a class number a pixel. For a picture of "
            f"one object that is brighter, type {_middle(low, high)}.",
        )
    return _error(
        "masks",
        f"the masks hold {len(found.pixels)} values: {share:.1%} of the pixels hold one of "
        f"{len(rest)} between {low} and {high}, along borders: a grey seam, as from resizing with "
        "interpolation or from smooth drawing",
        f"Where there is one object, type {_middle(low, high)}: values from there on are the "
        "object. Else make the masks anew, and resize them by nearest neighbour.",
    )


def _seam_of_classes(found: MaskValues, grey: Sequence[int]) -> Issue | None:
    """Grey values that lie mostly between others, of masks of several classes in other values."""
    classes = [v for v in found.pixels if v not in set(grey)]
    share = sum(found.pixels[v] for v in grey) / sum(found.pixels.values())
    if len(grey) < max(MANY, 2 * len(classes)) or share > 0.5:
        return None
    return _error(
        "masks",
        f"the masks hold {len(found.pixels)} values, and {share:.1%} of the pixels hold one of "
        f"{len(grey)} that stand along borders of others ({some(classes)}): a grey seam, as from "
        "resizing with interpolation",
        "Make the masks anew, and resize them by nearest neighbour.",
    )


def _object_numbers(found: MaskValues) -> Issue | None:
    """Each mask numbers its objects 1, 2, ..., n: that is no class."""
    numbers = [v for v in found.pixels if v > 0]
    if len(numbers) < FEWEST_IDS or numbers[0] < 1 or min(found.pixels) < 0:
        return None
    own = [[v for v in values if v > 0] for values in found.of.values()]
    own = [sorted(values) for values in own if values]
    in_turn = sum(values == list(range(1, len(values) + 1)) for values in own)
    once = sum(found.images[v] == 1 for v in numbers)
    numbered = in_turn >= 0.9 * len(own) and len({len(values) for values in own}) > 2
    across = len(own) > 1 and once >= 0.9 * len(numbers) and len(numbers) > 2 * len(own)
    if not numbered and not across:
        return None
    single = total = 0
    for mask in found.masks_with(lambda values: max(values) > 0):
        for value in np.unique(mask[mask > 0])[:64]:
            parts, _ = cv2.connectedComponents((mask == value).astype(np.uint8))
            single, total = single + (parts == 2), total + 1
    if single < 0.9 * total:
        return None
    example = f"1 to {numbers[-1]}" if numbered else some(numbers, limit=4)
    return _error(
        "masks",
        f"the masks number their objects ({example}): each value is one connected object, and "
        f"masks hold {min(map(len, own))} to {max(map(len, own))} of them. Numbers of objects are "
        "no classes",
        f"For object against background (mask > 0) type {THRESHOLD}1. If the numbers are classes "
        f"all the same, list them: --set data.source.mask_values={typed(list(found.pixels), 16)}.",
    )


def _strays(found: MaskValues, ignore_label: int | None) -> Issue | None:
    few = [v for v in found.few() if v != ignore_label or len(found.pixels) < 3]
    rest = [v for v in found.pixels if v not in few]
    if not few or not rest:
        return None
    value = few[0]
    places = [i for i in found.of if value in found.of[i]]
    where = ", ".join(f"that of {found.place(i)}: {found.of[i][value]}" for i in places[:3])
    also = f" (so do {some(few[1:])})" if len(few) > 1 else ""
    clean = "If they are slips, correct these files"
    if len(rest) == 2:
        middle = -(-(rest[0] + rest[1]) // 2)
        clean += f", or type {THRESHOLD}{middle}: values from there on are the object"
    if len(rest) > 1:
        clean += f". To leave these masks out: --set data.source.mask_values={typed(rest)} --set "
        clean += "data.on_bad_sample=quarantine"
    classes, beside = [v for v in found.pixels if v != 255], ""
    if 255 in rest and classes == list(range(len(classes))) and len(classes) > 1:
        beside = f", or mask_values={typed(classes)} where 255 means no label"
    return _error(
        found.place(places[0]),
        f"the value {value} stands on {found.pixels[value]} pixel"
        f"{'s' * (found.pixels[value] > 1)} in all, of {len(places)} mask"
        f"{'s' * (len(places) > 1)} ({where}{', ...' * (len(places) > 3)}): too few for a class"
        f"{also}; the others are {some(rest)}",
        f"{clean}. If all are classes, list them: --set data.source.mask_values="
        f"{typed(list(found.pixels))}{beside}.",
    )


def _no_label(found: MaskValues, *, named: bool) -> Issue | None:
    """Whether 255 can mean "no label" beside two other values or more."""
    classes = [v for v in found.pixels if v != 255]
    few = found.few()
    real = [v for v in classes if v not in few]
    with_255 = [values for values in found.of.values() if 255 in values]
    alone = sum(len(values) == 2 for values in with_255)
    holds = f"the masks hold {some(list(found.pixels))}"
    wanted = "--set data.source.mask_values="
    no_label = f"{wanted}{typed(classes)} where 255 means no label"
    a_class = f"{wanted}{typed(list(found.pixels))} where it is a class"
    if len(real) < 2:
        middle = -(-(255 + real[0]) // 2) if real else 128
        return _error(
            "masks",
            f"{holds}, and 255 would be no label: then {some(real)} alone is left to learn",
            f"Type {THRESHOLD}{middle} where 255 is the object; {a_class}.",
        )
    if 2 * alone > len(with_255):
        other = sum(255 not in values for values in found.of.values())
        return _error(
            "masks",
            f"{holds}: {alone} masks hold 255 and one other value, {other} hold no 255. If 255 "
            "means no label, it is all that these masks show; if it is the object, masks are "
            "written in two ways",
            f"Type {THRESHOLD}1 where every value above 0 is the object; {no_label}; {a_class}.",
        )
    if len(classes) > 2 or named or _void_of_voc(found) or _borders(found):
        return None
    return _error(
        "masks",
        f"{holds}, and 255 fills areas of its own: it may be a class or mean no label",
        f"Type {no_label}; {a_class}; {THRESHOLD}1 where every value above 0 is the object.",
    )


def _void_of_voc(found: MaskValues) -> bool:
    return any(found.colours(i).get(255) == VOC_VOID for i in found.of)


def _borders(found: MaskValues) -> bool:
    """Whether 255 is mostly thin, and lies between two other values."""
    thin = between = total = 0
    for mask in found.masks_with(lambda values: 255 in values):
        void = (mask == 255).astype(np.uint8)
        radius = max(3, round(0.02 * min(mask.shape)))
        depth = cv2.distanceTransform(cv2.copyMakeBorder(void, 1, 1, 1, 1, 0), cv2.DIST_C, 3)
        depth = depth[1:-1, 1:-1]
        window = np.ones((4 * radius + 1, 4 * radius + 1), np.uint8)
        near = [
            cv2.dilate((mask == value).astype(np.uint8), window)
            for value in np.unique(mask[mask != 255])
        ]
        total += int(void.sum())
        thin += int(((void > 0) & (depth <= radius)).sum())
        between += int(((void > 0) & (np.sum(near, axis=0, dtype=np.int32) > 1)).sum())
    return total > 0 and min(thin, between) > 0.8 * total


def _counts(values: np.ndarray) -> dict[int, int]:
    return {int(v): int(n) for v, n in zip(*np.unique(values, return_counts=True), strict=True)}


def _between(mask: np.ndarray) -> np.ndarray:
    """Which pixels have a lower and a higher value among their eight neighbours."""
    values, window = mask.astype(np.float32), np.ones((3, 3), np.uint8)
    return (cv2.erode(values, window) < values) & (values < cv2.dilate(values, window))


def _middle(low: int, high: int) -> str:
    return f"{THRESHOLD}{-(-(low + high) // 2)}"


def typed(values: Sequence[int], most: int = 64) -> str:
    """Numbers as they are typed after `--set key=`: without spaces."""
    return f"[{','.join(map(str, values[:most]))}{',...' * (len(values) > most)}]"


def _error(place: str, problem: str, advice: str) -> Issue:
    return Issue("error", "", place, problem, advice=advice)
