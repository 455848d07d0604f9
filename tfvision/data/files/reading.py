"""How image and mask files are read: the options that every source of files takes."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

from tfvision.data.files.pixels import parse_palette
from tfvision.errors import InputError

MAX_PIXELS = 89_478_485
"""Largest image that is decoded unless `max_pixels` says otherwise: Pillow's own figure."""

EXIF_POLICIES = ("apply", "ignore", "fail")
OF_MASKS = ("mask_palette", "threshold")
"""The options that say what the values of a mask mean."""


@dataclass(frozen=True)
class Reading:
    """How files are read. Every field is an option `data.source.<field>` of a config.

    Attributes:
        exif: "apply" the orientation that a file declares, "ignore" it, or "fail".
        max_pixels: Larger images are refused before they are decoded; None: those that do not fit
            into memory.
        bands: Which bands (channels) of an image are read, counted from 0, in this order: one, or
            three that serve as red, green and blue. None: all, which must be one or three;
            transparency is laid on black.
        pages: Of files with several pages or frames: the number of the one that is read, counted
            from 0; "each": every page is a sample of its own, and of the mask file likewise;
            "bands": each page is a band of one image. None: such files are refused.
        mask_palette: Label of each colour, for masks stored as colours; see
            `tfvision.data.files.pixels.parse_palette`.
        threshold: Mask values from this one on are 1, those below 0.
    """

    exif: str = "apply"
    max_pixels: int | None = MAX_PIXELS
    bands: Sequence[int] | None = None
    pages: int | str | None = None
    mask_palette: Mapping | Sequence | None = None
    threshold: float | None = None

    def __post_init__(self):
        if self.exif not in EXIF_POLICIES:
            raise InputError(f"exif must be one of {', '.join(EXIF_POLICIES)}; got {self.exif!r}.")
        limit = self.max_pixels
        if limit is not None and (not _whole(limit) or limit < 1):
            raise InputError(f"max_pixels must be a whole number above 0; got {self.max_pixels!r}.")
        if self.bands is not None:
            object.__setattr__(self, "bands", _checked_bands(self.bands))
        page = _whole(self.pages) and self.pages >= 0
        if self.pages is not None and not page and self.pages not in ("each", "bands"):
            raise InputError(
                "pages must be the number of a page, counted from 0, or each, or bands; got "
                f"{self.pages!r}."
            )
        if self.mask_palette is not None:
            object.__setattr__(self, "mask_palette", parse_palette(self.mask_palette))
        if self.threshold is not None:
            check_threshold(self.threshold)
            if self.mask_palette is not None:
                raise InputError(
                    "threshold and mask_palette both say what mask values mean. Keep one."
                )

    def notes(self) -> list[str]:
        """What is said of options that leave a part of a file out."""
        lines = []
        if self.bands is not None:
            lines.append(f"of each image the bands {list(self.bands)} are read (data.source.bands)")
        if isinstance(self.pages, int):
            lines.append(
                f"of files with several pages page {self.pages} is read (data.source.pages)"
            )
        return [*lines, *threshold_note(self.threshold)]

    @property
    def text(self) -> str:
        """The options in one line; those that came later are left out where they are not set."""
        always = ("exif", "max_pixels", "mask_palette")
        later = [key for key in vars(self) if key not in always and vars(self)[key] is not None]
        return " ".join(f"{key}={vars(self)[key]}" for key in (*always, *later))


def takes_reading(*, without: Sequence[str] = ()) -> Callable[[Callable], Callable]:
    """Declares that the `**reading` of a builder are the fields of `Reading`.

    So the builder's signature shows each with its default, and a new option needs no change there.

    Args:
        without: Fields that the builder does not take.
    """
    options = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type
        )
        for field in fields(Reading)
        if field.name not in without
    ]

    def declare(builder: Callable) -> Callable:
        signature = inspect.signature(builder)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        builder.__signature__ = signature.replace(parameters=[*own, *options])
        return builder

    return declare


def check_threshold(threshold: float | None, mask_values: Sequence[int] | None = None) -> None:
    """Raises where a threshold is no number, or mask values are declared that it does not leave."""
    if threshold is None:
        return
    if isinstance(threshold, bool) or not isinstance(threshold, int | float):
        raise InputError(f"threshold must be a number, e.g. 128; got {threshold!r}.")
    if mask_values is not None and sorted(mask_values) != [0, 1]:
        raise InputError(
            f"threshold makes the values of masks 0 and 1, and mask_values lists {mask_values}. "
            "Leave mask_values out."
        )


def threshold_note(threshold: float | None) -> list[str]:
    """What is said where masks are read by a threshold."""
    if threshold is None:
        return []
    return [
        f"masks are read by data.source.threshold: values from {threshold:g} on are the object "
        "(1), those below the background (0)"
    ]


def _checked_bands(bands: Sequence[int]) -> tuple[int, ...]:
    wanted = [bands] if _whole(bands) else bands
    numbers = not isinstance(wanted, str) and all(_whole(band) and band >= 0 for band in wanted)
    if not numbers or len(wanted) not in (1, 3):
        raise InputError(
            "bands must list one band, or three, which a model sees as red, green and blue, "
            f"counted from 0, e.g. [0, 1, 3]; got {bands!r}."
        )
    return tuple(wanted)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
