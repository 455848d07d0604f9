"""Truth, a kind of thing: what data say of an image. One class a kind, nothing that reads a file.

`TRUTHS` is the table: a source names its kind, and whoever needs to know asks the kind.
"""

from functools import cache
from typing import TYPE_CHECKING

from tfvision.registry import Registry

if TYPE_CHECKING:  # it imports NumPy, which a table of names does not need
    from tfvision.data.truth.base import Truth

TRUTHS = Registry(
    "kind of truth",
    {
        "masks": "tfvision.data.truth.masks:Masks",
        "label": "tfvision.data.truth.label:Label",
        "boxes": "tfvision.data.truth.boxes:Boxes",
    },
)


@cache
def truth_kind(name: str) -> "Truth":
    """The kind of truth of a name in `TRUTHS`.

    Raises:
        InputError: There is no such kind.
    """
    return TRUTHS[name]()
