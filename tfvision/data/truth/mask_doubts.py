"""What the values of masks can mean where nothing declares it, and where that is in doubt.

A doubt is an error that says what was seen and what to type for each reading that is possible.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from tfvision.data.files.issue import Issue
from tfvision.data.truth.classes import some
from tfvision.data.truth.mask_seams import seam
from tfvision.data.truth.mask_values import THRESHOLD, MaskValues, error, middle, typed
from tfvision.data.truth.object_numbers import object_numbers

VOC_VOID = "#e0e0c0"  # the colour of index 255 in the palette of Pascal VOC


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
    of_values = () if numbered else (seam,) if names else (seam, object_numbers)
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
                return error(
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
    return error(
        found.place(files[0]),
        f"{len(files)} of {len(found.of)} masks are JPEG, which blurs labels: they hold "
        f"{len(found.pixels)} values, {low} to {high}",
        f"Where there is one object, type {middle(low, high)}: values from there on are the "
        "object. Else save the masks as PNG from where they were drawn.",
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
    return error(
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
        return error(
            "masks",
            f"{holds}, and 255 would be no label: then {some(real)} alone is left to learn",
            f"Type {THRESHOLD}{middle} where 255 is the object; {a_class}.",
        )
    if 2 * alone > len(with_255):
        other = sum(255 not in values for values in found.of.values())
        return error(
            "masks",
            f"{holds}: {alone} masks hold 255 and one other value, {other} hold no 255. If 255 "
            "means no label, it is all that these masks show; if it is the object, masks are "
            "written in two ways",
            f"Type {THRESHOLD}1 where every value above 0 is the object; {no_label}; {a_class}.",
        )
    if len(classes) > 2 or named or _void_of_voc(found) or _borders(found):
        return None
    return error(
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
