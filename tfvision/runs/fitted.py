"""A recipe with what was fitted out of fold: how pieces agree, a temperature."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tfvision.config import RunConfig
from tfvision.errors import InputError
from tfvision.recipe.recipe import Recipe
from tfvision.runs.fitted_files import as_text, read_aggregate, read_temperature
from tfvision.tasks.facts import facts_of


def with_fitted(
    recipe: Recipe,
    class_names: Sequence[str],
    *,
    aggregate: Path | None = None,
    calibrated: Path | None = None,
) -> Recipe:
    """The recipe with what these files hold.

    Args:
        recipe: Of a run or an ensemble.
        class_names: Of the run.
        aggregate: A file of the command `aggregate`, or None.
        calibrated: A file of the command `calibrate`, or None.

    Raises:
        InputError: The files are of other classes or pieces, the temperature is of another
            rule, or the run has no use for them.
    """
    if aggregate is not None:
        check_pieces(recipe.config, "--aggregate")
        recipe = _with_aggregate(recipe, class_names, aggregate)
    if calibrated is not None:
        recipe = _with_temperature(recipe, class_names, calibrated)
    return recipe


def check_pieces(config: RunConfig, what: str) -> None:
    """Refuses configs of which an image never has several pieces.

    Raises:
        InputError: `what` asks how pieces agree, and there are none.
    """
    if reason := facts_of(config.task).supports("aggregate"):
        raise InputError(f"{what} {reason}")
    if config.data.input.name != "patches":
        raise InputError(
            f"{what} is about several pieces an image, as data.input patches(...) cuts them; here "
            f"data.input is {as_text([config.data.input])}, one piece an image, so there is "
            "nothing to join."
        )


def _with_aggregate(recipe: Recipe, class_names: Sequence[str], path: Path) -> Recipe:
    found = read_aggregate(path)
    _check_classes(f"--aggregate {path}", found.class_names, class_names)
    own = recipe.config.data.input
    if found.input != own:
        raise InputError(
            f"--aggregate {path} was fitted on pieces of {as_text([found.input])}; this run sees "
            f"{as_text([own])}. Fit it on folds of the run's own data.input."
        )
    data = recipe.config.data.model_copy(update={"aggregate": found.aggregate.name})
    return replace(recipe, config=recipe.config.model_copy(update={"data": data}))


def _with_temperature(recipe: Recipe, class_names: Sequence[str], path: Path) -> Recipe:
    if reason := facts_of(recipe.config.task).supports("calibrated"):
        raise InputError(f"--calibrated {reason}")
    found = read_temperature(path)
    _check_classes(f"--calibrated {path}", found.class_names, class_names)
    rule = recipe.config.data.aggregate
    if found.aggregate != rule:
        raise InputError(
            f"--calibrated {path} was fitted on pieces joined by {found.aggregate}; here they are "
            f"joined by {rule}, whose probabilities are as sure as others. Leave "
            "--calibrated or --aggregate out."
        )
    return replace(recipe, temperature=found.temperature)


def _check_classes(what: str, theirs: Sequence[str], ours: Sequence[str]) -> None:
    if list(theirs) != list(ours):
        raise InputError(
            f"{what} is of the classes {', '.join(theirs)}; this run has {', '.join(ours)}. Take a "
            "file that was fitted on folds of the run's own classes."
        )
