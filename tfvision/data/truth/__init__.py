"""Truth, a kind of thing: what data say of an image. One class a kind, nothing that reads a file.

`TRUTHS` is the table: a source names its kind, and whoever needs to know asks the kind.
"""

from tfvision.data.truth.base import TARGETS, Target, Truth, label_map
from tfvision.data.truth.boxes import Boxes
from tfvision.data.truth.label import Label
from tfvision.data.truth.masks import Masks
from tfvision.errors import InputError
from tfvision.registry import unknown

TRUTHS: dict[str, Truth] = {kind.name: kind for kind in (Masks(), Label(), Boxes())}


def truth_kind(name: str) -> Truth:
    """The kind of truth of a name.

    Raises:
        InputError: There is no such kind.
    """
    if name not in TRUTHS:
        raise InputError(unknown("kind of truth", name, list(TRUTHS)))
    return TRUTHS[name]


__all__ = ["TARGETS", "TRUTHS", "Target", "Truth", "label_map", "truth_kind"]
