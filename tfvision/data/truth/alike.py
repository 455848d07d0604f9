"""The values of masks that come later, read as those that a run was trained on."""

from collections.abc import Collection, Sequence


def read_alike(
    seen: Collection[int], mask_values: Sequence[int] | None, num_classes: int
) -> tuple[list[int] | None, str]:
    """What masks of two classes hold in place of what the run's masks held.

    Background and object are 0 and 255 in some files and 0 and 1 in others.

    Args:
        seen: The raw values of the masks that came later.
        mask_values: Those of the run, in class order; None: 0, 1, 2, ...
        num_classes: K of the run.

    Returns:
        The values to read by, in class order, and a sentence where they are not the run's.
    """
    own = list(range(num_classes)) if mask_values is None else list(mask_values)
    for first, second in (([0, 255], [0, 1]), ([0, 1], [0, 255])):
        if own == first and set(seen) <= set(second) and second[1] in seen:
            return second, (
                f"masks hold {{0, {second[1]}}}, those of the run {{0, {first[1]}}}: "
                f"{second[1]} is read as {first[1]}, the class 1"
            )
    return None if mask_values is None else own, ""
