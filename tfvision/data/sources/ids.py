"""What COCO files call the images and classes that a source has read of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class CocoIds:
    """Attributes:
    images: Path of an image below the data -> its id.
    categories: The id of each class, in their order.
    """

    images: Mapping[str, int | str]
    categories: Sequence[int | str]


def as_id(text: str) -> int | str:
    """A whole number as such."""
    return int(text) if text.isdecimal() else text
