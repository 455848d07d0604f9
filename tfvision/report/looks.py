"""What speaks for a class in single images, as a report of a segmentation shows it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tfvision.report.overlay import draw_images

BUDGET = 600_000  # characters of all pictures together


@dataclass(frozen=True)
class Look:
    """One image and one class.

    Attributes:
        id, split: Of the sample.
        why: Why it is shown: "worst", "best", "rarest class".
        class_index: The class.
        picture: (H, W, 3) uint8, red where much speaks for it.
        outside: The share of the attention outside the class's true mask, in [0, 1]; None where
            the mask has no such pixel, or nothing speaks for the class.
    """

    id: str
    split: str
    why: str
    class_index: int
    picture: np.ndarray
    outside: float | None


def looks_of(looks: list[Look]) -> list[dict[str, Any]]:
    """The pictures as the page takes them, with `small` where they have few pixels."""
    drawn = draw_images([look.picture for look in looks], budget=BUDGET)
    return [
        {
            "id": str(look.id),
            "split": look.split,
            "why": look.why,
            "index": look.class_index,
            "outside": look.outside,
            "image": uri,
            "small": max(look.picture.shape[:2]) <= 256,
        }
        for look, uri in zip(looks, drawn, strict=True)
    ]


def shares_of(attention: dict[str, Any] | None, names: list[str]) -> list[dict[str, Any]]:
    """Rows of the table of shares: the classes of `attention` in the order of the names."""
    found = (attention or {}).get("classes") or {}
    return [{"index": names.index(name), **row} for name, row in found.items() if name in names]
