"""The tables that the names in a task's config are looked up in."""

from collections.abc import Mapping

from tfvision.data import INPUTS
from tfvision.models import CLASSIFIERS
from tfvision.registry import Registry


def tables_of(task: str, tables: Mapping[str, Registry]) -> dict[str, Registry]:
    """Key path of a config to its table: those of segmentation, with what a task has of its own.

    Args:
        task: `segmentation` or `classification`.
        tables: Those of segmentation.
    """
    if task == "classification":
        return {**tables, "model": CLASSIFIERS, "data.input": INPUTS}
    return dict(tables)
